//! API keys: made with a secret that is shown once, listed, renamed, revoked.

use caudal_domain::{
    Actor, ApiKeyId, Event, Mode, Refusal, ServiceAccount, ServiceAccountId, TenantId, Timestamp,
    access::{ApiKey, Scope},
    event::kinds,
};
use caudal_store::{Step, UnitOfWork, UnitOutcome, api_keys, service_accounts, tenants};
use serde::{Deserialize, Serialize};

use crate::{
    Asked, Caller, Done, Edit, Page, Service, ServiceError,
    access::secret_hash,
    asked::Window,
    audit::Did,
    unit::{Creation, Subject},
};

#[derive(Clone, Debug)]
pub struct NewApiKey {
    pub name: String,
    pub scopes: Vec<Scope>,
    pub expires_at: Option<Timestamp>,
    /// Whom it acts for; `None`: it is its own account.
    pub service_account: Option<ServiceAccountId>,
}

/// A key's secret: shown once, never stored, never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one answer that shows it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(crate) fn hash(&self) -> u128 {
        secret_hash(&self.0)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A new key, with its secret unless this is a replay.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreatedKey {
    pub key: ApiKey,
    #[serde(skip)]
    pub secret: Option<Secret>,
}

/// A rotation: when, until when the old key works, and the new one's secret.
struct Turn {
    at: Timestamp,
    ends_at: Timestamp,
    secret: Secret,
}

#[derive(Serialize)]
struct KeyData<'a> {
    api_key_id: ApiKeyId,
    scopes: &'a [Scope],
}

/// As the audit names it.
const ROTATED: &str = "api_key.rotated";
/// Characters of a secret after its prefix: 160 bits, five each.
const SECRET_CHARS: usize = 32;
const SECRET_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl Service {
    pub(crate) fn new_secret(&self, mode: Mode) -> Secret {
        let mut random = [0; SECRET_CHARS];
        self.fill_random(&mut random);
        let mut text = format!("sk_{}_", mode.name());
        text.extend(random.iter().map(|byte| char::from(SECRET_ALPHABET[(byte & 31) as usize])));
        Secret(text)
    }

    pub(crate) fn new_key(&self, tenant: TenantId, new: NewApiKey, at: Timestamp) -> ApiKey {
        let NewApiKey { name, mut scopes, expires_at, service_account } = new;
        scopes.sort_unstable();
        scopes.dedup();
        let id = ApiKeyId(self.next_id(at, tenant.bucket()));
        ApiKey {
            id,
            tenant,
            name,
            scopes,
            created_at: at,
            expires_at,
            revoked_at: None,
            service_account,
            rotated_to: None,
            last_used_at: None,
            made_by: None,
        }
    }

    pub(crate) fn key_event(
        &self,
        kind: &'static str,
        key: &ApiKey,
        at: Timestamp,
    ) -> Result<Event, ServiceError> {
        let subject = Subject { kind, tenant: key.tenant, id: key.id.0, text: &key.id, at };
        self.event(&subject, &KeyData { api_key_id: key.id, scopes: &key.scopes })
    }

    /// Nobody can give what they don't have.
    pub async fn create_api_key(
        &self,
        asked: Asked<'_>,
        new: NewApiKey,
    ) -> Result<Done<CreatedKey>, ServiceError> {
        let Asked { caller, receipt } = asked;
        caller.reach.require_tenant()?;
        self.require_step_up(caller)?;
        new.scopes.iter().try_for_each(|scope| caller.require_wide(*scope))?;
        if new.expires_at.is_some_and(|at| at <= self.now()) {
            // It may have lain ahead when it was asked first.
            let said = self.said_before(receipt).await?;
            return said.ok_or_else(|| ServiceError::invalid("expires_at", "lies in the past"));
        }
        let expires_at = end_of(caller, new.expires_at)?;
        let new = NewApiKey { expires_at, ..new };
        let mut steps = maker_stays(caller);
        if let Some(account) = new.service_account {
            self.service_account(caller, account).await?;
            self.require_over_account(caller, account).await?;
            steps.push(service_accounts::stays(caller.tenant, account));
        }
        let at = self.now();
        let secret = self.new_secret(caller.mode);
        let mut key = self.new_key(caller.tenant, new, at);
        key.made_by = Some(maker(caller));
        let did = did(kinds::API_KEY_CREATED, key.id, &["name", "scopes", "expires_at"]);
        steps.push(api_keys::insert(&key, secret.hash()));
        steps.push(self.audit(caller, did, at));
        let events = vec![self.key_event(kinds::API_KEY_CREATED, &key, at)?];
        let unit = UnitOfWork { at, steps, events, receipt: None };
        let value = CreatedKey { key, secret: Some(secret) };
        let creation = Creation { unit, receipt: Some(receipt), value };
        let missed = |step| maker_gone(caller, step, ServiceError::NotFound("service_account"));
        self.create_or(creation, missed).await
    }

    pub async fn api_key(&self, caller: &Caller, id: ApiKeyId) -> Result<ApiKey, ServiceError> {
        caller.reach.require_tenant()?;
        let found = api_keys::find(self.store(), caller.tenant, id).await?;
        found.ok_or(ServiceError::NotFound("api_key"))
    }

    pub async fn list_api_keys(
        &self,
        caller: &Caller,
        made_by: Option<Actor>,
        window: &Window,
    ) -> Result<Page<ApiKey>, ServiceError> {
        caller.reach.require_tenant()?;
        let filter = api_keys::Filter {
            tenant: caller.tenant,
            made_by,
            before: ApiKeyId(window.cursor.unwrap_or(u128::MAX)),
            limit: window.rows(),
        };
        let rows = api_keys::list(self.store(), &filter).await?;
        Ok(window.page(rows, |key| (key.id.0, key.created_at)))
    }

    pub async fn rename_api_key(
        &self,
        caller: &Caller,
        id: ApiKeyId,
        edit: Edit<'_, ApiKey, String>,
    ) -> Result<Done<ApiKey>, ServiceError> {
        let mut key = self.api_key(caller, id).await?;
        if key.revoked_at.is_some() {
            return Err(ServiceError::NotFound("api_key"));
        }
        check_over(caller, &key)?;
        if edit.is_met.is_some_and(|is_met| !is_met(&key)) {
            return Err(ServiceError::Stale);
        }
        let before = std::mem::replace(&mut key.name, edit.change);
        let step = api_keys::rename(caller.tenant, id, (&before, &key.name));
        let did = did(kinds::API_KEY_UPDATED, id, &["name"]);
        let steps = vec![step, self.audit(caller, did, self.now())];
        self.change_key(kinds::API_KEY_UPDATED, key, steps).await
    }

    /// Revokes at once in this process, within half a second in others. Again does nothing.
    pub async fn revoke_api_key(
        &self,
        caller: &Caller,
        id: ApiKeyId,
    ) -> Result<Done<ApiKey>, ServiceError> {
        let mut key = self.api_key(caller, id).await?;
        check_over(caller, &key)?;
        if key.revoked_at.is_some() {
            return Ok(Done { value: key, replayed: false, position: Vec::new() });
        }
        let at = self.now();
        key.revoked_at = Some(at);
        let step = api_keys::revoke(caller.tenant, id, at);
        let did = did(kinds::API_KEY_REVOKED, id, &["revoked_at"]);
        let steps = vec![step, self.audit(caller, did, at)];
        self.change_key(kinds::API_KEY_REVOKED, key, steps).await
    }

    /// The same with the keys that it made, and with those that these made, also where it was
    /// revoked before: none of them may more than it.
    pub async fn revoke_with_descendants(
        &self,
        caller: &Caller,
        id: ApiKeyId,
    ) -> Result<Done<ApiKey>, ServiceError> {
        let value = self.api_key(caller, id).await?;
        check_over(caller, &value)?;
        let (tenant, at) = (caller.tenant, self.now());
        let seen = api_keys::with_descendants(self.store(), tenant, id).await?;
        let live: Vec<_> = seen.iter().filter(|key| key.revoked_at.is_none()).collect();
        if live.is_empty() {
            return Ok(Done { value, replayed: false, position: Vec::new() });
        }
        let mut unit = self.ended(caller, &live, at)?;
        let ends = api_keys::revoke_with_descendants(tenant, id, at);
        unit.steps.splice(0..0, [tenants::hold(tenant), ends]);
        let position = self.commit(unit).await?.1;
        // One of them made another between the look and the end.
        let now = api_keys::with_descendants(self.store(), tenant, id).await?;
        let is_new = |key: &&ApiKey| seen.iter().all(|it| it.id != key.id);
        let late: Vec<_> = now.iter().filter(is_new).collect();
        if !late.is_empty() {
            self.commit(self.ended(caller, &late, at)?).await?;
        }
        Ok(Done { value, replayed: false, position })
    }

    /// What is told of keys that are revoked.
    fn ended(
        &self,
        caller: &Caller,
        keys: &[&ApiKey],
        at: Timestamp,
    ) -> Result<UnitOfWork, ServiceError> {
        let kind = kinds::API_KEY_REVOKED;
        let audit = |key: &&ApiKey| self.audit(caller, did(kind, key.id, &["revoked_at"]), at);
        let steps = keys.iter().map(audit).collect();
        let events = keys.iter().map(|key| self.key_event(kind, key, at)).collect::<Result<_, _>>();
        Ok(UnitOfWork { at, steps, events: events?, receipt: None })
    }

    /// A new key in the place of this one, which ends after `overlap_s` seconds. Nobody takes a
    /// key over who may less than it.
    ///
    /// Idempotency keys are the account's. A key that was its own account becomes the first key of
    /// a service account whose id has the same bits, so what it did is said again to its successor.
    pub async fn rotate_api_key(
        &self,
        asked: Asked<'_>,
        id: ApiKeyId,
        overlap_s: i64,
    ) -> Result<Done<CreatedKey>, ServiceError> {
        let Asked { caller, receipt } = asked;
        let old = self.api_key(caller, id).await?;
        self.require_step_up(caller)?;
        check_over(caller, &old)?;
        let at = self.now();
        let has_ended = old.expires_at.is_some_and(|end| end <= at);
        if old.revoked_at.is_some() || old.rotated_to.is_some() || has_ended {
            return self.refuse(receipt, Refusal::KeyState).await;
        }
        let secret = self.new_secret(caller.mode);
        let turn = Turn { at, ends_at: at.plus_seconds(overlap_s), secret };
        let creation = self.key_rotation(caller, &old, turn)?;
        let creation = Creation { receipt: Some(receipt), ..creation };
        let missed = |step| maker_gone(caller, step, Refusal::KeyState.into());
        match self.create_or(creation, missed).await {
            // Another rotation was faster.
            Err(ServiceError::Refused(Refusal::KeyState)) => {
                self.refuse(receipt, Refusal::KeyState).await
            }
            result => result,
        }
    }

    fn key_rotation(
        &self,
        caller: &Caller,
        old: &ApiKey,
        turn: Turn,
    ) -> Result<Creation<CreatedKey>, ServiceError> {
        let Turn { at, ends_at, secret } = turn;
        let account = old.service_account.unwrap_or(ServiceAccountId(old.id.0));
        let new = NewApiKey {
            name: old.name.clone(),
            scopes: old.scopes.clone(),
            expires_at: renewed(old, at).into_iter().chain(own_end(caller)).min(),
            service_account: Some(account),
        };
        let tenant = caller.tenant;
        let mut new = self.new_key(tenant, new, at);
        new.made_by = Some(maker(caller));
        let turn = api_keys::Rotation { tenant, old: old.id, new: new.id, ends_at };
        let fields = &["rotated_to", "expires_at"];
        let given = old.service_account.map(|account| service_accounts::stays(tenant, account));
        let mut steps = maker_stays(caller);
        steps.extend(given);
        steps.extend([
            api_keys::rotate(&turn),
            api_keys::insert(&new, secret.hash()),
            self.audit(caller, did(ROTATED, old.id, fields), at),
        ]);
        let mut events = vec![
            self.key_event(kinds::API_KEY_CREATED, &new, at)?,
            self.key_event(kinds::API_KEY_UPDATED, old, at)?,
        ];
        if old.service_account.is_none() {
            let name = old.name.clone();
            let its = ServiceAccount { id: account, tenant, name, version: 1, created_at: at };
            steps.push(service_accounts::insert(&its));
            steps.push(api_keys::join_account(tenant, old.id, account));
            events.push(self.account_event(kinds::SERVICE_ACCOUNT_CREATED, &its, at)?);
        }
        let unit = UnitOfWork { at, steps, events, receipt: None };
        Ok(Creation { unit, receipt: None, value: CreatedKey { key: new, secret: Some(secret) } })
    }

    async fn change_key(
        &self,
        kind: &'static str,
        key: ApiKey,
        steps: Vec<Step>,
    ) -> Result<Done<ApiKey>, ServiceError> {
        let at = self.now();
        let events = vec![self.key_event(kind, &key, at)?];
        let unit = UnitOfWork { at, steps, events, receipt: None };
        match self.commit(unit).await? {
            (UnitOutcome::Done, position) => Ok(Done { value: key, replayed: false, position }),
            _ => Err(Refusal::Conflict.into()),
        }
    }
}

/// Nobody changes or ends a key that may more than they themselves.
pub(crate) fn check_over(caller: &Caller, key: &ApiKey) -> Result<(), ServiceError> {
    key.scopes.iter().try_for_each(|scope| caller.require_wide(*scope))
}

/// Who makes a key, whomever they act for.
fn maker(caller: &Caller) -> Actor {
    caller.key.map_or(caller.actor, Actor::ApiKey)
}

/// Nobody revokes the maker's key or brings its end forward until what it makes is there: what
/// takes its descendants along must not pass one by. Misses where that was done.
fn maker_stays(caller: &Caller) -> Vec<Step> {
    let stays = caller.key.map(|id| api_keys::stays(caller.tenant, id, caller.expires_at));
    [tenants::hold(caller.tenant)].into_iter().chain(stays).collect()
}

/// What it means that a step missed, of those of [`maker_stays`] or of others.
fn maker_gone(caller: &Caller, step: usize, other: ServiceError) -> ServiceError {
    let of_maker = maker_stays(caller).len();
    if step < of_maker { Refusal::Conflict.into() } else { other }
}

/// What a key makes ends with it at the latest; what a person makes does not end with their token.
fn own_end(caller: &Caller) -> Option<Timestamp> {
    caller.expires_at.filter(|_| caller.session.is_none())
}

fn end_of(caller: &Caller, asked: Option<Timestamp>) -> Result<Option<Timestamp>, ServiceError> {
    match (own_end(caller), asked) {
        (Some(own), Some(asked)) if asked > own => {
            Err(ServiceError::invalid("expires_at", "is later than the end of your own key"))
        }
        (own, asked) => Ok(asked.or(own)),
    }
}

/// The key after it lives as long as this one was meant to.
fn renewed(old: &ApiKey, at: Timestamp) -> Option<Timestamp> {
    let lifetime = old.expires_at?.micros() - old.created_at.micros();
    Some(Timestamp::from_micros(at.micros().saturating_add(lifetime)))
}

fn did<'a>(action: &'a str, key: ApiKeyId, fields: &'a [&'a str]) -> Did<'a> {
    Did { action, object_kind: "api_key", object_id: key.to_string(), fields }
}
