//! Sessions and their refresh tokens. A token is found by its hash, used once, and followed by the
//! next one; whoever comes with a used one is told apart by when it was used.

use caudal_domain::{Session, SessionId, TenantId, Timestamp, UserId, UserStatus};

use crate::{Backend, Row, Step, StoreError, Value};

const COLUMNS: &str = "s.id, s.tenant_id, s.user_id, s.created_at, s.last_used_at, s.expires_at, \
     s.revoked_at, s.address, s.user_agent, s.auth_at, s.second_factor_at";
/// Of [`COLUMNS`].
const COLUMN_COUNT: usize = 11;

/// 128 bits of SHA-256 of the token are all that is stored of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    pub hash: u128,
    pub session: SessionId,
    pub tenant: TenantId,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
    pub used_at: Option<Timestamp>,
}

/// A session with its first token. Misses where the second factor that is in force was not given:
/// looked at here, after the user's row was locked, or it might come meanwhile.
pub fn start(session: &Session, token: &RefreshToken) -> [Step; 2] {
    let insert = Step::one(
        "insert into sessions (id, tenant_id, user_id, created_at, last_used_at, expires_at,
         address, user_agent, auth_at, second_factor_at)
         select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 where not exists (
           select 1 from totp where user_id = $3 and tenant_id = $2
             and confirmed_at is not null and (confirmed_at = $10) is null)",
        vec![
            session.id.0.into(),
            session.tenant.0.into(),
            session.user.0.into(),
            session.created_at.into(),
            session.last_used_at.into(),
            session.expires_at.into(),
            session.address.clone().into(),
            session.user_agent.clone().into(),
            session.auth_at.into(),
            session.second_factor_at.into(),
        ],
    );
    [insert, issue(token)]
}

/// A use of a session: when and from where.
#[derive(Clone, Debug)]
pub struct Use {
    pub at: Timestamp,
    pub address: Option<String>,
    pub user_agent: Option<String>,
}

/// The old token is used up, the new one takes its place. Of two at once one misses at step
/// [`USED_UP`]; a session that has ended misses at the last.
pub fn rotate(old: u128, new: &RefreshToken, used: &Use) -> [Step; 3] {
    [use_up(old, used.at), issue(new), touch(new, used)]
}

/// The step of [`rotate`] that misses for a token that was used before.
pub const USED_UP: usize = 0;

/// One more token for a session whose last answer was lost: the old token stays as it is.
pub fn rotate_again(new: &RefreshToken, used: &Use) -> [Step; 2] {
    [issue(new), touch(new, used)]
}

fn use_up(hash: u128, at: Timestamp) -> Step {
    Step::one(
        "update refresh_tokens set used_at = $2
         where hash = $1 and used_at is null and expires_at > $2",
        vec![hash.into(), at.into()],
    )
}

fn issue(token: &RefreshToken) -> Step {
    Step::one(
        "insert into refresh_tokens (hash, session_id, tenant_id, issued_at, expires_at)
         values ($1, $2, $3, $4, $5)",
        vec![
            token.hash.into(),
            token.session.0.into(),
            token.tenant.0.into(),
            token.issued_at.into(),
            token.expires_at.into(),
        ],
    )
}

fn touch(token: &RefreshToken, used: &Use) -> Step {
    Step::one(
        "update sessions set last_used_at = $3, address = $4, user_agent = $5
         where id = $1 and tenant_id = $2 and revoked_at is null and expires_at > $3",
        vec![
            token.session.0.into(),
            token.tenant.0.into(),
            used.at.into(),
            used.address.clone().into(),
            used.user_agent.clone().into(),
        ],
    )
}

/// A second factor was given in a session that goes on: a step-up.
pub fn stepped_up(tenant: TenantId, id: SessionId, at: Timestamp) -> Step {
    Step::one(
        "update sessions set second_factor_at = $3
         where id = $1 and tenant_id = $2 and revoked_at is null and expires_at > $3",
        vec![id.0.into(), tenant.0.into(), at.into()],
    )
}

/// The password was given again, in a session of somebody who has no second factor (any more).
pub fn proven_by_password(tenant: TenantId, id: SessionId, at: Timestamp) -> Step {
    Step::one(
        "update sessions set auth_at = $3, second_factor_at = null
         where id = $1 and tenant_id = $2 and revoked_at is null and expires_at > $3",
        vec![id.0.into(), tenant.0.into(), at.into()],
    )
}

/// Misses when it has been revoked before.
pub fn revoke(tenant: TenantId, id: SessionId, at: Timestamp) -> Step {
    Step::one(
        "update sessions set revoked_at = $3
         where id = $1 and tenant_id = $2 and revoked_at is null",
        vec![id.0.into(), tenant.0.into(), at.into()],
    )
}

/// A user's sessions, perhaps but for the one that asks.
#[derive(Clone, Copy, Debug)]
pub struct Others {
    pub tenant: TenantId,
    pub user: UserId,
    pub except: Option<SessionId>,
}

pub fn revoke_all_of_user(others: &Others, at: Timestamp) -> Step {
    // No session has the id zero.
    let except = others.except.map_or(0, |id| id.0);
    Step::new(
        "update sessions set revoked_at = $4
         where tenant_id = $1 and user_id = $2 and id <> $3 and revoked_at is null",
        vec![others.tenant.0.into(), others.user.0.into(), except.into(), at.into()],
    )
}

/// Where an erased user's sessions came from.
pub fn forget_origins(tenant: TenantId, user: UserId) -> Step {
    Step::new(
        "update sessions set address = null, user_agent = null
         where tenant_id = $1 and user_id = $2",
        vec![tenant.0.into(), user.0.into()],
    )
}

/// What ended before `at` is of no more use to anybody.
pub fn remove_expired(at: Timestamp) -> [Step; 2] {
    [
        Step::new("delete from refresh_tokens where expires_at < $1", vec![at.into()]),
        Step::new("delete from sessions where expires_at < $1", vec![at.into()]),
    ]
}

/// A token with all that decides about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundToken {
    pub token: RefreshToken,
    pub session: Session,
    pub user_status: UserStatus,
}

pub async fn find_token(db: &dyn Backend, hash: u128) -> Result<Option<FoundToken>, StoreError> {
    let sql = format!(
        "select {COLUMNS}, t.issued_at, t.expires_at, t.used_at, u.status
         from refresh_tokens t
         join sessions s on s.id = t.session_id and s.tenant_id = t.tenant_id
         join users u on u.id = s.user_id and u.tenant_id = s.tenant_id
         where t.hash = $1"
    );
    let rows = db.query("refresh_tokens", &sql, &[hash.into()]).await?;
    rows.first().map(|row| read_token(hash, row)).transpose()
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    id: SessionId,
) -> Result<Option<Session>, StoreError> {
    let sql = format!("select {COLUMNS} from sessions s where s.id = $1 and s.tenant_id = $2");
    let params = [id.0.into(), tenant.0.into()];
    db.query("sessions", &sql, &params).await?.first().map(read).transpose()
}

/// A page of a user's sessions, newest first.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    pub tenant: TenantId,
    pub user: UserId,
    /// Only those alive at this instant.
    pub live_at: Option<Timestamp>,
    pub before: SessionId,
    pub limit: i64,
}

pub async fn list(db: &dyn Backend, filter: &Filter) -> Result<Vec<Session>, StoreError> {
    let mut params: Vec<Value> = vec![
        filter.tenant.0.into(),
        filter.user.0.into(),
        filter.before.0.into(),
        filter.limit.into(),
    ];
    let mut live = "";
    if let Some(at) = filter.live_at {
        params.push(at.into());
        live = "and s.revoked_at is null and s.expires_at > $5";
    }
    let sql = format!(
        "select {COLUMNS} from sessions s
         where s.tenant_id = $1 and s.user_id = $2 and s.id < $3 {live}
         order by s.id desc limit $4"
    );
    db.query("sessions", &sql, &params).await?.iter().map(read).collect()
}

fn read_token(hash: u128, row: &Row) -> Result<FoundToken, StoreError> {
    let session = read(row)?;
    let token = RefreshToken {
        hash,
        session: session.id,
        tenant: session.tenant,
        issued_at: row.time(COLUMN_COUNT)?,
        expires_at: row.time(COLUMN_COUNT + 1)?,
        used_at: row.opt_time(COLUMN_COUNT + 2)?,
    };
    let status = COLUMN_COUNT + 3;
    let user_status = row.decode(status, UserStatus::from_name(row.text(status)?))?;
    Ok(FoundToken { token, session, user_status })
}

fn read(row: &Row) -> Result<Session, StoreError> {
    Ok(Session {
        id: SessionId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        user: UserId(row.id(2)?),
        created_at: row.time(3)?,
        last_used_at: row.time(4)?,
        expires_at: row.time(5)?,
        revoked_at: row.opt_time(6)?,
        address: row.opt_text(7)?.map(str::to_owned),
        user_agent: row.opt_text(8)?.map(str::to_owned),
        auth_at: row.time(9)?,
        second_factor_at: row.opt_time(10)?,
    })
}
