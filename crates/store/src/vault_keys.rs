//! Keys of the instance, sealed by the vault: what must stay the same when master keys change.

use crate::{Backend, Row, Step, StoreError};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultKey {
    pub name: String,
    /// Opaque here.
    pub sealed: String,
}

/// Misses when there is one of that name: another instance was first, read that.
pub fn insert(key: &VaultKey) -> Step {
    Step::one(
        "insert into vault_keys (name, sealed) values ($1, $2)",
        vec![key.name.as_str().into(), key.sealed.as_str().into()],
    )
}

/// The same key under another master key. Misses when it is no longer the one that was read.
pub fn reseal(old: &VaultKey, sealed: &str) -> Step {
    Step::one(
        "update vault_keys set sealed = $3 where name = $1 and sealed = $2",
        vec![old.name.as_str().into(), old.sealed.as_str().into(), sealed.into()],
    )
}

pub async fn find(db: &dyn Backend, name: &str) -> Result<Option<VaultKey>, StoreError> {
    let sql = "select name, sealed from vault_keys where name = $1";
    db.query("vault_keys", sql, &[name.into()]).await?.first().map(read).transpose()
}

/// All of them: a handful.
pub async fn all(db: &dyn Backend) -> Result<Vec<VaultKey>, StoreError> {
    let sql = "select name, sealed from vault_keys order by name";
    db.query("vault_keys", sql, &[]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<VaultKey, StoreError> {
    Ok(VaultKey { name: row.text(0)?.to_owned(), sealed: row.text(1)?.to_owned() })
}
