//! Who asks: an API key's secret becomes a [`Known`], remembered for a few seconds, and with the
//! origin of one request a [`Caller`]. A user's token takes the same way in `tokens.rs`.

use std::{
    net::IpAddr,
    ops::Deref,
    sync::Arc,
    time::{Duration, Instant},
};

use caudal_domain::{
    Actor, ApiKeyId, Mode, Placement, RateLimits, SessionId, TenantId, Timestamp, UserId,
    access::{ApiKey, Scope},
};
use moka::{Expiry, future::Cache};
use sha2::{Digest, Sha256};

use crate::{
    Service, ServiceError,
    key_uses::{LastUse, Use},
};

/// How long a key is believed when no event tells otherwise (see `tokens.rs`).
const KNOWN_FOR: Duration = Duration::from_secs(10);
/// How long an unknown secret is turned away without asking.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);
/// Keys remembered at once, good and bad.
const REMEMBERED: u64 = 100_000;

/// Whoever asks, and where this request of theirs comes from.
#[derive(Clone, Debug)]
pub struct Caller {
    known: Arc<Known>,
    pub origin: Origin,
    /// How far the scope reaches that this request asks for.
    pub reach: Reach,
}

impl Caller {
    /// Somebody who asks for what is their own, as long as [`Self::asks_for`] says nothing else.
    pub fn new(known: Arc<Known>, origin: Origin) -> Self {
        let reach = known.own();
        Self { known, origin, reach }
    }

    /// The request asks for this scope, and reaches as far as the caller's goes. Refused if they
    /// don't have it.
    pub fn asks_for(&mut self, scope: Scope) -> Result<(), ServiceError> {
        self.require(scope)?;
        self.reach = self.reach_of(scope);
        Ok(())
    }
}

impl Deref for Caller {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.known
    }
}

/// Where a request comes from: for the audit and for limits, never for permissions.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Of the client; a proxy's word counts only if it is trusted.
    pub address: Option<IpAddr>,
    pub request_id: Arc<str>,
    pub user_agent: Option<Arc<str>>,
}

/// Somebody known, and what they may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub tenant: TenantId,
    pub mode: Mode,
    pub placement: Placement,
    /// The user or service account: idempotency keys are theirs, whichever API key they use.
    pub owner: u128,
    /// As the audit names them.
    pub actor: Actor,
    /// The key that was shown; a user has none.
    pub key: Option<ApiKeyId>,
    /// Of a user; an API key has none.
    pub session: Option<SignedIn>,
    pub expires_at: Option<Timestamp>,
    /// Of the tenant, see [`Service::limits_of`].
    pub(crate) limits: RateLimits,
    pub(crate) scopes: Scopes,
    /// Of these, the ones that reach the whole tenant.
    pub(crate) wide: Scopes,
}

/// How far the scopes of somebody reach. Every query of wallets, transfers, events and users asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Tenant,
    /// Only what is this user's.
    Own(UserId),
}

/// A user's session, as the token told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedIn {
    pub user: UserId,
    pub session: SessionId,
    /// When the password was given.
    pub auth_at: Timestamp,
    /// When a second factor was last given.
    pub second_factor_at: Option<Timestamp>,
}

impl Known {
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.has(scope)
    }

    pub fn require(&self, scope: Scope) -> Result<(), ServiceError> {
        if self.may(scope) { Ok(()) } else { Err(ServiceError::Forbidden(scope)) }
    }

    /// The same of the whole tenant, not only of what is their own.
    pub(crate) fn require_wide(&self, scope: Scope) -> Result<(), ServiceError> {
        if self.wide.has(scope) { Ok(()) } else { Err(ServiceError::Forbidden(scope)) }
    }

    /// How far one scope goes: a role that lets somebody read the whole tenant does not make their
    /// own wallets' scopes go as far.
    pub(crate) fn reach_of(&self, scope: Scope) -> Reach {
        if self.wide.has(scope) { Reach::Tenant } else { self.own() }
    }

    /// What is theirs without any scope. A key's is the tenant's.
    fn own(&self) -> Reach {
        match self.actor {
            Actor::User(user) => Reach::Own(user),
            _ => Reach::Tenant,
        }
    }

    /// Whether they work for the tenant.
    pub(crate) fn is_staff(&self) -> bool {
        self.wide != Scopes::default()
    }

    /// The user who is signed in; an API key is nobody's.
    pub fn signed_in(&self) -> Result<SignedIn, ServiceError> {
        self.session.ok_or(ServiceError::NotAUser)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scopes(u64);

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | bit(scope)))
    }
}

impl Scopes {
    fn has(self, scope: Scope) -> bool {
        self.0 & bit(scope) != 0
    }
}

fn bit(scope: Scope) -> u64 {
    1 << scope as u64
}

/// The account behind a key: its service account, else itself.
fn actor_of(key: &ApiKey) -> (u128, Actor) {
    match key.service_account {
        Some(account) => (account.0, Actor::ServiceAccount(account)),
        None => (key.id.0, Actor::ApiKey(key.id)),
    }
}

/// 128 bits of SHA-256 of the secret: all that is stored of it. Looking it up takes the same time
/// whatever part of a guess is right.
pub(crate) fn secret_hash(secret: &str) -> u128 {
    let digest = Sha256::digest(secret.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    u128::from_be_bytes(bytes)
}

/// Answers of the database by the secret's hash; `None`: there is no such key.
pub(crate) struct KnownKeys(Cache<u128, Option<Arc<KnownKey>>>);

/// Whose key it is, and what its use leaves behind.
struct KnownKey {
    known: Arc<Known>,
    id: ApiKeyId,
    last_use: LastUse,
}

struct BySort;

impl Expiry<u128, Option<Arc<KnownKey>>> for BySort {
    fn expire_after_create(
        &self,
        _: &u128,
        value: &Option<Arc<KnownKey>>,
        _: Instant,
    ) -> Option<Duration> {
        Some(if value.is_some() { KNOWN_FOR } else { UNKNOWN_FOR })
    }
}

impl KnownKeys {
    pub fn new() -> Self {
        Self(Cache::builder().max_capacity(REMEMBERED).expire_after(BySort).build())
    }

    /// Forgets everything: a key was changed, and its hash is not known.
    pub fn forget(&self) {
        self.0.invalidate_all();
    }
}

impl Service {
    /// Whose secret this is.
    pub async fn authenticate(&self, secret: &str) -> Result<Arc<Known>, ServiceError> {
        let hash = secret_hash(secret);
        let known = &self.inner.known_keys.0;
        let found = match known.get(&hash).await {
            Some(found) => found,
            // Many at once ask the database once.
            None => {
                let before = self.changes();
                let found = known.try_get_with(hash, self.look_up(hash)).await;
                if self.changes() != before {
                    // What was read may be what has just changed.
                    known.invalidate(&hash).await;
                }
                found.map_err(|error| ServiceError::clone(&error))?
            }
        };
        let key = found.ok_or(ServiceError::Unauthorized)?;
        let now = self.now();
        if key.known.expires_at.is_some_and(|at| at <= now) {
            return Err(ServiceError::Unauthorized);
        }
        let used = Use { tenant: key.known.tenant, key: key.id, at: now };
        self.inner.key_uses.note(&key.last_use, used);
        Ok(key.known.clone())
    }

    async fn look_up(&self, hash: u128) -> Result<Option<Arc<KnownKey>>, ServiceError> {
        let Some(key) = caudal_store::api_keys::find_by_secret(self.store(), hash).await? else {
            return Ok(None);
        };
        if key.revoked_at.is_some() {
            return Ok(None);
        }
        let Some(tenant) = caudal_store::tenants::find(self.store(), key.tenant).await? else {
            return Ok(None);
        };
        let (owner, actor) = actor_of(&key);
        let scopes: Scopes = key.scopes.iter().copied().collect();
        let known = Known {
            tenant: tenant.id,
            mode: tenant.mode,
            placement: tenant.placement,
            owner,
            actor,
            key: Some(key.id),
            session: None,
            expires_at: key.expires_at,
            limits: self.limits_of(tenant.id).await?,
            scopes,
            wide: scopes,
        };
        let last_use = LastUse::new(key.last_used_at);
        Ok(Some(Arc::new(KnownKey { known: Arc::new(known), id: key.id, last_use })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_has_a_bit_of_its_own() {
        let bits = Scope::ALL.iter().fold(0, |bits, scope| bits | bit(*scope));
        assert_eq!(bits.count_ones() as usize, Scope::ALL.len());
    }

    #[test]
    fn the_hash_is_the_first_half_of_sha_256() {
        assert_eq!(secret_hash("abc"), 0xba78_16bf_8f01_cfea_4141_40de_5dae_2223);
    }
}
