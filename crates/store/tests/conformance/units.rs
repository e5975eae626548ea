//! Units of work: done once, replayed after, and without a trace where a step misses.

use caudal_domain::{Event, EventId, Fingerprint, ReceiptKey, TenantId, event::kinds};
use caudal_store::{
    Answer, Receipt, Step, StoreError, UnitOfWork, UnitOutcome, events, tenants, wallets,
};

use super::{
    fixtures::{new_tenant, new_wallet, seconds, usd},
    stage::{START, Stage},
};

fn receipt(name: &str) -> Receipt {
    Receipt {
        key: ReceiptKey::new(TenantId(1), 2, name),
        fingerprint: Fingerprint::of(&[b"body"]),
        answer: Answer::Said("{\"ok\":1}".into()),
    }
}

fn event(stage: &Stage, tenant: TenantId, bucket: u8) -> Event {
    Event {
        id: EventId(stage.id(START, bucket)),
        tenant,
        kind: kinds::TENANT_CREATED,
        subject: tenant.to_string(),
        data: "{\"a\":\"é\"}".into(),
        occurred_at: seconds(1),
    }
}

pub async fn done_then_replayed(stage: &Stage) {
    let db = stage.store.as_ref();
    let acme = new_tenant(stage, "Acme");
    let happened = [event(stage, acme.id, 0), event(stage, acme.id, 40), event(stage, acme.id, 41)];
    let unit = UnitOfWork {
        at: START,
        steps: vec![tenants::insert(&acme)],
        events: happened.to_vec(),
        receipt: Some(receipt("k")),
    };
    let (outcome, position) = stage.store.commit(unit.clone()).await.unwrap();
    assert_eq!((outcome, position), (UnitOutcome::Done, vec![(0, 1), (2, 2)]));
    assert_eq!(tenants::find(db, acme.id).await.unwrap(), Some(acme));

    let other = Receipt { fingerprint: Fingerprint::of(&[b"another body"]), ..receipt("k") };
    for asked in [unit.clone(), UnitOfWork { receipt: Some(other), ..unit }] {
        let (outcome, position) = stage.store.commit(asked).await.unwrap();
        let first = UnitOutcome::Replayed(receipt("k"));
        assert_eq!((outcome, position), (first, vec![]), "the first answer, nothing done");
    }
    let stored = events::after(db, 2, 0, 10).await.unwrap();
    assert_eq!(stored.len(), 2);
    for (stored, event) in stored.iter().zip(&happened[1..]) {
        assert_eq!((stored.id, stored.tenant), (event.id, event.tenant));
        assert_eq!((stored.kind.as_str(), &stored.subject), (event.kind, &event.subject));
        assert_eq!((&stored.data, stored.occurred_at), (&event.data, event.occurred_at));
    }
}

pub async fn missed_changes_nothing(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (new_tenant(stage, "Acme"), new_tenant(stage, "other"));
    super::fixtures::done(stage, vec![tenants::insert(&acme)]).await;
    let stale = Step::one("update tenants set name = 'x' where version = $1", vec![7i64.into()]);
    super::fixtures::done(stage, vec![events::save_position("relay", 3, 9)]).await;
    let in_the_way = Step::one(
        "insert into relay_positions (relay, stream, seq) values ($1, $2, $3)
         on conflict do nothing",
        vec!["relay".into(), 3i64.into(), 0i64.into()],
    );
    let twin = tenants::insert(&acme);
    for last in [stale, in_the_way, twin] {
        let unit = UnitOfWork {
            at: START,
            steps: vec![tenants::insert(&other), last],
            events: vec![event(stage, acme.id, 0)],
            receipt: Some(receipt("missed")),
        };
        let (outcome, position) = stage.store.commit(unit).await.unwrap();
        assert_eq!((outcome, position), (UnitOutcome::Missed(1), vec![]));
        assert_eq!(tenants::find(db, other.id).await.unwrap(), None);
        assert_eq!(events::heads(db).await.unwrap()[0], 0);
    }
    // The key is still free.
    let receipt = Some(receipt("missed"));
    let unit = UnitOfWork { at: START, receipt, ..UnitOfWork::default() };
    assert_eq!(stage.store.commit(unit).await.unwrap().0, UnitOutcome::Done);
}

pub async fn rejected_changes_nothing(stage: &Stage) {
    let db = stage.store.as_ref();
    let acme = new_tenant(stage, "Acme");
    let wallet = new_wallet(stage, acme.id, usd(), 5);
    let mut steps = vec![tenants::insert(&acme)];
    steps.extend(wallets::insert(&wallet, true));
    steps.push(Step::new("update tenants set name = $1", vec![caudal_store::Value::Null]));
    let unit = UnitOfWork { at: START, steps, ..UnitOfWork::default() };
    let error = stage.store.commit(unit).await.expect_err("a name must not be null");
    assert!(matches!(error, StoreError::Rejected(_)), "{error:?}");
    assert_eq!(tenants::find(db, acme.id).await.unwrap(), None);
    assert_eq!(wallets::find(db, acme.id, wallet.account.id).await.unwrap(), None);
}
