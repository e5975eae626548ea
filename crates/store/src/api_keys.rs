//! API keys: found by the hash of their secret, never by the secret.

use caudal_domain::{
    ApiKeyId, ServiceAccountId, TenantId, Timestamp,
    access::{ApiKey, Scope},
};

use crate::{Backend, Row, Step, StoreError};

const COLUMNS: &str = "id, tenant_id, name, scopes, created_at, expires_at, revoked_at, \
     service_account_id, rotated_to, last_used_at from api_keys";

/// `secret_hash` is 128 bits of SHA-256 of the secret.
pub fn insert(key: &ApiKey, secret_hash: u128) -> Step {
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
    Step::one(
        "insert into api_keys (id, tenant_id, secret_hash, name, scopes, created_at, expires_at,
         service_account_id) values ($1, $2, $3, $4, $5, $6, $7, $8)",
        vec![
            key.id.0.into(),
            key.tenant.0.into(),
            secret_hash.into(),
            key.name.clone().into(),
            scopes.join(" ").into(),
            key.created_at.into(),
            key.expires_at.into(),
            key.service_account.map(|id| id.0).into(),
        ],
    )
}

pub fn rename(tenant: TenantId, id: ApiKeyId, name: &str) -> Step {
    Step::one(
        "update api_keys set name = $3 where id = $1 and tenant_id = $2 and revoked_at is null",
        vec![id.0.into(), tenant.0.into(), name.into()],
    )
}

pub fn revoke(tenant: TenantId, id: ApiKeyId, at: Timestamp) -> Step {
    Step::one(
        "update api_keys set revoked_at = $3
         where id = $1 and tenant_id = $2 and revoked_at is null",
        vec![id.0.into(), tenant.0.into(), at.into()],
    )
}

/// Ends all keys that act for the account.
pub fn revoke_of_account(tenant: TenantId, account: ServiceAccountId, at: Timestamp) -> Step {
    Step::new(
        "update api_keys set revoked_at = $3
         where tenant_id = $1 and service_account_id = $2 and revoked_at is null",
        vec![tenant.0.into(), account.0.into(), at.into()],
    )
}

/// What a rotation does to the key that goes.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    pub tenant: TenantId,
    pub old: ApiKeyId,
    pub new: ApiKeyId,
    /// The end of the overlap; a key that ends sooner anyway still does.
    pub ends_at: Timestamp,
}

/// Names the successor and brings the end forward. A key has one successor, and a revoked one none.
pub fn rotate(rotation: &Rotation) -> Step {
    Step::one(
        "update api_keys set rotated_to = $3,
         expires_at = case when expires_at < $4 then expires_at else $4 end
         where id = $1 and tenant_id = $2 and rotated_to is null and revoked_at is null",
        vec![
            rotation.old.0.into(),
            rotation.tenant.0.into(),
            rotation.new.0.into(),
            rotation.ends_at.into(),
        ],
    )
}

/// Gives a key that was its own account one that it acts for from now on.
pub fn join_account(tenant: TenantId, id: ApiKeyId, account: ServiceAccountId) -> Step {
    Step::new(
        "update api_keys set service_account_id = $3
         where id = $1 and tenant_id = $2 and service_account_id is null",
        vec![id.0.into(), tenant.0.into(), account.0.into()],
    )
}

/// Remembers a use; never moves it back.
pub fn used(tenant: TenantId, id: ApiKeyId, at: Timestamp) -> Step {
    Step::new(
        "update api_keys set last_used_at = $3
         where id = $1 and tenant_id = $2 and (last_used_at is null or last_used_at < $3)",
        vec![id.0.into(), tenant.0.into(), at.into()],
    )
}

pub async fn find_by_secret(
    db: &dyn Backend,
    secret_hash: u128,
) -> Result<Option<ApiKey>, StoreError> {
    let sql = format!("select {COLUMNS} where secret_hash = $1");
    db.query("api_keys", &sql, &[secret_hash.into()]).await?.first().map(read).transpose()
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    id: ApiKeyId,
) -> Result<Option<ApiKey>, StoreError> {
    let sql = format!("select {COLUMNS} where id = $1 and tenant_id = $2");
    let params = [id.0.into(), tenant.0.into()];
    db.query("api_keys", &sql, &params).await?.first().map(read).transpose()
}

/// Newest first, below `before`.
pub async fn list(
    db: &dyn Backend,
    tenant: TenantId,
    before: ApiKeyId,
    limit: i64,
) -> Result<Vec<ApiKey>, StoreError> {
    let sql =
        format!("select {COLUMNS} where tenant_id = $1 and id < $2 order by id desc limit $3");
    let params = [tenant.0.into(), before.0.into(), limit.into()];
    db.query("api_keys", &sql, &params).await?.iter().map(read).collect()
}

/// The keys of a service account, newest first.
pub async fn of_service_account(
    db: &dyn Backend,
    tenant: TenantId,
    account: ServiceAccountId,
    limit: i64,
) -> Result<Vec<ApiKey>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where tenant_id = $1 and service_account_id = $2
         order by id desc limit $3"
    );
    let params = [tenant.0.into(), account.0.into(), limit.into()];
    db.query("api_keys", &sql, &params).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<ApiKey, StoreError> {
    Ok(ApiKey {
        id: ApiKeyId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        name: row.text(2)?.to_owned(),
        scopes: row.text(3)?.split_whitespace().filter_map(Scope::from_name).collect(),
        created_at: row.time(4)?,
        expires_at: row.opt_time(5)?,
        revoked_at: row.opt_time(6)?,
        service_account: row.opt_id(7)?.map(ServiceAccountId),
        rotated_to: row.opt_id(8)?.map(ApiKeyId),
        last_used_at: row.opt_time(9)?,
    })
}
