//! A tenant's accounts at gateways. They are switched off, never deleted: payments name them.

use std::fmt;

use caudal_domain::{GatewayAccountId, TenantId, Timestamp};

use crate::{Backend, Row, Step, StoreError};

const COLUMNS: &str = "id, tenant_id, kind, name, active, config, sealed, version, created_at, \
     updated_at from gateway_accounts";

#[derive(Clone, PartialEq, Eq)]
pub struct GatewayAccountRow {
    pub id: GatewayAccountId,
    pub tenant: TenantId,
    /// Which gateway.
    pub kind: String,
    pub name: String,
    pub active: bool,
    /// JSON; nothing secret.
    pub config: String,
    /// Credentials and webhook secrets.
    pub sealed: String,
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Without what is sealed.
impl fmt::Debug for GatewayAccountRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayAccountRow")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("kind", &self.kind)
            .field("name", &self.name)
            .field("active", &self.active)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Misses when the tenant has an account of that name.
pub fn insert(account: &GatewayAccountRow) -> Step {
    Step::one(
        "insert into gateway_accounts (tenant_id, id, kind, name, active, config, sealed, version,
         created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        vec![
            account.tenant.0.into(),
            account.id.0.into(),
            account.kind.as_str().into(),
            account.name.as_str().into(),
            account.active.into(),
            account.config.as_str().into(),
            account.sealed.as_str().into(),
            account.version.into(),
            account.created_at.into(),
            account.updated_at.into(),
        ],
    )
}

/// Writes all but the kind, if the row still has the version before `account.version`. Misses,
/// too, when another account has the name.
pub fn update(account: &GatewayAccountRow) -> Step {
    Step::one(
        "update gateway_accounts set name = $3, active = $4, config = $5, sealed = $6,
         updated_at = $7, version = $8
         where tenant_id = $1 and id = $2 and version = $8 - 1",
        vec![
            account.tenant.0.into(),
            account.id.0.into(),
            account.name.as_str().into(),
            account.active.into(),
            account.config.as_str().into(),
            account.sealed.as_str().into(),
            account.updated_at.into(),
            account.version.into(),
        ],
    )
}

/// The same credentials under another key. Misses when they are no longer those that were read.
pub fn reseal(old: &GatewayAccountRow, sealed: &str) -> Step {
    Step::one(
        "update gateway_accounts set sealed = $4 where tenant_id = $1 and id = $2 and sealed = $3",
        vec![old.tenant.0.into(), old.id.0.into(), old.sealed.as_str().into(), sealed.into()],
    )
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    id: GatewayAccountId,
) -> Result<Option<GatewayAccountRow>, StoreError> {
    let sql = format!("select {COLUMNS} where tenant_id = $1 and id = $2");
    let params = [tenant.0.into(), id.0.into()];
    db.query("gateway_accounts", &sql, &params).await?.first().map(read).transpose()
}

/// Whosever it is: a gateway's webhook names the account and no tenant.
pub async fn find_of_anyone(
    db: &dyn Backend,
    id: GatewayAccountId,
) -> Result<Option<GatewayAccountRow>, StoreError> {
    let sql = format!("select {COLUMNS} where id = $1");
    db.query("gateway_accounts", &sql, &[id.0.into()]).await?.first().map(read).transpose()
}

/// Newest first, below `before`.
pub async fn list(
    db: &dyn Backend,
    tenant: TenantId,
    before: GatewayAccountId,
    limit: i64,
) -> Result<Vec<GatewayAccountRow>, StoreError> {
    let sql =
        format!("select {COLUMNS} where tenant_id = $1 and id < $2 order by id desc limit $3");
    let params = [tenant.0.into(), before.0.into(), limit.into()];
    db.query("gateway_accounts", &sql, &params).await?.iter().map(read).collect()
}

/// Those of all tenants with ids above this one.
pub async fn after(
    db: &dyn Backend,
    id: GatewayAccountId,
    limit: i64,
) -> Result<Vec<GatewayAccountRow>, StoreError> {
    let sql = format!("select {COLUMNS} where id > $1 order by id limit $2");
    let params = [id.0.into(), limit.into()];
    db.query("gateway_accounts", &sql, &params).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<GatewayAccountRow, StoreError> {
    Ok(GatewayAccountRow {
        id: GatewayAccountId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        kind: row.string(2)?,
        name: row.string(3)?,
        active: row.flag(4)?,
        config: row.string(5)?,
        sealed: row.string(6)?,
        version: row.int(7)?,
        created_at: row.time(8)?,
        updated_at: row.time(9)?,
    })
}
