//! A unit of work: key first, then its rows, its events last.

use caudal_domain::{Fingerprint, ReceiptKey, TransferId};
use deadpool_postgres::Object;
use tokio_postgres::types::ToSql;

use crate::{
    Answer, Expect, Position, Receipt, Step, StoreError, UnitOfWork, UnitOutcome,
    postgres::{
        errors,
        events::{self, EventStatements, INSERT_EVENTS, LOCK_HEADS},
        values::{self, Id, Json},
    },
    receipts::{generation, previous_generation},
};

/// A unit has no account lock that would make a duplicate wait, so it locks its key.
const LOCK_KEY: &str = "select pg_advisory_xact_lock($1)";
/// Each generation by itself, as a batch asks.
const RECEIPT: &str = "select key, fingerprint, transfer_id, answer from receipts
       where generation = $1 and bucket = $3 and key = $4
     union all select key, fingerprint, transfer_id, answer from receipts
       where generation = $2 and bucket = $3 and key = $4";
const INSERT_RECEIPT: &str = "insert into receipts (generation, bucket, key, fingerprint,
     transfer_id, answer) values ($1, $2, $3, $4, $5, $6)";
const UNIQUE_VIOLATION: &str = "23505";

pub(super) async fn commit(
    client: &mut Object,
    unit: UnitOfWork,
) -> Result<(UnitOutcome, Position), StoreError> {
    let lock_heads = client.prepare_cached(LOCK_HEADS).await.map_err(errors::classify)?;
    let insert = client.prepare_cached(INSERT_EVENTS).await.map_err(errors::classify)?;
    let statements = EventStatements { lock_heads, insert };
    let open = client.transaction().await.map_err(errors::classify)?;
    if let Some((key, _)) = unit.key()
        && let Some(receipt) = find_receipt(&open, key, &unit).await?
    {
        return Ok((UnitOutcome::Replayed(receipt), Position::new()));
    }
    let mut index = 0;
    while let Some(run) = first_run(&unit.steps[index..]) {
        match written(&open, run).await {
            Ok(touched) if run[0].expect == Expect::One && touched != run.len() as u64 => {
                return Ok((UnitOutcome::Missed(index), Position::new()));
            }
            Ok(_) => index += run.len(),
            Err(error) if is_missed(&error, run[0].expect) => {
                return Ok((UnitOutcome::Missed(index), Position::new()));
            }
            Err(error) => return Err(errors::classify(error)),
        }
    }
    if let Some(receipt) = &unit.receipt {
        insert_receipt(&open, receipt, &unit).await?;
    }
    let position =
        events::write(open.client(), &statements, &unit.events).await.map_err(errors::classify)?;
    open.commit().await.map_err(|error| match error.as_db_error() {
        Some(_) => errors::classify(error),
        None => StoreError::Unknown(error.to_string()),
    })?;
    Ok((UnitOutcome::Done, position))
}

/// The next step, with those behind it that insert alike; `None` at the end.
fn first_run(steps: &[Step]) -> Option<&[Step]> {
    let first = steps.first()?;
    let joins = first.of_lists.is_some_and(|lists| !lists.may_miss);
    let is_alike = |step: &&Step| step.of_lists == first.of_lists && step.expect == first.expect;
    let length = if joins { steps.iter().take_while(is_alike).count() } else { 1 };
    Some(&steps[..length])
}

/// How many rows the steps touched, which do alike.
async fn written(
    open: &deadpool_postgres::Transaction<'_>,
    run: &[Step],
) -> Result<u64, tokio_postgres::Error> {
    match (run, run[0].of_lists) {
        ([_, _, ..], Some(lists)) => {
            let statement = open.prepare_cached(lists.sql).await?;
            let columns = values::columns(run);
            open.execute(&statement, &values::lists(&columns)).await
        }
        _ => {
            let statement = open.prepare_cached(run[0].sql).await?;
            open.execute(&statement, &values::params(&run[0].params)).await
        }
    }
}

/// A row that must be new and is not.
fn is_missed(error: &tokio_postgres::Error, expect: Expect) -> bool {
    expect == Expect::One && error.code().is_some_and(|code| code.code() == UNIQUE_VIOLATION)
}

async fn find_receipt(
    open: &deadpool_postgres::Transaction<'_>,
    key: ReceiptKey,
    unit: &UnitOfWork,
) -> Result<Option<Receipt>, StoreError> {
    open.execute(LOCK_KEY, &[&(key.0 as i64)]).await.map_err(errors::classify)?;
    let (current, previous) = (generation(unit.at), previous_generation(unit.at));
    let bucket = i16::from(key.bucket().0);
    let params: [&(dyn ToSql + Sync); 4] = [&current, &previous, &bucket, &Id(key.0)];
    let row = open.query_opt(RECEIPT, &params).await.map_err(errors::classify)?;
    row.map(|row| read_receipt(&row)).transpose()
}

pub(super) fn read_receipt(row: &tokio_postgres::Row) -> Result<Receipt, StoreError> {
    let row = values::row("receipts", row)?;
    let answer = match row.opt_id(2)? {
        Some(id) => Answer::Created(TransferId(id)),
        None => row.json(3)?,
    };
    Ok(Receipt { key: ReceiptKey(row.id(0)?), fingerprint: Fingerprint(row.id(1)?), answer })
}

async fn insert_receipt(
    open: &deadpool_postgres::Transaction<'_>,
    receipt: &Receipt,
    unit: &UnitOfWork,
) -> Result<(), StoreError> {
    let (transfer, answer) = receipt.answer.columns();
    let (generation, bucket) = (generation(unit.at), i16::from(receipt.bucket().0));
    let (transfer, answer) = (transfer.map(|id| Id(id.0)), answer.as_deref().map(Json));
    let (key, fingerprint) = (Id(receipt.key.0), Id(receipt.fingerprint.0));
    let params: [&(dyn ToSql + Sync); 6] =
        [&generation, &bucket, &key, &fingerprint, &transfer, &answer];
    open.execute(INSERT_RECEIPT, &params).await.map(drop).map_err(errors::classify)
}
