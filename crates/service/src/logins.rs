//! Logins: who comes with an address and a password, and what becomes of it.
//!
//! Whoever fails learns nothing: unknown, wrong, locked, deactivated and pending get the same
//! answer after the same work, a hash and a commit. What locks an account is counted in the
//! database and ends with time or a right password, never with a refresh.

use caudal_domain::{Actor, CodePurpose, TenantId, UserStatus};
use caudal_identity::{
    Email, HashError, Password,
    opaque::{self, Prefix},
    passwords::{Place, Turn},
};
use caudal_store::{
    UnitOfWork, UnitOutcome,
    codes::{self, Code},
    users::{self, Replacement, UserRow},
};

use crate::{
    Origin, Service, ServiceError,
    api_keys::Secret,
    audit::By,
    guesses::{PASSWORD, Proving},
    sessions::{Tokens, entering},
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

/// How often a login is looked at again when something came between: another password, a lock, a
/// second factor, or only the same password hashed anew.
const ATTEMPTS: u32 = 3;

/// A login whose account is being looked for.
struct Entry<'a> {
    tenant: TenantId,
    email_hash: u128,
    password: &'a str,
    origin: &'a Origin,
}

impl Service {
    pub async fn login(
        &self,
        given: &Credentials<'_>,
        origin: &Origin,
    ) -> Result<Login, ServiceError> {
        // Nothing is looked up for those who still wait, so a storm of logins costs nobody else.
        let mut turn = self.place_in_line()?.turn().await.map_err(not_hashed)?;
        let tenant = self.tenant_named(given.tenant).await?;
        let email_hash = match Email::parse(given.email) {
            Ok(email) => self.email_hash(tenant, &email).await?,
            // What is no address has no account.
            Err(_) => 0,
        };
        let attempt = self.check_login(origin, tenant, email_hash)?;
        let entry = Entry { tenant, email_hash, password: given.password, origin };
        for _ in 0..ATTEMPTS {
            match self.enter(turn, &entry).await? {
                Some(Login::Done(tokens)) => {
                    self.attempt_succeeded(attempt);
                    return Ok(Login::Done(tokens));
                }
                Some(half) => return Ok(half),
                None => turn = self.place_in_line()?.turn().await.map_err(not_hashed)?,
            }
        }
        Err(ServiceError::BadCredentials)
    }

    /// `None`: what was looked at is no longer so.
    async fn enter(&self, turn: Turn, entry: &Entry<'_>) -> Result<Option<Login>, ServiceError> {
        let Entry { tenant, email_hash, password, origin } = *entry;
        let found = users::find_by_email(self.store(), tenant, email_hash).await?;
        let is_right = self.check_password(turn, found.as_ref(), password).await?;
        let now = self.now();
        let may_enter = |user: &UserRow| user.status == UserStatus::Active && !user.is_locked(now);
        let Some(user) = found.as_ref().filter(|user| is_right && may_enter(user)) else {
            let by = By { tenant, actor: Actor::Anyone, origin: Some(origin) };
            self.guessed_wrong(&Proving::at_door(by, PASSWORD), found.as_ref()).await?;
            return Err(ServiceError::BadCredentials);
        };
        let password = self.rehash(user, password).await.or_else(|| user.password.clone());
        let user = UserRow { password, ..user.clone() };
        let begun = self.begin_session(&user, origin, None)?;
        if let Some(tokens) = self.start_session(begun).await? {
            return Ok(Some(Login::Done(tokens)));
        }
        // Most have no second factor, so it is looked for only where the session did not begin.
        if self.totp_in_force(user.tenant, user.id).await?.is_none() {
            return Ok(None);
        }
        let challenge = self.challenge(&user).await?;
        Ok(challenge.map(|challenge| Login::SecondFactor { challenge }))
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
    pub(crate) async fn check_password(
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

    /// Hashes the password with the present parameters if it has others. A login does not depend
    /// on it: the next one tries again. The new hash, if it is in force.
    async fn rehash(&self, user: &UserRow, password: &str) -> Option<String> {
        let old = user.password.clone()?;
        if !self.people().hasher.needs_rehash(&old) {
            return None;
        }
        let password = Password::parse(password).ok()?;
        let new = self.hash_password(self.place_in_line().ok()?, &password).await.ok()?;
        let (at, hashed) = (self.now(), new.clone());
        let replacement = Replacement { tenant: user.tenant, id: user.id, old, new, at };
        let steps = vec![users::replace_password(&replacement)];
        match self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await {
            Ok((outcome, _)) => (outcome == UnitOutcome::Done).then_some(hashed),
            Err(error) => {
                tracing::warn!(%error, "a password could not be hashed anew");
                None
            }
        }
    }

    /// The one-time code of a login that still needs its second factor. `None` when the password
    /// is another one by now.
    async fn challenge(&self, user: &UserRow) -> Result<Option<Secret>, ServiceError> {
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
        let steps = vec![users::may_enter(&entering(user, at)), codes::insert(&code)];
        match self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await?.0 {
            UnitOutcome::Done => Ok(Some(Secret::new(text.as_str()))),
            UnitOutcome::Missed(0) => Ok(None),
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
