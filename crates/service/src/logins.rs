//! Logins: who comes with an address and a password, and what becomes of it.
//!
//! Whoever fails learns nothing: unknown, wrong, locked, deactivated and pending get the same
//! answer after the same work, a hash and a commit. What locks an account is counted in the
//! database and ends with time or a right password, never with a refresh.

use caudal_domain::{Actor, CodePurpose, TenantId, UserId, UserStatus};
use caudal_identity::{
    Email, HashError, Password,
    opaque::{self, Prefix},
    passwords::{Place, Turn},
};
use caudal_store::{
    UnitOfWork, UnitOutcome,
    codes::{self, Code},
    second_factors,
    users::{self, FailedLogin, Replacement, UserRow},
};

use crate::{
    Origin, Service, ServiceError,
    api_keys::Secret,
    audit::{By, Did},
    sessions::Tokens,
    tokens::seconds,
};

/// How long a login waits for its second factor.
const CHALLENGE_S: i64 = 5 * 60;

/// What somebody logs in with.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    pub email: &'a str,
    pub password: &'a str,
    /// `ten_…`; not given, it is the only one there is.
    pub tenant: Option<&'a str>,
}

/// What a login comes to.
#[derive(Clone, Debug)]
pub enum Login {
    Done(Tokens),
    /// The password was right; the one-time code to come back with, beside the second factor.
    SecondFactor {
        challenge: Secret,
    },
}

impl Service {
    pub async fn login(
        &self,
        given: &Credentials<'_>,
        origin: &Origin,
    ) -> Result<Login, ServiceError> {
        // Nothing is looked up for those who still wait, so a storm of logins costs nobody else.
        let turn = self.place_in_line()?.turn().await.map_err(not_hashed)?;
        let tenant = self.tenant_named(given.tenant).await?;
        let hash = match Email::parse(given.email) {
            Ok(email) => self.email_hash(tenant, &email).await?,
            // What is no address has no account.
            Err(_) => 0,
        };
        let attempt = self.check_login(origin, tenant, hash)?;
        let found = users::find_by_email(self.store(), tenant, hash).await?;
        let is_right = self.check_password(turn, found.as_ref(), given.password).await?;
        let now = self.now();
        let may_enter = |user: &UserRow| user.status == UserStatus::Active && !user.is_locked(now);
        let Some(user) = found.as_ref().filter(|user| is_right && may_enter(user)) else {
            self.login_failed(tenant, found.as_ref(), origin).await?;
            return Err(ServiceError::BadCredentials);
        };
        self.rehash(user, given.password).await;
        if let Some(challenge) = self.challenge(user).await? {
            return Ok(Login::SecondFactor { challenge });
        }
        let tokens = self.start_session(user, origin, None).await?;
        self.attempt_succeeded(attempt);
        Ok(Login::Done(tokens))
    }

    /// The tenant of that id, or the only one. What names none is nobody's: id zero, so that
    /// nobody learns which there are.
    async fn tenant_named(&self, name: Option<&str>) -> Result<TenantId, ServiceError> {
        match name {
            Some(name) => Ok(name.parse().unwrap_or(TenantId(0))),
            None => self.tenant_of_stranger(None).await,
        }
    }

    /// A place in the line of those whose password is hashed: the first thing that is asked for,
    /// so that whom a full line turns away has cost nothing.
    pub(crate) fn place_in_line(&self) -> Result<Place, ServiceError> {
        self.people().hasher.place().map_err(not_hashed)
    }

    /// Hashes in any case, but for what can be nobody's password.
    async fn check_password(
        &self,
        turn: Turn,
        user: Option<&UserRow>,
        password: &str,
    ) -> Result<bool, ServiceError> {
        let Ok(password) = Password::parse(password) else { return Ok(false) };
        let hasher = &self.people().hasher;
        match user.and_then(|user| user.password.as_deref()) {
            Some(phc) => hasher.verify(turn, &password, phc).await.map_err(not_hashed),
            None => {
                hasher.verify_nobody(turn, &password).await.map_err(not_hashed)?;
                Ok(false)
            }
        }
    }

    /// Counts it, and writes it down: also for accounts that don't exist, which takes as long.
    async fn login_failed(
        &self,
        tenant: TenantId,
        user: Option<&UserRow>,
        origin: &Origin,
    ) -> Result<(), ServiceError> {
        let at = self.now();
        let settings = &self.people().settings;
        // While an account is locked its failures don't count, or the lock would never end.
        let counted = user.filter(|user| !user.is_locked(at));
        let failed = FailedLogin {
            tenant,
            id: counted.map_or(UserId(0), |user| user.id),
            most: settings.lockout_failures,
            lock_until: at.plus_seconds(seconds(settings.lockout)),
        };
        let locks = counted.is_some_and(|user| user.failed_logins + 1 >= failed.most);
        let did = Did {
            action: "login.failed",
            object_kind: "user",
            object_id: user.map_or_else(|| "unknown".to_owned(), |user| user.id.to_string()),
            fields: if locks { &["locked_until"] } else { &[] },
        };
        let by = By { tenant, actor: Actor::Anyone, origin: Some(origin) };
        let steps = vec![users::failed_login(&failed), self.audit(by, did, at)];
        self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await?;
        Ok(())
    }

    /// Hashes the password with the present parameters if it has others. A login does not depend
    /// on it: the next one tries again.
    async fn rehash(&self, user: &UserRow, password: &str) {
        let Some(old) = user.password.as_ref() else { return };
        if !self.people().hasher.needs_rehash(old) {
            return;
        }
        let Ok(password) = Password::parse(password) else { return };
        let Ok(place) = self.place_in_line() else { return };
        let Ok(new) = self.hash_password(place, &password).await else { return };
        let (at, old) = (self.now(), old.clone());
        let replacement = Replacement { tenant: user.tenant, id: user.id, old, new, at };
        let steps = vec![users::replace_password(&replacement)];
        if let Err(error) = self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await {
            tracing::warn!(%error, "a password could not be hashed anew");
        }
    }

    /// The one-time code of a login that still needs its second factor.
    async fn challenge(&self, user: &UserRow) -> Result<Option<Secret>, ServiceError> {
        let totp = second_factors::find_totp(self.store(), user.tenant, user.id).await?;
        if totp.is_none_or(|totp| totp.confirmed_at.is_none()) {
            return Ok(None);
        }
        let text = opaque::generate(Prefix::Code, self.chance());
        let at = self.now();
        let code = Code {
            hash: opaque::hash(&text),
            tenant: user.tenant,
            user: user.id,
            purpose: CodePurpose::MfaChallenge,
            data: None,
            expires_at: at.plus_seconds(CHALLENGE_S),
            used_at: None,
            attempts: 0,
        };
        let steps = vec![codes::insert(&code)];
        match self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await? {
            (UnitOutcome::Done, _) => Ok(Some(Secret::new(text.as_str()))),
            _ => Err(ServiceError::Broken("a one-time code was not written".into())),
        }
    }
}

/// A pool that is full turns the request away; it is not the password's fault.
pub(crate) fn not_hashed(error: HashError) -> ServiceError {
    match error {
        HashError::Full | HashError::TimedOut => ServiceError::Overloaded,
        HashError::Stopped => ServiceError::Unavailable("the process is stopping".into()),
        HashError::BadHash | HashError::Settings(_) | HashError::Thread(_) => {
            ServiceError::Broken(format!("a password could not be checked: {error}"))
        }
    }
}
