//! One-time codes, found by their hash. Each is used once, in time, after few wrong attempts.

use std::fmt;

use caudal_domain::{CodePurpose, TenantId, Timestamp, UserId};

use crate::{Backend, Row, Step, StoreError};

#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    /// 128 bits of SHA-256 of the code.
    pub hash: u128,
    pub tenant: TenantId,
    pub user: UserId,
    pub purpose: CodePurpose,
    /// What its use needs, sealed.
    pub data: Option<String>,
    pub expires_at: Timestamp,
    pub used_at: Option<Timestamp>,
    /// Wrong answers so far, where using it takes one.
    pub attempts: i64,
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code")
            .field("user", &self.user)
            .field("purpose", &self.purpose)
            .field("expires_at", &self.expires_at)
            .field("used_at", &self.used_at)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

pub fn insert(code: &Code) -> Step {
    Step::one(
        "insert into codes (hash, tenant_id, user_id, purpose, data, expires_at)
         values ($1, $2, $3, $4, $5, $6)",
        vec![
            code.hash.into(),
            code.tenant.0.into(),
            code.user.0.into(),
            code.purpose.name().into(),
            code.data.clone().into(),
            code.expires_at.into(),
        ],
    )
}

/// Misses when it was used, has expired or is for something else. Of two at once one misses.
pub fn use_up(hash: u128, purpose: CodePurpose, at: Timestamp) -> Step {
    Step::one(
        "update codes set used_at = $3
         where hash = $1 and purpose = $2 and used_at is null and expires_at > $3",
        vec![hash.into(), purpose.name().into(), at.into()],
    )
}

/// Counts an answer before it is looked at, so that many at once are all counted. Misses when there
/// were `most` already, or the code is no longer good.
pub fn count_attempt(hash: u128, most: i64, at: Timestamp) -> Step {
    Step::one(
        "update codes set attempts = attempts + 1
         where hash = $1 and attempts < $2 and used_at is null and expires_at > $3",
        vec![hash.into(), most.into(), at.into()],
    )
}

/// Makes a user's unused codes of one purpose worthless: a newer one was sent, or there is no more
/// need.
pub fn void(tenant: TenantId, user: UserId, purpose: CodePurpose, at: Timestamp) -> Step {
    Step::new(
        "update codes set used_at = $4
         where tenant_id = $1 and user_id = $2 and purpose = $3 and used_at is null",
        vec![tenant.0.into(), user.0.into(), purpose.name().into(), at.into()],
    )
}

/// All of a user's, for erasure.
pub fn remove_of_user(tenant: TenantId, user: UserId) -> Step {
    Step::new(
        "delete from codes where tenant_id = $1 and user_id = $2",
        vec![tenant.0.into(), user.0.into()],
    )
}

pub fn remove_expired(at: Timestamp) -> Step {
    Step::new("delete from codes where expires_at < $1", vec![at.into()])
}

pub async fn find(db: &dyn Backend, hash: u128) -> Result<Option<Code>, StoreError> {
    let sql = "select hash, tenant_id, user_id, purpose, data, expires_at, used_at, attempts
         from codes where hash = $1";
    db.query("codes", sql, &[hash.into()]).await?.first().map(read).transpose()
}

fn read(row: &Row) -> Result<Code, StoreError> {
    Ok(Code {
        hash: row.id(0)?,
        tenant: TenantId(row.id(1)?),
        user: UserId(row.id(2)?),
        purpose: row.decode(3, CodePurpose::from_name(row.text(3)?))?,
        data: row.opt_text(4)?.map(str::to_owned),
        expires_at: row.time(5)?,
        used_at: row.opt_time(6)?,
        attempts: row.int(7)?,
    })
}
