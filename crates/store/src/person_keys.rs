//! The key of each person, sealed by the vault. Without it nothing personal can be read again, so
//! deleting its row is what erasure is.

use caudal_domain::{TenantId, UserId};

use crate::{Backend, Row, Step, StoreError};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonKey {
    pub user: UserId,
    pub tenant: TenantId,
    /// Opaque here.
    pub sealed: String,
}

pub fn insert(key: &PersonKey) -> Step {
    Step::one(
        "insert into person_keys (user_id, tenant_id, sealed) values ($1, $2, $3)",
        vec![key.user.0.into(), key.tenant.0.into(), key.sealed.as_str().into()],
    )
}

/// The same key under another master key. Misses when it is no longer the one that was read.
pub fn reseal(old: &PersonKey, sealed: &str) -> Step {
    Step::one(
        "update person_keys set sealed = $4
         where user_id = $1 and tenant_id = $2 and sealed = $3",
        vec![old.user.0.into(), old.tenant.0.into(), old.sealed.as_str().into(), sealed.into()],
    )
}

/// For good.
pub fn destroy(tenant: TenantId, user: UserId) -> Step {
    Step::one(
        "delete from person_keys where user_id = $1 and tenant_id = $2",
        vec![user.0.into(), tenant.0.into()],
    )
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    user: UserId,
) -> Result<Option<PersonKey>, StoreError> {
    let sql = "select user_id, tenant_id, sealed from person_keys
         where user_id = $1 and tenant_id = $2";
    let params = [user.0.into(), tenant.0.into()];
    db.query("person_keys", sql, &params).await?.first().map(read).transpose()
}

/// The keys of all tenants in the order of users, for sealing them anew.
pub async fn after(
    db: &dyn Backend,
    user: UserId,
    limit: i64,
) -> Result<Vec<PersonKey>, StoreError> {
    let sql = "select user_id, tenant_id, sealed from person_keys
         where user_id > $1 order by user_id limit $2";
    db.query("person_keys", sql, &[user.0.into(), limit.into()]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<PersonKey, StoreError> {
    Ok(PersonKey {
        user: UserId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        sealed: row.text(2)?.to_owned(),
    })
}
