//! A tenant's types of payments, by name. What is configured of them is JSON to this room.

use caudal_domain::{PaymentTypeId, TenantId, Timestamp};

use crate::{Backend, Row, Step, StoreError};

const COLUMNS: &str =
    "id, tenant_id, name, active, config, version, created_at, updated_at from payment_types";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentTypeRow {
    pub id: PaymentTypeId,
    pub tenant: TenantId,
    pub name: String,
    pub active: bool,
    /// JSON.
    pub config: String,
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Misses when the tenant has a type of that name.
pub fn insert(kind: &PaymentTypeRow) -> Step {
    Step::one(
        "insert into payment_types (tenant_id, id, name, active, config, version, created_at,
         updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8)",
        vec![
            kind.tenant.0.into(),
            kind.id.0.into(),
            kind.name.as_str().into(),
            kind.active.into(),
            kind.config.as_str().into(),
            kind.version.into(),
            kind.created_at.into(),
            kind.updated_at.into(),
        ],
    )
}

/// Writes all but the name, by which payments know it, if the row still has the version before
/// `kind.version`.
pub fn update(kind: &PaymentTypeRow) -> Step {
    Step::one(
        "update payment_types set active = $3, config = $4, updated_at = $5, version = $6
         where tenant_id = $1 and id = $2 and version = $6 - 1",
        vec![
            kind.tenant.0.into(),
            kind.id.0.into(),
            kind.active.into(),
            kind.config.as_str().into(),
            kind.updated_at.into(),
            kind.version.into(),
        ],
    )
}

pub fn delete(tenant: TenantId, id: PaymentTypeId) -> Step {
    Step::one(
        "delete from payment_types where tenant_id = $1 and id = $2",
        vec![tenant.0.into(), id.0.into()],
    )
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    id: PaymentTypeId,
) -> Result<Option<PaymentTypeRow>, StoreError> {
    let sql = format!("select {COLUMNS} where tenant_id = $1 and id = $2");
    let params = [tenant.0.into(), id.0.into()];
    db.query("payment_types", &sql, &params).await?.first().map(read).transpose()
}

pub async fn find_by_name(
    db: &dyn Backend,
    tenant: TenantId,
    name: &str,
) -> Result<Option<PaymentTypeRow>, StoreError> {
    let sql = format!("select {COLUMNS} where tenant_id = $1 and name = $2");
    let params = [tenant.0.into(), name.into()];
    db.query("payment_types", &sql, &params).await?.first().map(read).transpose()
}

/// Newest first, below `before`.
pub async fn list(
    db: &dyn Backend,
    tenant: TenantId,
    before: PaymentTypeId,
    limit: i64,
) -> Result<Vec<PaymentTypeRow>, StoreError> {
    let sql =
        format!("select {COLUMNS} where tenant_id = $1 and id < $2 order by id desc limit $3");
    let params = [tenant.0.into(), before.0.into(), limit.into()];
    db.query("payment_types", &sql, &params).await?.iter().map(read).collect()
}

/// Those that may be used, of all tenants.
pub async fn active(db: &dyn Backend, limit: i64) -> Result<Vec<PaymentTypeRow>, StoreError> {
    let sql = format!("select {COLUMNS} where active = 1 order by tenant_id, id limit $1");
    db.query("payment_types", &sql, &[limit.into()]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<PaymentTypeRow, StoreError> {
    Ok(PaymentTypeRow {
        id: PaymentTypeId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        name: row.string(2)?,
        active: row.flag(3)?,
        config: row.string(4)?,
        version: row.int(5)?,
        created_at: row.time(6)?,
        updated_at: row.time(7)?,
    })
}
