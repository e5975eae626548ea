//! A batch on the writer thread: read, decide, write, commit.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use caudal_domain::{Account, AccountId, Entry, Transfer};
use rusqlite::{Connection, params};

use super::{
    codec::{self, blob},
    rows::{ReceiptReader, insert_events, insert_receipts},
    writer::{End, Writer, transaction},
};
use crate::{
    AttachedRow, Decide, Expect, Lane, Locked, Locks, Position, RecentEvents, Step, StoreError,
    Writes,
    known::{Known, overlay},
    transfers::{self, legs_text},
    wallets::{ACCOUNT_COLUMNS, metadata_text, read_account},
};

/// All lanes share the one writer, so a batch never meets another one.
pub struct SqliteLane {
    writer: Arc<Writer>,
    known: Arc<Known>,
    recent: Arc<RecentEvents>,
}

impl SqliteLane {
    pub fn new(writer: Arc<Writer>, known: Arc<Known>, recent: Arc<RecentEvents>) -> Self {
        Self { writer, known, recent }
    }
}

#[async_trait]
impl Lane for SqliteLane {
    async fn lock_ahead(&mut self, _: &[AccountId]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn commit_batch(
        &mut self,
        locks: Locks,
        mut decide: Decide,
    ) -> Result<Position, StoreError> {
        let known = self.known.clone();
        let written = self
            .writer
            .run(move |connection| {
                let mut accounts = Vec::new();
                let written = transaction(connection, |connection| {
                    let found = Locked {
                        accounts: self::accounts(connection, &locks, &known)?,
                        ..locked(connection, &locks)?
                    };
                    accounts.clone_from(&found.accounts);
                    let writes = decide(found);
                    if writes.is_empty() {
                        return Ok(End::Rollback((Position::new(), Vec::new())));
                    }
                    let before = accounts.clone();
                    overlay(&mut accounts, &writes.accounts);
                    require_entered(&before, &accounts, &writes.entries)?;
                    update_terms(connection, &before, &accounts)?;
                    let position = write(connection, &writes, &locks)?;
                    Ok(End::Commit((position, writes.events)))
                })?;
                known.keep(&accounts);
                Ok(written)
            })
            .await?;
        let (position, events) = written;
        self.recent.keep(events, &position);
        Ok(position)
    }
}

/// Reads those that are not known. Nobody else can write between here and COMMIT.
fn accounts(
    connection: &Connection,
    locks: &Locks,
    known: &Known,
) -> Result<Vec<Account>, StoreError> {
    let mut version = connection.prepare_cached("pragma data_version")?;
    known.heed(version.query_row([], |row| row.get(0))?);
    let sql = format!("select {ACCOUNT_COLUMNS} from account_states a where a.id = ?1");
    let mut select = connection.prepare_cached(&sql)?;
    let mut accounts = Vec::with_capacity(locks.accounts.len());
    for (id, known) in locks.accounts.iter().zip(known.take(&locks.accounts)) {
        if let Some(known) = known {
            accounts.push(known);
            continue;
        }
        select.raw_bind_parameter(1, blob(id.0))?;
        for row in codec::read(&mut select, "accounts")? {
            accounts.push(read_account(&row)?);
        }
    }
    Ok(accounts)
}

/// All but accounts.
fn locked(connection: &Connection, locks: &Locks) -> Result<Locked, StoreError> {
    let mut found = Locked::default();
    for row in &locks.rows {
        found.rows.extend(attached_version(connection, row)?.map(|version| (*row, version)));
    }
    let sql = format!("select {} from transfers t where t.id = ?1", transfers::COLUMNS);
    let mut select = connection.prepare_cached(&sql)?;
    for id in &locks.transfers {
        select.raw_bind_parameter(1, blob(id.0))?;
        for row in codec::read(&mut select, "transfers")? {
            found.transfers.push(transfers::read(&row)?);
        }
    }
    let mut receipts = ReceiptReader::new(connection, locks.at)?;
    for key in &locks.receipts {
        found.receipts.extend(receipts.find(*key)?);
    }
    Ok(found)
}

fn attached_version(connection: &Connection, row: &AttachedRow) -> Result<Option<i64>, StoreError> {
    let sql = format!("select version from {} where bucket = ?1 and id = ?2", row.table);
    let mut select = connection.prepare_cached(&sql)?;
    select.raw_bind_parameter(1, row.bucket.0)?;
    select.raw_bind_parameter(2, blob(row.id))?;
    codec::read(&mut select, row.table)?.first().map(|row| row.int(0)).transpose()
}

fn write(connection: &Connection, writes: &Writes, locks: &Locks) -> Result<Position, StoreError> {
    insert_transfers(connection, &writes.new_transfers)?;
    update_transfers(connection, &writes.changed_transfers)?;
    insert_entries(connection, &writes.entries)?;
    insert_receipts(connection, &writes.receipts, locks.at)?;
    for step in &writes.steps {
        attach(connection, step)?;
    }
    insert_events(connection, &writes.events)
}

/// A locked row can't be missing.
fn one(rows: usize, table: &'static str) -> Result<(), StoreError> {
    match rows {
        1 => Ok(()),
        _ => Err(StoreError::Inconsistent { table, why: format!("{rows} rows for one id") }),
    }
}

/// What is on an account is what its last entry says: the ledger must mean the same by both, and
/// nothing that PostgreSQL's table would not take.
fn require_entered(
    before: &[Account],
    after: &[Account],
    entries: &[Entry],
) -> Result<(), StoreError> {
    let last: HashMap<AccountId, &Entry> = entries.iter().map(|e| (e.account, e)).collect();
    for (old, new) in before.iter().zip(after) {
        let entered = match last.get(&new.id) {
            Some(e) => (e.version, e.balance_after, e.held_after, e.pending_after),
            None => (old.version, old.total, old.held, old.pending),
        };
        if entered != (new.version, new.total, new.held, new.pending) {
            return Err(StoreError::Rejected("an account differs from its last entry".into()));
        }
        if new.held < 0 || new.pending < 0 {
            return Err(StoreError::Rejected("less than nothing is held or pending".into()));
        }
    }
    Ok(())
}

/// Status and floor, which change seldom.
fn update_terms(
    connection: &Connection,
    before: &[Account],
    after: &[Account],
) -> Result<(), StoreError> {
    let mut update = connection.prepare_cached(
        "update accounts set status = ?2, floor = ?3, updated_at = ?4 where id = ?1",
    )?;
    let terms = |account: &Account| (account.status, account.floor);
    for (_, account) in before.iter().zip(after).filter(|(old, new)| terms(old) != terms(new)) {
        let (id, status) = (blob(account.id.0), account.status as i16);
        let rows =
            update.execute(params![id, status, account.floor, account.updated_at.micros()])?;
        one(rows, "accounts")?;
    }
    Ok(())
}

fn insert_transfers(connection: &Connection, transfers: &[Transfer]) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "insert into transfers (bucket, id, tenant_id, kind, status, currency, from_id, to_id,
         amount, amount_captured, amount_reversed, legs, expires_at, reference, metadata, reverses,
         available_at, created_at) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,
         ?14, ?15, ?16, ?17, ?18)",
    )?;
    for transfer in transfers {
        let Some(leg) = transfer.legs.first() else {
            return Err(StoreError::Rejected("a transfer without a leg".into()));
        };
        insert.execute(params![
            transfer.id.bucket().0,
            blob(transfer.id.0),
            blob(transfer.tenant.0),
            transfer.kind as i16,
            transfer.status as i16,
            transfer.currency.code(),
            blob(leg.from.0),
            blob(leg.to.0),
            transfer.amount,
            transfer.amount_captured,
            transfer.amount_reversed,
            legs_text(transfer),
            transfer.expires_at.map(|at| at.micros()),
            transfer.reference,
            metadata_text(&transfer.metadata),
            transfer.reverses.map(|id| blob(id.0)),
            transfer.available_at.map(|at| at.micros()),
            transfer.created_at.micros(),
        ])?;
    }
    Ok(())
}

fn update_transfers(connection: &Connection, transfers: &[Transfer]) -> Result<(), StoreError> {
    let mut update = connection.prepare_cached(
        "update transfers set status = ?2, amount_captured = ?3, amount_reversed = ?4, legs = ?5,
         available_at = ?6 where id = ?1",
    )?;
    for transfer in transfers {
        let rows = update.execute(params![
            blob(transfer.id.0),
            transfer.status as i16,
            transfer.amount_captured,
            transfer.amount_reversed,
            legs_text(transfer),
            transfer.available_at.map(|at| at.micros()),
        ])?;
        one(rows, "transfers")?;
    }
    Ok(())
}

fn insert_entries(connection: &Connection, entries: &[Entry]) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "insert into entries (bucket, account_id, version, transfer_id, amount, balance_after,
         held_after, pending_after, created_at) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for entry in entries {
        insert.execute(params![
            entry.account.bucket().0,
            blob(entry.account.0),
            entry.version,
            blob(entry.transfer.0),
            entry.amount,
            entry.balance_after,
            entry.held_after,
            entry.pending_after,
            entry.created_at.micros(),
        ])?;
    }
    Ok(())
}

/// The row's version was checked under the lock, so a miss is the caller's: another try would miss
/// again, and a batch in halves finds whose it is.
fn attach(connection: &Connection, step: &Step) -> Result<(), StoreError> {
    let rows = codec::execute(connection, step)?;
    match step.expect == Expect::One && rows != 1 {
        true => Err(StoreError::Rejected(format!("an attached row was not written: {rows} rows"))),
        false => Ok(()),
    }
}
