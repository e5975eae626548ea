//! Work that goes on after its request: for whom it is done, and what they may at that moment.
//!
//! A user's work ends with the user: one who was deactivated, or may not pay any more, pays no
//! more. What a key has set up belongs to the tenant, and goes on when the key is gone.

use std::sync::Arc;

use caudal_domain::{
    Actor, Fingerprint, RateLimits, ReceiptKey, TenantId, UserStatus, access::Scope,
};
use caudal_store::{roles, tenants};

use crate::{Caller, Known, Origin, ReceiptOf, Service, ServiceError};

/// Who set the work up, and under whose name its idempotency keys are: the work's own, which nobody
/// else can choose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acting {
    pub tenant: TenantId,
    pub actor: Actor,
    pub owner: u128,
}

impl Acting {
    /// Of what is done for the work under a key of its own.
    pub fn receipt(&self, what: &[u8], key: &str) -> ReceiptOf {
        ReceiptOf {
            key: ReceiptKey::new(self.tenant, self.owner, key),
            fingerprint: Fingerprint::of(&[what, key.as_bytes()]),
        }
    }
}

impl Service {
    /// A caller who pays for them now.
    pub(crate) async fn payer_for(&self, acting: Acting) -> Result<Caller, ServiceError> {
        let Acting { tenant, actor, owner } = acting;
        let its = tenants::find(self.store(), tenant).await?;
        let its = its.ok_or(ServiceError::NotFound("tenant"))?;
        let (scopes, wide) = match actor {
            Actor::User(user) => {
                let standing = roles::standing(self.store(), tenant, user).await?;
                let active = standing.filter(|standing| standing.status == UserStatus::Active);
                let standing = active.ok_or(ServiceError::Unauthorized)?;
                (standing.scopes, standing.wide)
            }
            _ => (vec![Scope::PaymentsWrite], vec![Scope::PaymentsWrite]),
        };
        let known = Known {
            tenant,
            mode: its.mode,
            placement: its.placement,
            owner,
            actor,
            key: None,
            session: None,
            expires_at: None,
            limits: RateLimits::default(),
            scopes: scopes.into_iter().collect(),
            wide: wide.into_iter().collect(),
        };
        let origin = Origin { address: None, request_id: "".into(), user_agent: None };
        let mut caller = Caller::new(Arc::new(known), origin);
        caller.asks_for(Scope::PaymentsWrite)?;
        Ok(caller)
    }
}
