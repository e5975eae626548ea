//! A tenant's types of payments: made, changed, remembered. Payments name one on every request, so
//! types are known by name for [`KNOWN_FOR`] and forgotten at once by the events that change them,
//! as what people may is (see `tokens.rs`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use caudal_domain::{
    Currency, Event, PaymentType, PaymentTypeId, Refusal, TenantId, Timestamp,
    event::kinds,
    fee::{FeeBearer, FeeReturn},
    payment_type::{CaptureMode, LossBearer, PaymentTerms, PaymentTypeSettings},
};
use caudal_store::{
    UnitOfWork, UnitOutcome, gateway_accounts,
    payment_types::{self, PaymentTypeRow},
};
use moka::future::Cache;
use serde::Serialize;

use crate::{
    Asked, Caller, Done, Edit, Page, Service, ServiceError,
    asked::Window,
    audit::Did,
    unit::{Creation, Subject, broken},
};

/// How long a type is believed when no event tells otherwise.
const KNOWN_FOR: Duration = Duration::from_secs(10 * 60);
/// Types remembered at once; as many are read when a process starts.
const REMEMBERED: u64 = 10_000;
/// Tenants whose configuration is read then, too: one look each.
const WARM_TENANTS: usize = 100;

#[derive(Clone, Debug)]
pub struct NewPaymentType {
    pub name: String,
    pub active: bool,
    pub settings: PaymentTypeSettings,
}

/// What is not given stays. How the money comes never changes.
#[derive(Clone, Debug, Default)]
pub struct PaymentTypeChange {
    pub active: Option<bool>,
    pub capture: Option<CaptureMode>,
    pub fee_bearer: Option<FeeBearer>,
    pub fee_return: Option<FeeReturn>,
    pub loss_bearer: Option<LossBearer>,
    pub available_after_s: Option<i64>,
    pub currencies: Option<BTreeMap<Currency, PaymentTerms>>,
    pub other_currencies: Option<Option<PaymentTerms>>,
}

impl PaymentTypeChange {
    /// The names of what it changes.
    fn fields(&self) -> Vec<&'static str> {
        let given = [
            ("active", self.active.is_some()),
            ("capture", self.capture.is_some()),
            ("fee_bearer", self.fee_bearer.is_some()),
            ("fee_return", self.fee_return.is_some()),
            ("loss_bearer", self.loss_bearer.is_some()),
            ("available_after_s", self.available_after_s.is_some()),
            ("currencies", self.currencies.is_some()),
            ("other_currencies", self.other_currencies.is_some()),
        ];
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect()
    }

    fn apply(self, kind: &mut PaymentType) {
        let settings = &mut kind.settings;
        kind.active = self.active.unwrap_or(kind.active);
        settings.capture = self.capture.unwrap_or(settings.capture);
        settings.fee_bearer = self.fee_bearer.unwrap_or(settings.fee_bearer);
        settings.fee_return = self.fee_return.unwrap_or(settings.fee_return);
        settings.loss_bearer = self.loss_bearer.unwrap_or(settings.loss_bearer);
        settings.available_after_s = self.available_after_s.unwrap_or(settings.available_after_s);
        if let Some(currencies) = self.currencies {
            settings.currencies = currencies;
        }
        if let Some(others) = self.other_currencies {
            settings.other_currencies = others;
        }
    }
}

#[derive(Serialize)]
struct TypeData<'a> {
    payment_type_id: PaymentTypeId,
    name: &'a str,
    active: bool,
}

/// Types by tenant and name. A name that there is none of is not remembered.
pub(crate) struct KnownTypes(Cache<(TenantId, String), Arc<PaymentType>>);

impl KnownTypes {
    pub fn new() -> Self {
        let cache = Cache::builder().max_capacity(REMEMBERED).support_invalidation_closures();
        Self(cache.time_to_live(KNOWN_FOR).build())
    }

    /// One of the tenant's has changed.
    pub fn forget(&self, tenant: TenantId) {
        let is_theirs = move |key: &(TenantId, String), _: &Arc<PaymentType>| key.0 == tenant;
        if self.0.invalidate_entries_if(is_theirs).is_err() {
            self.0.invalidate_all();
        }
    }
}

impl Service {
    /// The type of that name, whether or not it is active.
    pub(crate) async fn payment_type(
        &self,
        tenant: TenantId,
        name: &str,
    ) -> Result<Option<Arc<PaymentType>>, ServiceError> {
        let known = &self.inner.payment_types.0;
        let key = (tenant, name.to_owned());
        if let Some(found) = known.get(&key).await {
            return Ok(Some(found));
        }
        let before = self.changes();
        // Many at once ask the database once.
        match known.try_get_with(key.clone(), self.read_payment_type(&key)).await {
            Ok(found) => {
                if self.changes() != before {
                    // What was read may be what has just changed.
                    known.invalidate(&key).await;
                }
                Ok(Some(found))
            }
            Err(why) => why.as_ref().clone().map_or(Ok(None), Err),
        }
    }

    /// `Err(None)`: there is none, which is not to be remembered.
    async fn read_payment_type(
        &self,
        (tenant, name): &(TenantId, String),
    ) -> Result<Arc<PaymentType>, Option<ServiceError>> {
        let found = payment_types::find_by_name(self.store(), *tenant, name).await;
        let row = found.map_err(|error| Some(error.into()))?.ok_or(None)?;
        from_row(row).map(Arc::new).map_err(Some)
    }

    /// Reads what is used on every payment before the first one comes.
    pub async fn warm(&self) -> Result<(), ServiceError> {
        let limit = i64::try_from(REMEMBERED).unwrap_or(i64::MAX);
        let before = self.changes();
        let known = &self.inner.payment_types.0;
        let mut tenants = BTreeSet::new();
        for row in payment_types::active(self.store(), limit).await? {
            let kind = Arc::new(from_row(row)?);
            if tenants.len() < WARM_TENANTS && tenants.insert(kind.tenant) {
                self.tenant_config(kind.tenant).await?;
            }
            known.insert((kind.tenant, kind.name.clone()), kind).await;
        }
        if self.changes() != before {
            known.invalidate_all();
        }
        Ok(())
    }

    pub async fn create_payment_type(
        &self,
        asked: Asked<'_>,
        new: NewPaymentType,
    ) -> Result<Done<PaymentType>, ServiceError> {
        let Asked { caller, receipt } = asked;
        caller.reach.require_tenant()?;
        self.require_step_up(caller)?;
        self.check_settings(caller.tenant, &new.settings).await?;
        let kind = self.new_payment_type(caller.tenant, new, self.now());
        let mut unit = self.payment_type_unit(&kind)?;
        let did = did(kinds::PAYMENT_TYPE_CREATED, kind.id, &[]);
        unit.steps.push(self.audit(caller, did, unit.at));
        let creation = Creation { unit, receipt: Some(receipt), value: kind };
        match self.create_or(creation, |_| Refusal::NameTaken.into()).await {
            Err(ServiceError::Refused(Refusal::NameTaken)) => {
                self.refuse(receipt, Refusal::NameTaken).await
            }
            result => result,
        }
    }

    pub(crate) fn new_payment_type(
        &self,
        tenant: TenantId,
        new: NewPaymentType,
        at: Timestamp,
    ) -> PaymentType {
        let NewPaymentType { name, active, settings } = new;
        PaymentType {
            id: PaymentTypeId(self.next_id(at, tenant.bucket())),
            tenant,
            name,
            active,
            settings,
            version: 1,
            created_at: at,
            updated_at: at,
        }
    }

    /// What makes a type, but for who made it.
    pub(crate) fn payment_type_unit(&self, kind: &PaymentType) -> Result<UnitOfWork, ServiceError> {
        let event = self.payment_type_event(kinds::PAYMENT_TYPE_CREATED, kind, kind.created_at)?;
        Ok(UnitOfWork {
            at: kind.created_at,
            steps: vec![payment_types::insert(&row(kind)?)],
            events: vec![event],
            receipt: None,
        })
    }

    async fn check_settings(
        &self,
        tenant: TenantId,
        settings: &PaymentTypeSettings,
    ) -> Result<(), ServiceError> {
        settings.check().map_err(|misfit| ServiceError::invalid(misfit.field, misfit.why))?;
        for account in settings.gateway_accounts() {
            if gateway_accounts::find(self.store(), tenant, account).await?.is_none() {
                let detail = format!("there is no gateway account {account}");
                return Err(ServiceError::invalid("gateway_accounts", detail));
            }
        }
        Ok(())
    }

    pub async fn find_payment_type(
        &self,
        caller: &Caller,
        id: PaymentTypeId,
    ) -> Result<PaymentType, ServiceError> {
        caller.reach.require_tenant()?;
        let found = payment_types::find(self.store(), caller.tenant, id).await?;
        from_row(found.ok_or(ServiceError::NotFound("payment_type"))?)
    }

    pub async fn list_payment_types(
        &self,
        caller: &Caller,
        window: &Window,
    ) -> Result<Page<PaymentType>, ServiceError> {
        caller.reach.require_tenant()?;
        let before = PaymentTypeId(window.cursor.unwrap_or(u128::MAX));
        let rows = payment_types::list(self.store(), caller.tenant, before, window.rows()).await?;
        let kinds = rows.into_iter().map(from_row).collect::<Result<_, _>>()?;
        Ok(window.page(kinds, |kind: &PaymentType| (kind.id.0, kind.created_at)))
    }

    pub async fn update_payment_type(
        &self,
        caller: &Caller,
        id: PaymentTypeId,
        edit: Edit<'_, PaymentType, PaymentTypeChange>,
    ) -> Result<Done<PaymentType>, ServiceError> {
        let mut kind = self.find_payment_type(caller, id).await?;
        self.require_step_up(caller)?;
        let Edit { change, is_met } = edit;
        if is_met.is_some_and(|is_met| !is_met(&kind)) {
            return Err(ServiceError::Stale);
        }
        let (at, fields, event) = (self.now(), change.fields(), kinds::PAYMENT_TYPE_UPDATED);
        change.apply(&mut kind);
        self.check_settings(caller.tenant, &kind.settings).await?;
        kind.version += 1;
        kind.updated_at = at;
        let steps = vec![
            payment_types::update(&row(&kind)?),
            self.audit(caller, did(event, id, &fields), at),
        ];
        let events = vec![self.payment_type_event(event, &kind, at)?];
        match self.commit(UnitOfWork { at, steps, events, receipt: None }).await? {
            (UnitOutcome::Done, position) => Ok(Done { value: kind, replayed: false, position }),
            _ if is_met.is_some() => Err(ServiceError::Stale),
            _ => Err(Refusal::Conflict.into()),
        }
    }

    /// Payments of it stay what they are.
    pub async fn delete_payment_type(
        &self,
        caller: &Caller,
        id: PaymentTypeId,
        edit: Edit<'_, PaymentType, ()>,
    ) -> Result<Done<PaymentType>, ServiceError> {
        let kind = self.find_payment_type(caller, id).await?;
        self.require_step_up(caller)?;
        if edit.is_met.is_some_and(|is_met| !is_met(&kind)) {
            return Err(ServiceError::Stale);
        }
        let (at, event) = (self.now(), kinds::PAYMENT_TYPE_DELETED);
        let steps = vec![
            payment_types::delete(caller.tenant, id),
            self.audit(caller, did(event, id, &[]), at),
        ];
        let events = vec![self.payment_type_event(event, &kind, at)?];
        match self.commit(UnitOfWork { at, steps, events, receipt: None }).await? {
            (UnitOutcome::Done, position) => Ok(Done { value: kind, replayed: false, position }),
            _ => Err(ServiceError::NotFound("payment_type")),
        }
    }

    fn payment_type_event(
        &self,
        event: &'static str,
        kind: &PaymentType,
        at: Timestamp,
    ) -> Result<Event, ServiceError> {
        let PaymentType { id, tenant, active, .. } = *kind;
        let subject = Subject { kind: event, tenant, id: id.0, text: &id, at };
        self.event(&subject, &TypeData { payment_type_id: id, name: &kind.name, active })
    }
}

fn row(kind: &PaymentType) -> Result<PaymentTypeRow, ServiceError> {
    Ok(PaymentTypeRow {
        id: kind.id,
        tenant: kind.tenant,
        name: kind.name.clone(),
        active: kind.active,
        config: serde_json::to_string(&kind.settings).map_err(broken)?,
        version: kind.version,
        created_at: kind.created_at,
        updated_at: kind.updated_at,
    })
}

fn from_row(row: PaymentTypeRow) -> Result<PaymentType, ServiceError> {
    Ok(PaymentType {
        id: row.id,
        tenant: row.tenant,
        name: row.name,
        active: row.active,
        settings: serde_json::from_str(&row.config).map_err(broken)?,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

fn did<'a>(action: &'a str, id: PaymentTypeId, fields: &'a [&'a str]) -> Did<'a> {
    Did { action, object_kind: "payment_type", object_id: id.to_string(), fields }
}
