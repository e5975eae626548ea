//! Entries: an account's history, newest first.

use caudal_domain::{AccountId, Entry, TransferId};

use crate::{Backend, Row, StoreError};

/// The entries below `before_version`; one index range, whatever the depth.
pub async fn list(
    db: &dyn Backend,
    account: AccountId,
    before_version: i64,
    limit: i64,
) -> Result<Vec<Entry>, StoreError> {
    let sql = "select version, transfer_id, amount, balance_after, held_after,
           pending_after, created_at
         from entries where bucket = $1 and account_id = $2 and version < $3
         order by version desc limit $4";
    let params = [
        i64::from(account.bucket().0).into(),
        account.0.into(),
        before_version.into(),
        limit.into(),
    ];
    let rows = db.query("entries", sql, &params).await?;
    rows.iter().map(|row| read(account, row)).collect()
}

/// Reads version, transfer, amount, balance, held, pending and time.
pub(crate) fn read(account: AccountId, row: &Row) -> Result<Entry, StoreError> {
    Ok(Entry {
        account,
        version: row.int(0)?,
        transfer: TransferId(row.id(1)?),
        amount: row.int(2)?,
        balance_after: row.int(3)?,
        held_after: row.int(4)?,
        pending_after: row.int(5)?,
        created_at: row.time(6)?,
    })
}
