//! The first tenant of an empty development database.

use caudal_domain::{
    Actor, Fingerprint, Mode, Placement, ReceiptKey, TenantId, access::Scope, event::kinds,
    tenant::Tenant,
};
use caudal_store::tenants;

use crate::{
    Done, ReceiptOf, Service, ServiceError,
    api_keys::{NewApiKey, Secret},
    audit::By,
    tenants::{NewTenant, did},
    unit::Creation,
};

/// What an empty database was given.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    pub tenant: Tenant,
    /// Shown once.
    pub secret: Secret,
}

/// What a secret must be at least, to be worth hashing.
const SECRET_CHARS_LEAST: usize = 16;

impl Service {
    /// Makes the tenant `demo` with a key that may everything, if there is no tenant yet. `secret`
    /// is the key's; not given, it is random. Two processes at once make one tenant.
    pub async fn bootstrap(&self, secret: Option<&str>) -> Result<Option<Bootstrap>, ServiceError> {
        if !tenants::first(self.store(), 1).await?.is_empty() {
            return Ok(None);
        }
        if secret.is_some_and(|s| !s.starts_with("sk_test_") || s.len() < SECRET_CHARS_LEAST) {
            let detail = "the first API key starts with sk_test_ and has 16 characters or more";
            return Err(ServiceError::invalid("CAUDAL_BOOTSTRAP_API_KEY", detail));
        }
        let tenant = NewTenant {
            name: "demo".into(),
            mode: Mode::Test,
            placement: Placement::User,
            region: None,
            timezone: "UTC".into(),
        };
        let key = NewApiKey {
            name: "demo".into(),
            scopes: Scope::ALL.to_vec(),
            expires_at: None,
            service_account: None,
        };
        let mut founding = self.founding(tenant, key, secret.map(Secret::new))?;
        let id = founding.value.tenant.id;
        let by = By { tenant: id, actor: Actor::System, origin: None };
        let record = self.audit(by, did(kinds::TENANT_CREATED, id, &[]), founding.unit.at);
        founding.unit.steps.push(record);
        let receipt = ReceiptOf {
            key: ReceiptKey::new(TenantId(0), 0, "bootstrap"),
            fingerprint: Fingerprint::of(&[b"bootstrap"]),
        };
        let done = self.create(Creation { receipt: Some(receipt), ..founding }).await?;
        let Done { value, .. } = done;
        Ok(value.secret.map(|secret| Bootstrap { tenant: value.tenant, secret }))
    }
}
