//! Receipts of idempotency: how long they count, and that no key is written twice.

use caudal_domain::{Fingerprint, ReceiptKey, Refusal, TenantId, Timestamp, TransferId};
use caudal_store::{Answer, Locked, Locks, Receipt, StoreError, UnitOfWork, UnitOutcome, Writes};

use super::{
    fixtures::{Batch, commit, done, funded, pay, post, seconds, tenant, wallet},
    stage::{START, Stage},
};

fn key(name: &str) -> ReceiptKey {
    ReceiptKey::new(TenantId(1), 2, name)
}

fn said(name: &str) -> Receipt {
    let fingerprint = Fingerprint::of(&[name.as_bytes()]);
    Receipt { key: key(name), fingerprint, answer: Answer::Said(format!("{{\"is\":\"{name}\"}}")) }
}

fn day(number: i64) -> Timestamp {
    START.plus_seconds(number * 86_400)
}

/// Writes the receipts in a batch of their own at `at`.
async fn write(stage: &Stage, at: Timestamp, receipts: Vec<Receipt>) -> Result<(), StoreError> {
    let mut receipts = Some(receipts);
    let decide = Box::new(move |_: Locked| Writes {
        receipts: receipts.take().unwrap_or_default(),
        at,
        ..Writes::default()
    });
    let locks = Locks { at, ..Locks::default() };
    stage.store.lane().commit_batch(locks, decide).await.map(drop)
}

/// Looks the keys up as a batch does at `at`.
async fn read(stage: &Stage, at: Timestamp, keys: &[ReceiptKey]) -> Vec<Receipt> {
    let (answer, answered) = std::sync::mpsc::channel();
    let mut receipts = keys.to_vec();
    receipts.sort_by_key(|key| (key.bucket(), *key));
    let decide = Box::new(move |locked: Locked| {
        answer.send(locked.receipts).expect("the test waits");
        Writes::default()
    });
    let locks = Locks { receipts, at, ..Locks::default() };
    stage.store.lane().commit_batch(locks, decide).await.expect("a reading batch");
    answered.recv().expect("decide was called")
}

pub async fn in_two_generations(stage: &Stage) {
    for number in 0..4 {
        let name = format!("day {number}");
        write(stage, day(number), vec![said(&name)]).await.unwrap();
        assert_eq!(read(stage, day(number), &[key(&name)]).await, [said(&name)]);
        assert_eq!(read(stage, day(number + 1), &[key(&name)]).await, [said(&name)]);
        assert_eq!(read(stage, day(number + 2), &[key(&name)]).await, [], "too old");
        // Units of work look them up as batches do.
        for (later, known) in [(0, true), (1, true), (2, false)] {
            let at = day(number + later);
            let receipt = Some(said(&name));
            let steps =
                vec![caudal_store::Step::one("update tenants set name = name where 1 = 0", vec![])];
            let unit = UnitOfWork { at, receipt, steps, ..UnitOfWork::default() };
            let wanted = match known {
                true => UnitOutcome::Replayed(said(&name)),
                false => UnitOutcome::Missed(0),
            };
            assert_eq!(stage.store.commit(unit).await.unwrap().0, wanted, "{later} days later");
        }
        stage.store.retire_receipts(day(number)).await.unwrap();
    }
}

/// By a clock that goes wrong, or by having waited, somebody takes it for the other day.
pub async fn around_midnight(stage: &Stage) {
    let midnight = START.plus_seconds(12 * 3600);
    for (number, (written, looked)) in
        [(5, -5), (-5, 5), (500, -500), (-500, 500)].into_iter().enumerate()
    {
        let [written, looked] = [written, looked].map(|seconds| midnight.plus_seconds(seconds));
        let name = format!("midnight {number}");
        write(stage, written, vec![said(&name)]).await.unwrap();
        // The janitor takes it for the other day as well.
        stage.store.retire_receipts(looked).await.unwrap();
        assert_eq!(read(stage, looked, &[key(&name)]).await, [said(&name)]);
        let receipt = Some(said(&name));
        let unit = UnitOfWork { at: looked, receipt, ..UnitOfWork::default() };
        let told = stage.store.commit(unit).await.unwrap().0;
        assert_eq!(told, UnitOutcome::Replayed(said(&name)));
        // Who did not look, for it was not there yet.
        let late = write(stage, looked, vec![said(&name)]).await;
        assert!(matches!(late, Err(StoreError::Contention(_))), "{late:?}");
    }
}

pub async fn met_twice(stage: &Stage) {
    let tenant = tenant(stage).await;
    let (a, b) = (funded(stage, tenant, 10, 100).await, wallet(stage, tenant, 200).await);
    write(stage, START, vec![said("once")]).await.unwrap();
    let batch = Batch {
        receipts: vec![said("fresh"), said("once")],
        ..Batch::of(tenant, START, vec![pay(a, b, 1)])
    };
    let error = commit(stage, stage.store.lane().as_mut(), batch).await.expect_err("a known key");
    assert!(matches!(error, StoreError::Contention(_)), "{error:?}");
    assert_eq!(read(stage, START, &[key("fresh")]).await, [], "nothing of the batch is there");
    let entries = caudal_store::entries::list(stage.store.as_ref(), b, i64::MAX, 9).await.unwrap();
    assert_eq!(entries, []);
}

pub async fn answers_round_trip(stage: &Stage) {
    let tenant = tenant(stage).await;
    let (a, b) = (funded(stage, tenant, 10, 100).await, wallet(stage, tenant, 200).await);
    let transfer = post(stage, tenant, pay(a, b, 1), seconds(1)).await;
    let account = super::fixtures::new_wallet(stage, tenant, super::fixtures::usd(), 1).account;
    let id = TransferId(stage.id(START, 10));
    let refusal = Refusal::WalletNotFound { account: a };
    let answers = [
        Answer::Created(id),
        Answer::Changed(Box::new(transfer)),
        Answer::Account { account, context: Some("{\"why\":\"é\"}".into()) },
        Answer::Refused(refusal.clone()),
        Answer::RefusedAt { index: 3, refusal: refusal.clone() },
        Answer::Group(vec![Answer::Created(id), Answer::Refused(refusal)]),
        Answer::Said("{\"id\":\"x\"}".into()),
    ];
    let receipts = answers
        .into_iter()
        .enumerate()
        .map(|(number, answer)| Receipt { answer, ..said(&number.to_string()) });
    let mut receipts: Vec<_> = receipts.collect();
    receipts.sort_by_key(|receipt| (receipt.key.bucket(), receipt.key));
    write(stage, START, receipts.clone()).await.unwrap();
    let keys: Vec<_> = receipts.iter().map(|receipt| receipt.key).collect();
    let mut found = read(stage, START, &keys).await;
    found.sort_by_key(|receipt| (receipt.key.bucket(), receipt.key));
    assert_eq!(found, receipts);
}

pub async fn retired(stage: &Stage) {
    for number in 0..3 {
        write(stage, day(number), vec![said(&number.to_string())]).await.unwrap();
    }
    stage.store.retire_receipts(day(2)).await.unwrap();
    stage.store.retire_receipts(day(2)).await.unwrap();
    let all = [key("0"), key("1"), key("2")];
    assert_eq!(read(stage, day(2), &all).await.len(), 2, "yesterday's and today's stay");
    // Day 3 writes where day 0 wrote: nothing of it must be left.
    assert_eq!(read(stage, day(3), &all).await, [said("2")]);
    let unit = UnitOfWork { at: day(3), receipt: Some(said("0")), ..UnitOfWork::default() };
    assert_eq!(stage.store.commit(unit).await.unwrap().0, UnitOutcome::Done);
    done(stage, vec![]).await;
}
