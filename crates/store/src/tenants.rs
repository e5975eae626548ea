//! Tenants.

use caudal_domain::{Mode, Placement, Tenant, TenantId};

use crate::{Backend, Row, Step, StoreError};

const COLUMNS: &str =
    "id, name, mode, placement, region, timezone, version, created_at, config from tenants";

pub fn insert(tenant: &Tenant) -> Step {
    Step::one(
        "insert into tenants (id, name, mode, placement, region, timezone, version, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        vec![
            tenant.id.0.into(),
            tenant.name.clone().into(),
            tenant.mode.name().into(),
            tenant.placement.name().into(),
            tenant.region.clone().into(),
            tenant.timezone.clone().into(),
            tenant.version.into(),
            tenant.created_at.into(),
        ],
    )
}

/// Writes the changeable columns if the row still has the version before `tenant.version`.
pub fn update(tenant: &Tenant) -> Step {
    Step::one(
        "update tenants set name = $2, timezone = $3, version = $4, config = $5
         where id = $1 and version = $4 - 1",
        vec![
            tenant.id.0.into(),
            tenant.name.clone().into(),
            tenant.timezone.clone().into(),
            tenant.version.into(),
            config_text(tenant).into(),
        ],
    )
}

fn config_text(tenant: &Tenant) -> String {
    serde_json::to_string(&tenant.config)
        .unwrap_or_else(|error| unreachable!("plain data: {error}"))
}

/// While the unit runs, no other that holds the tenant runs.
pub fn hold(id: TenantId) -> Step {
    Step::one("update tenants set version = version where id = $1", vec![id.0.into()])
}

/// Writes the tenant's configuration, a JSON object. Goes with [`update`], which counts versions.
pub fn set_config(id: TenantId, config: &str) -> Step {
    Step::one("update tenants set config = $2 where id = $1", vec![id.0.into(), config.into()])
}

/// The tenant's configuration as JSON text: `{}` until it has one.
pub async fn find_config(db: &dyn Backend, id: TenantId) -> Result<Option<String>, StoreError> {
    let sql = "select config from tenants where id = $1";
    let rows = db.query("tenants", sql, &[id.0.into()]).await?;
    rows.first().map(|row| Ok(row.text(0)?.to_owned())).transpose()
}

pub async fn find(db: &dyn Backend, id: TenantId) -> Result<Option<Tenant>, StoreError> {
    let sql = format!("select {COLUMNS} where id = $1");
    db.query("tenants", &sql, &[id.0.into()]).await?.first().map(read).transpose()
}

/// The oldest tenants, `limit` at most.
pub async fn first(db: &dyn Backend, limit: i64) -> Result<Vec<Tenant>, StoreError> {
    let sql = format!("select {COLUMNS} order by id limit $1");
    db.query("tenants", &sql, &[limit.into()]).await?.iter().map(read).collect()
}

/// Newest first, of the ids from `from` on and below `before`.
pub async fn list(
    db: &dyn Backend,
    from: TenantId,
    before: TenantId,
    limit: i64,
) -> Result<Vec<Tenant>, StoreError> {
    let sql = format!("select {COLUMNS} where id >= $1 and id < $2 order by id desc limit $3");
    let params = [from.0.into(), before.0.into(), limit.into()];
    db.query("tenants", &sql, &params).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Tenant, StoreError> {
    Ok(Tenant {
        id: TenantId(row.id(0)?),
        name: row.text(1)?.to_owned(),
        mode: row.decode(2, Mode::from_name(row.text(2)?))?,
        placement: row.decode(3, Placement::from_name(row.text(3)?))?,
        region: row.opt_text(4)?.map(str::to_owned),
        timezone: row.text(5)?.to_owned(),
        version: row.int(6)?,
        created_at: row.time(7)?,
        config: row.json(8)?,
    })
}
