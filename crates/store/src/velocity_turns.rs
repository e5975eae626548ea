//! Whose turn it is to be counted: a row for each payer, wallet and method whose payments a fraud
//! rule counts. It goes along with every payment that was judged by such a count, so that a count
//! that has gone stale, in whichever process, refuses the payment, and it is judged again.

use caudal_domain::{Bucket, Fingerprint, TenantId, Timestamp};

use crate::{AttachedRow, Attachment, Backend, Step, StoreError, velocity::Whose};

/// A turn as it is to be written: the next version of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VelocityTurn {
    pub id: u128,
    pub at: Timestamp,
    pub version: i64,
}

impl VelocityTurn {
    fn bucket(&self) -> Bucket {
        bucket_of(self.id)
    }
}

fn bucket_of(id: u128) -> Bucket {
    Bucket(id as u8)
}

/// The row of what is counted together: a hash.
pub fn id_of(tenant: TenantId, whose: Whose<'_>) -> u128 {
    let of = |kind: &[u8], what: &[u8]| Fingerprint::of(&[&tenant.0.to_be_bytes(), kind, what]).0;
    match whose {
        Whose::User(id) => of(b"user", &id.0.to_be_bytes()),
        Whose::Payer(id) => of(b"payer", &id.0.to_be_bytes()),
        Whose::Payee(id) => of(b"payee", &id.0.to_be_bytes()),
        Whose::Method(token) => of(b"method", token.as_bytes()),
    }
}

/// Writes its first version, unless it is there.
pub fn insert(id: u128, at: Timestamp) -> Step {
    Step::new(
        "insert into velocity_turns (bucket, id, taken_at, version) values ($1, $2, $3, 1)
         on conflict do nothing",
        vec![bucket_of(id).into(), id.into(), at.into()],
    )
}

/// Writes it if the row still has the version before `turn.version`.
pub fn update(turn: &VelocityTurn) -> Step {
    Step::one(
        "update velocity_turns set taken_at = $3, version = $4
         where bucket = $1 and id = $2 and version = $4 - 1",
        vec![turn.bucket().into(), turn.id.into(), turn.at.into(), turn.version.into()],
    )
    .updating_lists(
        "update velocity_turns t set taken_at = u.taken_at, version = u.version
         from unnest($1::int2[], $2::uuid[], $3::timestamptz[], $4::int8[])
         u (bucket, id, taken_at, version)
         where t.bucket = u.bucket and t.id = u.id and t.version = u.version - 1",
    )
}

/// [`update`], decided on the version before.
pub fn attachment(turn: &VelocityTurn) -> Attachment {
    let row = AttachedRow { table: "velocity_turns", bucket: turn.bucket(), id: turn.id };
    Attachment { row, expected_version: turn.version - 1, write: update(turn) }
}

/// Its version, if it is there.
pub async fn version(db: &dyn Backend, id: u128) -> Result<Option<i64>, StoreError> {
    let sql = "select version from velocity_turns where bucket = $1 and id = $2";
    let rows = db.query("velocity_turns", sql, &[bucket_of(id).into(), id.into()]).await?;
    rows.first().map(|row| row.int(0)).transpose()
}

/// Those nobody took since.
pub fn remove_before(at: Timestamp) -> Step {
    Step::new("delete from velocity_turns where taken_at < $1", vec![at.into()])
}
