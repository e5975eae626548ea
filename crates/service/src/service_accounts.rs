//! Service accounts: programs that act through API keys, whichever of their keys they use. A key
//! is given and the account deleted one after the other, so that no key outlives it.

use caudal_domain::{Event, Refusal, ServiceAccount, ServiceAccountId, Timestamp, event::kinds};
use caudal_store::{UnitOfWork, UnitOutcome, api_keys, service_accounts};
use serde::Serialize;

use crate::{
    Asked, Caller, Done, Edit, Page, Service, ServiceError,
    api_keys::check_over,
    asked::Window,
    audit::Did,
    unit::{Creation, Subject},
};

#[derive(Serialize)]
struct AccountData {
    service_account_id: ServiceAccountId,
}

impl Service {
    pub async fn create_service_account(
        &self,
        asked: Asked<'_>,
        name: String,
    ) -> Result<Done<ServiceAccount>, ServiceError> {
        let Asked { caller, receipt } = asked;
        caller.reach.require_tenant()?;
        let at = self.now();
        let id = ServiceAccountId(self.next_id(at, caller.tenant.bucket()));
        let account =
            ServiceAccount { id, tenant: caller.tenant, name, version: 1, created_at: at };
        let kind = kinds::SERVICE_ACCOUNT_CREATED;
        let steps = vec![
            service_accounts::insert(&account),
            self.audit(caller, did(kind, &account, &["name"]), at),
        ];
        let events = vec![self.account_event(kind, &account, at)?];
        let unit = UnitOfWork { at, steps, events, receipt: None };
        self.create(Creation { unit, receipt: Some(receipt), value: account }).await
    }

    pub async fn service_account(
        &self,
        caller: &Caller,
        id: ServiceAccountId,
    ) -> Result<ServiceAccount, ServiceError> {
        caller.reach.require_tenant()?;
        let found = service_accounts::find(self.store(), caller.tenant, id).await?;
        found.ok_or(ServiceError::NotFound("service_account"))
    }

    pub async fn list_service_accounts(
        &self,
        caller: &Caller,
        window: &Window,
    ) -> Result<Page<ServiceAccount>, ServiceError> {
        caller.reach.require_tenant()?;
        let before = ServiceAccountId(window.cursor.unwrap_or(u128::MAX));
        let db = self.store();
        let rows = service_accounts::list(db, caller.tenant, before, window.rows()).await?;
        Ok(window.page(rows, |account| (account.id.0, account.created_at)))
    }

    pub async fn rename_service_account(
        &self,
        caller: &Caller,
        id: ServiceAccountId,
        edit: Edit<'_, ServiceAccount, String>,
    ) -> Result<Done<ServiceAccount>, ServiceError> {
        let mut account = self.service_account(caller, id).await?;
        self.require_over_account(caller, id).await?;
        let Edit { change, is_met } = edit;
        if is_met.is_some_and(|is_met| !is_met(&account)) {
            return Err(ServiceError::Stale);
        }
        let at = self.now();
        account.name = change;
        account.version += 1;
        let kind = kinds::SERVICE_ACCOUNT_UPDATED;
        let steps = vec![
            service_accounts::update(&account),
            self.audit(caller, did(kind, &account, &["name"]), at),
        ];
        let events = vec![self.account_event(kind, &account, at)?];
        match self.commit(UnitOfWork { at, steps, events, receipt: None }).await? {
            (UnitOutcome::Done, position) => Ok(Done { value: account, replayed: false, position }),
            _ if is_met.is_some() => Err(ServiceError::Stale),
            _ => Err(Refusal::Conflict.into()),
        }
    }

    /// With all its keys. What was done through them stays, and its idempotency keys with it.
    pub async fn delete_service_account(
        &self,
        caller: &Caller,
        id: ServiceAccountId,
        edit: Edit<'_, ServiceAccount, ()>,
    ) -> Result<Done<ServiceAccount>, ServiceError> {
        let account = self.service_account(caller, id).await?;
        if edit.is_met.is_some_and(|is_met| !is_met(&account)) {
            return Err(ServiceError::Stale);
        }
        self.require_over_account(caller, id).await?;
        let (at, kind) = (self.now(), kinds::SERVICE_ACCOUNT_DELETED);
        let steps = vec![
            service_accounts::delete(caller.tenant, id),
            api_keys::revoke_of_account(caller.tenant, id, at),
            self.audit(caller, did(kind, &account, &["api_keys"]), at),
        ];
        let events = vec![self.account_event(kind, &account, at)?];
        match self.commit(UnitOfWork { at, steps, events, receipt: None }).await? {
            (UnitOutcome::Done, position) => Ok(Done { value: account, replayed: false, position }),
            _ => Err(ServiceError::NotFound("service_account")),
        }
    }

    /// Nobody changes, ends or acts as an account of which a key may more than they themselves.
    pub(crate) async fn require_over_account(
        &self,
        caller: &Caller,
        id: ServiceAccountId,
    ) -> Result<(), ServiceError> {
        let keys = api_keys::of_service_account(self.store(), caller.tenant, id, i64::MAX).await?;
        let mut live = keys.iter().filter(|key| key.revoked_at.is_none());
        live.try_for_each(|key| check_over(caller, key))
    }

    pub(crate) fn account_event(
        &self,
        kind: &'static str,
        account: &ServiceAccount,
        at: Timestamp,
    ) -> Result<Event, ServiceError> {
        let ServiceAccount { id, tenant, .. } = *account;
        let subject = Subject { kind, tenant, id: id.0, text: &id, at };
        self.event(&subject, &AccountData { service_account_id: id })
    }
}

fn did<'a>(action: &'a str, account: &ServiceAccount, fields: &'a [&'a str]) -> Did<'a> {
    Did { action, object_kind: "service_account", object_id: account.id.to_string(), fields }
}
