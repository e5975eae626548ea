//! A unit of work: key first, then its rows, its events last.

use caudal_domain::{Fingerprint, ReceiptKey, TransferId};
use deadpool_postgres::Object;
use futures::{future::join_all, join};
use tokio_postgres::{Error, Statement, error::SqlState, types::ToSql};

use crate::{
    Answer, Expect, Position, Receipt, Step, StoreError, UnitOfWork, UnitOutcome,
    postgres::{
        Open,
        attached::{self, StepRun},
        errors::{self, Fault},
        events::{self, EventStatements, INSERT_EVENTS, LOCK_HEADS},
        values::{self, Id, Json},
    },
    receipts::{generation, previous_generation, written_generations},
};

/// A unit has no account lock that would make a duplicate wait, so it locks its key.
const LOCK_KEY: &str = "select pg_advisory_xact_lock($1)";
/// Each generation by itself, as a batch asks.
const RECEIPT: &str = "select key, fingerprint, transfer_id, answer from receipts
       where generation = $1 and bucket = $3 and key = $4
     union all select key, fingerprint, transfer_id, answer from receipts
       where generation = $2 and bucket = $3 and key = $4
     limit 1";
const INSERT_RECEIPT: &str = "insert into receipts (generation, bucket, key, fingerprint,
     transfer_id, answer) values ($1, $2, $3, $4, $5, $6)";
const UNIQUE_VIOLATION: &str = "23505";

/// The unit's statements, ready to be sent without another round trip.
struct Ready<'u> {
    runs: Vec<StepRun<'u>>,
    /// Of each run: where its steps begin, and what they expect.
    places: Vec<(usize, Expect)>,
    insert_receipt: Option<Statement>,
    events: EventStatements,
}

/// One round trip, or two where a key is looked up first: what has to hold of a step is asked in
/// its statement, so that COMMIT can be sent behind it at once.
pub(super) async fn commit(
    client: Object,
    unit: &UnitOfWork,
) -> Result<(UnitOutcome, Position), StoreError> {
    let open = Open::new(client);
    let client = open.client()?;
    let ready = Ready::of(client, unit).await.map_err(errors::classify)?;
    let mut begin = "begin";
    if let Some((key, _)) = unit.key() {
        begin = "";
        if let Some(receipt) = find_receipt(client, key, unit).await? {
            client.batch_execute("rollback").await.map_err(errors::classify)?;
            open.end();
            return Ok((UnitOutcome::Replayed(receipt), Position::new()));
        }
    }
    let (begun, steps, receipt, events, committed) = join!(
        client.batch_execute(begin),
        attached::run_all(client, &ready.runs),
        insert_receipt(client, ready.insert_receipt.as_ref(), unit),
        events::write(client, &ready.events, &unit.events),
        client.batch_execute("commit"),
    );
    open.end();
    let missed = ready.places.iter().zip(&steps).find_map(|((place, expect), result)| {
        let is_missed = result.as_ref().is_err_and(|error| is_missed(error, *expect));
        is_missed.then_some(*place)
    });
    if let (Ok(()), Some(place)) = (&begun, missed) {
        return Ok((UnitOutcome::Missed(place), Position::new()));
    }
    let (told, position) = match events {
        Ok(position) => (Ok(()), position),
        Err(error) => (Err(error), Position::new()),
    };
    let mut results = vec![begun];
    results.extend(steps);
    results.extend([receipt, told]);
    errors::of_pipeline(results, committed).map_err(|fault| match fault {
        Fault::Undone(error) => errors::classify(error),
        Fault::Lost(error) => StoreError::Unknown(error.to_string()),
    })?;
    Ok((UnitOutcome::Done, position))
}

impl<'u> Ready<'u> {
    async fn of(client: &Object, unit: &'u UnitOfWork) -> Result<Self, Error> {
        let (mut runs, mut places, mut index) = (Vec::new(), Vec::new(), 0);
        while let Some(run) = first_run(&unit.steps[index..]) {
            runs.push(match (run, run[0].of_lists) {
                ([_, _, ..], Some(lists)) => {
                    StepRun::Lists(client.prepare_cached(lists.sql).await?, values::columns(run))
                }
                _ => {
                    let sql = attached::checked(&run[0]);
                    StepRun::One(client.prepare_cached(&sql).await?, &run[0].params)
                }
            });
            places.push((index, run[0].expect));
            index += run.len();
        }
        let insert_receipt = match unit.receipt {
            Some(_) => Some(client.prepare_cached(INSERT_RECEIPT).await?),
            None => None,
        };
        let lock_heads = client.prepare_cached(LOCK_HEADS).await?;
        let insert = client.prepare_cached(INSERT_EVENTS).await?;
        Ok(Self { runs, places, insert_receipt, events: EventStatements { lock_heads, insert } })
    }
}

/// The next step, with those behind it that insert alike; `None` at the end.
fn first_run(steps: &[Step]) -> Option<&[Step]> {
    let first = steps.first()?;
    let joins = first.of_lists.is_some_and(|lists| !lists.may_miss);
    let is_alike = |step: &&Step| step.of_lists == first.of_lists && step.expect == first.expect;
    let length = if joins { steps.iter().take_while(is_alike).count() } else { 1 };
    Some(&steps[..length])
}

/// A row that had to be touched and was not, or had to be new and is not.
fn is_missed(error: &Error, expect: Expect) -> bool {
    let code = error.code().map(SqlState::code);
    expect == Expect::One && matches!(code, Some(attached::MISSED | UNIQUE_VIOLATION))
}

/// Begins the transaction, too.
async fn find_receipt(
    client: &Object,
    key: ReceiptKey,
    unit: &UnitOfWork,
) -> Result<Option<Receipt>, StoreError> {
    let lock = client.prepare_cached(LOCK_KEY).await.map_err(errors::classify)?;
    let select = client.prepare_cached(RECEIPT).await.map_err(errors::classify)?;
    let (current, previous) = (generation(unit.at), previous_generation(unit.at));
    let bucket = i16::from(key.bucket().0);
    let params: [&(dyn ToSql + Sync); 4] = [&current, &previous, &bucket, &Id(key.0)];
    let lock_key = key.0 as i64;
    let lock_key: [&(dyn ToSql + Sync); 1] = [&lock_key];
    let (begun, locked, row) = join!(
        client.batch_execute("begin"),
        client.execute(&lock, &lock_key),
        client.query_opt(&select, &params),
    );
    begun.and(locked.map(drop)).map_err(errors::classify)?;
    row.map_err(errors::classify)?.map(|row| read_receipt(&row)).transpose()
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
    client: &Object,
    insert: Option<&Statement>,
    unit: &UnitOfWork,
) -> Result<(), Error> {
    let (Some(insert), Some(receipt)) = (insert, &unit.receipt) else { return Ok(()) };
    let (transfer, answer) = receipt.answer.columns();
    let bucket = i16::from(receipt.bucket().0);
    let (transfer, answer) = (transfer.map(|id| Id(id.0)), answer.as_deref().map(Json));
    let (key, fingerprint) = (Id(receipt.key.0), Id(receipt.fingerprint.0));
    let (key, fingerprint, transfer, answer) = (&key, &fingerprint, &transfer, &answer);
    let inserts = written_generations(unit.at).map(async |generation| {
        let params: [&(dyn ToSql + Sync); 6] =
            [&generation, &bucket, key, fingerprint, transfer, answer];
        client.execute(insert, &params).await
    });
    join_all(inserts).await.into_iter().try_for_each(|done| done.map(drop))
}
