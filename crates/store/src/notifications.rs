//! What a user is told in the app: one for each event and recipient, though many workers run.

use caudal_domain::{EventId, NotificationId, TenantId, Timestamp, UserId};

use crate::{Backend, Row, Step, StoreError, select::Select};

const COLUMNS: &str =
    "id, tenant_id, user_id, event_id, kind, subject, data, created_at, read_at from notifications";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationRow {
    pub id: NotificationId,
    pub tenant: TenantId,
    /// The recipient.
    pub user: UserId,
    pub event: EventId,
    /// The event's type.
    pub kind: String,
    /// What the event is about: an id.
    pub subject: String,
    /// JSON; no personal data.
    pub data: String,
    pub created_at: Timestamp,
    pub read_at: Option<Timestamp>,
}

/// Writes nothing when the user was told of this event before, or was erased.
pub fn insert(notification: &NotificationRow) -> Step {
    Step::new(
        "insert into notifications (tenant_id, id, user_id, event_id, kind, subject, data,
         created_at) select $1, $2, $3, $4, $5, $6, $7, $8
         where not exists (select 1 from users where id = $3 and status = 'erased')
         on conflict (tenant_id, user_id, event_id) do nothing",
        vec![
            notification.tenant.0.into(),
            notification.id.0.into(),
            notification.user.0.into(),
            notification.event.0.into(),
            notification.kind.as_str().into(),
            notification.subject.as_str().into(),
            notification.data.as_str().into(),
            notification.created_at.into(),
        ],
    )
}

/// Misses when the user has no such notification; once read, it stays read since then.
pub fn read_one(tenant: TenantId, (user, id): (UserId, NotificationId), at: Timestamp) -> Step {
    Step::one(
        "update notifications set read_at = coalesce(read_at, $4)
         where tenant_id = $1 and id = $2 and user_id = $3",
        vec![tenant.0.into(), id.0.into(), user.0.into(), at.into()],
    )
}

pub fn read_all(tenant: TenantId, user: UserId, at: Timestamp) -> Step {
    Step::new(
        "update notifications set read_at = $3
         where tenant_id = $1 and user_id = $2 and read_at is null",
        vec![tenant.0.into(), user.0.into(), at.into()],
    )
}

pub fn remove_of_user(tenant: TenantId, user: UserId) -> Step {
    Step::new(
        "delete from notifications where tenant_id = $1 and user_id = $2",
        vec![tenant.0.into(), user.0.into()],
    )
}

/// A page of a user's notifications, newest first.
#[derive(Clone, Debug)]
pub struct Filter {
    pub tenant: TenantId,
    pub user: UserId,
    pub unread: bool,
    /// Ids below this one.
    pub before: u128,
    pub limit: i64,
}

pub async fn list(db: &dyn Backend, filter: &Filter) -> Result<Vec<NotificationRow>, StoreError> {
    let sql = format!("select {COLUMNS} where tenant_id = $1 and user_id = $2 and id < $3");
    let params = vec![filter.tenant.0.into(), filter.user.0.into(), filter.before.into()];
    let rows = Select::new("notifications", sql, params)
        .and_when(filter.unread, "read_at is null")
        .rows(db, "id desc", filter.limit)
        .await?;
    rows.iter().map(read).collect()
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    (user, id): (UserId, NotificationId),
) -> Result<Option<NotificationRow>, StoreError> {
    let sql = format!("select {COLUMNS} where tenant_id = $1 and user_id = $2 and id = $3");
    let params = [tenant.0.into(), user.0.into(), id.0.into()];
    db.query("notifications", &sql, &params).await?.first().map(read).transpose()
}

/// How many a user has not read, counted up to `most`.
pub async fn unread(
    db: &dyn Backend,
    tenant: TenantId,
    user: UserId,
    most: i64,
) -> Result<i64, StoreError> {
    let sql = "select count(*) from (select id from notifications
         where tenant_id = $1 and user_id = $2 and read_at is null limit $3) n";
    let params = [tenant.0.into(), user.0.into(), most.into()];
    db.query("notifications", sql, &params).await?.first().map_or(Ok(0), |row| row.int(0))
}

fn read(row: &Row) -> Result<NotificationRow, StoreError> {
    Ok(NotificationRow {
        id: NotificationId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        user: UserId(row.id(2)?),
        event: EventId(row.id(3)?),
        kind: row.string(4)?,
        subject: row.string(5)?,
        data: row.string(6)?,
        created_at: row.time(7)?,
        read_at: row.opt_time(8)?,
    })
}
