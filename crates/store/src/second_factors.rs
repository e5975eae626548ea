//! Second factors: the sealed seed of a user's TOTP with the last step used, and recovery codes.

use std::fmt;

use caudal_domain::{TenantId, Timestamp, UserId};

use crate::{Backend, Row, Step, StoreError};

#[derive(Clone, PartialEq, Eq)]
pub struct Totp {
    pub user: UserId,
    pub tenant: TenantId,
    /// Sealed.
    pub seed: String,
    /// `None`: proposed, not in force.
    pub confirmed_at: Option<Timestamp>,
    /// Steps up to this one are spent.
    pub last_step: Option<i64>,
}

impl fmt::Debug for Totp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Totp")
            .field("user", &self.user)
            .field("confirmed_at", &self.confirmed_at)
            .field("last_step", &self.last_step)
            .finish_non_exhaustive()
    }
}

/// In place of an earlier proposal. Misses when one is in force.
pub fn propose_totp(tenant: TenantId, user: UserId, seed: &str) -> Step {
    Step::one(
        "insert into totp (user_id, tenant_id, seed) values ($1, $2, $3)
         on conflict (user_id) do update set seed = excluded.seed
         where totp.tenant_id = excluded.tenant_id and totp.confirmed_at is null",
        vec![user.0.into(), tenant.0.into(), seed.into()],
    )
}

/// A right answer for a step of the clock.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    pub tenant: TenantId,
    pub user: UserId,
    pub step: i64,
}

/// Puts the proposal into force, if it still has the seed that was answered for.
pub fn confirm_totp(answered: &Answered, seed: &str, at: Timestamp) -> Step {
    Step::one(
        "update totp set confirmed_at = $5, last_step = $3
         where user_id = $1 and tenant_id = $2 and seed = $4 and confirmed_at is null",
        vec![
            answered.user.0.into(),
            answered.tenant.0.into(),
            answered.step.into(),
            seed.into(),
            at.into(),
        ],
    )
}

/// Spends the step. Misses when it, or a later one, was spent before.
pub fn advance_totp(answered: &Answered) -> Step {
    Step::one(
        "update totp set last_step = $3
         where user_id = $1 and tenant_id = $2 and confirmed_at is not null
           and (last_step is null or last_step < $3)",
        vec![answered.user.0.into(), answered.tenant.0.into(), answered.step.into()],
    )
}

/// Misses when there is none in force, and locks it.
pub fn in_force(tenant: TenantId, user: UserId) -> Step {
    Step::one(
        "update totp set last_step = last_step
         where user_id = $1 and tenant_id = $2 and confirmed_at is not null",
        vec![user.0.into(), tenant.0.into()],
    )
}

/// The same seed under another key. Misses when it is no longer the one that was read.
pub fn reseal_totp(old: &Totp, seed: &str) -> Step {
    Step::one(
        "update totp set seed = $4 where user_id = $1 and tenant_id = $2 and seed = $3",
        vec![old.user.0.into(), old.tenant.0.into(), old.seed.as_str().into(), seed.into()],
    )
}

/// Takes TOTP and the recovery codes away.
pub fn remove(tenant: TenantId, user: UserId) -> [Step; 2] {
    let params = vec![user.0.into(), tenant.0.into()];
    let totp = "delete from totp where user_id = $1 and tenant_id = $2";
    [Step::new(totp, params), remove_recovery_codes(tenant, user)]
}

pub async fn find_totp(
    db: &dyn Backend,
    tenant: TenantId,
    user: UserId,
) -> Result<Option<Totp>, StoreError> {
    let sql = "select user_id, tenant_id, seed, confirmed_at, last_step from totp
         where user_id = $1 and tenant_id = $2";
    let params = [user.0.into(), tenant.0.into()];
    db.query("totp", sql, &params).await?.first().map(read).transpose()
}

/// The seeds of all tenants in the order of users, for sealing them anew.
pub async fn totp_after(
    db: &dyn Backend,
    user: UserId,
    limit: i64,
) -> Result<Vec<Totp>, StoreError> {
    let sql = "select user_id, tenant_id, seed, confirmed_at, last_step from totp
         where user_id > $1 order by user_id limit $2";
    db.query("totp", sql, &[user.0.into(), limit.into()]).await?.iter().map(read).collect()
}

/// `hash` is 128 bits of a hash of the code.
pub fn insert_recovery_code(tenant: TenantId, user: UserId, hash: u128) -> Step {
    Step::one(
        "insert into recovery_codes (user_id, hash, tenant_id) values ($1, $2, $3)",
        vec![user.0.into(), hash.into(), tenant.0.into()],
    )
}

/// Misses when there is no such code or it was used. Of two at once one misses.
pub fn use_recovery_code(tenant: TenantId, user: UserId, hash: u128, at: Timestamp) -> Step {
    Step::one(
        "update recovery_codes set used_at = $4
         where user_id = $1 and hash = $2 and tenant_id = $3 and used_at is null",
        vec![user.0.into(), hash.into(), tenant.0.into(), at.into()],
    )
}

pub fn remove_recovery_codes(tenant: TenantId, user: UserId) -> Step {
    Step::new(
        "delete from recovery_codes where user_id = $1 and tenant_id = $2",
        vec![user.0.into(), tenant.0.into()],
    )
}

/// How many are left.
pub async fn count_recovery_codes(
    db: &dyn Backend,
    tenant: TenantId,
    user: UserId,
) -> Result<i64, StoreError> {
    let sql = "select count(*) from recovery_codes
         where user_id = $1 and tenant_id = $2 and used_at is null";
    let rows = db.query("recovery_codes", sql, &[user.0.into(), tenant.0.into()]).await?;
    rows.first().map_or(Ok(0), |row| row.int(0))
}

fn read(row: &Row) -> Result<Totp, StoreError> {
    Ok(Totp {
        user: UserId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        seed: row.text(2)?.to_owned(),
        confirmed_at: row.opt_time(3)?,
        last_step: row.opt_int(4)?,
    })
}
