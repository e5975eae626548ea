//! The first tenant of an empty development database.

use caudal_domain::{
    Actor, Fingerprint, Mode, Placement, ReceiptKey, SystemRole, TenantId, UserStatus,
    access::Scope,
    event::kinds,
    payment_type::{PaymentTypeSettings, PaymentVia},
    tenant::Tenant,
};
use caudal_identity::opaque;
use caudal_store::{UnitOfWork, tenants};

use crate::{
    Done, ReceiptOf, Service, ServiceError,
    api_keys::{NewApiKey, Secret},
    audit::By,
    gateway_accounts::GatewayKind,
    passwords::read_password,
    payment_types::NewPaymentType,
    tenants::{NewTenant, did},
    unit::Creation,
    users::{MadePerson, NewPerson, read_email, user_did},
};

/// What an empty database was given.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    pub tenant: Tenant,
    /// Shown once.
    pub secret: Secret,
    /// Of the owner [`OWNER`]. Shown once.
    pub admin_password: Secret,
}

/// The demo tenant's owner, whose address nobody has to prove.
pub const OWNER: &str = "admin@demo.local";

/// What a secret must be at least, to be worth hashing.
const SECRET_CHARS_LEAST: usize = 16;

impl Service {
    /// Makes the tenant `demo` with a key that may everything, if there is no tenant yet. `secret`
    /// is the key's; not given, it is random. Two processes at once make one tenant.
    pub async fn bootstrap(&self, secret: Option<&str>) -> Result<Option<Bootstrap>, ServiceError> {
        self.bootstrap_with(secret, None).await
    }

    /// The same with a password for its owner; not given, it is random as well.
    pub async fn bootstrap_with(
        &self,
        secret: Option<&str>,
        admin_password: Option<&str>,
    ) -> Result<Option<Bootstrap>, ServiceError> {
        if !tenants::first(self.store(), 1).await?.is_empty() {
            return Ok(None);
        }
        if secret.is_some_and(|s| !s.starts_with("sk_test_") || s.len() < SECRET_CHARS_LEAST) {
            let detail = "the first API key starts with sk_test_ and has 16 characters or more";
            return Err(ServiceError::invalid("CAUDAL_BOOTSTRAP_API_KEY", detail));
        }
        let admin_password = match admin_password {
            Some(given) => Secret::new(given),
            None => Secret::new(opaque::recovery_code(self.chance()).as_str()),
        };
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
        let MadePerson { row, steps, .. } = self.owner(id, &admin_password).await?;
        founding.unit.steps.extend(steps);
        let record = self.audit(by, user_did(kinds::USER_CREATED, row.id, &[]), row.created_at);
        founding.unit.steps.push(record);
        founding.unit.events.push(self.user_event(kinds::USER_CREATED, &row, row.created_at)?);
        self.add_gateway_types(&mut founding.unit, id)?;
        let receipt = ReceiptOf {
            key: ReceiptKey::new(TenantId(0), 0, "bootstrap"),
            fingerprint: Fingerprint::of(&[b"bootstrap"]),
        };
        let done = self.create(Creation { receipt: Some(receipt), ..founding }).await?;
        let Done { value, .. } = done;
        Ok(value.secret.map(|secret| Bootstrap { tenant: value.tenant, secret, admin_password }))
    }

    /// `card` and `bank_transfer`, both taken by the simulator.
    fn add_gateway_types(&self, unit: &mut UnitOfWork, id: TenantId) -> Result<(), ServiceError> {
        let name = (GatewayKind::Simulator, "simulator".to_owned());
        let account = self.new_gateway_account(id, name, unit.at);
        unit.join(self.gateway_account_unit(&account, &self.simulator_credentials())?);
        for name in ["card", "bank_transfer"] {
            let settings = PaymentTypeSettings::new(PaymentVia::Gateway, vec![account.id]);
            let new = NewPaymentType { name: name.into(), active: true, settings };
            let kind = self.new_payment_type(id, new, unit.at);
            unit.join(self.payment_type_unit(&kind)?);
        }
        Ok(())
    }

    async fn owner(&self, tenant: TenantId, password: &Secret) -> Result<MadePerson, ServiceError> {
        let password = read_password("CAUDAL_BOOTSTRAP_ADMIN_PASSWORD", password)?;
        self.make_person(NewPerson {
            tenant,
            email: read_email(&Secret::new(OWNER))?,
            name: None,
            password: self.hash_password_here(&password)?,
            status: UserStatus::Active,
            email_verified_at: Some(self.now()),
            role: SystemRole::Owner,
        })
        .await
    }
}
