//! Sessions: begun, refreshed, ended, listed, revoked. A session is a family of refresh tokens.
//! What begins one is in [`crate::logins`].

use caudal_domain::{
    Actor, Event, Session, SessionId, Timestamp, UserId, UserStatus, event::kinds,
};
use caudal_identity::opaque::{self, Prefix};
use caudal_store::{
    UnitOfWork, UnitOutcome,
    sessions::{self, Filter, FoundToken, Others, RefreshToken, USED_UP, Use},
    users::{self, Entering, UserRow},
};
use serde::Serialize;

use crate::{
    Caller, Origin, Page, Service, ServiceError, Window,
    api_keys::Secret,
    audit::{By, Did},
    tokens::seconds,
    unit::Subject,
};

/// What carries a session on. Shown once.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub session: SessionId,
    pub access: Secret,
    pub expires_in: i64,
    pub refresh: Secret,
}

/// A session that is not committed yet.
pub(crate) struct Begun {
    session: Session,
    refresh: Secret,
    pub unit: UnitOfWork,
}

#[derive(Serialize)]
struct SessionData {
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<SessionId>,
    user_id: UserId,
}

impl Service {
    /// A new session of somebody whose password, as it stands in the row, was found right. Its unit
    /// misses when they were locked out or deactivated meanwhile, when they have another password
    /// by now, or a second factor that was not asked for. The first step locks their row.
    pub(crate) fn begin_session(
        &self,
        user: &UserRow,
        origin: &Origin,
        second_factor_at: Option<Timestamp>,
    ) -> Result<Begun, ServiceError> {
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
        let mut steps = vec![users::login_succeeded(&entering(user, at))];
        steps.extend(sessions::start(&session, &token));
        steps.push(self.audit(by, did, at));
        let events = vec![self.session_event(kinds::SESSION_STARTED, &session, at)?];
        Ok(Begun { session, refresh, unit: UnitOfWork { at, steps, events, receipt: None } })
    }

    /// Commits it; `None` when a step missed.
    pub(crate) async fn start_session(&self, begun: Begun) -> Result<Option<Tokens>, ServiceError> {
        let Begun { session, refresh, unit } = begun;
        match self.commit(unit).await?.0 {
            UnitOutcome::Done => self.tokens(&session, refresh).await.map(Some),
            _ => Ok(None),
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
        let row = self.reached_row(caller, user).await?;
        self.require_over(caller, &row).await?;
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

/// Whoever has no password does not match any.
pub(crate) fn entering(user: &UserRow, at: Timestamp) -> Entering {
    let password = user.password.clone().unwrap_or_default();
    Entering { tenant: user.tenant, id: user.id, password, at }
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
