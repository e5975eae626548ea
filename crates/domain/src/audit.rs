//! What was done, by whom, from where: written once, never changed. Ids and names of fields only.

use serde::{Deserialize, Serialize};

use crate::{
    id::{ApiKeyId, AuditId, ServiceAccountId, TenantId, UserId},
    time::Timestamp,
};

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Actor {
    User(UserId),
    ServiceAccount(ServiceAccountId),
    /// A key that is its own account.
    ApiKey(ApiKeyId),
    /// Caudal itself: a schedule, a command on the machine.
    System,
    /// Nobody known: a sign-up, a failed login.
    Anyone,
}

impl Actor {
    /// Its kind and the bits of its id, as stored.
    pub fn parts(self) -> (&'static str, Option<u128>) {
        match self {
            Self::User(id) => ("user", Some(id.0)),
            Self::ServiceAccount(id) => ("service_account", Some(id.0)),
            Self::ApiKey(id) => ("api_key", Some(id.0)),
            Self::System => ("system", None),
            Self::Anyone => ("anyone", None),
        }
    }

    /// Reads [`Self::parts`] back.
    pub fn from_parts(kind: &str, id: Option<u128>) -> Option<Self> {
        Some(match (kind, id) {
            ("user", Some(id)) => Self::User(UserId(id)),
            ("service_account", Some(id)) => Self::ServiceAccount(ServiceAccountId(id)),
            ("api_key", Some(id)) => Self::ApiKey(ApiKeyId(id)),
            ("system", None) => Self::System,
            ("anyone", None) => Self::Anyone,
            _ => return None,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    pub id: AuditId,
    pub tenant: TenantId,
    pub at: Timestamp,
    pub actor: Actor,
    /// The network address it came from, `None` for what Caudal does by itself.
    pub address: Option<String>,
    pub request_id: Option<String>,
    /// `noun.verb` in the past tense, as events are named: `user.deactivated`.
    pub action: String,
    /// The noun it was done to: `user`, `role`, `signing_key`.
    pub object_kind: String,
    /// Its id as text, so that it may be a `usr_…`, a `kid`, the name of a system role.
    pub object_id: String,
    /// Names of what changed, never the values.
    pub fields: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actors_read_back_from_their_parts() {
        let actors = [
            Actor::User(UserId(7)),
            Actor::ServiceAccount(ServiceAccountId(8)),
            Actor::ApiKey(ApiKeyId(9)),
            Actor::System,
            Actor::Anyone,
        ];
        for actor in actors {
            let (kind, id) = actor.parts();
            assert_eq!(Actor::from_parts(kind, id), Some(actor));
            assert_eq!(Actor::from_parts(kind, id.xor(Some(1))), None, "{kind}");
        }
    }
}
