//! Service accounts: whom API keys act for.

use caudal_domain::{ServiceAccount, ServiceAccountId, TenantId};

use crate::{Backend, Row, Step, StoreError};

const COLUMNS: &str = "id, tenant_id, name, version, created_at from service_accounts";

pub fn insert(account: &ServiceAccount) -> Step {
    Step::one(
        "insert into service_accounts (id, tenant_id, name, version, created_at)
         values ($1, $2, $3, $4, $5)",
        vec![
            account.id.0.into(),
            account.tenant.0.into(),
            account.name.clone().into(),
            account.version.into(),
            account.created_at.into(),
        ],
    )
}

/// Writes the name if the row still has the version before `account.version`.
pub fn update(account: &ServiceAccount) -> Step {
    Step::one(
        "update service_accounts set name = $3, version = $4
         where id = $1 and tenant_id = $2 and version = $4 - 1",
        vec![
            account.id.0.into(),
            account.tenant.0.into(),
            account.name.clone().into(),
            account.version.into(),
        ],
    )
}

/// Its keys are ended by [`crate::api_keys::revoke_of_account`].
pub fn delete(tenant: TenantId, id: ServiceAccountId) -> Step {
    Step::one(
        "delete from service_accounts where id = $1 and tenant_id = $2",
        vec![id.0.into(), tenant.0.into()],
    )
}

/// Misses when it is gone; while the unit runs nobody deletes it. For whoever gives it a key.
pub fn stays(tenant: TenantId, id: ServiceAccountId) -> Step {
    Step::one(
        "update service_accounts set version = version where id = $1 and tenant_id = $2",
        vec![id.0.into(), tenant.0.into()],
    )
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    id: ServiceAccountId,
) -> Result<Option<ServiceAccount>, StoreError> {
    let sql = format!("select {COLUMNS} where id = $1 and tenant_id = $2");
    let params = [id.0.into(), tenant.0.into()];
    db.query("service_accounts", &sql, &params).await?.first().map(read).transpose()
}

/// Newest first, below `before`.
pub async fn list(
    db: &dyn Backend,
    tenant: TenantId,
    before: ServiceAccountId,
    limit: i64,
) -> Result<Vec<ServiceAccount>, StoreError> {
    let sql =
        format!("select {COLUMNS} where tenant_id = $1 and id < $2 order by id desc limit $3");
    let params = [tenant.0.into(), before.0.into(), limit.into()];
    db.query("service_accounts", &sql, &params).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<ServiceAccount, StoreError> {
    Ok(ServiceAccount {
        id: ServiceAccountId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        name: row.text(2)?.to_owned(),
        version: row.int(3)?,
        created_at: row.time(4)?,
    })
}
