//! Events on their way to tenants' endpoints: one for each event and endpoint, though many workers
//! run. A claim counts attempts, and only the last claim may say what came of it.

use caudal_domain::{DeliveryId, EventId, TenantId, Timestamp, WebhookEndpointId};

use crate::{Backend, Row, Step, StoreError, select::Select};

const COLUMNS: &str = "id, tenant_id, endpoint_id, event_id, kind, body, attempts, next_at, \
     delivered_at, failed_at, created_at from webhook_deliveries";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    pub id: DeliveryId,
    pub tenant: TenantId,
    pub endpoint: WebhookEndpointId,
    pub event: EventId,
    /// The event's type.
    pub kind: String,
    /// As it is sent.
    pub body: String,
    /// Claims so far.
    pub attempts: i64,
    pub next_at: Timestamp,
    pub delivered_at: Option<Timestamp>,
    pub failed_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// Writes nothing when the endpoint gets this event already.
pub fn insert(delivery: &DeliveryRow) -> Step {
    Step::new(
        "insert into webhook_deliveries (id, tenant_id, endpoint_id, event_id, kind, body, next_at,
         created_at) values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (endpoint_id, event_id) do nothing",
        vec![
            delivery.id.0.into(),
            delivery.tenant.0.into(),
            delivery.endpoint.0.into(),
            delivery.event.0.into(),
            delivery.kind.as_str().into(),
            delivery.body.as_str().into(),
            delivery.next_at.into(),
            delivery.created_at.into(),
        ],
    )
}

/// Takes it until `leased_until`, when it is due again unless it has ended by then. Misses when
/// another worker was first.
pub fn claim(seen: &DeliveryRow, leased_until: Timestamp) -> Step {
    Step::one(
        "update webhook_deliveries set next_at = $5, attempts = attempts + 1
         where id = $1 and tenant_id = $2 and attempts = $3 and next_at = $4
           and delivered_at is null and failed_at is null",
        vec![
            seen.id.0.into(),
            seen.tenant.0.into(),
            seen.attempts.into(),
            seen.next_at.into(),
            leased_until.into(),
        ],
    )
}

/// One try of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    pub delivery: DeliveryId,
    pub tenant: TenantId,
    /// The claim it was made under: the row's `attempts` after it.
    pub number: i64,
    pub at: Timestamp,
    pub duration_ms: i64,
    /// Of the answer, if one came.
    pub status: Option<i64>,
    pub detail: Option<String>,
}

/// What follows from an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Delivered,
    Again(Timestamp),
    /// Given up.
    Failed,
}

/// The attempt, and what follows from it. Misses when the delivery was claimed again meanwhile,
/// or has ended.
pub fn attempted(attempt: &AttemptRow, next: Next) -> [Step; 2] {
    let insert = Step::one(
        "insert into webhook_attempts (delivery_id, tenant_id, number, at, duration_ms, status,
         detail) values ($1, $2, $3, $4, $5, $6, $7)",
        vec![
            attempt.delivery.0.into(),
            attempt.tenant.0.into(),
            attempt.number.into(),
            attempt.at.into(),
            attempt.duration_ms.into(),
            attempt.status.into(),
            attempt.detail.clone().into(),
        ],
    );
    [insert, follow(attempt, next)]
}

fn follow(attempt: &AttemptRow, next: Next) -> Step {
    let (sql, at) = match next {
        Next::Delivered => (
            "update webhook_deliveries set delivered_at = $4
             where id = $1 and tenant_id = $2 and attempts = $3
               and delivered_at is null and failed_at is null",
            attempt.at,
        ),
        Next::Again(at) => (
            "update webhook_deliveries set next_at = $4
             where id = $1 and tenant_id = $2 and attempts = $3
               and delivered_at is null and failed_at is null",
            at,
        ),
        Next::Failed => (
            "update webhook_deliveries set failed_at = $4
             where id = $1 and tenant_id = $2 and attempts = $3
               and delivered_at is null and failed_at is null",
            attempt.at,
        ),
    };
    let (id, tenant) = (attempt.delivery.0.into(), attempt.tenant.0.into());
    Step::one(sql, vec![id, tenant, attempt.number.into(), at.into()])
}

/// Once more, whatever came of it before; attempts go on counting.
pub fn replay(tenant: TenantId, id: DeliveryId, at: Timestamp) -> Step {
    Step::one(
        "update webhook_deliveries set next_at = $3, delivered_at = null, failed_at = null
         where id = $1 and tenant_id = $2",
        vec![id.0.into(), tenant.0.into(), at.into()],
    )
}

/// Those made before `at` that have ended, and all attempts before it.
pub fn remove_before(at: Timestamp) -> [Step; 2] {
    let deliveries = "delete from webhook_deliveries
         where created_at < $1 and (delivered_at is not null or failed_at is not null)";
    let attempts = "delete from webhook_attempts where at < $1";
    [deliveries, attempts].map(|sql| Step::new(sql, vec![at.into()]))
}

/// What is due at `now`, of all tenants, the longest due first, but nothing of the endpoints
/// `without`. Each is to be claimed.
pub async fn due(
    db: &dyn Backend,
    now: Timestamp,
    without: &[WebhookEndpointId],
    limit: i64,
) -> Result<Vec<DeliveryRow>, StoreError> {
    let mut params = vec![now.into(), limit.into()];
    let places: Vec<_> = (3..without.len() + 3).map(|place| format!("${place}")).collect();
    params.extend(without.iter().map(|endpoint| endpoint.0.into()));
    let others = match places.as_slice() {
        [] => String::new(),
        places => format!("and endpoint_id not in ({})", places.join(", ")),
    };
    let sql = format!(
        "select {COLUMNS} where delivered_at is null and failed_at is null and next_at <= $1
         {others} order by next_at limit $2"
    );
    db.query("webhook_deliveries", &sql, &params).await?.iter().map(read).collect()
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    id: DeliveryId,
) -> Result<Option<DeliveryRow>, StoreError> {
    let sql = format!("select {COLUMNS} where id = $1 and tenant_id = $2");
    let params = [id.0.into(), tenant.0.into()];
    db.query("webhook_deliveries", &sql, &params).await?.first().map(read).transpose()
}

/// A page of an endpoint's deliveries, newest first.
#[derive(Clone, Debug)]
pub struct Filter {
    pub tenant: TenantId,
    pub endpoint: WebhookEndpointId,
    /// Ids below this one.
    pub before: u128,
    pub limit: i64,
    /// Only what was given up.
    pub failed: bool,
}

pub async fn list(db: &dyn Backend, filter: &Filter) -> Result<Vec<DeliveryRow>, StoreError> {
    let sql = format!("select {COLUMNS} where tenant_id = $1 and endpoint_id = $2 and id < $3");
    let params = vec![filter.tenant.0.into(), filter.endpoint.0.into(), filter.before.into()];
    let rows = Select::new("webhook_deliveries", sql, params)
        .and_when(filter.failed, "failed_at is not null")
        .rows(db, "id desc", filter.limit)
        .await?;
    rows.iter().map(read).collect()
}

/// Of these deliveries (one at least), each one's oldest first.
pub async fn attempts(
    db: &dyn Backend,
    tenant: TenantId,
    ids: &[DeliveryId],
    limit: i64,
) -> Result<Vec<AttemptRow>, StoreError> {
    let mut params = vec![tenant.0.into(), limit.into()];
    params.extend(ids.iter().map(|id| id.0.into()));
    let places: Vec<_> = (3..ids.len() + 3).map(|place| format!("${place}")).collect();
    let sql = format!(
        "select delivery_id, tenant_id, number, at, duration_ms, status, detail
         from webhook_attempts where tenant_id = $1 and delivery_id in ({})
         order by delivery_id, number limit $2",
        places.join(", ")
    );
    db.query("webhook_attempts", &sql, &params).await?.iter().map(read_attempt).collect()
}

fn read_attempt(row: &Row) -> Result<AttemptRow, StoreError> {
    Ok(AttemptRow {
        delivery: DeliveryId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        number: row.int(2)?,
        at: row.time(3)?,
        duration_ms: row.int(4)?,
        status: row.opt_int(5)?,
        detail: row.opt_string(6)?,
    })
}

fn read(row: &Row) -> Result<DeliveryRow, StoreError> {
    Ok(DeliveryRow {
        id: DeliveryId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        endpoint: WebhookEndpointId(row.id(2)?),
        event: EventId(row.id(3)?),
        kind: row.string(4)?,
        body: row.string(5)?,
        attempts: row.int(6)?,
        next_at: row.time(7)?,
        delivered_at: row.opt_time(8)?,
        failed_at: row.opt_time(9)?,
        created_at: row.time(10)?,
    })
}
