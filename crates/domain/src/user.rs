//! A user: a person with a login. Who they are stands beside what they may, and neither in events.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    id::{TenantId, UserId},
    role::RoleRef,
    tenant::names,
    time::Timestamp,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    /// Signed up, address not yet proven: cannot log in.
    Pending,
    Active,
    /// Cannot log in until somebody lets them again.
    Deactivated,
    /// Nothing personal is left; only the id stays, for the books. For good.
    Erased,
}

names!(UserStatus {
    Pending = "pending",
    Active = "active",
    Deactivated = "deactivated",
    Erased = "erased"
});

impl UserStatus {
    /// Whether reading their mail lets them in again.
    pub fn may_recover(self) -> bool {
        matches!(self, Self::Pending | Self::Active)
    }
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub id: UserId,
    pub tenant: TenantId,
    pub status: UserStatus,
    /// `None` once erased, or for a foreign issuer's user who told none.
    pub email: Option<String>,
    pub name: Option<String>,
    pub email_verified_at: Option<Timestamp>,
    pub roles: Vec<RoleRef>,
    /// Counts changes of profile, status and roles, for `If-Match`.
    pub version: i64,
    pub created_at: Timestamp,
}

/// Without address and name: what is printed for debugging ends in logs.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("status", &self.status)
            .field("roles", &self.roles)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debugging_shows_nothing_personal() {
        let user = User {
            id: UserId(1),
            tenant: TenantId(2),
            status: UserStatus::Active,
            email: Some("ada@example.org".into()),
            name: Some("Lovelace".into()),
            email_verified_at: None,
            roles: vec![],
            version: 1,
            created_at: Timestamp::default(),
        };
        let text = format!("{user:?}");
        assert!(text.contains(&user.id.to_string()), "{text}");
        assert!(!text.contains("ada@") && !text.contains("Lovelace"), "{text}");
    }
}
