//! The outbox of mails. A worker claims a due mail by putting its next attempt off: whoever saw the
//! same due time and comes second misses. A worker that dies leaves a mail that is due again.

use std::fmt;

use caudal_domain::{Mail, MailId, MailTemplate, TenantId, Timestamp, UserId};

use crate::{Backend, Row, Step, StoreError};

const COLUMNS: &str = "id, tenant_id, user_id, template, created_at, sealed, attempts, next_at, \
     sent_at, failed_at from mails";

#[derive(Clone, PartialEq, Eq)]
pub struct MailRow {
    pub mail: Mail,
    /// Recipient and words.
    pub sealed: String,
    /// Claims so far.
    pub attempts: i64,
    pub next_at: Timestamp,
    pub sent_at: Option<Timestamp>,
    pub failed_at: Option<Timestamp>,
}

impl fmt::Debug for MailRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailRow")
            .field("mail", &self.mail)
            .field("attempts", &self.attempts)
            .field("next_at", &self.next_at)
            .finish_non_exhaustive()
    }
}

/// Due at once.
pub fn insert(mail: &Mail, sealed: &str) -> Step {
    Step::one(
        "insert into mails (id, tenant_id, user_id, template, sealed, next_at, created_at)
         values ($1, $2, $3, $4, $5, $6, $6)",
        vec![
            mail.id.0.into(),
            mail.tenant.0.into(),
            mail.user.map(|id| id.0).into(),
            mail.template.name().into(),
            sealed.into(),
            mail.created_at.into(),
        ],
    )
}

/// Takes the mail until `leased_until`, when it is due again unless it has ended by then. Misses
/// when another worker was first.
pub fn claim(seen: &MailRow, leased_until: Timestamp) -> Step {
    Step::one(
        "update mails set next_at = $4, attempts = attempts + 1
         where id = $1 and tenant_id = $2 and next_at = $3
           and sent_at is null and failed_at is null",
        vec![
            seen.mail.id.0.into(),
            seen.mail.tenant.0.into(),
            seen.next_at.into(),
            leased_until.into(),
        ],
    )
}

pub fn sent(tenant: TenantId, id: MailId, at: Timestamp) -> Step {
    Step::one(
        "update mails set sent_at = $3
         where id = $1 and tenant_id = $2 and sent_at is null",
        vec![id.0.into(), tenant.0.into(), at.into()],
    )
}

/// Not now: again at `next_at`.
pub fn put_off(tenant: TenantId, id: MailId, next_at: Timestamp) -> Step {
    Step::one(
        "update mails set next_at = $3
         where id = $1 and tenant_id = $2 and sent_at is null and failed_at is null",
        vec![id.0.into(), tenant.0.into(), next_at.into()],
    )
}

/// Given up.
pub fn failed(tenant: TenantId, id: MailId, at: Timestamp) -> Step {
    Step::one(
        "update mails set failed_at = $3
         where id = $1 and tenant_id = $2 and sent_at is null and failed_at is null",
        vec![id.0.into(), tenant.0.into(), at.into()],
    )
}

/// All of a user's, sent or not, for erasure.
pub fn remove_of_user(tenant: TenantId, user: UserId) -> Step {
    Step::new(
        "delete from mails where tenant_id = $1 and user_id = $2",
        vec![tenant.0.into(), user.0.into()],
    )
}

/// Those of all tenants that ended, one way or the other, before `at`.
pub fn remove_ended(at: Timestamp) -> Step {
    Step::new("delete from mails where sent_at < $1 or failed_at < $1", vec![at.into()])
}

/// What is due at `now`, of all tenants, the longest due first. Each is to be claimed.
pub async fn due(db: &dyn Backend, now: Timestamp, limit: i64) -> Result<Vec<MailRow>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where sent_at is null and failed_at is null and next_at <= $1
         order by next_at limit $2"
    );
    db.query("mails", &sql, &[now.into(), limit.into()]).await?.iter().map(read).collect()
}

/// Newest first, below `before`.
pub async fn list(
    db: &dyn Backend,
    tenant: TenantId,
    before: MailId,
    limit: i64,
) -> Result<Vec<MailRow>, StoreError> {
    let sql =
        format!("select {COLUMNS} where tenant_id = $1 and id < $2 order by id desc limit $3");
    let params = [tenant.0.into(), before.0.into(), limit.into()];
    db.query("mails", &sql, &params).await?.iter().map(read).collect()
}

/// Written to a user: newest first, below the mail given.
pub async fn list_of_user(
    db: &dyn Backend,
    tenant: TenantId,
    (user, before): (UserId, MailId),
    limit: i64,
) -> Result<Vec<MailRow>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where tenant_id = $1 and user_id = $2 and id < $3
         order by id desc limit $4"
    );
    let params = [tenant.0.into(), user.0.into(), before.0.into(), limit.into()];
    db.query("mails", &sql, &params).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<MailRow, StoreError> {
    let mail = Mail {
        id: MailId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        user: row.opt_id(2)?.map(UserId),
        template: row.decode(3, MailTemplate::from_name(row.text(3)?))?,
        created_at: row.time(4)?,
    };
    Ok(MailRow {
        mail,
        sealed: row.text(5)?.to_owned(),
        attempts: row.int(6)?,
        next_at: row.time(7)?,
        sent_at: row.opt_time(8)?,
        failed_at: row.opt_time(9)?,
    })
}
