//! Records of the audit as they are shown.

use caudal_domain::{Actor, AuditId, AuditRecord, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::query::Shown;

#[derive(Serialize, ToSchema)]
#[schema(as = AuditRecord, example = json!({
    "id": "aud_01h455vb4pex5vsknk084sn02q", "object": "audit_record",
    "created_at": "2026-01-31T09:30:00.000000Z",
    "actor": {"kind": "user", "id": "usr_01h455vb4pex5vsknk084sn02q"}, "action": "role.updated",
    "target": {"kind": "role", "id": "rol_01h455vb4pex5vsknk084sn02q"}, "fields": ["scopes"],
    "address": "192.0.2.7", "request_id": "req_5f0c9a3e7b21d846"
}))]
pub(crate) struct AuditShape<'a> {
    #[schema(value_type = String)]
    id: AuditId,
    object: &'static str,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    actor: ActorShape,
    action: &'a str,
    target: TargetShape<'a>,
    /// The names of what changed, never the values.
    fields: &'a [String],
    /// Where it came from; null for what Caudal does by itself.
    address: Option<&'a str>,
    request_id: Option<&'a str>,
}

/// Who did it.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditActor)]
pub(crate) struct ActorShape {
    /// `user`, `service_account`, `api_key`, `system` or `anyone`.
    kind: &'static str,
    id: Option<String>,
}

impl From<Actor> for ActorShape {
    fn from(actor: Actor) -> Self {
        let id = match actor {
            Actor::User(id) => Some(id.to_string()),
            Actor::ServiceAccount(id) => Some(id.to_string()),
            Actor::ApiKey(id) => Some(id.to_string()),
            Actor::System | Actor::Anyone => None,
        };
        Self { kind: actor.parts().0, id }
    }
}

/// What it was done to.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditTarget)]
struct TargetShape<'a> {
    kind: &'a str,
    id: &'a str,
}

impl<'a> From<&'a AuditRecord> for AuditShape<'a> {
    fn from(record: &'a AuditRecord) -> Self {
        Self {
            id: record.id,
            object: "audit_record",
            created_at: record.at,
            actor: record.actor.into(),
            action: &record.action,
            target: TargetShape { kind: &record.object_kind, id: &record.object_id },
            fields: &record.fields,
            address: record.address.as_deref(),
            request_id: record.request_id.as_deref(),
        }
    }
}

impl Shown for AuditShape<'_> {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "object",
        "created_at",
        "actor",
        "action",
        "target",
        "fields",
        "address",
        "request_id",
    ];
}

#[cfg(test)]
mod tests {
    use caudal_domain::TenantId;

    use super::*;
    use crate::shapes::tests::assert_fields;

    #[test]
    fn the_names_of_fields_are_those_shown() {
        assert_fields(&AuditShape::from(&AuditRecord {
            id: AuditId(1),
            tenant: TenantId(1),
            at: Timestamp::default(),
            actor: Actor::System,
            address: None,
            request_id: None,
            action: "role.updated".into(),
            object_kind: "role".into(),
            object_id: "rol_1".into(),
            fields: vec![],
        }));
    }
}
