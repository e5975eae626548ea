//! What gateways told: stored before they are answered, each event once, and worked on later. A
//! worker claims one as [`crate::mails`] are claimed.

use std::fmt;

use caudal_domain::{GatewayAccountId, TenantId, Timestamp};

use crate::{Backend, Row, Step, StoreError, Value};

const COLUMNS: &str = "gateway_account_id, event_key, tenant_id, kind, data, attempts, \
     received_at, next_at, done_at, failed_at from incoming_webhooks";

/// Neither done nor given up.
const OPEN: &str = "done_at is null and failed_at is null";

#[derive(Clone, PartialEq, Eq)]
pub struct IncomingRow {
    pub gateway_account: GatewayAccountId,
    /// The gateway's name for the event.
    pub event_key: String,
    pub tenant: TenantId,
    /// The gateway's name for the kind of event.
    pub kind: String,
    pub data: String,
    /// Claims so far.
    pub attempts: i64,
    pub received_at: Timestamp,
    pub next_at: Timestamp,
    pub done_at: Option<Timestamp>,
    pub failed_at: Option<Timestamp>,
}

/// Not what was told: it may name people.
impl fmt::Debug for IncomingRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingRow")
            .field("gateway_account", &self.gateway_account)
            .field("event_key", &self.event_key)
            .field("tenant", &self.tenant)
            .field("kind", &self.kind)
            .field("attempts", &self.attempts)
            .field("next_at", &self.next_at)
            .finish_non_exhaustive()
    }
}

/// Due at `next_at`. Misses when the account has told of this event before, unless it was given up:
/// then it is tried again.
pub fn insert(webhook: &IncomingRow) -> Step {
    Step::one(
        "insert into incoming_webhooks (gateway_account_id, event_key, tenant_id, kind, data,
         received_at, next_at) values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (gateway_account_id, event_key) do update set attempts = 0,
           next_at = excluded.next_at, failed_at = null
           where incoming_webhooks.failed_at is not null",
        vec![
            webhook.gateway_account.0.into(),
            webhook.event_key.as_str().into(),
            webhook.tenant.0.into(),
            webhook.kind.as_str().into(),
            webhook.data.as_str().into(),
            webhook.received_at.into(),
            webhook.next_at.into(),
        ],
    )
}

/// `$1` to `$3`: which row; then the others.
fn of(webhook: &IncomingRow, others: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let mut params = vec![
        webhook.gateway_account.0.into(),
        webhook.event_key.as_str().into(),
        webhook.tenant.0.into(),
    ];
    params.extend(others);
    params
}

/// Takes it until `leased_until`. Misses when another worker was first.
pub fn claim(seen: &IncomingRow, leased_until: Timestamp) -> Step {
    Step::one(
        "update incoming_webhooks set next_at = $5, attempts = attempts + 1
         where gateway_account_id = $1 and event_key = $2 and tenant_id = $3 and next_at = $4
           and done_at is null and failed_at is null",
        of(seen, [seen.next_at.into(), leased_until.into()]),
    )
}

/// What it told has been dealt with. Misses when it had ended before.
pub fn done(webhook: &IncomingRow, at: Timestamp) -> Step {
    Step::one(
        "update incoming_webhooks set done_at = $4
         where gateway_account_id = $1 and event_key = $2 and tenant_id = $3
           and done_at is null and failed_at is null",
        of(webhook, [at.into()]),
    )
}

/// Not now: again at `next_at`.
pub fn put_off(webhook: &IncomingRow, next_at: Timestamp) -> Step {
    Step::one(
        "update incoming_webhooks set next_at = $4
         where gateway_account_id = $1 and event_key = $2 and tenant_id = $3
           and done_at is null and failed_at is null",
        of(webhook, [next_at.into()]),
    )
}

/// Given up.
pub fn failed(webhook: &IncomingRow, at: Timestamp) -> Step {
    Step::one(
        "update incoming_webhooks set failed_at = $4
         where gateway_account_id = $1 and event_key = $2 and tenant_id = $3
           and done_at is null and failed_at is null",
        of(webhook, [at.into()]),
    )
}

/// Those that came before `at` and have ended.
pub fn remove_before(at: Timestamp) -> Step {
    Step::new(
        "delete from incoming_webhooks
         where received_at < $1 and (done_at is not null or failed_at is not null)",
        vec![at.into()],
    )
}

/// What is due at `now`, of all tenants, the longest due first. Each is to be claimed.
pub async fn due(
    db: &dyn Backend,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<IncomingRow>, StoreError> {
    let sql = format!("select {COLUMNS} where {OPEN} and next_at <= $1 order by next_at limit $2");
    let params = [now.into(), limit.into()];
    db.query("incoming_webhooks", &sql, &params).await?.iter().map(read).collect()
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    account: GatewayAccountId,
    event_key: &str,
) -> Result<Option<IncomingRow>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where gateway_account_id = $1 and event_key = $2 and tenant_id = $3"
    );
    let params = [account.0.into(), event_key.into(), tenant.0.into()];
    db.query("incoming_webhooks", &sql, &params).await?.first().map(read).transpose()
}

fn read(row: &Row) -> Result<IncomingRow, StoreError> {
    Ok(IncomingRow {
        gateway_account: GatewayAccountId(row.id(0)?),
        event_key: row.string(1)?,
        tenant: TenantId(row.id(2)?),
        kind: row.string(3)?,
        data: row.string(4)?,
        attempts: row.int(5)?,
        received_at: row.time(6)?,
        next_at: row.time(7)?,
        done_at: row.opt_time(8)?,
        failed_at: row.opt_time(9)?,
    })
}
