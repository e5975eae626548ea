//! Payments: round trips, races of versions, lists, sums; and written with the money they move.

use std::slice::from_ref;

use caudal_domain::{
    AccountId, BusinessDay, DisputeId, GatewayAccountId, PaymentId, RefundId, TenantId, TransferId,
    UserId,
    id::lowest_at,
    payment::{DisputeStatus, PaymentAmounts, PaymentStatus, RefundStatus},
    text::Metadata,
};
use caudal_store::{
    AttachedRow, Attachment, Locked, StoreError, UnitOutcome, Writes, disputes,
    payments::{self, Filter, PaymentRow, Sum, Sums},
    refunds, wallets,
};

use super::{
    disputes::new_dispute,
    fixtures::{
        Batch, Ids, decide, done, funded, metadata, missed, pay, seconds, tenant, usd, wallet,
    },
    races::one_wins,
    refunds::new_refund,
    stage::Stage,
};

/// A plain one of `second`, under way, into a wallet of bucket 7 that need not exist.
pub fn new_payment(stage: &Stage, tenant: TenantId, second: i64) -> PaymentRow {
    let at = seconds(second);
    PaymentRow {
        id: PaymentId(stage.id(at, 7)),
        tenant,
        status: PaymentStatus::Processing,
        kind: "card".into(),
        amount: 1000,
        currency: usd(),
        amounts: PaymentAmounts::default(),
        fee: 0,
        wallet: AccountId(stage.id(at, 7)),
        from: None,
        user: None,
        payment_method: None,
        manual_capture: false,
        gateway_account: None,
        gateway_reference: None,
        transfer: None,
        failure: None,
        reference: None,
        description: None,
        metadata: Metadata::default(),
        data: "{}".into(),
        available_at: None,
        created_at: at,
        updated_at: at,
        version: 1,
        business_day: BusinessDay(20_000),
    }
}

async fn find(stage: &Stage, payment: &PaymentRow) -> Option<PaymentRow> {
    payments::find(stage.store.as_ref(), payment.tenant, payment.id).await.unwrap()
}

pub async fn round_trip(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let plain = new_payment(stage, acme, 1);
    let account = GatewayAccountId(stage.id(seconds(1), 3));
    let mut full = PaymentRow {
        from: Some(AccountId(stage.id(seconds(1), 8))),
        user: Some(UserId(stage.id(seconds(1), 9))),
        payment_method: Some("pm_card_visa".into()),
        manual_capture: true,
        reference: Some("order №7".into()),
        description: Some("tea".into()),
        metadata: metadata(&[("k", "v")]),
        data: "{\"a\":1}".into(),
        ..new_payment(stage, acme, 2)
    };
    done(stage, vec![payments::insert(&plain), payments::insert(&full)]).await;
    missed(stage, vec![payments::insert(&plain)]).await;
    assert_eq!(find(stage, &plain).await.as_ref(), Some(&plain));
    assert_eq!(find(stage, &full).await.as_ref(), Some(&full));
    assert_eq!(payments::find(db, other, full.id).await.unwrap(), None);

    full.status = PaymentStatus::Succeeded;
    full.amounts = PaymentAmounts { authorized: 900, captured: 800, refunded: 70, disputed: 6 };
    full.fee = 29;
    full.gateway_account = Some(account);
    full.gateway_reference = Some("pi_1".into());
    full.transfer = Some(TransferId(stage.id(seconds(3), 7)));
    full.failure = Some("card_declined".into());
    full.data = "{}".into();
    full.available_at = Some(seconds(99));
    (full.updated_at, full.version) = (seconds(3), 2);
    missed(stage, vec![payments::update(&PaymentRow { tenant: other, ..full.clone() })]).await;
    done(stage, vec![payments::update(&full)]).await;
    assert_eq!(find(stage, &full).await.as_ref(), Some(&full));
    let by_gateway = async |tenant, reference: &str| {
        payments::find_by_gateway(db, tenant, account, reference).await.unwrap()
    };
    assert_eq!(by_gateway(acme, "pi_1").await, Some(full));
    assert_eq!(by_gateway(acme, "pi_2").await, None);
    assert_eq!(by_gateway(other, "pi_1").await, None);
    let shown = format!("{:?}", payments::insert(&plain).params) + &format!("{plain:?}");
    assert!(!shown.contains("pm_card"), "{shown}");
}

pub async fn of_two_versions_one_wins(stage: &Stage) {
    let acme = tenant(stage).await;
    let payment = new_payment(stage, acme, 1);
    done(stage, vec![payments::insert(&payment)]).await;
    let next = |status| PaymentRow { status, version: 2, ..payment.clone() };
    let versions =
        [PaymentStatus::Canceled, PaymentStatus::Failed, PaymentStatus::Unknown].map(next);
    let units = versions.iter().map(|payment| vec![payments::update(payment)]).collect();
    let won = one_wins(stage, units, 0).await;
    assert_eq!(find(stage, &payment).await.as_ref(), Some(&versions[won]));
}

fn all(tenant: TenantId) -> Filter {
    Filter {
        tenant,
        status: None,
        kind: None,
        wallet: None,
        payer: None,
        user: None,
        reference: None,
        before: u128::MAX,
        from: 0,
        limit: 9,
    }
}

pub async fn by_page_and_filter(stage: &Stage) {
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let user = Some(UserId(stage.id(seconds(0), 9)));
    let first = PaymentRow { status: PaymentStatus::Succeeded, ..new_payment(stage, acme, 1) };
    let second = PaymentRow { kind: "wallet".into(), user, ..new_payment(stage, acme, 2) };
    let third = PaymentRow { reference: Some("r".into()), ..new_payment(stage, acme, 3) };
    let elsewhere = new_payment(stage, other, 4);
    let rows = [&first, &second, &third, &elsewhere];
    done(stage, rows.map(payments::insert).into()).await;
    let everything = [third.clone(), second.clone(), first.clone()];
    let listed =
        async |filter: Filter| payments::list(stage.store.as_ref(), &filter).await.unwrap();
    assert_eq!(listed(all(acme)).await, everything);
    assert_eq!(listed(Filter { limit: 2, ..all(acme) }).await, everything[..2]);
    assert_eq!(listed(Filter { before: second.id.0, ..all(acme) }).await, everything[2..]);
    let until = Filter { before: lowest_at(seconds(3)), ..all(acme) };
    assert_eq!(listed(Filter { from: lowest_at(seconds(2)), ..until }).await, everything[1..2]);
    for (status, found) in [
        (PaymentStatus::Succeeded, &everything[2..]),
        (PaymentStatus::Processing, &everything[..2]),
        (PaymentStatus::Queued, &[]),
    ] {
        assert_eq!(listed(Filter { status: Some(status), ..all(acme) }).await, found);
    }
    assert_eq!(
        listed(Filter { kind: Some("wallet".into()), ..all(acme) }).await,
        from_ref(&second)
    );
    assert_eq!(listed(Filter { wallet: Some(first.wallet), ..all(acme) }).await, [first]);
    assert_eq!(listed(Filter { user, ..all(acme) }).await, [second]);
    assert_eq!(listed(Filter { user, kind: Some("card".into()), ..all(acme) }).await, []);
    let reference = Some("r".to_owned());
    assert_eq!(listed(Filter { reference, ..all(acme) }).await, [third]);
}

pub async fn promised_by_age(stage: &Stage) {
    let acme = tenant(stage).await;
    let status = PaymentStatus::RequiresCapture;
    let late = PaymentRow { status, ..new_payment(stage, acme, 5) };
    let early = PaymentRow { status, updated_at: seconds(9), ..new_payment(stage, acme, 2) };
    let queued = PaymentRow { status: PaymentStatus::Queued, ..new_payment(stage, acme, 1) };
    done(stage, [&late, &early, &queued].map(payments::insert).into()).await;
    let promised = async |after: u128, before, limit| {
        let ids = (after, lowest_at(seconds(before)));
        payments::promised(stage.store.as_ref(), ids, limit).await.unwrap()
    };
    assert_eq!(promised(0, 2, 9).await, []);
    assert_eq!(promised(0, 5, 9).await, from_ref(&early));
    assert_eq!(promised(0, 6, 9).await, [early.clone(), late.clone()]);
    assert_eq!(promised(0, 6, 1).await, from_ref(&early));
    assert_eq!(promised(early.id.0, 6, 9).await, from_ref(&late));
    let over = PaymentRow { status: PaymentStatus::Failed, version: 2, ..late };
    done(stage, vec![payments::update(&over)]).await;
    assert_eq!(promised(0, 9, 9).await.len(), 1);
}

pub async fn sums_of_what_came_after(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let (payment, twin) = (new_payment(stage, acme, 1), new_payment(stage, acme, 1));
    done(stage, vec![payments::insert(&payment), payments::insert(&twin)]).await;
    assert_eq!(payments::sums(db, acme, payment.id).await.unwrap(), Sums::default());
    let mut steps = Vec::new();
    for (status, amount) in
        [(RefundStatus::Pending, 1), (RefundStatus::Succeeded, 20), (RefundStatus::Succeeded, 300)]
    {
        let id = RefundId(stage.id(seconds(2), 7));
        let refund = new_refund(&payment, id);
        steps.push(refunds::insert(&refunds::RefundRow { status, amount, ..refund }));
    }
    let foreign = new_refund(&twin, RefundId(stage.id(seconds(2), 7)));
    steps.push(refunds::insert(&foreign));
    let dispute = new_dispute(&payment, DisputeId(stage.id(seconds(2), 7)), "dp_1");
    steps.push(disputes::insert(&dispute));
    done(stage, steps).await;
    let sums = Sums {
        refunds: vec![
            Sum { status: RefundStatus::Pending, count: 1, amount: 1 },
            Sum { status: RefundStatus::Succeeded, count: 2, amount: 320 },
        ],
        disputes: vec![Sum {
            status: DisputeStatus::NeedsResponse,
            count: 1,
            amount: dispute.amount,
        }],
    };
    assert_eq!(payments::sums(db, acme, payment.id).await.unwrap(), sums);
    assert_eq!(payments::sums(db, other, payment.id).await.unwrap(), Sums::default());
}

/// Moves money with the row in one batch: the version found under the lock.
pub async fn batch_with(
    stage: &Stage,
    batch: Batch,
    attachment: Attachment,
) -> Result<Vec<(AttachedRow, i64)>, StoreError> {
    let (answer, answered) = std::sync::mpsc::channel();
    let mut ids = Ids(stage.ids());
    let mut locks = batch.locks();
    locks.rows = vec![attachment.row];
    let decide = Box::new(move |locked: Locked| {
        answer.send(locked.rows.clone()).expect("the test waits");
        let (_, mut writes): (_, Writes) = decide(&batch, locked, &mut ids);
        writes.steps.push(attachment.write.clone());
        writes
    });
    stage.store.lane().commit_batch(locks, decide).await?;
    Ok(answered.recv().expect("decide was called"))
}

pub async fn goes_with_a_batch(stage: &Stage) {
    let db = stage.store.as_ref();
    let acme = tenant(stage).await;
    let (a, b) = (funded(stage, acme, 10, 900).await, wallet(stage, acme, 20).await);
    let payment = new_payment(stage, acme, 1);
    done(stage, vec![payments::insert(&payment)]).await;
    let booked = PaymentRow { status: PaymentStatus::Succeeded, version: 2, ..payment.clone() };
    let attachment = payments::attachment(&booked);
    assert_eq!(attachment.expected_version, 1);
    let batch = || Batch::of(acme, seconds(5), vec![pay(a, b, 100)]);
    let found = batch_with(stage, batch(), attachment.clone()).await.unwrap();
    assert_eq!(found, [(attachment.row, 1)]);
    assert_eq!(find(stage, &payment).await, Some(booked.clone()));
    // Under the lock the stale row shows, and money moves with its row or not at all.
    let error = batch_with(stage, batch(), attachment.clone()).await.expect_err("a stale row");
    assert!(matches!(error, StoreError::Rejected(_)), "{error:?}");
    let paid = wallets::find(db, acme, b).await.unwrap().expect("the wallet");
    assert_eq!(paid.account.total, 100);
    let unit = super::fixtures::outcome(&stage.store, vec![attachment.write]).await;
    assert_eq!(unit, UnitOutcome::Missed(0));
}
