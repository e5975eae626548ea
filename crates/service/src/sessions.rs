//! Sessions: login, refresh, logout, list, revoke. A session is a family of refresh tokens.
//!
//! Whoever fails to log in learns nothing: unknown, wrong, locked, deactivated and pending get the
//! same answer after the same work, a hash and a commit. What locks an account is counted in the
//! database and ends with time or a right password, never with a refresh.

use caudal_domain::{
    Actor, CodePurpose, Event, Session, SessionId, TenantId, Timestamp, UserId, UserStatus,
    event::kinds,
};
use caudal_identity::{
    Email, HashError, Password,
    opaque::{self, Prefix},
    passwords::SALT_BYTES,
};
use caudal_store::{
    UnitOfWork, UnitOutcome,
    codes::{self, Code},
    second_factors,
    sessions::{self, Filter, FoundToken, Others, RefreshToken, USED_UP, Use},
    tenants,
    users::{self, FailedLogin, Replacement, UserRow},
};
use serde::Serialize;

use crate::{
    Caller, Origin, Page, Service, ServiceError, Window,
    api_keys::Secret,
    audit::{By, Did},
    tokens::seconds,
    unit::Subject,
};

/// How long a login waits for its second factor.
const CHALLENGE_S: i64 = 5 * 60;

/// What somebody logs in with.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    pub email: &'a str,
    pub password: &'a str,
    /// `ten_…`; not given, it is the platform's oldest tenant.
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

/// What carries a session on. Shown once.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub session: SessionId,
    pub access: Secret,
    pub expires_in: i64,
    pub refresh: Secret,
}

#[derive(Serialize)]
struct SessionData {
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<SessionId>,
    user_id: UserId,
}

impl Service {
    pub async fn login(
        &self,
        given: &Credentials<'_>,
        origin: &Origin,
    ) -> Result<Login, ServiceError> {
        let tenant = self.tenant_named(given.tenant).await?;
        let hash = match Email::parse(given.email) {
            Ok(email) => self.email_hash(tenant, &email).await?,
            // What is no address has no account.
            Err(_) => 0,
        };
        let attempt = self.check_login(origin, tenant, hash)?;
        let found = users::find_by_email(self.store(), tenant, hash).await?;
        let is_right = self.check_password(found.as_ref(), given.password).await?;
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

    /// The tenant of that id, or the platform's oldest. What names none is nobody's: id zero.
    pub(crate) async fn tenant_named(&self, name: Option<&str>) -> Result<TenantId, ServiceError> {
        match name {
            Some(name) => Ok(name.parse().unwrap_or(TenantId(0))),
            None => {
                let first = tenants::first(self.store(), 1).await?;
                Ok(first.first().map_or(TenantId(0), |tenant| tenant.id))
            }
        }
    }

    /// Hashes in any case, but for what can be nobody's password.
    async fn check_password(
        &self,
        user: Option<&UserRow>,
        password: &str,
    ) -> Result<bool, ServiceError> {
        let Ok(password) = Password::parse(password) else { return Ok(false) };
        let hasher = &self.people().hasher;
        match user.and_then(|user| user.password.as_deref()) {
            Some(phc) => hasher.verify(&password, phc).await.map_err(not_hashed),
            None => {
                hasher.verify_nobody(&password).await.map_err(not_hashed)?;
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
        let mut salt = [0; SALT_BYTES];
        self.fill_random(&mut salt);
        let Ok(new) = self.people().hasher.hash(&password, salt).await else { return };
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

    /// A new session of somebody who has proven who they are, with its first tokens. Refused when
    /// they were locked out or deactivated meanwhile.
    pub(crate) async fn start_session(
        &self,
        user: &UserRow,
        origin: &Origin,
        second_factor_at: Option<Timestamp>,
    ) -> Result<Tokens, ServiceError> {
        let at = self.now();
        let session = self.new_session(user, origin, second_factor_at);
        let (refresh, token) = self.refresh_token(&session, at);
        let by = By { tenant: user.tenant, actor: Actor::User(user.id), origin: Some(origin) };
        let did = Did {
            action: kinds::SESSION_STARTED,
            object_kind: "session",
            object_id: session.id.to_string(),
            fields: &[],
        };
        let mut steps = vec![users::login_succeeded(user.tenant, user.id, at)];
        steps.extend(sessions::start(&session, &token));
        steps.push(self.audit(by, did, at));
        let events = vec![self.session_event(kinds::SESSION_STARTED, &session, at)?];
        match self.commit(UnitOfWork { at, steps, events, receipt: None }).await? {
            (UnitOutcome::Done, _) => self.tokens(&session, refresh).await,
            (UnitOutcome::Missed(0), _) => Err(ServiceError::BadCredentials),
            _ => Err(ServiceError::Broken("a session was not written".into())),
        }
    }

    fn new_session(
        &self,
        user: &UserRow,
        origin: &Origin,
        second_factor_at: Option<Timestamp>,
    ) -> Session {
        let at = self.now();
        let lifetime = seconds(self.people().settings.session_lifetime);
        Session {
            id: SessionId(self.scattered_id(at)),
            tenant: user.tenant,
            user: user.id,
            created_at: at,
            last_used_at: at,
            expires_at: at.plus_seconds(lifetime),
            revoked_at: None,
            address: origin.address.map(|address| address.to_string()),
            user_agent: origin.user_agent.as_deref().map(str::to_owned),
            auth_at: at,
            second_factor_at,
        }
    }

    /// A new refresh token, and what is stored of it.
    fn refresh_token(&self, session: &Session, at: Timestamp) -> (Secret, RefreshToken) {
        let text = opaque::generate(Prefix::Refresh, self.chance());
        let lifetime = seconds(self.people().settings.refresh_token_lifetime);
        let token = RefreshToken {
            hash: opaque::hash(&text),
            session: session.id,
            tenant: session.tenant,
            issued_at: at,
            expires_at: at.plus_seconds(lifetime).min(session.expires_at),
            used_at: None,
        };
        (Secret::new(text.as_str()), token)
    }

    async fn tokens(&self, session: &Session, refresh: Secret) -> Result<Tokens, ServiceError> {
        let (access, expires_in) = self.access_token(session).await?;
        Ok(Tokens { session: session.id, access, expires_in, refresh })
    }

    /// New tokens for a refresh token, which is used up by it. For a few seconds it works again,
    /// for whoever did not get the answer; later somebody has stolen it, and the session ends.
    pub async fn refresh(&self, given: &str, origin: &Origin) -> Result<Tokens, ServiceError> {
        // Of two at once one finds it unused and used a moment later: then it looks again.
        for _ in 0..2 {
            let at = self.now();
            let found = self.find_refresh(given).await?.filter(|found| is_good(found, at));
            let found = found.ok_or(ServiceError::Unauthorized)?;
            let grace = seconds(self.people().settings.refresh_grace);
            let is_first = found.token.used_at.is_none();
            if found.token.used_at.is_some_and(|used| at > used.plus_seconds(grace)) {
                self.revoke_stolen(&found.session, origin).await?;
                return Err(ServiceError::Unauthorized);
            }
            let (refresh, new) = self.refresh_token(&found.session, at);
            let used = use_of(origin, at);
            let steps = match is_first {
                true => sessions::rotate(found.token.hash, &new, &used).to_vec(),
                false => sessions::rotate_again(&new, &used).to_vec(),
            };
            match self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await?.0 {
                UnitOutcome::Done => return self.tokens(&found.session, refresh).await,
                UnitOutcome::Missed(USED_UP) if is_first => {}
                _ => return Err(ServiceError::Unauthorized),
            }
        }
        Err(ServiceError::Unauthorized)
    }

    async fn find_refresh(&self, given: &str) -> Result<Option<FoundToken>, ServiceError> {
        if !opaque::has_form(Prefix::Refresh, given) {
            return Ok(None);
        }
        Ok(sessions::find_token(self.store(), opaque::hash(given)).await?)
    }

    async fn revoke_stolen(&self, session: &Session, origin: &Origin) -> Result<(), ServiceError> {
        tracing::warn!(session = %session.id, "a used refresh token came back: the session ends");
        let by = By { tenant: session.tenant, actor: Actor::Anyone, origin: Some(origin) };
        self.revoke(by, session, &["refresh_token_reused"]).await
    }

    /// Ends the session. Again does nothing.
    async fn revoke(
        &self,
        by: By<'_>,
        session: &Session,
        fields: &[&str],
    ) -> Result<(), ServiceError> {
        if session.revoked_at.is_some() {
            return Ok(());
        }
        let at = self.now();
        let did = Did {
            action: kinds::SESSION_REVOKED,
            object_kind: "session",
            object_id: session.id.to_string(),
            fields,
        };
        let steps = vec![sessions::revoke(session.tenant, session.id, at), self.audit(by, did, at)];
        let events = vec![self.session_event(kinds::SESSION_REVOKED, session, at)?];
        // A miss: somebody else has just ended it.
        self.commit(UnitOfWork { at, steps, events, receipt: None }).await?;
        Ok(())
    }

    /// Ends the session of whoever asks.
    pub async fn logout(&self, caller: &Caller) -> Result<(), ServiceError> {
        let signed_in = caller.signed_in()?;
        match sessions::find(self.store(), caller.tenant, signed_in.session).await? {
            Some(session) => self.revoke(caller.into(), &session, &[]).await,
            // A foreign issuer keeps it.
            None => Ok(()),
        }
    }

    /// Ends the session of a refresh token, also of a used one. An unknown one ends nothing, and
    /// nobody is told.
    pub async fn logout_by_refresh(
        &self,
        given: &str,
        origin: &Origin,
    ) -> Result<(), ServiceError> {
        let Some(FoundToken { session, .. }) = self.find_refresh(given).await? else {
            return Ok(());
        };
        let actor = Actor::User(session.user);
        let by = By { tenant: session.tenant, actor, origin: Some(origin) };
        self.revoke(by, &session, &[]).await
    }

    /// The caller's own sessions that are alive, newest first.
    pub async fn list_sessions(
        &self,
        caller: &Caller,
        window: &Window,
    ) -> Result<Page<Session>, ServiceError> {
        let filter = Filter {
            tenant: caller.tenant,
            user: caller.signed_in()?.user,
            live_at: Some(self.now()),
            before: SessionId(window.cursor.unwrap_or(u128::MAX)),
            limit: window.rows(),
        };
        let rows = sessions::list(self.store(), &filter).await?;
        Ok(window.page(rows, |session| (session.id.0, session.created_at)))
    }

    /// Ends one of the caller's own.
    pub async fn revoke_session(&self, caller: &Caller, id: SessionId) -> Result<(), ServiceError> {
        let user = caller.signed_in()?.user;
        let found = sessions::find(self.store(), caller.tenant, id).await?;
        let found = found.filter(|session| session.user == user);
        let session = found.ok_or(ServiceError::NotFound("session"))?;
        self.revoke(caller.into(), &session, &[]).await
    }

    /// Ends all of a user's.
    pub async fn revoke_sessions_of(
        &self,
        caller: &Caller,
        user: UserId,
    ) -> Result<(), ServiceError> {
        let tenant = caller.tenant;
        let found = users::find(self.store(), tenant, user).await?;
        found.ok_or(ServiceError::NotFound("user"))?;
        let at = self.now();
        let did = Did {
            action: kinds::SESSION_REVOKED,
            object_kind: "user",
            object_id: user.to_string(),
            fields: &["sessions"],
        };
        let others = Others { tenant, user, except: None };
        let steps = vec![sessions::revoke_all_of_user(&others, at), self.audit(caller, did, at)];
        let kind = kinds::SESSION_REVOKED;
        let subject = Subject { kind, tenant, id: user.0, text: &user, at };
        let events = vec![self.event(&subject, &SessionData { session_id: None, user_id: user })?];
        self.commit(UnitOfWork { at, steps, events, receipt: None }).await?;
        Ok(())
    }

    fn session_event(
        &self,
        kind: &'static str,
        session: &Session,
        at: Timestamp,
    ) -> Result<Event, ServiceError> {
        let Session { id, tenant, user, .. } = *session;
        let subject = Subject { kind, tenant, id: id.0, text: &id, at };
        self.event(&subject, &SessionData { session_id: Some(id), user_id: user })
    }
}

/// Whether the token is in time, its session goes on, and its user may still log in.
fn is_good(found: &FoundToken, at: Timestamp) -> bool {
    found.session.is_live(at)
        && at < found.token.expires_at
        && found.user_status == UserStatus::Active
}

fn use_of(origin: &Origin, at: Timestamp) -> Use {
    Use {
        at,
        address: origin.address.map(|address| address.to_string()),
        user_agent: origin.user_agent.as_deref().map(str::to_owned),
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
