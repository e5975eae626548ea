//! What a user is told, as it is shown.

use caudal_domain::{NotificationId, Timestamp};
use caudal_service::notifications::Notification;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{problem::Problem, query::Shown};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NotificationChange, example = json!({"read": true}))]
pub(crate) struct NotificationPatch {
    /// True: what was read can't be unread.
    read: bool,
}

impl NotificationPatch {
    pub fn check(&self) -> Result<(), Problem> {
        match self.read {
            true => Ok(()),
            false => Err(Problem::invalid("read", "is true: what was read can't be unread")),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Notification, example = json!({
    "id": "ntf_01h455vb4pex5vsknk084sn02q", "object": "notification", "type": "wallet.funded",
    "subject": "trf_01h455vb4pex5vsknk084sn02q", "data": {"amount": 1050, "currency": "USD"},
    "created_at": "2026-01-31T09:30:00.000000Z", "read_at": null
}))]
pub(crate) struct NotificationShape<'a> {
    #[schema(value_type = String)]
    id: NotificationId,
    object: &'static str,
    /// The event's type.
    #[serde(rename = "type")]
    kind: &'a str,
    /// What it is about: an id.
    subject: &'a str,
    /// The event's data, as far as it concerns its reader.
    #[schema(value_type = Object)]
    data: Option<&'a RawValue>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    read_at: Option<Timestamp>,
}

impl<'a> From<&'a Notification> for NotificationShape<'a> {
    fn from(notification: &'a Notification) -> Self {
        Self {
            id: notification.id,
            object: "notification",
            kind: &notification.kind,
            subject: &notification.subject,
            data: serde_json::from_str(&notification.data).ok(),
            created_at: notification.created_at,
            read_at: notification.read_at,
        }
    }
}

impl Shown for NotificationShape<'_> {
    const FIELDS: &'static [&'static str] =
        &["id", "object", "type", "subject", "data", "created_at", "read_at"];
}

/// How many are new.
#[derive(Serialize, ToSchema)]
#[schema(as = UnreadNotifications, example = json!({
    "object": "unread_notifications", "count": 3, "most": 100
}))]
pub(crate) struct UnreadShape {
    pub object: &'static str,
    /// Counted up to `most`.
    pub count: i64,
    pub most: i64,
}

#[cfg(test)]
mod tests {
    use caudal_domain::{EventId, TenantId, UserId};

    use super::*;
    use crate::shapes::tests::assert_fields;

    #[test]
    fn the_names_of_fields_are_those_shown() {
        assert_fields(&NotificationShape::from(&Notification {
            id: NotificationId(1),
            tenant: TenantId(1),
            user: UserId(1),
            event: EventId(1),
            kind: "wallet.funded".into(),
            subject: "trf_1".into(),
            data: "{}".into(),
            created_at: Timestamp::default(),
            read_at: None,
        }));
    }
}
