//! How often somebody may ask: sliding windows for users, quotas for API keys, and a brake on
//! guessing for those who are nobody yet.
//!
//! To add a class: a variant of [`LimitClass`] with its figure, and the routes that are of it in
//! `http/limits.rs`.

use std::time::Duration;

pub use caudal_cache::limits::Verdict;
use caudal_cache::limits::{Limit, LimitKey, address};
use caudal_domain::{CodePurpose, RateLimits, TenantConfig, TenantId};
use caudal_store::{tenants, users::UserRow};

use crate::{Caller, Known, Origin, Service, ServiceError, unit::broken};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// requirements.md §5: what one principal may ask in an hour, unless the tenant says otherwise.
const CREATE_WALLET: u32 = 10;
const FUND: u32 = 50;
const TRANSFER: u32 = 100;
const VIEW: u32 = 1000;

/// requirements.md §5, ingress: what one address may ask without credentials.
const STRANGER: Limit = Limit { most: 1000, per: MINUTE };
/// Of those, what takes a password to be hashed or a mail to be sent: one a second.
const ADDRESS: Limit = Limit { most: 60, per: MINUTE };
/// Wrong passwords of one account, known or not: guessing is slow before the lockout, and as slow
/// where there is no account to lock.
const ACCOUNT: Limit = Limit { most: 10, per: MINUTE };

/// Mails of one kind that strangers have sent to one address, known or not. No longer than a
/// recovery code lives: whoever has used these up for somebody else has left them a good code.
const RECIPIENT: Limit = Limit { most: 5, per: Duration::from_secs(30 * 60) };

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitClass {
    CreateWallet,
    Fund,
    Transfer,
    View,
    /// Counts against an API key's quota only.
    Other,
}

impl LimitClass {
    fn name(self) -> &'static str {
        match self {
            Self::CreateWallet => "create_wallet",
            Self::Fund => "fund",
            Self::Transfer => "transfer",
            Self::View => "view",
            Self::Other => "other",
        }
    }
}

/// A try that was counted, to be given back when it succeeds.
#[derive(Debug)]
#[must_use = "what succeeds is given back"]
pub(crate) struct Attempt {
    counted: Vec<(LimitKey, Verdict)>,
}

impl Service {
    /// Counts one request of the class. `Ok(None)`: this caller has no such limit.
    pub fn check_limit(
        &self,
        caller: &Caller,
        class: LimitClass,
    ) -> Result<Option<Verdict>, ServiceError> {
        let Some((key, limit)) = limit_of(caller, class) else { return Ok(None) };
        if !self.people().settings.rate_limits {
            return Ok(None);
        }
        self.count(key, limit).map(Some)
    }

    /// Counts the items of a user's batch, all or none; one was counted with the request. An API
    /// key's quota is of requests.
    pub(crate) fn check_limit_of_items(
        &self,
        caller: &Caller,
        class: LimitClass,
        items: usize,
    ) -> Result<(), ServiceError> {
        let limited = limit_of(caller, class).filter(|_| caller.session.is_some());
        let Some((key, limit)) = limited else { return Ok(()) };
        self.attempt(std::iter::repeat_n((key, limit), items.saturating_sub(1))).map(drop)
    }

    /// Counts a request without credentials against its address.
    pub fn check_stranger(&self, origin: &Origin) -> Result<(), ServiceError> {
        match address_key(origin, "stranger") {
            Some(key) if self.people().settings.rate_limits => self.count(key, STRANGER).map(drop),
            _ => Ok(()),
        }
    }

    /// Counts a login before it is tried: against its address, and against its account whether
    /// there is one or not. Give it back by [`Self::attempt_succeeded`].
    pub(crate) fn check_login(
        &self,
        origin: &Origin,
        tenant: TenantId,
        email_hash: u128,
    ) -> Result<Attempt, ServiceError> {
        let account = login_key(tenant, email_hash);
        let keys = address_key(origin, "login").map(|key| (key, ADDRESS));
        self.attempt(keys.into_iter().chain([(account, ACCOUNT)]))
    }

    /// Counts one more try of somebody known by name.
    pub(crate) fn check_account(
        &self,
        tenant: TenantId,
        principal: u128,
        action: &'static str,
    ) -> Result<Attempt, ServiceError> {
        self.attempt([(LimitKey { tenant, principal, action }, ACCOUNT)].into_iter())
    }

    /// Counts what makes a mail or a hash for somebody unknown: sign-up, recovery.
    pub(crate) fn check_mailing(&self, origin: &Origin) -> Result<(), ServiceError> {
        let key = address_key(origin, "mailing").map(|key| (key, ADDRESS));
        self.attempt(key.into_iter()).map(drop)
    }

    /// Counts a mail that somebody has sent to an address which is not known to be theirs. Kinds
    /// are counted apart: sign-ups in their name keep nobody from recovering the account.
    pub(crate) fn check_recipient(
        &self,
        tenant: TenantId,
        email_hash: u128,
        kind: CodePurpose,
    ) -> Result<(), ServiceError> {
        let key = LimitKey { tenant, principal: email_hash, action: kind.name() };
        self.attempt([(key, RECIPIENT)].into_iter()).map(drop)
    }

    /// What others guessed at the door does not keep out who has just shown that it is theirs.
    pub(crate) fn forget_guesses(&self, row: &UserRow) {
        if let Some(hash) = row.email_hash {
            self.people().limiter.forget(&login_key(row.tenant, hash));
        }
    }

    pub(crate) fn attempt_succeeded(&self, attempt: Attempt) {
        for (key, verdict) in attempt.counted {
            self.people().limiter.give_back(key, verdict.at);
        }
    }

    fn attempt(
        &self,
        keys: impl Iterator<Item = (LimitKey, Limit)>,
    ) -> Result<Attempt, ServiceError> {
        let mut attempt = Attempt { counted: Vec::new() };
        if !self.people().settings.rate_limits {
            return Ok(attempt);
        }
        for (key, limit) in keys {
            match self.count(key, limit) {
                Ok(verdict) => attempt.counted.push((key, verdict)),
                Err(refused) => {
                    // What is refused is not counted anywhere.
                    self.attempt_succeeded(attempt);
                    return Err(refused);
                }
            }
        }
        Ok(attempt)
    }

    fn count(&self, key: LimitKey, limit: Limit) -> Result<Verdict, ServiceError> {
        let verdict = self.people().limiter.check(key, limit, self.now());
        if verdict.allowed { Ok(verdict) } else { Err(ServiceError::RateLimited(verdict)) }
    }

    /// What the tenant set of its own, for [`Known::limits`].
    pub(crate) async fn limits_of(&self, tenant: TenantId) -> Result<RateLimits, ServiceError> {
        let config = tenants::find_config(self.store(), tenant).await?;
        let config = config.as_deref().unwrap_or("{}");
        let config: TenantConfig = serde_json::from_str(config).map_err(broken)?;
        Ok(config.rate_limits.unwrap_or_default())
    }
}

/// The figures of the seeds bind users; an API key has what its tenant gives it, and nothing to
/// count costs nothing. Views of a tenant's own staff are not counted: the console reads all day.
fn limit_of(known: &Known, class: LimitClass) -> Option<(LimitKey, Limit)> {
    let limits = &known.limits;
    let key = |action| LimitKey { tenant: known.tenant, principal: known.owner, action };
    if known.session.is_none() {
        let most = limits.api_key_per_minute?;
        return Some((key("api_key"), Limit { most, per: MINUTE }));
    }
    let most = match class {
        LimitClass::CreateWallet => limits.create_wallet_per_hour.unwrap_or(CREATE_WALLET),
        LimitClass::Fund => limits.fund_per_hour.unwrap_or(FUND),
        LimitClass::Transfer => limits.transfer_per_hour.unwrap_or(TRANSFER),
        LimitClass::View if known.is_staff() => return None,
        LimitClass::View => limits.view_per_hour.unwrap_or(VIEW),
        LimitClass::Other => return None,
    };
    Some((key(class.name()), Limit { most, per: HOUR }))
}

fn login_key(tenant: TenantId, email_hash: u128) -> LimitKey {
    LimitKey { tenant, principal: email_hash, action: "login" }
}

fn address_key(origin: &Origin, action: &'static str) -> Option<LimitKey> {
    let principal = address(origin.address?);
    Some(LimitKey { tenant: TenantId(0), principal, action })
}
