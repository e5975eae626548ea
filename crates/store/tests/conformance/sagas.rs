//! Sagas: each leased to one worker, and nothing written by a lease that is over.

use std::{collections::BTreeSet, slice::from_ref};

use caudal_domain::{SagaId, TenantId};
use caudal_store::{
    StoreError, UnitOutcome,
    sagas::{self, Lease, SagaRow},
};

use super::{
    fixtures::{Batch, done, funded, missed, outcome, pay, seconds, tenant, wallet},
    payments::batch_with,
    races::race,
    stage::Stage,
};

pub fn saga(stage: &Stage, tenant: TenantId, second: i64) -> SagaRow {
    SagaRow {
        id: SagaId(stage.id(seconds(second), 7)),
        tenant,
        kind: "charge".into(),
        subject: stage.id(seconds(second), 7),
        step: "reserve".into(),
        data: "{}".into(),
        attempts: 0,
        next_at: seconds(second),
        lease_until: None,
        holder: None,
        token: 0,
        outcome: None,
        finished_at: None,
        created_at: seconds(second),
        version: 1,
    }
}

fn lease(stage: &Stage, now: i64, until: i64) -> Lease {
    Lease { holder: stage.id(seconds(now), 1), now: seconds(now), until: seconds(until) }
}

async fn found(stage: &Stage, saga: &SagaRow) -> SagaRow {
    let db = stage.store.as_ref();
    sagas::find(db, saga.tenant, saga.id).await.unwrap().expect("the saga")
}

/// Leases the saga, as a worker does.
async fn leased(stage: &Stage, saga: &SagaRow, now: i64, until: i64) -> SagaRow {
    let lease = lease(stage, now, until);
    done(stage, sagas::lease(from_ref(saga), &lease)).await;
    sagas::held(stage.store.as_ref(), lease.holder).await.unwrap().remove(0)
}

pub async fn round_trip(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let row = saga(stage, acme, 1);
    // One that its maker works on at once.
    let (token, lease_until) = (1, Some(seconds(30)));
    let (next_at, holder) = (seconds(30), Some(stage.id(seconds(2), 1)));
    let own = SagaRow { token, lease_until, next_at, holder, ..saga(stage, acme, 2) };
    done(stage, vec![sagas::insert(&row), sagas::insert(&own)]).await;
    missed(stage, vec![sagas::insert(&row)]).await;
    assert_eq!(found(stage, &row).await, row);
    assert_eq!(sagas::held(db, own.holder.unwrap()).await.unwrap(), from_ref(&own));
    assert_eq!(sagas::find(db, other, row.id).await.unwrap(), None);
    assert_eq!(sagas::of_subject(db, acme, row.subject, 9).await.unwrap(), from_ref(&row));
    assert_eq!(sagas::of_subject(db, other, row.subject, 9).await.unwrap(), []);
    assert_eq!(sagas::due(db, seconds(0), 9).await.unwrap(), []);
    assert_eq!(sagas::due(db, seconds(29), 9).await.unwrap(), from_ref(&row));
    assert_eq!(sagas::due(db, seconds(30), 9).await.unwrap(), [row.clone(), own]);
    assert_eq!(sagas::due(db, seconds(30), 1).await.unwrap(), [row]);
}

pub async fn each_goes_to_one_worker(stage: &Stage) {
    let db = stage.store.as_ref();
    let acme = tenant(stage).await;
    let rows: Vec<_> = (0..12).map(|second| saga(stage, acme, second)).collect();
    done(stage, rows.iter().map(sagas::insert).collect()).await;
    let seen = sagas::due(db, seconds(20), 99).await.unwrap();
    assert_eq!(seen.len(), 12);
    let leases: Vec<_> = (0..4).map(|_| lease(stage, 20, 50)).collect();
    // Every other worker has read them in another order.
    let units = leases.iter().enumerate().map(|(turn, lease)| {
        let mut seen = seen.clone();
        seen.rotate_left(turn * 3);
        sagas::lease(&seen, lease)
    });
    for outcome in race(stage, units.collect()).await {
        assert_eq!(outcome, UnitOutcome::Done);
    }
    let mut all = Vec::new();
    for lease in &leases {
        let held = sagas::held(db, lease.holder).await.unwrap();
        for saga in &held {
            assert_eq!((saga.token, saga.attempts, saga.version), (1, 1, 2), "{saga:?}");
            assert_eq!(saga.lease_until, Some(seconds(50)));
        }
        all.extend(held.iter().map(|saga| saga.id));
    }
    assert_eq!(all.len(), 12, "none twice, none left");
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), 12);
    assert_eq!(sagas::due(db, seconds(49), 99).await.unwrap(), []);
    assert_eq!(sagas::due(db, seconds(50), 99).await.unwrap().len(), 12, "leases end");
}

pub async fn an_older_token_writes_nothing(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let row = saga(stage, acme, 1);
    done(stage, vec![sagas::insert(&row)]).await;
    let slow = leased(stage, &row, 2, 10).await;
    // Not due: nobody gets it before the lease ends.
    let early = lease(stage, 9, 20);
    done(stage, sagas::lease(from_ref(&slow), &early)).await;
    assert_eq!(sagas::held(db, early.holder).await.unwrap(), []);
    let mut quick = leased(stage, &slow, 10, 20).await;
    assert_eq!((slow.token, quick.token), (1, 2));

    let stale = SagaRow { step: "book".into(), version: slow.version + 1, ..slow.clone() };
    // Also one that has guessed the version right.
    let guessed = SagaRow { version: quick.version + 1, ..stale.clone() };
    for late in [&stale, &guessed] {
        missed(stage, vec![sagas::advance(late)]).await;
        missed(stage, vec![sagas::put_off(late)]).await;
        missed(stage, vec![sagas::finish(late, "done", seconds(11))]).await;
        missed(stage, vec![sagas::renew(late, seconds(99))]).await;
    }
    assert_eq!(found(stage, &row).await, quick, "untouched");

    (quick.step, quick.data, quick.attempts, quick.version) =
        ("gateway".into(), "{\"a\":1}".into(), 0, quick.version + 1);
    missed(stage, vec![sagas::advance(&SagaRow { tenant: other, ..quick.clone() })]).await;
    done(stage, vec![sagas::advance(&quick)]).await;
    assert_eq!(found(stage, &row).await, quick);
    missed(stage, vec![sagas::advance(&quick)]).await;
    done(stage, vec![sagas::renew(&quick, seconds(40))]).await;
    let renewed = found(stage, &row).await;
    assert_eq!((renewed.next_at, renewed.lease_until), (seconds(40), Some(seconds(40))));
    (quick.next_at, quick.version) = (seconds(60), quick.version + 1);
    done(stage, vec![sagas::put_off(&quick)]).await;
    let free = SagaRow { lease_until: None, holder: None, ..quick };
    assert_eq!(found(stage, &row).await, free);
    assert_eq!(sagas::due(db, seconds(60), 9).await.unwrap(), [free]);
}

pub async fn ends_and_is_removed(stage: &Stage) {
    let db = stage.store.as_ref();
    let acme = tenant(stage).await;
    let (row, open) = (saga(stage, acme, 1), saga(stage, acme, 1));
    done(stage, vec![sagas::insert(&row), sagas::insert(&open)]).await;
    let mut mine = leased(stage, &row, 2, 10).await;
    (mine.step, mine.version) = ("notify".into(), mine.version + 1);
    done(stage, vec![sagas::finish(&mine, "succeeded", seconds(3))]).await;
    let ended = found(stage, &row).await;
    assert_eq!(ended.outcome.as_deref(), Some("succeeded"));
    assert_eq!((ended.finished_at, ended.holder), (Some(seconds(3)), None));
    let again = SagaRow { version: ended.version + 1, ..mine.clone() };
    missed(stage, vec![sagas::advance(&again)]).await;
    missed(stage, vec![sagas::finish(&again, "failed", seconds(4))]).await;
    assert_eq!(sagas::due(db, seconds(99), 9).await.unwrap(), from_ref(&open));
    done(stage, vec![sagas::remove_finished(seconds(3))]).await;
    assert_eq!(found(stage, &row).await, ended);
    done(stage, vec![sagas::remove_finished(seconds(4))]).await;
    assert_eq!(sagas::find(db, acme, row.id).await.unwrap(), None);
    assert_eq!(found(stage, &open).await, open);
}

pub async fn woken_when_nobody_works_on_it(stage: &Stage) {
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let row = SagaRow { next_at: seconds(500), ..saga(stage, acme, 1) };
    done(stage, vec![sagas::insert(&row)]).await;
    done(stage, vec![sagas::wake(other, row.subject, seconds(5))]).await;
    assert_eq!(found(stage, &row).await, row);
    done(stage, vec![sagas::wake(acme, row.subject, seconds(5))]).await;
    let woken = found(stage, &row).await;
    assert_eq!(woken, SagaRow { next_at: seconds(5), ..row });
    done(stage, vec![sagas::wake(acme, woken.subject, seconds(9))]).await;
    assert_eq!(found(stage, &woken).await, woken, "never later");
    let mine = leased(stage, &woken, 5, 60).await;
    done(stage, vec![sagas::wake(acme, woken.subject, seconds(6))]).await;
    assert_eq!(found(stage, &woken).await, mine);
}

pub async fn goes_with_a_batch(stage: &Stage) {
    let acme = tenant(stage).await;
    let (a, b) = (funded(stage, acme, 10, 900).await, wallet(stage, acme, 20).await);
    let row = saga(stage, acme, 1);
    done(stage, vec![sagas::insert(&row)]).await;
    let mine = leased(stage, &row, 2, 10).await;
    let booked = SagaRow { step: "booked".into(), version: mine.version + 1, ..mine.clone() };
    let attachment = sagas::attachment(&booked, sagas::advance(&booked));
    assert_eq!(attachment.expected_version, mine.version);
    let batch = || Batch::of(acme, seconds(5), vec![pay(a, b, 100)]);
    let locked = batch_with(stage, batch(), attachment.clone()).await.unwrap();
    assert_eq!(locked, [(attachment.row, mine.version)]);
    assert_eq!(found(stage, &row).await, booked);
    let error = batch_with(stage, batch(), attachment.clone()).await.expect_err("a stale row");
    assert!(matches!(error, StoreError::Rejected(_)), "{error:?}");
    assert_eq!(outcome(&stage.store, vec![attachment.write]).await, UnitOutcome::Missed(0));
}

/// One statement or many: all are there, or none.
pub async fn inserted_together_or_not_at_all(stage: &Stage) {
    let db = stage.store.as_ref();
    let acme = tenant(stage).await;
    let [one, two, three] = [1, 2, 3].map(|second| saga(stage, acme, second));
    done(stage, vec![sagas::insert(&one), sagas::insert(&two)]).await;
    assert_eq!((found(stage, &one).await, found(stage, &two).await), (one.clone(), two));
    let met = outcome(&stage.store, vec![sagas::insert(&three), sagas::insert(&one)]).await;
    assert!(matches!(met, UnitOutcome::Missed(_)), "{met:?}");
    assert_eq!(sagas::find(db, acme, three.id).await.unwrap(), None);
}
