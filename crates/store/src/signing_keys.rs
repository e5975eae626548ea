//! Keys that sign our tokens, of the whole instance. One is open: it signs until another takes
//! over, then only verifies until its last token has expired.

use std::fmt;

use caudal_domain::Timestamp;

use crate::{Backend, Row, Step, StoreError};

const COLUMNS: &str = "kid, algorithm, public_jwk, sealed, active_from, signs_until, \
     verifies_until from signing_keys";

#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    pub kid: String,
    /// As in a token's header: `EdDSA`, `ES256`.
    pub algorithm: String,
    pub public_jwk: String,
    /// The private key.
    pub sealed: String,
    pub active_from: Timestamp,
    /// Both `None` while the key is open.
    pub signs_until: Option<Timestamp>,
    pub verifies_until: Option<Timestamp>,
}

impl SigningKey {
    /// Whether it signs at `now`.
    pub fn signs(&self, now: Timestamp) -> bool {
        self.active_from <= now && self.signs_until.is_none_or(|until| now < until)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .field("active_from", &self.active_from)
            .field("signs_until", &self.signs_until)
            .field("verifies_until", &self.verifies_until)
            .finish_non_exhaustive()
    }
}

/// Misses when a key of the algorithm is open: another instance was first.
pub fn insert(key: &SigningKey) -> Step {
    Step::one(
        "insert into signing_keys (kid, algorithm, public_jwk, sealed, active_from, signs_until,
         verifies_until) values ($1, $2, $3, $4, $5, $6, $7)",
        vec![
            key.kid.as_str().into(),
            key.algorithm.as_str().into(),
            key.public_jwk.as_str().into(),
            key.sealed.as_str().into(),
            key.active_from.into(),
            key.signs_until.into(),
            key.verifies_until.into(),
        ],
    )
}

/// Gives an open key its ends. Misses when it has them: another instance was first. Goes before the
/// [`insert`] of the one that takes over.
pub fn close(kid: &str, signs_until: Timestamp, verifies_until: Timestamp) -> Step {
    Step::one(
        "update signing_keys set signs_until = $2, verifies_until = $3
         where kid = $1 and signs_until is null",
        vec![kid.into(), signs_until.into(), verifies_until.into()],
    )
}

/// For a key that is no longer trusted: it neither signs nor verifies from `at` on.
pub fn distrust(kid: &str, at: Timestamp) -> Step {
    Step::one(
        "update signing_keys set signs_until = $2, verifies_until = $2
         where kid = $1 and (verifies_until is null or verifies_until > $2)",
        vec![kid.into(), at.into()],
    )
}

/// The same key under another master key. Misses when it is no longer the one that was read.
pub fn reseal(old: &SigningKey, sealed: &str) -> Step {
    Step::one(
        "update signing_keys set sealed = $3 where kid = $1 and sealed = $2",
        vec![old.kid.as_str().into(), old.sealed.as_str().into(), sealed.into()],
    )
}

/// The keys that verify at `now`, or will sign later: what the JWKS shows, oldest first.
pub async fn verifying(db: &dyn Backend, now: Timestamp) -> Result<Vec<SigningKey>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where verifies_until is null or verifies_until > $1
         order by active_from, kid"
    );
    db.query("signing_keys", &sql, &[now.into()]).await?.iter().map(read).collect()
}

/// Every key there ever was, for sealing them anew. They are few: one a rotation.
pub async fn all(db: &dyn Backend) -> Result<Vec<SigningKey>, StoreError> {
    let sql = format!("select {COLUMNS} order by active_from, kid");
    db.query("signing_keys", &sql, &[]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<SigningKey, StoreError> {
    Ok(SigningKey {
        kid: row.text(0)?.to_owned(),
        algorithm: row.text(1)?.to_owned(),
        public_jwk: row.text(2)?.to_owned(),
        sealed: row.text(3)?.to_owned(),
        active_from: row.time(4)?,
        signs_until: row.opt_time(5)?,
        verifies_until: row.opt_time(6)?,
    })
}
