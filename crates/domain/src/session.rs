//! A session: one login on one device, carried on by a family of refresh tokens.

use serde::{Deserialize, Serialize};

use crate::{
    id::{SessionId, TenantId, UserId},
    time::Timestamp,
};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub id: SessionId,
    pub tenant: TenantId,
    pub user: UserId,
    pub created_at: Timestamp,
    pub last_used_at: Timestamp,
    /// However often it is refreshed, it ends here.
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    /// Where it was last used from.
    pub address: Option<String>,
    pub user_agent: Option<String>,
    /// When the password was last given: `auth_time` of its tokens.
    pub auth_at: Timestamp,
    /// When a second factor was last given.
    pub second_factor_at: Option<Timestamp>,
}

impl Session {
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}
