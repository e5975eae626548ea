//! A unit of work on the writer thread: receipt looked up, steps, events, receipt, commit.

use rusqlite::Connection;

use super::{
    codec::{execute, is_unique_violation},
    rows::{ReceiptReader, insert_events, insert_receipts},
    writer::{End, transaction},
};
use crate::{Expect, Position, Step, StoreError, UnitOfWork, UnitOutcome};

pub fn commit(
    connection: &Connection,
    unit: &UnitOfWork,
) -> Result<(UnitOutcome, Position), StoreError> {
    transaction(connection, |connection| {
        if let Some((key, _)) = unit.key()
            && let Some(receipt) = ReceiptReader::new(connection, unit.at)?.find(key)?
        {
            return Ok(End::Rollback((UnitOutcome::Replayed(receipt), Position::new())));
        }
        for (index, step) in unit.steps.iter().enumerate() {
            if !hit(connection, step)? {
                return Ok(End::Rollback((UnitOutcome::Missed(index), Position::new())));
            }
        }
        let position = insert_events(connection, &unit.events)?;
        insert_receipts(connection, unit.receipt.as_slice(), unit.at)?;
        Ok(End::Commit((UnitOutcome::Done, position)))
    })
}

/// Runs the step; whether it touched what it must. A row that is there already is a miss.
fn hit(connection: &Connection, step: &Step) -> Result<bool, StoreError> {
    match execute(connection, step) {
        Ok(rows) => Ok(step.expect == Expect::Any || rows == 1),
        Err(error) if step.expect == Expect::One && is_unique_violation(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
