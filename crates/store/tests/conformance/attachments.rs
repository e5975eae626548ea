//! Attachments: a caller's row is locked and read with the accounts, and written with the money.

use caudal_domain::Bucket;
use caudal_store::{AttachedRow, Locked, Locks, Step, StoreError, Value, Writes};

use super::{
    fixtures::done,
    stage::{START, Stage},
};

const INSERT: &str = "insert into scratch (bucket, id, version, note) values ($1, $2, $3, $4)";
const UPDATE: &str = "update scratch set note = $3, version = version + 1
     where bucket = $1 and id = $2 and version = $4";

fn update(row: AttachedRow, note: &str, version: i64) -> Step {
    let bucket = Value::Int(i64::from(row.bucket.0));
    Step::one(UPDATE, vec![bucket, row.id.into(), note.into(), version.into()])
}

/// The same, which joins others of its kind.
fn listed(row: AttachedRow, note: &str, version: i64) -> Step {
    update(row, note, version).updating_lists(
        "update scratch s set note = u.note, version = u.version + 1
         from unnest($1::int2[], $2::uuid[], $3::text[], $4::int8[]) u (bucket, id, note, version)
         where s.bucket = u.bucket and s.id = u.id and s.version = u.version",
    )
}

/// Two rows that are there, at versions 1 and 2, and one that is not.
pub async fn rows(stage: &Stage) -> [AttachedRow; 3] {
    stage.create_scratch().await;
    let rows = [4, 90, 200].map(|bucket| AttachedRow {
        table: "scratch",
        bucket: Bucket(bucket),
        id: stage.id(START, bucket),
    });
    for (version, row) in (1i64..).zip(&rows[..2]) {
        let params =
            vec![i64::from(row.bucket.0).into(), row.id.into(), version.into(), Value::Null];
        done(stage, vec![Step::one(INSERT, params)]).await;
    }
    rows
}

async fn notes(stage: &Stage) -> Vec<(i64, Option<String>)> {
    let sql = "select version, note from scratch order by bucket";
    let rows = stage.store.query("scratch", sql, &[]).await.unwrap();
    rows.iter()
        .map(|row| (row.int(0).unwrap(), row.opt_text(1).unwrap().map(str::to_owned)))
        .collect()
}

async fn write(
    stage: &Stage,
    rows: &[AttachedRow],
    steps: Vec<Step>,
) -> Result<Vec<(AttachedRow, i64)>, StoreError> {
    let (answer, answered) = std::sync::mpsc::channel();
    let locks = Locks { rows: rows.to_vec(), at: START, ..Locks::default() };
    let decide = Box::new(move |locked: Locked| {
        answer.send(locked.rows).expect("the test waits");
        Writes { steps: steps.clone(), at: START, ..Writes::default() }
    });
    stage.store.lane().commit_batch(locks, decide).await?;
    let mut found = answered.recv().expect("decide was called");
    found.sort();
    Ok(found)
}

pub async fn locked_and_written(stage: &Stage) {
    let rows = rows(stage).await;
    let steps = vec![update(rows[0], "first", 1), update(rows[1], "second", 2)];
    let found = write(stage, &rows, steps).await.unwrap();
    assert_eq!(found, [(rows[0], 1), (rows[1], 2)], "the absent row is left out");
    let (first, second) = (Some("first".to_owned()), Some("second".to_owned()));
    assert_eq!(notes(stage).await, [(2, first), (3, second)]);
    let found = write(stage, &rows, vec![]).await.unwrap();
    assert_eq!(found, [(rows[0], 2), (rows[1], 3)]);
}

pub async fn missed(stage: &Stage) {
    let rows = rows(stage).await;
    let steps = vec![update(rows[0], "written first", 1), update(rows[1], "stale", 1)];
    let error = write(stage, &rows, steps).await.expect_err("a stale row");
    // Under the locks nobody else can be in the way: the same step would miss again.
    assert!(matches!(error, StoreError::Rejected(_)), "{error:?}");
    assert_eq!(notes(stage).await, [(1, None), (2, None)], "the first step is undone");
    // Without the expectation, none touched is none missed.
    let step = Step { expect: caudal_store::Expect::Any, ..update(rows[1], "stale", 1) };
    write(stage, &rows, vec![step]).await.unwrap();
    assert_eq!(notes(stage).await, [(1, None), (2, None)]);
}

pub async fn of_one_kind(stage: &Stage) {
    let rows = rows(stage).await;
    let steps = vec![listed(rows[0], "first", 1), listed(rows[1], "stale", 1)];
    let error = write(stage, &rows, steps.clone()).await.expect_err("a stale row");
    assert!(matches!(error, StoreError::Rejected(_)), "{error:?}");
    assert_eq!(notes(stage).await, [(1, None), (2, None)], "the first row is undone");
    write(stage, &rows, steps.into_iter().map(Step::or_none).collect()).await.unwrap();
    let first = Some("first".to_owned());
    assert_eq!(notes(stage).await, [(2, first), (2, None)], "none touched is none missed");
    // Beside one that may miss, those that must not are still counted.
    let steps = vec![listed(rows[0], "again", 2), listed(rows[1], "stale", 1).or_none()];
    write(stage, &rows, steps).await.unwrap();
    let steps = vec![listed(rows[0], "third", 3), listed(rows[1], "second", 2)];
    write(stage, &rows, steps).await.unwrap();
    let (third, second) = (Some("third".to_owned()), Some("second".to_owned()));
    assert_eq!(notes(stage).await, [(4, third), (3, second)]);
}
