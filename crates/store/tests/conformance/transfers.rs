//! Transfers: every shape round-trips, lists page and filter.

use caudal_domain::{AccountId, Leg, TenantId, Transfer, TransferId, TransferKind, TransferStatus};
use caudal_ledger::{Movement, NewTransfer, Terms, movements::HoldUntil};
use caudal_store::{entries, transfers, wallets};

use super::{
    fixtures::{
        Batch, accepted, funded, hold, metadata, new_tenant, pay, post, seconds, tenant, wallet,
    },
    stage::{START, Stage},
};

async fn find(stage: &Stage, transfer: &Transfer) -> Transfer {
    let found = transfers::find(stage.store.as_ref(), transfer.tenant, transfer.id).await;
    found.unwrap().expect("the transfer")
}

pub async fn round_trip(stage: &Stage) {
    let tenant = tenant(stage).await;
    let (a, b, c) = (
        funded(stage, tenant, 10, 900).await,
        wallet(stage, tenant, 99).await,
        wallet(stage, tenant, 255).await,
    );
    let plain = post(stage, tenant, pay(a, b, 5), seconds(1)).await;
    assert_eq!(find(stage, &plain).await, plain);
    assert_eq!(plain.id.bucket(), a.bucket());

    let several = NewTransfer {
        legs: vec![Leg::new(a, b, 7), Leg::new(a, c, 8), Leg::new(b, c, 2)],
        reference: Some("order №7 \"x\"".into()),
        metadata: metadata(&[("k", "v"), ("emoji", "💸")]),
        kind: TransferKind::Withdrawal,
        ..pay(a, b, 0)
    };
    let several = post(stage, tenant, several, seconds(2)).await;
    assert_eq!(several.amount, 17);
    assert_eq!(find(stage, &several).await, several);

    let stranger = new_tenant(stage, "stranger").id;
    let db = stage.store.as_ref();
    assert_eq!(transfers::find(db, stranger, plain.id).await.unwrap(), None);
    let unknown = TransferId(stage.id(START, 10));
    assert_eq!(transfers::find(db, tenant, unknown).await.unwrap(), None);
}

pub async fn life_of_a_hold(stage: &Stage) {
    let tenant = tenant(stage).await;
    let (a, b) = (funded(stage, tenant, 10, 900).await, wallet(stage, tenant, 20).await);
    let two_legs = NewTransfer {
        legs: vec![Leg::new(a, b, 60), Leg::new(a, b, 40)],
        ..hold(a, b, 0, seconds(100))
    };
    let held = post(stage, tenant, two_legs, seconds(1)).await;
    assert_eq!((held.status, held.expires_at), (TransferStatus::Held, Some(seconds(100))));
    assert_eq!(find(stage, &held).await, held);

    let capture =
        Movement::Capture { transfer: held.id, amount: Some(70), last: false, limits: Vec::new() };
    let captured = accepted(stage, Batch::on(&held, seconds(2), capture)).await;
    assert_eq!(captured.amount_captured, 70);
    assert_eq!(find(stage, &held).await, captured, "the legs' captured parts too");

    let void = Movement::Void { transfer: held.id };
    let voided = accepted(stage, Batch::on(&held, seconds(3), void)).await;
    assert_eq!(find(stage, &held).await, voided);
    assert_eq!(voided.remaining_hold(), 0);
}

pub async fn reversed(stage: &Stage) {
    let tenant = tenant(stage).await;
    let (a, b) = (funded(stage, tenant, 10, 900).await, wallet(stage, tenant, 20).await);
    let paid = post(stage, tenant, pay(a, b, 50), seconds(1)).await;
    for (amount, status) in
        [(Some(20), TransferStatus::PartiallyReversed), (None, TransferStatus::Reversed)]
    {
        let movement = Movement::Reverse { transfer: paid.id, amount };
        let reversal = accepted(stage, Batch::on(&paid, seconds(2), movement)).await;
        assert_eq!(reversal.reverses, Some(paid.id));
        assert_eq!(find(stage, &reversal).await, reversal);
        assert_eq!(find(stage, &paid).await.status, status);
    }
    let found = find(stage, &paid).await;
    assert_eq!((found.amount_reversed, found.legs[0].reversed), (50, 50));
}

fn filter(tenant: TenantId, limit: i64) -> transfers::Filter {
    transfers::Filter { tenant, status: None, reference: None, before: u128::MAX, from: 0, limit }
}

async fn ids(stage: &Stage, filter: transfers::Filter) -> Vec<TransferId> {
    let page = transfers::list(stage.store.as_ref(), &filter).await.unwrap();
    page.iter().map(|transfer| transfer.id).collect()
}

pub async fn by_page_and_filter(stage: &Stage) {
    let tenant = tenant(stage).await;
    let (a, b) = (funded(stage, tenant, 10, 900).await, wallet(stage, tenant, 250).await);
    let mut all = ids(stage, filter(tenant, 10)).await;
    for (at, amount) in (1..).zip([5, 6, 7]) {
        let reference = (amount != 6).then(|| "order-1".to_owned());
        let new = NewTransfer { reference, ..pay(a, b, amount) };
        all.insert(0, post(stage, tenant, new, seconds(at)).await.id);
    }
    for at in [4, 5] {
        all.insert(0, post(stage, tenant, hold(a, b, 9, seconds(90)), seconds(at)).await.id);
    }
    assert_eq!(all.len(), 6);
    assert_eq!(ids(stage, filter(tenant, 100)).await, all);
    let page = |before: TransferId| transfers::Filter { before: before.0, ..filter(tenant, 2) };
    assert_eq!(ids(stage, filter(tenant, 2)).await, all[..2]);
    assert_eq!(ids(stage, page(all[1])).await, all[2..4]);
    assert_eq!(ids(stage, page(all[4])).await, all[5..]);
    assert_eq!(ids(stage, page(all[5])).await, []);
    let since = transfers::Filter { from: all[2].0, ..filter(tenant, 100) };
    assert_eq!(ids(stage, since).await, all[..3], "`from` itself counts");

    let status = |status| transfers::Filter { status: Some(status), ..filter(tenant, 100) };
    assert_eq!(ids(stage, status(TransferStatus::Held)).await, all[..2]);
    assert_eq!(ids(stage, status(TransferStatus::Posted)).await, all[2..]);
    assert_eq!(ids(stage, status(TransferStatus::Voided)).await, []);
    let reference = |text: &str| Some(text.to_owned());
    let order = transfers::Filter { reference: reference("order-1"), ..filter(tenant, 100) };
    assert_eq!(ids(stage, order.clone()).await, [all[2], all[4]]);
    let held = transfers::Filter { status: Some(TransferStatus::Held), ..order };
    assert_eq!(ids(stage, held).await, []);
    let nobody = new_tenant(stage, "nobody").id;
    assert_eq!(ids(stage, filter(nobody, 100)).await, []);
}

async fn touching(stage: &Stage, wallet: AccountId, before: i64) -> Vec<(i64, TransferId)> {
    let page = transfers::list_of_wallet(stage.store.as_ref(), wallet, before, 3).await.unwrap();
    let first = |(version, transfer): (i64, Option<Transfer>)| Some((version, transfer?.id));
    page.into_iter().filter_map(first).collect()
}

pub async fn of_a_wallet(stage: &Stage) {
    let tenant = tenant(stage).await;
    let (a, b) = (funded(stage, tenant, 10, 900).await, funded(stage, tenant, 250, 900).await);
    let first = post(stage, tenant, pay(a, b, 5), seconds(1)).await.id;
    let twice = NewTransfer { legs: vec![Leg::new(a, b, 1), Leg::new(a, b, 2)], ..pay(a, b, 0) };
    let twice = post(stage, tenant, twice, seconds(2)).await.id;
    let back = post(stage, tenant, pay(b, a, 3), seconds(3)).await.id;
    // Versions of `a`: 1 funding, 2 first, 3 and 4 twice, 5 back.
    assert_eq!(touching(stage, a, i64::MAX).await, [(5, back), (3, twice)]);
    let rest = touching(stage, a, 3).await;
    assert_eq!(rest.len(), 2);
    assert_eq!(rest[0], (2, first));
    assert_eq!(touching(stage, a, 1).await, []);
}

pub async fn holds_by_time(stage: &Stage) {
    let db = stage.store.as_ref();
    let tenant = tenant(stage).await;
    let (a, b) = (funded(stage, tenant, 10, 900).await, wallet(stage, tenant, 250).await);
    let mut ids = Vec::new();
    for until in [30, 10, 20] {
        ids.push(post(stage, tenant, hold(a, b, 9, seconds(until)), seconds(1)).await.id);
    }
    let expired = async |at, limit| -> Vec<TransferId> {
        let found = transfers::expired(db, seconds(at), limit).await.unwrap();
        found.iter().map(|transfer| transfer.id).collect()
    };
    assert_eq!(expired(9, 10).await, []);
    assert_eq!(expired(20, 10).await, [ids[1], ids[2]], "due at the very instant");
    assert_eq!(expired(99, 2).await, [ids[1], ids[2]]);
    let open = transfers::open_holds(db, ids[0].0, 10).await.unwrap();
    assert_eq!(open.iter().map(|t| t.id).collect::<Vec<_>>(), [ids[1], ids[2]]);

    let held = transfers::find(db, tenant, ids[1]).await.unwrap().expect("the hold");
    let expire = Movement::Expire { transfer: ids[1] };
    let gone = accepted(stage, Batch::on(&held, seconds(11), expire)).await;
    assert_eq!(gone.status, TransferStatus::Expired);
    assert_eq!(expired(20, 10).await, [ids[2]]);
}

/// Money that came by card, partly given back, then there to spend.
pub async fn pending_until_available(stage: &Stage) {
    let db = stage.store.as_ref();
    let tenant = tenant(stage).await;
    let (a, b) = (funded(stage, tenant, 10, 900).await, wallet(stage, tenant, 250).await);
    let terms = Terms { available: Some(HoldUntil::At(seconds(50))), ..Terms::default() };
    let leg = Leg { pending: 60, ..Leg::new(a, b, 60) };
    let new = NewTransfer { legs: vec![leg], ..pay(a, b, 0) }.on(terms);
    let paid = post(stage, tenant, new, seconds(1)).await;
    assert_eq!((paid.pending(), paid.available_at), (60, Some(seconds(50))));
    assert_eq!(find(stage, &paid).await, paid);
    let shown = wallets::find(db, tenant, b).await.unwrap().expect("the wallet").account;
    assert_eq!((shown.total, shown.pending), (60, 60));

    let back = Movement::Reverse { transfer: paid.id, amount: Some(20) };
    accepted(stage, Batch::on(&paid, seconds(2), back)).await;
    assert_eq!(find(stage, &paid).await.pending(), 40);
    let entry = entries::list(db, b, i64::MAX, 1).await.unwrap().remove(0);
    assert_eq!((entry.amount, entry.balance_after, entry.pending_after), (-20, 40, 40));

    let due = async |at| -> Vec<TransferId> {
        let found = transfers::due_available(db, seconds(at), 10).await.unwrap();
        found.iter().map(|transfer| transfer.id).collect()
    };
    assert_eq!(due(49).await, []);
    assert_eq!(due(50).await, [paid.id], "due at the very instant");
    assert_eq!(transfers::pending(db, 0, 10).await.unwrap().len(), 1);
    let available = Movement::MakeAvailable { transfer: paid.id };
    let done = accepted(stage, Batch::on(&paid, seconds(50), available)).await;
    assert_eq!((done.pending(), done.available_at), (0, None));
    assert_eq!(find(stage, &paid).await, done);
    assert_eq!(due(99).await, []);
    assert_eq!(transfers::pending(db, 0, 10).await.unwrap(), []);

    // Versions of `b`: 1 paid, 2 back, 3 available, which is the payment's second entry.
    let listed = transfers::list_of_wallet(db, b, i64::MAX, 10).await.unwrap();
    let firsts: Vec<_> = listed.iter().map(|(_, transfer)| transfer.is_some()).collect();
    assert_eq!(firsts, [false, true, true]);
}

pub async fn every_kind(stage: &Stage) {
    let tenant = tenant(stage).await;
    let (a, b) = (funded(stage, tenant, 10, 900).await, wallet(stage, tenant, 250).await);
    for kind in TransferKind::ALL.into_iter().filter(|kind| *kind != TransferKind::WriteOff) {
        let transfer = post(stage, tenant, NewTransfer { kind, ..pay(a, b, 1) }, seconds(1)).await;
        assert_eq!(find(stage, &transfer).await.kind, kind);
    }
}
