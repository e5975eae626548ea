//! API keys: found by the hash of their secret, never by the secret.

use caudal_domain::{
    Actor, ApiKeyId, ServiceAccountId, TenantId, Timestamp,
    access::{ApiKey, Scope},
};

use crate::{Backend, Row, Step, StoreError};

const COLUMNS: &str = "id, tenant_id, name, scopes, created_at, expires_at, revoked_at, \
     service_account_id, rotated_to, last_used_at, made_by_kind, made_by from api_keys";

/// `secret_hash` is 128 bits of SHA-256 of the secret.
pub fn insert(key: &ApiKey, secret_hash: u128) -> Step {
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
    let (made_by_kind, made_by) = key.made_by.map(Actor::parts).unzip();
    Step::one(
        "insert into api_keys (id, tenant_id, secret_hash, name, scopes, created_at, expires_at,
         service_account_id, made_by_kind, made_by)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        vec![
            key.id.0.into(),
            key.tenant.0.into(),
            secret_hash.into(),
            key.name.clone().into(),
            scopes.join(" ").into(),
            key.created_at.into(),
            key.expires_at.into(),
            key.service_account.map(|id| id.0).into(),
            made_by_kind.into(),
            made_by.flatten().into(),
        ],
    )
}

/// Misses when the key has another name by now, or is revoked.
pub fn rename(tenant: TenantId, id: ApiKeyId, (from, to): (&str, &str)) -> Step {
    Step::one(
        "update api_keys set name = $3
         where id = $1 and tenant_id = $2 and name = $4 and revoked_at is null",
        vec![id.0.into(), tenant.0.into(), to.into(), from.into()],
    )
}

pub fn revoke(tenant: TenantId, id: ApiKeyId, at: Timestamp) -> Step {
    Step::one(
        "update api_keys set revoked_at = $3
         where id = $1 and tenant_id = $2 and revoked_at is null",
        vec![id.0.into(), tenant.0.into(), at.into()],
    )
}

/// Misses when it is revoked or ends at another time than was known. For whoever makes another key
/// with it, after [`crate::tenants::hold`].
pub fn stays(tenant: TenantId, id: ApiKeyId, ends_at: Option<Timestamp>) -> Step {
    let place = vec![id.0.into(), tenant.0.into()];
    match ends_at {
        None => Step::one(
            "update api_keys set revoked_at = null where id = $1 and tenant_id = $2
             and revoked_at is null and expires_at is null",
            place,
        ),
        Some(at) => Step::one(
            "update api_keys set revoked_at = null where id = $1 and tenant_id = $2
             and revoked_at is null and expires_at = $3",
            place.into_iter().chain([at.into()]).collect(),
        ),
    }
}

/// `line`: the key `$2` of the tenant `$1`, all keys that it made, and those that they made.
macro_rules! of_line {
    ($statement:literal) => {
        concat!(
            "with recursive line (id) as (
                 select id from api_keys where tenant_id = $1 and id = $2
                 union
                 select made.id from api_keys made join line on made.made_by = line.id
                 where made.tenant_id = $1 and made.made_by_kind = 'api_key'
             ) ",
            $statement,
            " where tenant_id = $1 and id in (select id from line)"
        )
    };
}

/// Ends the key and all keys that it made, and those that they made. After
/// [`crate::tenants::hold`], so that none is being made meanwhile.
pub fn revoke_with_descendants(tenant: TenantId, id: ApiKeyId, at: Timestamp) -> Step {
    Step::new(
        concat!(of_line!("update api_keys set revoked_at = $3"), " and revoked_at is null"),
        vec![tenant.0.into(), id.0.into(), at.into()],
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

/// Which keys to list.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    pub tenant: TenantId,
    pub made_by: Option<Actor>,
    pub before: ApiKeyId,
    pub limit: i64,
}

/// Newest first.
pub async fn list(db: &dyn Backend, filter: &Filter) -> Result<Vec<ApiKey>, StoreError> {
    let Filter { tenant, made_by, before, limit } = *filter;
    let mut params = vec![tenant.0.into(), before.0.into(), limit.into()];
    let by = made_by.map_or("", |actor| {
        let (kind, id) = actor.parts();
        params.extend([kind.into(), id.into()]);
        " and made_by_kind = $4 and made_by = $5"
    });
    let sql =
        format!("select {COLUMNS} where tenant_id = $1 and id < $2{by} order by id desc limit $3");
    db.query("api_keys", &sql, &params).await?.iter().map(read).collect()
}

/// The key, all keys that it made, and those that they made.
pub async fn with_descendants(
    db: &dyn Backend,
    tenant: TenantId,
    id: ApiKeyId,
) -> Result<Vec<ApiKey>, StoreError> {
    let sql = format!(concat!(of_line!("select {}"), " order by id"), COLUMNS);
    let params = [tenant.0.into(), id.0.into()];
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
        made_by: made_by(row)?,
    })
}

fn made_by(row: &Row) -> Result<Option<Actor>, StoreError> {
    let Some(kind) = row.opt_text(10)? else { return Ok(None) };
    row.decode(10, Actor::from_parts(kind, row.opt_id(11)?)).map(Some)
}
