//! Sagas: steps outside, written down before they are done. Whoever works on one has leased it; the
//! lease counts `token`, and who writes with an older one writes nothing. A lease that ends is due
//! again.
//!
//! A worker asks what is [`due`], commits [`lease`] for all of it, and works on what it [`held`]
//! afterwards. The row is its own version's attachment, so a step and its money are one commit.

use caudal_domain::{SagaId, TenantId, Timestamp};

use crate::{AttachedRow, Attachment, Backend, Row, Step, StoreError, Value};

const COLUMNS: &str = "id, tenant_id, kind, subject, step, data, attempts, next_at, lease_until, \
     holder, token, outcome, finished_at, created_at, version from sagas";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaRow {
    pub id: SagaId,
    pub tenant: TenantId,
    pub kind: String,
    /// The id of what it is about: a payment, a refund, a payout.
    pub subject: u128,
    pub step: String,
    /// JSON.
    pub data: String,
    /// Leases so far, in this step; counted by whoever advances it.
    pub attempts: i64,
    /// When it is due; while leased, the lease's end.
    pub next_at: Timestamp,
    pub lease_until: Option<Timestamp>,
    /// Names the lease.
    pub holder: Option<u128>,
    pub token: i64,
    pub outcome: Option<String>,
    pub finished_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub version: i64,
}

/// With a holder, it is leased from the start: by the process that accepted the request.
pub fn insert(saga: &SagaRow) -> Step {
    Step::one(
        "insert into sagas (bucket, id, tenant_id, kind, subject, step, data, attempts, next_at,
         lease_until, holder, token, created_at, version)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        vec![
            saga.id.bucket().into(),
            saga.id.0.into(),
            saga.tenant.0.into(),
            saga.kind.as_str().into(),
            saga.subject.into(),
            saga.step.as_str().into(),
            saga.data.as_str().into(),
            saga.attempts.into(),
            saga.next_at.into(),
            saga.lease_until.into(),
            saga.holder.into(),
            saga.token.into(),
            saga.created_at.into(),
            saga.version.into(),
        ],
    )
    .inserting_lists(
        "insert into sagas (bucket, id, tenant_id, kind, subject, step, data, attempts, next_at,
         lease_until, holder, token, created_at, version)
         select * from unnest($1::int2[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[],
         $6::text[], $7::json[], $8::int8[], $9::timestamptz[], $10::timestamptz[], $11::uuid[],
         $12::int8[], $13::timestamptz[], $14::int8[])",
    )
}

/// Who takes what is due, from when until when.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// An id made for this lease: [`held`] finds by it what was won.
    pub holder: u128,
    pub now: Timestamp,
    pub until: Timestamp,
}

/// Takes those that nobody else took since they were seen; of the others nothing is written. In
/// the order in which all writers lock, so that two workers do not deadlock.
pub fn lease(seen: &[SagaRow], lease: &Lease) -> Vec<Step> {
    let mut seen: Vec<&SagaRow> = seen.iter().collect();
    seen.sort_by_key(|saga| (saga.id.bucket(), saga.id));
    seen.into_iter().map(|saga| lease_one(saga, lease)).collect()
}

fn lease_one(saga: &SagaRow, lease: &Lease) -> Step {
    Step::new(
        "update sagas set token = token + 1, version = version + 1, attempts = attempts + 1,
         holder = $4, next_at = $5, lease_until = $5
         where bucket = $1 and id = $2 and token = $3 and next_at <= $6 and finished_at is null",
        vec![
            saga.id.bucket().into(),
            saga.id.0.into(),
            saga.token.into(),
            lease.holder.into(),
            lease.until.into(),
            lease.now.into(),
        ],
    )
}

/// Keeps the lease for longer. Misses when another has it.
pub fn renew(saga: &SagaRow, until: Timestamp) -> Step {
    Step::one(
        "update sagas set next_at = $5, lease_until = $5
         where bucket = $1 and id = $2 and tenant_id is not distinct from $3 and token = $4
           and finished_at is null",
        vec![
            saga.id.bucket().into(),
            saga.id.0.into(),
            saga.tenant.0.into(),
            saga.token.into(),
            until.into(),
        ],
    )
}

/// `$1` to `$5`: which row, written by which lease, to which version.
fn change(saga: &SagaRow, others: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let mut params = vec![
        saga.id.bucket().into(),
        saga.id.0.into(),
        saga.tenant.0.into(),
        saga.token.into(),
        saga.version.into(),
    ];
    params.extend(others);
    params
}

/// Writes step, data and attempts under the lease, if the row still has the version before
/// `saga.version`. Misses with an older token. (Lists do not ask whether it has finished: its
/// version tells, and the planner would take what it thinks rare for the way in.)
pub fn advance(saga: &SagaRow) -> Step {
    Step::one(
        "update sagas set step = $6, data = $7, attempts = $8, version = $5
         where bucket = $1 and id = $2 and tenant_id is not distinct from $3 and token = $4
           and version = $5 - 1 and finished_at is null",
        change(saga, [saga.step.as_str().into(), saga.data.as_str().into(), saga.attempts.into()]),
    )
    .updating_lists(
        "update sagas s set step = u.step, data = u.data, attempts = u.attempts,
         version = u.version
         from unnest($1::int2[], $2::uuid[], $3::uuid[], $4::int8[], $5::int8[], $6::text[],
         $7::json[], $8::int8[])
         u (bucket, id, tenant_id, token, version, step, data, attempts)
         where s.bucket = u.bucket and s.id = u.id
           and s.tenant_id is not distinct from u.tenant_id
           and s.token = u.token and s.version = u.version - 1",
    )
}

/// [`advance`], and gives the lease back: due again at `saga.next_at`.
pub fn put_off(saga: &SagaRow) -> Step {
    Step::one(
        "update sagas set step = $6, data = $7, attempts = $8, next_at = $9, lease_until = null,
         holder = null, version = $5
         where bucket = $1 and id = $2 and tenant_id is not distinct from $3 and token = $4
           and version = $5 - 1 and finished_at is null",
        change(
            saga,
            [
                saga.step.as_str().into(),
                saga.data.as_str().into(),
                saga.attempts.into(),
                saga.next_at.into(),
            ],
        ),
    )
}

/// [`advance`], and it has ended with this outcome.
pub fn finish(saga: &SagaRow, outcome: &str, at: Timestamp) -> Step {
    Step::one(
        "update sagas set step = $6, data = $7, outcome = $8, finished_at = $9,
         lease_until = null, holder = null, version = $5
         where bucket = $1 and id = $2 and tenant_id is not distinct from $3 and token = $4
           and version = $5 - 1 and finished_at is null",
        change(
            saga,
            [saga.step.as_str().into(), saga.data.as_str().into(), outcome.into(), at.into()],
        ),
    )
    .updating_lists(
        "update sagas s set step = u.step, data = u.data, outcome = u.outcome,
         finished_at = u.finished_at, lease_until = null, holder = null, version = u.version
         from unnest($1::int2[], $2::uuid[], $3::uuid[], $4::int8[], $5::int8[], $6::text[],
         $7::json[], $8::text[], $9::timestamptz[])
         u (bucket, id, tenant_id, token, version, step, data, outcome, finished_at)
         where s.bucket = u.bucket and s.id = u.id
           and s.tenant_id is not distinct from u.tenant_id
           and s.token = u.token and s.version = u.version - 1",
    )
}

/// One of the writes above, to go with a movement.
pub fn attachment(saga: &SagaRow, write: Step) -> Attachment {
    let row = AttachedRow { table: "sagas", bucket: saga.id.bucket(), id: saga.id.0 };
    Attachment { row, expected_version: saga.version - 1, write }
}

/// Makes what concerns the subject due at `at`, if it is to come later and nobody works on it.
pub fn wake(tenant: TenantId, subject: u128, at: Timestamp) -> Step {
    Step::new(
        "update sagas set next_at = $3 where tenant_id = $1 and subject = $2 and next_at > $3
         and finished_at is null and holder is null",
        vec![tenant.0.into(), subject.into(), at.into()],
    )
}

/// Those that finished before `at`.
pub fn remove_finished(at: Timestamp) -> Step {
    Step::new("delete from sagas where finished_at < $1", vec![at.into()])
}

/// What is due at `now`, of all tenants, the longest due first. To be leased. Payouts have a worker
/// of their own: [`due_payouts`].
pub async fn due(db: &dyn Backend, now: Timestamp, limit: i64) -> Result<Vec<SagaRow>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where finished_at is null and next_at <= $1 and kind <> 'payout'
         order by next_at limit $2"
    );
    db.query("sagas", &sql, &[now.into(), limit.into()]).await?.iter().map(read).collect()
}

/// The payouts that are due, likewise.
pub async fn due_payouts(
    db: &dyn Backend,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<SagaRow>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where finished_at is null and next_at <= $1 and kind = 'payout'
         order by next_at limit $2"
    );
    db.query("sagas", &sql, &[now.into(), limit.into()]).await?.iter().map(read).collect()
}

/// What the lease of this holder won and has not given back.
pub async fn held(db: &dyn Backend, holder: u128) -> Result<Vec<SagaRow>, StoreError> {
    let sql = format!("select {COLUMNS} where holder = $1 and finished_at is null order by id");
    db.query("sagas", &sql, &[holder.into()]).await?.iter().map(read).collect()
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    id: SagaId,
) -> Result<Option<SagaRow>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where bucket = $1 and id = $2 and tenant_id is not distinct from $3"
    );
    let params = [id.bucket().into(), id.0.into(), tenant.0.into()];
    db.query("sagas", &sql, &params).await?.first().map(read).transpose()
}

/// About one payment, refund or payout: newest first.
pub async fn of_subject(
    db: &dyn Backend,
    tenant: TenantId,
    subject: u128,
    limit: i64,
) -> Result<Vec<SagaRow>, StoreError> {
    let sql =
        format!("select {COLUMNS} where tenant_id = $1 and subject = $2 order by id desc limit $3");
    let params = [tenant.0.into(), subject.into(), limit.into()];
    db.query("sagas", &sql, &params).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<SagaRow, StoreError> {
    Ok(SagaRow {
        id: SagaId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        kind: row.string(2)?,
        subject: row.id(3)?,
        step: row.string(4)?,
        data: row.string(5)?,
        attempts: row.int(6)?,
        next_at: row.time(7)?,
        lease_until: row.opt_time(8)?,
        holder: row.opt_id(9)?,
        token: row.int(10)?,
        outcome: row.opt_string(11)?,
        finished_at: row.opt_time(12)?,
        created_at: row.time(13)?,
        version: row.int(14)?,
    })
}
