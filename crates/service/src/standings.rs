//! Standings: what a person may at this moment, read once and remembered until an event tells
//! otherwise (`tokens.rs`), or for [`KNOWN_FOR_S`].
//!
//! How far a person reaches is asked of each scope: one that comes from `wallet_holder` alone
//! reaches only what is their own, whatever other roles they have.

use std::sync::{Arc, atomic::Ordering};

use caudal_domain::{
    Actor, Mode, Placement, RateLimits, SessionId, TenantId, Timestamp, UserStatus,
};
use caudal_store::{roles, sessions, tenants};

use crate::{Known, Service, ServiceError, SignedIn, access::Scopes, tokens::Verified};

/// How long a person's standing is believed when no event tells otherwise.
pub(crate) const KNOWN_FOR_S: i64 = 30;

/// What a person may.
pub(crate) struct Standing {
    pub tenant: TenantId,
    mode: Mode,
    placement: Placement,
    scopes: Scopes,
    wide: Scopes,
    limits: RateLimits,
    is_active: bool,
    read_at: Timestamp,
    /// Tells this reading from any other.
    number: u64,
}

/// Whether a session lives, as read together with the standing of this number.
pub(crate) struct Alive {
    ends_at: Option<Timestamp>,
    standing: u64,
}

impl Service {
    /// What the token's user may now, unless they may nothing or the session has ended.
    pub(crate) async fn standing(
        &self,
        verified: &Verified,
    ) -> Result<Arc<Standing>, ServiceError> {
        let now = self.now();
        let standing = self.person_standing(verified, now).await?;
        if !standing.is_active || standing.tenant != verified.tenant {
            return Err(ServiceError::Unauthorized);
        }
        let Some(session) = verified.session else { return Ok(standing) };
        let known = self.inner.tokens.sessions.get(&session).await;
        let alive = match known.filter(|alive| alive.standing == standing.number) {
            Some(alive) => alive,
            None => self.read_session(verified, session, standing.number).await?,
        };
        match alive.ends_at {
            Some(ends_at) if now < ends_at => Ok(standing),
            _ => Err(ServiceError::Unauthorized),
        }
    }

    async fn person_standing(
        &self,
        verified: &Verified,
        now: Timestamp,
    ) -> Result<Arc<Standing>, ServiceError> {
        let people = &self.inner.tokens.people;
        if let Some(standing) = people.get(&verified.user).await {
            let until = standing.read_at.plus_seconds(KNOWN_FOR_S);
            if (standing.read_at..until).contains(&now) {
                return Ok(standing);
            }
        }
        let before = self.changes();
        let standing = Arc::new(self.read_standing(verified, now).await?);
        people.insert(verified.user, standing.clone()).await;
        if self.changes() != before {
            // What was read may be what has just changed.
            people.invalidate(&verified.user).await;
        }
        Ok(standing)
    }

    async fn read_standing(
        &self,
        verified: &Verified,
        now: Timestamp,
    ) -> Result<Standing, ServiceError> {
        let Verified { tenant, user, .. } = *verified;
        let found = roles::standing(self.store(), tenant, user).await?;
        let found = found.ok_or(ServiceError::Unauthorized)?;
        let its = tenants::find(self.store(), tenant).await?.ok_or(ServiceError::Unauthorized)?;
        Ok(Standing {
            tenant,
            mode: its.mode,
            placement: its.placement,
            scopes: found.scopes.into_iter().collect(),
            wide: found.wide.into_iter().collect(),
            limits: self.limits_of(tenant).await?,
            is_active: found.status == UserStatus::Active,
            read_at: now,
            number: self.inner.tokens.reads.fetch_add(1, Ordering::Relaxed),
        })
    }

    async fn read_session(
        &self,
        verified: &Verified,
        id: SessionId,
        standing: u64,
    ) -> Result<Arc<Alive>, ServiceError> {
        let remembered = &self.inner.tokens.sessions;
        let before = self.changes();
        let found = sessions::find(self.store(), verified.tenant, id).await?;
        let found = found.filter(|session| session.user == verified.user);
        let found = found.filter(|session| session.revoked_at.is_none());
        let alive = Arc::new(Alive { ends_at: found.map(|it| it.expires_at), standing });
        remembered.insert(id, alive.clone()).await;
        if self.changes() != before {
            remembered.invalidate(&id).await;
        }
        Ok(alive)
    }
}

pub(crate) fn known(verified: &Verified, standing: &Standing) -> Known {
    let Verified { user, session, auth_at, second_factor_at, .. } = *verified;
    // A foreign issuer keeps its sessions: no session of ours has this id.
    let session = session.unwrap_or(SessionId(0));
    Known {
        tenant: standing.tenant,
        mode: standing.mode,
        placement: standing.placement,
        owner: user.0,
        actor: Actor::User(user),
        key: None,
        session: Some(SignedIn { user, session, auth_at, second_factor_at }),
        expires_at: Some(verified.expires_at),
        limits: standing.limits,
        scopes: standing.scopes,
        wide: standing.wide,
    }
}
