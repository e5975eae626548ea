//! Users as stored: found by id, by the hash of an address, by a foreign issuer's name for them.
//! What is sealed here is opened elsewhere.

use std::fmt;

use caudal_domain::{RoleRef, TenantId, Timestamp, UserId, UserStatus};

use crate::{Backend, Row, Step, StoreError, Value, guesses::Guessed, roles};

/// A user's row with its roles and the person's key.
#[derive(Clone, PartialEq, Eq)]
pub struct UserRow {
    pub id: UserId,
    pub tenant: TenantId,
    /// HMAC of tenant and address; `None` without an address, and once erased.
    pub email_hash: Option<u128>,
    /// Sealed with the person's key.
    pub profile: Option<String>,
    /// PHC string; `None` for those who come from a foreign issuer, and once erased.
    pub password: Option<String>,
    pub status: UserStatus,
    pub email_verified_at: Option<Timestamp>,
    /// Wrong passwords and codes at the door, since the last right one or the last lock.
    pub failed_logins: i64,
    pub locked_until: Option<Timestamp>,
    /// The same in sessions, where a proof is asked for again.
    pub failed_proofs: i64,
    pub proofs_locked_until: Option<Timestamp>,
    /// What a deactivated user was before.
    pub deactivated_from: Option<UserStatus>,
    pub foreign: Option<Foreign>,
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The person's key, sealed by the vault. Written by [`crate::person_keys`].
    pub person_key: Option<String>,
    /// Written by [`roles::give`].
    pub roles: Vec<RoleRef>,
}

impl UserRow {
    pub fn is_locked(&self, now: Timestamp) -> bool {
        self.is_locked_out_of(Guessed::Logins, now)
    }

    pub fn is_locked_out_of(&self, guessed: Guessed, now: Timestamp) -> bool {
        let until = match guessed {
            Guessed::Logins => self.locked_until,
            Guessed::Proofs => self.proofs_locked_until,
        };
        until.is_some_and(|until| now < until)
    }
}

/// Neither profile, password nor key: what is printed for debugging ends in logs.
impl fmt::Debug for UserRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserRow")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("status", &self.status)
            .field("failed_logins", &self.failed_logins)
            .field("locked_until", &self.locked_until)
            .field("failed_proofs", &self.failed_proofs)
            .field("proofs_locked_until", &self.proofs_locked_until)
            .field("version", &self.version)
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}

/// Who a foreign issuer says somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    pub issuer: String,
    pub subject: String,
}

/// Misses when the tenant has the address, or the foreign issuer's user, already. Its roles and its
/// person's key are steps of their own.
pub fn insert(user: &UserRow) -> Step {
    Step::one(
        "insert into users (id, tenant_id, email_hash, profile, password, status,
         email_verified_at, issuer, subject, version, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         on conflict do nothing",
        vec![
            user.id.0.into(),
            user.tenant.0.into(),
            user.email_hash.into(),
            user.profile.clone().into(),
            user.password.clone().into(),
            user.status.name().into(),
            user.email_verified_at.into(),
            user.foreign.as_ref().map(|foreign| foreign.issuer.as_str()).into(),
            user.foreign.as_ref().map(|foreign| foreign.subject.as_str()).into(),
            user.version.into(),
            user.created_at.into(),
            user.updated_at.into(),
        ],
    )
}

/// Which row is changed, and to which version: the row must have the one before it.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    pub tenant: TenantId,
    pub id: UserId,
    pub version: i64,
    pub at: Timestamp,
}

impl Change {
    /// `$1` to `$4`, then the others.
    fn params(&self, others: impl IntoIterator<Item = Value>) -> Vec<Value> {
        let mut params =
            vec![self.id.0.into(), self.tenant.0.into(), self.version.into(), self.at.into()];
        params.extend(others);
        params
    }
}

/// Writes the sealed profile and the address's hash. Misses when another has the address.
pub fn update_profile(change: &Change, profile: &str, email_hash: Option<u128>) -> Step {
    Step::one(
        "update users set profile = $5, email_hash = $6, version = $3, updated_at = $4
         where id = $1 and tenant_id = $2 and version = $3 - 1 and status <> 'erased'",
        change.params([profile.into(), email_hash.into()]),
    )
}

/// The address is proven: what was pending becomes active.
pub fn verified(change: &Change) -> Step {
    Step::one(
        "update users set email_verified_at = $4, version = $3, updated_at = $4,
         status = case when status = 'pending' then 'active' else status end
         where id = $1 and tenant_id = $2 and version = $3 - 1 and status <> 'erased'",
        change.params([]),
    )
}

/// Any status but erased, for which there is [`erase`].
pub fn set_status(change: &Change, status: UserStatus) -> Step {
    Step::one(
        "update users set status = $5, version = $3, updated_at = $4,
         deactivated_from = case when $5 = 'deactivated' then status end
         where id = $1 and tenant_id = $2 and version = $3 - 1 and status <> 'erased'",
        change.params([status.name().into()]),
    )
}

/// Counts a change that stands in other tables: of roles.
pub fn touch(change: &Change) -> Step {
    Step::one(
        "update users set version = $3, updated_at = $4
         where id = $1 and tenant_id = $2 and version = $3 - 1 and status <> 'erased'",
        change.params([]),
    )
}

/// Locks the row until the commit. Whatever changes what a user proves themselves with begins by
/// it, so that such units come one after the other, and none waits for another in a circle.
pub fn lock(tenant: TenantId, id: UserId) -> Step {
    Step::one(
        "update users set version = version
         where id = $1 and tenant_id = $2 and status <> 'erased'",
        vec![id.0.into(), tenant.0.into()],
    )
}

/// Leaves the id alone. The person's key, sessions, codes, roles, second factors and mails are the
/// steps of their own files.
pub fn erase(change: &Change) -> Step {
    Step::one(
        "update users set status = 'erased', version = $3, updated_at = $4, email_hash = null,
         profile = null, password = null, email_verified_at = null, failed_logins = 0,
         locked_until = null, failed_proofs = 0, proofs_locked_until = null, issuer = null,
         subject = null
         where id = $1 and tenant_id = $2 and version = $3 - 1 and status <> 'erased'",
        change.params([]),
    )
}

/// Sets a password after its owner was proven by other means; whoever was locked out is let in.
pub fn reset_password(tenant: TenantId, id: UserId, password: &str, at: Timestamp) -> Step {
    Step::one(
        "update users set password = $3, updated_at = $4, failed_logins = 0, locked_until = null,
         failed_proofs = 0, proofs_locked_until = null
         where id = $1 and tenant_id = $2 and status <> 'erased'",
        vec![id.0.into(), tenant.0.into(), password.into(), at.into()],
    )
}

/// A password in place of the one that was just verified.
#[derive(Clone)]
pub struct Replacement {
    pub tenant: TenantId,
    pub id: UserId,
    pub old: String,
    pub new: String,
    pub at: Timestamp,
}

impl fmt::Debug for Replacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replacement").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Misses when the password is another one by now. Also for the same one hashed anew.
pub fn replace_password(replacement: &Replacement) -> Step {
    Step::one(
        "update users set password = $4, updated_at = $5
         where id = $1 and tenant_id = $2 and password = $3",
        vec![
            replacement.id.0.into(),
            replacement.tenant.0.into(),
            replacement.old.as_str().into(),
            replacement.new.as_str().into(),
            replacement.at.into(),
        ],
    )
}

/// Somebody at the door, with the password that was found right.
#[derive(Clone)]
pub struct Entering {
    pub tenant: TenantId,
    pub id: UserId,
    /// PHC string.
    pub password: String,
    pub at: Timestamp,
}

impl Entering {
    fn params(&self) -> Vec<Value> {
        let password = self.password.as_str().into();
        vec![self.id.0.into(), self.tenant.0.into(), self.at.into(), password]
    }
}

/// Misses for whoever is locked out or may not log in, and when the password is another one by now:
/// a login that was slow does not get past what happened meanwhile.
pub fn may_enter(entering: &Entering) -> Step {
    Step::one(
        "update users set version = version
         where id = $1 and tenant_id = $2 and status = 'active' and password = $4
           and (locked_until is null or locked_until <= $3)",
        entering.params(),
    )
}

/// The same, and forgets the failures.
pub fn login_succeeded(entering: &Entering) -> Step {
    Step::one(
        "update users set failed_logins = 0, locked_until = null
         where id = $1 and tenant_id = $2 and status = 'active' and password = $4
           and (locked_until is null or locked_until <= $3)",
        entering.params(),
    )
}

/// A second factor was given in a session: forgets the failures. Misses while proofs are locked.
pub fn proven(tenant: TenantId, id: UserId, at: Timestamp) -> Step {
    Step::one(
        "update users set failed_proofs = 0, proofs_locked_until = null
         where id = $1 and tenant_id = $2 and status <> 'erased'
           and (proofs_locked_until is null or proofs_locked_until <= $3)",
        vec![id.0.into(), tenant.0.into(), at.into()],
    )
}

/// The same of a password. Where there is a second factor, the failures stay: else who has the
/// password could guess codes for ever.
pub fn password_given(tenant: TenantId, id: UserId, at: Timestamp) -> Step {
    Step::one(
        "update users set proofs_locked_until = null,
         failed_proofs = case when exists (
           select 1 from totp where user_id = $1 and tenant_id = $2 and confirmed_at is not null)
           then failed_proofs else 0 end
         where id = $1 and tenant_id = $2 and status <> 'erased'
           and (proofs_locked_until is null or proofs_locked_until <= $3)",
        vec![id.0.into(), tenant.0.into(), at.into()],
    )
}

/// The users that `condition` picks, with their roles and keys: a row for each role.
fn select(condition: &str) -> String {
    format!(
        "select u.id, u.tenant_id, u.email_hash, u.profile, u.password, u.status,
         u.email_verified_at, u.failed_logins, u.locked_until, u.issuer, u.subject, u.version,
         u.created_at, u.updated_at, u.failed_proofs, u.proofs_locked_until, u.deactivated_from,
         k.sealed, r.role
         from (select * from users where {condition}) u
         left join person_keys k on k.user_id = u.id and k.tenant_id = u.tenant_id
         left join user_roles r on r.user_id = u.id and r.tenant_id = u.tenant_id
         order by u.id desc, r.role"
    )
}

async fn run(db: &dyn Backend, sql: &str, params: &[Value]) -> Result<Vec<UserRow>, StoreError> {
    let mut users: Vec<UserRow> = Vec::new();
    for row in db.query("users", sql, params).await? {
        let id = row.id(0)?;
        if users.last().is_none_or(|last| last.id.0 != id) {
            users.push(read(&row)?);
        }
        if let (Some(role), Some(user)) = (row.opt_id(18)?, users.last_mut()) {
            user.roles.push(roles::decode(role));
        }
    }
    Ok(users)
}

async fn one(db: &dyn Backend, condition: &str, params: &[Value]) -> Found {
    Ok(run(db, &select(condition), params).await?.pop())
}

/// What a look-up of one user answers.
pub type Found = Result<Option<UserRow>, StoreError>;

pub async fn find(db: &dyn Backend, tenant: TenantId, id: UserId) -> Found {
    one(db, "id = $1 and tenant_id = $2", &[id.0.into(), tenant.0.into()]).await
}

pub async fn find_by_email(db: &dyn Backend, tenant: TenantId, email_hash: u128) -> Found {
    let params = [tenant.0.into(), email_hash.into()];
    one(db, "tenant_id = $1 and email_hash = $2", &params).await
}

pub async fn find_by_foreign(db: &dyn Backend, tenant: TenantId, foreign: &Foreign) -> Found {
    let (issuer, subject) = (foreign.issuer.as_str().into(), foreign.subject.as_str().into());
    let params = [tenant.0.into(), issuer, subject];
    one(db, "tenant_id = $1 and issuer = $2 and subject = $3", &params).await
}

/// A page of users, newest first.
#[derive(Clone, Debug)]
pub struct Filter {
    pub tenant: TenantId,
    pub status: Option<UserStatus>,
    /// Ids below this one.
    pub before: u128,
    /// Ids from this one on.
    pub from: u128,
    pub limit: i64,
}

pub async fn list(db: &dyn Backend, filter: &Filter) -> Result<Vec<UserRow>, StoreError> {
    let mut params: Vec<Value> =
        vec![filter.tenant.0.into(), filter.before.into(), filter.from.into(), filter.limit.into()];
    let mut condition = "tenant_id = $1 and id < $2 and id >= $3".to_owned();
    if let Some(status) = filter.status {
        params.push(status.name().into());
        condition.push_str(" and status = $5");
    }
    condition.push_str(" order by id desc limit $4");
    run(db, &select(&condition), &params).await
}

fn read(row: &Row) -> Result<UserRow, StoreError> {
    let text = |column| Ok::<_, StoreError>(row.opt_text(column)?.map(str::to_owned));
    let foreign = text(9)?.zip(text(10)?).map(|(issuer, subject)| Foreign { issuer, subject });
    let deactivated_from = match row.opt_text(16)? {
        Some(name) => Some(row.decode(16, UserStatus::from_name(name))?),
        None => None,
    };
    Ok(UserRow {
        id: UserId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        email_hash: row.opt_id(2)?,
        profile: text(3)?,
        password: text(4)?,
        status: row.decode(5, UserStatus::from_name(row.text(5)?))?,
        email_verified_at: row.opt_time(6)?,
        failed_logins: row.int(7)?,
        locked_until: row.opt_time(8)?,
        failed_proofs: row.int(14)?,
        proofs_locked_until: row.opt_time(15)?,
        deactivated_from,
        foreign,
        version: row.int(11)?,
        created_at: row.time(12)?,
        updated_at: row.time(13)?,
        person_key: text(17)?,
        roles: Vec::new(),
    })
}
