//! What goes with a batch besides its money: callers' rows are locked and read, steps written.
//!
//! Statements are prepared once a connection, as those of the batch itself. Steps of one kind
//! become one statement of lists; a step that had to touch a row and did not is an error of the
//! statement, so all of it goes with the batch's other writes and the COMMIT behind them.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, PoisonError},
};

use futures::{future::maybe_done, poll};
use tokio_postgres::{Client, Error, Statement};

use crate::{
    AttachedRow, Expect, OfLists, Step, Value,
    postgres::values::{self, Id},
};

/// Division by zero: the step's row was not touched.
pub(super) const MISSED: &str = "22012";

/// Statements of a connection, by their text.
#[derive(Default)]
pub(super) struct Prepared(Mutex<HashMap<String, Statement>>);

impl Prepared {
    async fn statement(&self, client: &Client, sql: &str) -> Result<Statement, Error> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = client.prepare(sql).await?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// The rows, a statement for each table; they are sorted by table, bucket and id.
    pub async fn locks<'r>(
        &self,
        client: &Client,
        rows: &'r [AttachedRow],
    ) -> Result<Vec<RowLocks<'r>>, Error> {
        let mut locks = Vec::new();
        for rows in rows.chunk_by(|one, next| one.table == next.table) {
            let sql = format!(
                "select k.at - 1, r.version
                 from unnest($1::int2[], $2::uuid[]) with ordinality k (bucket, id, at)
                 join {} r on r.bucket = k.bucket and r.id = k.id
                 order by r.bucket, r.id for update of r",
                rows[0].table
            );
            let statement = self.statement(client, &sql).await?;
            let buckets = rows.iter().map(|row| row.bucket.0.into()).collect();
            let ids = rows.iter().map(|row| Id(row.id)).collect();
            locks.push(RowLocks { rows, statement, buckets, ids });
        }
        Ok(locks)
    }

    /// The steps, ready to be sent without another round trip.
    pub async fn runs<'s>(
        &self,
        client: &Client,
        steps: &'s [Step],
    ) -> Result<Vec<StepRun<'s>>, Error> {
        let mut runs: Vec<StepRun<'s>> = Vec::new();
        let mut lists: HashMap<(OfLists, Expect), usize> = HashMap::new();
        for step in steps {
            let Some(of_lists) = step.of_lists else {
                let statement = self.statement(client, &checked(step)).await?;
                runs.push(StepRun::One(statement, &step.params));
                continue;
            };
            let kind = (of_lists, step.expect);
            let place = match lists.entry(kind) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    let columns = vec![Vec::new(); step.params.len()];
                    let statement = self.statement(client, &checked_lists(kind)).await?;
                    runs.push(StepRun::Lists(statement, columns));
                    *new.insert(runs.len() - 1)
                }
            };
            if let Some(StepRun::Lists(_, columns)) = runs.get_mut(place) {
                columns.iter_mut().zip(&step.params).for_each(|(list, value)| list.push(value));
            }
        }
        Ok(runs)
    }
}

/// The step's statement; where it has to touch a row, it fails if it does not.
pub(super) fn checked(step: &Step) -> String {
    match step.expect {
        Expect::Any => step.sql.to_owned(),
        Expect::One => {
            let sql = step.sql;
            format!("with t as ({sql} returning 1) select 1 / (count(*) = 1)::int from t")
        }
    }
}

/// The same of lists: as many rows as they are long.
fn checked_lists((OfLists { sql, may_miss }, expect): (OfLists, Expect)) -> Cow<'static, str> {
    match (may_miss, expect) {
        (true, Expect::One) => format!(
            "with t as ({sql} returning 1) select 1 / (count(*) = cardinality($1))::int from t"
        )
        .into(),
        _ => sql.into(),
    }
}

/// Rows of one table, to be locked.
pub(super) struct RowLocks<'r> {
    rows: &'r [AttachedRow],
    statement: Statement,
    buckets: Vec<i16>,
    ids: Vec<Id>,
}

impl RowLocks<'_> {
    /// The versions of those that are there.
    pub async fn run(&self, client: &Client) -> Result<Vec<(AttachedRow, i64)>, Error> {
        let found = client.query(&self.statement, &[&self.buckets, &self.ids]).await?;
        let mut versions = Vec::with_capacity(found.len());
        for row in found {
            let place = usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or_default();
            versions.push((self.rows[place], row.try_get(1)?));
        }
        Ok(versions)
    }
}

/// One statement of a batch's steps.
pub(super) enum StepRun<'s> {
    One(Statement, &'s [Value]),
    /// Columns of rows.
    Lists(Statement, Vec<Vec<&'s Value>>),
}

impl StepRun<'_> {
    /// A value that does not fit its column is found before anything is sent: then a statement goes
    /// in its place that fails, so that the COMMIT behind it is none.
    async fn run(&self, client: &Client) -> Result<(), Error> {
        let done = match self {
            Self::One(statement, params) => {
                client.execute(statement, &values::params(params)).await
            }
            Self::Lists(statement, columns) => {
                client.execute(statement, &values::lists(columns)).await
            }
        };
        match done {
            Err(error) if error.as_db_error().is_none() && !error.is_closed() => {
                tracing::error!(%error, "BUG: a value does not fit its column");
                client.batch_execute("select 1 / 0").await
            }
            done => done.map(drop),
        }
    }
}

/// Sends all in order the first time it is polled: what is sent behind it comes behind it.
pub(super) async fn run_all(client: &Client, runs: &[StepRun<'_>]) -> Vec<Result<(), Error>> {
    let mut sent: Vec<_> = runs.iter().map(|run| Box::pin(maybe_done(run.run(client)))).collect();
    for run in &mut sent {
        // Ready or not, its statement is on its way.
        let _ = poll!(run.as_mut());
    }
    let mut results = Vec::with_capacity(sent.len());
    for mut run in sent {
        run.as_mut().await;
        results.extend(run.as_mut().take_output());
    }
    results
}
