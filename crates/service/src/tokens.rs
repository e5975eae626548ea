//! Access tokens: made for a session, and believed when they come back.
//!
//! A token is verified once and remembered by its SHA-256; what its user may (`standings.rs`) is
//! remembered for a while. Both are dropped by the events that change them: at once in
//! the process that wrote them (`Service::commit`), within half a second in the others
//! ([`Service::heed_others`]).

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use caudal_domain::{
    ApiKeyId, Event, FraudRuleId, GatewayAccountId, PaymentTypeId, Session, SessionId, TenantId,
    Timestamp, UserId, event::kinds,
};
use caudal_identity::{
    Claims, Expected, TokenError,
    foreign::{MAX_FOREIGN_TOKEN_BYTES, unverified_issuer},
};
use caudal_store::events::{self, Look};
use moka::future::Cache;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::{
    Known, Service, ServiceError,
    api_keys::Secret,
    events::Heads,
    signing_keys::Keys,
    standings::{Alive, KNOWN_FOR_S, Standing, known},
};

/// How far the clocks of two instances may differ.
pub(crate) const LEEWAY_S: i64 = 5;
/// What a token says that was made after a second factor.
const ACR_SECOND_FACTOR: &str = "mfa";
/// Tokens, people and sessions remembered at once.
const REMEMBERED: u64 = 100_000;
/// A token that was verified is verified again after so long without use.
const VERIFIED_FOR: Duration = Duration::from_secs(10 * 60);
/// What is heeded in one read: few are of these kinds, so all that is new is looked through.
const LOOK: Look = Look { span: i64::MAX, limit: 500 };

/// What is remembered of keys, tokens and people.
pub(crate) struct Remembered {
    pub keys: Keys,
    verified: Cache<[u8; 32], Arc<Verified>>,
    pub people: Cache<UserId, Arc<Standing>>,
    pub sessions: Cache<SessionId, Arc<Alive>>,
    /// Counts what was heeded and what was read, so that neither overtakes the other.
    changes: watch::Sender<u64>,
    pub reads: AtomicU64,
}

/// What a token said, once its signature was found good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verified {
    pub tenant: TenantId,
    pub user: UserId,
    /// `None`: a foreign issuer's, who keeps the session.
    pub session: Option<SessionId>,
    pub auth_at: Timestamp,
    pub second_factor_at: Option<Timestamp>,
    pub expires_at: Timestamp,
}

impl Remembered {
    pub fn new() -> Self {
        let people = Cache::builder().max_capacity(REMEMBERED).support_invalidation_closures();
        let verified = Cache::builder().max_capacity(REMEMBERED).time_to_live(VERIFIED_FOR);
        Self {
            keys: Keys::default(),
            verified: verified.build(),
            people: people.time_to_live(Duration::from_secs(KNOWN_FOR_S.unsigned_abs())).build(),
            sessions: Cache::new(REMEMBERED),
            changes: watch::Sender::new(0),
            reads: AtomicU64::new(0),
        }
    }
}

impl Service {
    /// A new access token of the session: it lives for its time, or to the session's end.
    pub(crate) async fn access_token(
        &self,
        session: &Session,
    ) -> Result<(Secret, i64), ServiceError> {
        let now = self.now();
        let settings = &self.people().settings;
        let lifetime = seconds(settings.access_token_lifetime);
        let iat = whole_seconds(now);
        let exp = (iat + lifetime).min(whole_seconds(session.expires_at));
        let mut random = [0; 16];
        self.fill_random(&mut random);
        let claims = Claims {
            iss: settings.public_url.clone(),
            aud: settings.audience.clone(),
            sub: session.user,
            sid: session.id,
            tid: session.tenant,
            iat,
            exp,
            jti: format!("{:032x}", u128::from_be_bytes(random)),
            auth_time: whole_seconds(session.second_factor_at.unwrap_or(session.auth_at)),
            acr: session.second_factor_at.map(|_| ACR_SECOND_FACTOR.to_owned()),
        };
        let keys = self.keys().await?;
        Ok((Secret::new(keys.signer(now)?.sign(&claims)), exp - iat))
    }

    /// Whose token this is: ours or a trusted issuer's.
    pub async fn authenticate_token(&self, token: &str) -> Result<Arc<Known>, ServiceError> {
        if token.len() > MAX_FOREIGN_TOKEN_BYTES {
            return Err(ServiceError::Unauthorized);
        }
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let remembered = &self.inner.tokens.verified;
        let verified = match remembered.get(&digest).await {
            Some(verified) => verified,
            None => {
                let before = self.changes();
                let verified = Arc::new(self.verify(token).await?);
                remembered.insert(digest, verified.clone()).await;
                if self.changes() != before {
                    remembered.invalidate(&digest).await;
                }
                verified
            }
        };
        if self.now() >= verified.expires_at {
            return Err(ServiceError::Unauthorized);
        }
        let standing = self.standing(&verified).await?;
        Ok(Arc::new(known(&verified, &standing)))
    }

    async fn verify(&self, token: &str) -> Result<Verified, ServiceError> {
        if let Some(issuer) = unverified_issuer(token)
            && let Some(trusted) = self.trusted_issuer(&issuer)
        {
            return self.verify_foreign(trusted, token).await;
        }
        let mut keys = self.keys().await?;
        if !keys.verifying.knows_key_of(token) {
            keys = self.newer_keys(&keys).await?;
        }
        let settings = &self.people().settings;
        let expected = Expected {
            issuer: &settings.public_url,
            audience: &settings.audience,
            now: self.now(),
            leeway_s: LEEWAY_S,
        };
        let claims = keys.verifying.verify(token, &expected).map_err(not_believed)?;
        Ok(verified(&claims))
    }

    pub(crate) fn changes(&self) -> u64 {
        *self.inner.tokens.changes.borrow()
    }

    /// Tells whoever goes on for long that what somebody may has changed: to be asked again.
    pub fn hear_changes(&self) -> watch::Receiver<u64> {
        self.inner.tokens.changes.subscribe()
    }

    /// Heeds what was just committed here.
    pub(crate) async fn heed_own(&self, events: &[Event]) {
        for event in events {
            self.heed(event.kind, event.tenant, &event.subject).await;
        }
    }

    /// Forgets what the event changed. Told of all events; most change nothing here.
    async fn heed(&self, kind: &str, tenant: TenantId, subject: &str) {
        if !HEEDED.contains(&kind) {
            return;
        }
        // Before, for whoever reads meanwhile; after, for whoever is told and asks again.
        self.inner.tokens.changes.send_modify(|count| *count += 1);
        self.forget(kind, tenant, subject).await;
        self.inner.tokens.changes.send_modify(|count| *count += 1);
    }

    async fn forget(&self, kind: &str, tenant: TenantId, subject: &str) {
        let remembered = &self.inner.tokens;
        if kind == kinds::TENANT_UPDATED {
            self.inner.configs.forget(tenant).await;
        }
        if CHANGE_KEYS.contains(&kind) {
            self.inner.known_keys.forget();
        }
        if subject.parse::<PaymentTypeId>().is_ok() {
            self.inner.payment_types.forget(tenant);
        } else if let Ok(account) = subject.parse::<GatewayAccountId>() {
            self.inner.gateways.forget(account).await;
        } else if subject.parse::<FraudRuleId>().is_ok() {
            self.inner.rules.forget(tenant).await;
        } else if kind == kinds::SIGNING_KEY_ROTATED {
            remembered.keys.forget();
            remembered.verified.invalidate_all();
        } else if let Ok(session) = subject.parse::<SessionId>() {
            remembered.sessions.invalidate(&session).await;
        } else if let Ok(user) = subject.parse::<UserId>() {
            remembered.people.invalidate(&user).await;
        } else if subject.parse::<ApiKeyId>().is_err() {
            let forgotten = move |_: &UserId, standing: &Arc<Standing>| standing.tenant == tenant;
            if remembered.people.invalidate_entries_if(forgotten).is_err() {
                remembered.people.invalidate_all();
            }
        }
    }

    /// Heeds what other processes wrote since `reached`, and moves it on.
    pub async fn heed_others(&self, reached: &mut Option<Heads>) -> Result<(), ServiceError> {
        let heads = events::heads(self.store()).await?;
        let Some(reached) = reached else {
            *reached = Some(heads);
            return Ok(());
        };
        loop {
            let parts = LOOK.parts(reached, &heads);
            if parts.is_empty() {
                return Ok(());
            }
            let found = events::of_kinds(self.store(), &parts, Some(HEEDED)).await?;
            for (part, found) in parts.iter().zip(found) {
                for event in &found.events {
                    self.heed(&event.kind, event.tenant, &event.subject).await;
                }
                reached[usize::from(part.stream)] = found.reached;
            }
        }
    }
}

/// Those that change what an API key opens, or how often.
const CHANGE_KEYS: &[&str] = &[
    kinds::API_KEY_UPDATED,
    kinds::API_KEY_REVOKED,
    kinds::SERVICE_ACCOUNT_DELETED,
    kinds::TENANT_UPDATED,
];

/// Events that change what is remembered. Their subject is the session, the user, the key, or what
/// all the tenant's people have (a role, the tenant itself); a payment type, a gateway account, a
/// fraud rule.
const HEEDED: &[&str] = &[
    kinds::ROLE_UPDATED,
    kinds::ROLE_DELETED,
    kinds::PERMISSION_UPDATED,
    kinds::TENANT_UPDATED,
    kinds::API_KEY_UPDATED,
    kinds::API_KEY_REVOKED,
    kinds::SERVICE_ACCOUNT_DELETED,
    kinds::USER_ROLES_CHANGED,
    kinds::USER_VERIFIED,
    kinds::USER_DEACTIVATED,
    kinds::USER_REACTIVATED,
    kinds::USER_ERASED,
    kinds::PASSWORD_CHANGED,
    kinds::PASSWORD_RECOVERED,
    kinds::SECOND_FACTOR_ENABLED,
    kinds::SESSION_REVOKED,
    kinds::SIGNING_KEY_ROTATED,
    kinds::FRAUD_RULE_CREATED,
    kinds::FRAUD_RULE_UPDATED,
    kinds::FRAUD_RULE_DELETED,
    kinds::PAYMENT_TYPE_UPDATED,
    kinds::PAYMENT_TYPE_DELETED,
    kinds::GATEWAY_ACCOUNT_UPDATED,
];

fn verified(claims: &Claims) -> Verified {
    let auth_at = from_seconds(claims.auth_time);
    let is_twofold = claims.acr.as_deref() == Some(ACR_SECOND_FACTOR);
    Verified {
        tenant: claims.tid,
        user: claims.sub,
        session: Some(claims.sid),
        auth_at,
        second_factor_at: is_twofold.then_some(auth_at),
        expires_at: from_seconds(claims.exp).plus_seconds(LEEWAY_S),
    }
}

/// The reason is for the log; whoever comes with it is told nothing.
pub(crate) fn not_believed(error: TokenError) -> ServiceError {
    tracing::debug!(%error, "a token is not believed");
    ServiceError::Unauthorized
}

pub(crate) fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn whole_seconds(at: Timestamp) -> i64 {
    at.micros().div_euclid(1_000_000)
}

pub(crate) fn from_seconds(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds.saturating_mul(1_000_000))
}
