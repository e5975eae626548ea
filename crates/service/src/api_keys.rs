//! API keys: made with a secret that is shown once, listed, renamed, revoked.

use caudal_domain::{
    ApiKeyId, Event, Mode, TenantId, Timestamp,
    access::{ApiKey, Scope},
    event::kinds,
};
use caudal_store::{Step, UnitOfWork, UnitOutcome, api_keys};
use serde::{Deserialize, Serialize};

use crate::{
    Asked, Caller, Done, Page, Service, ServiceError,
    access::secret_hash,
    asked::Window,
    unit::{Creation, Subject},
};

#[derive(Clone, Debug)]
pub struct NewApiKey {
    pub name: String,
    pub scopes: Vec<Scope>,
    pub expires_at: Option<Timestamp>,
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

#[derive(Serialize)]
struct KeyData<'a> {
    api_key_id: ApiKeyId,
    scopes: &'a [Scope],
}

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
        let NewApiKey { name, mut scopes, expires_at } = new;
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
            service_account: None,
            rotated_to: None,
            last_used_at: None,
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
        new.scopes.iter().try_for_each(|scope| caller.require(*scope))?;
        let at = self.now();
        let secret = self.new_secret(caller.mode);
        let key = self.new_key(caller.tenant, new, at);
        let unit = UnitOfWork {
            at,
            steps: vec![api_keys::insert(&key, secret.hash())],
            events: vec![self.key_event(kinds::API_KEY_CREATED, &key, at)?],
            receipt: None,
        };
        let value = CreatedKey { key, secret: Some(secret) };
        self.create(Creation { unit, receipt: Some(receipt), value }).await
    }

    pub async fn api_key(&self, caller: &Caller, id: ApiKeyId) -> Result<ApiKey, ServiceError> {
        let found = api_keys::find(self.store(), caller.tenant, id).await?;
        found.ok_or(ServiceError::NotFound("api_key"))
    }

    pub async fn list_api_keys(
        &self,
        caller: &Caller,
        window: &Window,
    ) -> Result<Page<ApiKey>, ServiceError> {
        let before = ApiKeyId(window.cursor.unwrap_or(u128::MAX));
        let rows = api_keys::list(self.store(), caller.tenant, before, window.rows()).await?;
        Ok(window.page(rows, |key| (key.id.0, key.created_at)))
    }

    pub async fn rename_api_key(
        &self,
        caller: &Caller,
        id: ApiKeyId,
        name: String,
    ) -> Result<Done<ApiKey>, ServiceError> {
        let mut key = self.api_key(caller, id).await?;
        if key.revoked_at.is_some() {
            return Err(ServiceError::NotFound("api_key"));
        }
        key.name = name;
        let step = api_keys::rename(caller.tenant, id, &key.name);
        self.change_key(kinds::API_KEY_UPDATED, key, step).await
    }

    /// Revokes at once in this process, within seconds in others. Again does nothing.
    pub async fn revoke_api_key(
        &self,
        caller: &Caller,
        id: ApiKeyId,
    ) -> Result<Done<ApiKey>, ServiceError> {
        let mut key = self.api_key(caller, id).await?;
        if key.revoked_at.is_some() {
            return Ok(Done { value: key, replayed: false, position: Vec::new() });
        }
        let at = self.now();
        key.revoked_at = Some(at);
        let step = api_keys::revoke(caller.tenant, id, at);
        let done = self.change_key(kinds::API_KEY_REVOKED, key, step).await;
        self.inner.known_keys.forget();
        done
    }

    async fn change_key(
        &self,
        kind: &'static str,
        key: ApiKey,
        step: Step,
    ) -> Result<Done<ApiKey>, ServiceError> {
        let at = self.now();
        let events = vec![self.key_event(kind, &key, at)?];
        let unit = UnitOfWork { at, steps: vec![step], events, receipt: None };
        match self.commit(unit).await? {
            (UnitOutcome::Done, position) => Ok(Done { value: key, replayed: false, position }),
            _ => Err(caudal_domain::Refusal::Conflict.into()),
        }
    }
}
