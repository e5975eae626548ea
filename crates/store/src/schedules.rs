//! Payments that are made again and again. Whoever makes a due one writes the schedule's next
//! version in the same unit of work, so that of two workers one misses and makes none.

use caudal_domain::{PaymentId, ScheduleId, TenantId, Timestamp, UserId};

use crate::{Backend, Row, Step, StoreError, select::Select};

const COLUMNS: &str = "id, tenant_id, user_id, status, payment, rule, runs, next_at, \
     last_payment_id, version, created_at, updated_at from schedules";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRow {
    pub id: ScheduleId,
    pub tenant: TenantId,
    /// Whose it is, where it is a user's.
    pub user: Option<UserId>,
    pub status: String,
    /// JSON: what is asked for each time.
    pub payment: String,
    /// JSON: when.
    pub rule: String,
    /// How often it was made.
    pub runs: i64,
    /// Nothing is due without it.
    pub next_at: Option<Timestamp>,
    pub last_payment: Option<PaymentId>,
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

pub fn insert(schedule: &ScheduleRow) -> Step {
    Step::one(
        "insert into schedules (tenant_id, id, user_id, status, payment, rule, runs, next_at,
         last_payment_id, version, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        vec![
            schedule.tenant.0.into(),
            schedule.id.0.into(),
            schedule.user.map(|id| id.0).into(),
            schedule.status.as_str().into(),
            schedule.payment.as_str().into(),
            schedule.rule.as_str().into(),
            schedule.runs.into(),
            schedule.next_at.into(),
            schedule.last_payment.map(|id| id.0).into(),
            schedule.version.into(),
            schedule.created_at.into(),
            schedule.updated_at.into(),
        ],
    )
}

/// Writes all but whose it is, if the row still has the version before `schedule.version`.
pub fn update(schedule: &ScheduleRow) -> Step {
    Step::one(
        "update schedules set status = $3, payment = $4, rule = $5, runs = $6, next_at = $7,
         last_payment_id = $8, updated_at = $9, version = $10
         where tenant_id = $1 and id = $2 and version = $10 - 1",
        vec![
            schedule.tenant.0.into(),
            schedule.id.0.into(),
            schedule.status.as_str().into(),
            schedule.payment.as_str().into(),
            schedule.rule.as_str().into(),
            schedule.runs.into(),
            schedule.next_at.into(),
            schedule.last_payment.map(|id| id.0).into(),
            schedule.updated_at.into(),
            schedule.version.into(),
        ],
    )
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    id: ScheduleId,
) -> Result<Option<ScheduleRow>, StoreError> {
    let sql = format!("select {COLUMNS} where tenant_id = $1 and id = $2");
    let params = [tenant.0.into(), id.0.into()];
    db.query("schedules", &sql, &params).await?.first().map(read).transpose()
}

/// A page of a tenant's schedules, newest first.
#[derive(Clone, Debug)]
pub struct Filter {
    pub tenant: TenantId,
    pub user: Option<UserId>,
    pub status: Option<String>,
    /// Ids below this one.
    pub before: u128,
    pub limit: i64,
}

pub async fn list(db: &dyn Backend, filter: &Filter) -> Result<Vec<ScheduleRow>, StoreError> {
    let sql = format!("select {COLUMNS} where tenant_id = $1 and id < $2");
    let params = vec![filter.tenant.0.into(), filter.before.into()];
    let rows = Select::new("schedules", sql, params)
        .and("user_id =", filter.user.map(|id| id.0))
        .and("status =", filter.status.clone())
        .rows(db, "id desc", filter.limit)
        .await?;
    rows.iter().map(read).collect()
}

/// What is due at `now`, of all tenants, the longest due first.
pub async fn due(
    db: &dyn Backend,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<ScheduleRow>, StoreError> {
    let sql = format!("select {COLUMNS} where next_at <= $1 order by next_at limit $2");
    db.query("schedules", &sql, &[now.into(), limit.into()]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<ScheduleRow, StoreError> {
    Ok(ScheduleRow {
        id: ScheduleId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        user: row.opt_id(2)?.map(UserId),
        status: row.string(3)?,
        payment: row.string(4)?,
        rule: row.string(5)?,
        runs: row.int(6)?,
        next_at: row.opt_time(7)?,
        last_payment: row.opt_id(8)?.map(PaymentId),
        version: row.int(9)?,
        created_at: row.time(10)?,
        updated_at: row.time(11)?,
    })
}
