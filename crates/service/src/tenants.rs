//! Tenants: made from above, seen and configured by themselves.

use caudal_domain::{
    Mode, Placement, SystemRole, Tenant, TenantId, Timestamp, access::ApiKey, event::kinds,
};
use caudal_store::{UnitOfWork, UnitOutcome, api_keys, tenants};
use serde::{Deserialize, Serialize};

use crate::{
    Asked, Caller, Done, Edit, Service, ServiceError,
    api_keys::{NewApiKey, Secret},
    unit::{Creation, Subject},
};

/// What a new tenant is made of.
#[derive(Clone, Debug)]
pub struct NewTenant {
    pub name: String,
    pub mode: Mode,
    pub placement: Placement,
    pub region: Option<String>,
    pub timezone: String,
}

/// What a tenant may change of itself; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct TenantChange {
    pub name: Option<String>,
    pub timezone: Option<String>,
}

/// A new tenant with its owner's key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Founded {
    pub tenant: Tenant,
    pub key: ApiKey,
    /// Shown once, never kept.
    #[serde(skip)]
    pub secret: Option<Secret>,
}

#[derive(Serialize)]
struct TenantData<'a> {
    tenant_id: TenantId,
    mode: Mode,
    placement: Placement,
    region: Option<&'a str>,
}

impl Service {
    pub async fn create_tenant(
        &self,
        asked: Asked<'_>,
        new: NewTenant,
    ) -> Result<Done<Founded>, ServiceError> {
        let scopes = SystemRole::Owner.scopes();
        let key = NewApiKey { name: "owner".into(), scopes, expires_at: None };
        let creation = self.founding(new, key, None)?;
        self.create(Creation { receipt: Some(asked.receipt), ..creation }).await
    }

    /// The unit that makes a tenant and its first key, with the secret given or a random one.
    pub(crate) fn founding(
        &self,
        new: NewTenant,
        key: NewApiKey,
        secret: Option<Secret>,
    ) -> Result<Creation<Founded>, ServiceError> {
        let at = self.now();
        let tenant = Tenant {
            id: TenantId(self.scattered_id(at)),
            name: new.name,
            mode: new.mode,
            placement: new.placement,
            region: new.region,
            timezone: new.timezone,
            version: 1,
            created_at: at,
        };
        let secret = secret.unwrap_or_else(|| self.new_secret(tenant.mode));
        let key = self.new_key(tenant.id, key, at);
        let events = vec![
            self.tenant_event(kinds::TENANT_CREATED, &tenant, at)?,
            self.key_event(kinds::API_KEY_CREATED, &key, at)?,
        ];
        let steps = vec![tenants::insert(&tenant), api_keys::insert(&key, secret.hash())];
        let unit = UnitOfWork { at, steps, events, receipt: None };
        let value = Founded { tenant, key, secret: Some(secret) };
        Ok(Creation { unit, receipt: None, value })
    }

    pub async fn tenant(&self, caller: &Caller) -> Result<Tenant, ServiceError> {
        tenants::find(self.store(), caller.tenant).await?.ok_or(ServiceError::NotFound("tenant"))
    }

    pub async fn update_tenant(
        &self,
        caller: &Caller,
        edit: Edit<'_, Tenant, TenantChange>,
    ) -> Result<Done<Tenant>, ServiceError> {
        let mut tenant = self.tenant(caller).await?;
        let Edit { change, is_met } = edit;
        if is_met.is_some_and(|is_met| !is_met(&tenant)) {
            return Err(ServiceError::Stale);
        }
        let at = self.now();
        tenant.name = change.name.unwrap_or(tenant.name);
        tenant.timezone = change.timezone.unwrap_or(tenant.timezone);
        tenant.version += 1;
        let unit = UnitOfWork {
            at,
            steps: vec![tenants::update(&tenant)],
            events: vec![self.tenant_event(kinds::TENANT_UPDATED, &tenant, at)?],
            receipt: None,
        };
        match self.commit(unit).await? {
            (UnitOutcome::Done, position) => Ok(Done { value: tenant, replayed: false, position }),
            _ if is_met.is_some() => Err(ServiceError::Stale),
            _ => Err(caudal_domain::Refusal::Conflict.into()),
        }
    }

    fn tenant_event(
        &self,
        kind: &'static str,
        tenant: &Tenant,
        at: Timestamp,
    ) -> Result<caudal_domain::Event, ServiceError> {
        let Tenant { id, mode, placement, .. } = *tenant;
        let region = tenant.region.as_deref();
        let data = TenantData { tenant_id: id, mode, placement, region };
        self.event(&Subject { kind, tenant: id, id: id.0, text: &id, at }, &data)
    }
}
