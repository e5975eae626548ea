//! Tenants: made from above, seen and configured by themselves.

use std::{sync::Arc, time::Duration};

use caudal_domain::{
    BusinessCalendar, BusinessDay, CutOff, FraudConfig, LimitsConfig, Mode, NotificationsConfig,
    Placement, RateLimits, SystemRole, Tenant, TenantConfig, TenantId, Timestamp,
    access::{ApiKey, Scope},
    event::kinds,
    payment_type::{PaymentTypeSettings, PaymentVia},
};
use caudal_store::{UnitOfWork, UnitOutcome, api_keys, tenants, wallet_tiers};
use moka::future::Cache;
use serde::{Deserialize, Serialize};

use crate::{
    Asked, Caller, Done, Edit, Page, Service, ServiceError,
    api_keys::{NewApiKey, Secret},
    asked::Window,
    audit::Did,
    id_range,
    payment_types::NewPaymentType,
    unit::{Creation, Subject},
};

/// How long a configuration is believed when no event tells otherwise.
const KNOWN_FOR: Duration = Duration::from_secs(10 * 60);
/// Configurations remembered at once.
const REMEMBERED: u64 = 10_000;

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
    /// `Some(None)`: those of the instance again. Needs the scope `limits:write`.
    pub rate_limits: Option<Option<RateLimits>>,
    /// Tiers of wallets. Needs the scope `limits:write`.
    pub limits: Option<Option<LimitsConfig>>,
    /// Needs the scope `fraud_rules:write`.
    pub fraud: Option<Option<FraudConfig>>,
    pub notifications: Option<Option<NotificationsConfig>>,
    pub business_day_cut_off: Option<CutOff>,
}

/// Configurations by tenant, as far as they are asked for on every payment.
pub(crate) struct KnownConfigs(Cache<TenantId, Arc<Known>>);

struct Known {
    config: Arc<TenantConfig>,
    calendar: BusinessCalendar,
}

impl KnownConfigs {
    pub fn new() -> Self {
        Self(Cache::builder().max_capacity(REMEMBERED).time_to_live(KNOWN_FOR).build())
    }

    /// It has changed.
    pub async fn forget(&self, tenant: TenantId) {
        self.0.invalidate(&tenant).await;
    }
}

impl TenantChange {
    /// The names of what it changes.
    fn fields(&self) -> Vec<&'static str> {
        let Self { name, timezone, rate_limits, limits, fraud, .. } = self;
        let Self { notifications, business_day_cut_off, .. } = self;
        let given = [
            ("name", name.is_some()),
            ("timezone", timezone.is_some()),
            ("config.rate_limits", rate_limits.is_some()),
            ("config.limits", limits.is_some()),
            ("config.fraud", fraud.is_some()),
            ("config.notifications", notifications.is_some()),
            ("config.business_day_cut_off", business_day_cut_off.is_some()),
        ];
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect()
    }
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
        let key =
            NewApiKey { name: "owner".into(), scopes, expires_at: None, service_account: None };
        let mut creation = self.founding(new, key, None)?;
        asked.caller.reach.require_tenant()?;
        let did = did(kinds::TENANT_CREATED, creation.value.tenant.id, &[]);
        let record = self.audit(asked.caller, did, creation.unit.at);
        creation.unit.steps.push(record);
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
            config: TenantConfig::default(),
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
        let mut unit = UnitOfWork { at, steps, events, receipt: None };
        if tenant.mode == Mode::Test {
            self.add_wallet_type(&mut unit, tenant.id)?;
        }
        let value = Founded { tenant, key, secret: Some(secret) };
        Ok(Creation { unit, receipt: None, value })
    }

    /// Whoever tries things out can pay between wallets at once; a live tenant decides on its fees
    /// first.
    fn add_wallet_type(&self, unit: &mut UnitOfWork, id: TenantId) -> Result<(), ServiceError> {
        let new = NewPaymentType {
            name: "wallet".into(),
            active: true,
            settings: PaymentTypeSettings::new(PaymentVia::Wallet, Vec::new()),
        };
        let kind = self.new_payment_type(id, new, unit.at);
        unit.join(self.payment_type_unit(&kind)?);
        Ok(())
    }

    pub async fn tenant(&self, caller: &Caller) -> Result<Tenant, ServiceError> {
        tenants::find(self.store(), caller.tenant).await?.ok_or(ServiceError::NotFound("tenant"))
    }

    /// Every tenant of the platform, newest first: for those above tenants.
    pub async fn list_tenants(&self, window: &Window) -> Result<Page<Tenant>, ServiceError> {
        let (from, before) = id_range(&window.created);
        let before = window.cursor.map_or(before, |cursor| cursor.min(before));
        let (from, before) = (TenantId(from), TenantId(before));
        let rows = tenants::list(self.store(), from, before, window.rows()).await?;
        Ok(window.page(rows, |tenant| (tenant.id.0, tenant.created_at)))
    }

    pub async fn update_tenant(
        &self,
        caller: &Caller,
        edit: Edit<'_, Tenant, TenantChange>,
    ) -> Result<Done<Tenant>, ServiceError> {
        caller.reach.require_tenant()?;
        self.require_step_up(caller)?;
        let mut tenant = self.tenant(caller).await?;
        let Edit { change, is_met } = edit;
        if change.rate_limits.is_some() || change.limits.is_some() {
            caller.require(Scope::LimitsWrite)?;
        }
        if change.fraud.is_some() {
            caller.require(Scope::FraudRulesWrite)?;
        }
        if is_met.is_some_and(|is_met| !is_met(&tenant)) {
            return Err(ServiceError::Stale);
        }
        let (at, fields) = (self.now(), change.fields());
        if let Some(limits) = &change.limits {
            self.check_tiers_stay(&tenant, limits.as_ref()).await?;
        }
        tenant.config.rate_limits = change.rate_limits.unwrap_or(tenant.config.rate_limits);
        tenant.config.limits = change.limits.unwrap_or(tenant.config.limits);
        tenant.config.fraud = change.fraud.unwrap_or(tenant.config.fraud);
        tenant.config.notifications = change.notifications.unwrap_or(tenant.config.notifications);
        let cut_off = change.business_day_cut_off;
        tenant.config.business_day_cut_off = cut_off.unwrap_or(tenant.config.business_day_cut_off);
        tenant.name = change.name.unwrap_or(tenant.name);
        tenant.timezone = change.timezone.unwrap_or(tenant.timezone);
        tenant.version += 1;
        let unit = UnitOfWork {
            at,
            steps: vec![
                tenants::update(&tenant),
                self.audit(caller, did(kinds::TENANT_UPDATED, tenant.id, &fields), at),
            ],
            events: vec![self.tenant_event(kinds::TENANT_UPDATED, &tenant, at)?],
            receipt: None,
        };
        match self.commit(unit).await? {
            (UnitOutcome::Done, position) => Ok(Done { value: tenant, replayed: false, position }),
            _ if is_met.is_some() => Err(ServiceError::Stale),
            _ => Err(caudal_domain::Refusal::Conflict.into()),
        }
    }

    /// A tier that wallets are of has to stay: without it they would have no limits.
    async fn check_tiers_stay(
        &self,
        tenant: &Tenant,
        wanted: Option<&LimitsConfig>,
    ) -> Result<(), ServiceError> {
        let had = tenant.config.limits.iter().flat_map(|limits| limits.tiers.keys());
        for tier in had {
            let stays = wanted.is_some_and(|limits| limits.tiers.contains_key(tier));
            if !stays && wallet_tiers::is_used(self.store(), tenant.id, tier).await? {
                let detail = format!("wallets are of the tier {tier:?}: it has to stay");
                return Err(ServiceError::invalid("config.limits.tiers", detail));
            }
        }
        Ok(())
    }

    /// What the tenant has set of its own, as remembered.
    pub(crate) async fn tenant_config(
        &self,
        tenant: TenantId,
    ) -> Result<Arc<TenantConfig>, ServiceError> {
        Ok(self.known_config(tenant).await?.config.clone())
    }

    /// The day in the tenant's books.
    pub(crate) async fn business_day(
        &self,
        tenant: TenantId,
        at: Timestamp,
    ) -> Result<BusinessDay, ServiceError> {
        Ok(self.known_config(tenant).await?.calendar.day_of(at))
    }

    async fn known_config(&self, tenant: TenantId) -> Result<Arc<Known>, ServiceError> {
        let known = &self.inner.configs.0;
        if let Some(found) = known.get(&tenant).await {
            return Ok(found);
        }
        let before = self.changes();
        let read = async {
            let found = tenants::find(self.store(), tenant).await?;
            let (zone, config) =
                found.map(|tenant| (tenant.timezone, tenant.config)).unwrap_or_default();
            let calendar = BusinessCalendar::new(&zone, config.business_day_cut_off);
            Ok::<_, ServiceError>(Arc::new(Known { config: Arc::new(config), calendar }))
        };
        // Many at once ask the database once.
        let found = known.try_get_with(tenant, read).await;
        let found = found.map_err(|error| ServiceError::clone(&error))?;
        if self.changes() != before {
            // What was read may be what has just changed.
            known.invalidate(&tenant).await;
        }
        Ok(found)
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

pub(crate) fn did<'a>(action: &'a str, tenant: TenantId, fields: &'a [&'a str]) -> Did<'a> {
    Did { action, object_kind: "tenant", object_id: tenant.to_string(), fields }
}
