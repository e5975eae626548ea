//! Disputes: round trips, lists, and one row however often we are told.

use std::slice::from_ref;

use caudal_domain::{
    DisputeId, GatewayAccountId, TenantId, TransferId, id::lowest_at, payment::DisputeStatus,
};
use caudal_store::{
    disputes::{self, DisputeRow, Filter},
    payments::PaymentRow,
};

use super::{
    fixtures::{done, missed, seconds, tenant},
    payments::new_payment,
    races::one_wins,
    stage::Stage,
};

pub fn new_dispute(payment: &PaymentRow, id: DisputeId, reference: &str) -> DisputeRow {
    DisputeRow {
        id,
        tenant: payment.tenant,
        payment: payment.id,
        status: DisputeStatus::NeedsResponse,
        amount: payment.amount,
        currency: payment.currency,
        reason: Some("fraudulent".into()),
        gateway_account: GatewayAccountId(77),
        gateway_reference: reference.into(),
        transfer: None,
        evidence: None,
        evidence_due_at: None,
        data: "{}".into(),
        created_at: payment.created_at,
        updated_at: payment.created_at,
        version: 1,
    }
}

fn dispute(stage: &Stage, tenant: TenantId, second: i64) -> DisputeRow {
    let payment = new_payment(stage, tenant, second);
    let id = DisputeId(stage.id(seconds(second), 7));
    new_dispute(&payment, id, &id.to_string())
}

pub async fn round_trip(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let mut row = DisputeRow { evidence_due_at: Some(seconds(50)), ..dispute(stage, acme, 1) };
    done(stage, vec![disputes::insert(&row)]).await;
    assert_eq!(disputes::find(db, acme, row.id).await.unwrap().as_ref(), Some(&row));
    assert_eq!(disputes::find(db, other, row.id).await.unwrap(), None);
    row.status = DisputeStatus::UnderReview;
    (row.reason, row.evidence) = (None, Some("a letter".into()));
    (row.evidence_due_at, row.transfer) = (None, Some(TransferId(4)));
    (row.data, row.updated_at, row.version) = ("[]".into(), seconds(3), 2);
    let attachment = disputes::attachment(&row);
    assert_eq!((attachment.row.table, attachment.expected_version), ("disputes", 1));
    missed(stage, vec![disputes::update(&DisputeRow { tenant: other, ..row.clone() })]).await;
    done(stage, vec![attachment.write.clone()]).await;
    missed(stage, vec![attachment.write]).await;
    let (account, reference) = (row.gateway_account, row.gateway_reference.as_str());
    let found = disputes::find_by_gateway(db, acme, account, reference).await.unwrap();
    assert_eq!(found.as_ref(), Some(&row));
    assert_eq!(disputes::find_by_gateway(db, other, account, reference).await.unwrap(), None);
    assert_eq!(disputes::of_payment(db, acme, row.payment, 9).await.unwrap(), from_ref(&row));
    assert_eq!(disputes::of_payment(db, other, row.payment, 9).await.unwrap(), []);
}

pub async fn told_of_once(stage: &Stage) {
    let acme = tenant(stage).await;
    let payment = new_payment(stage, acme, 1);
    let told = || new_dispute(&payment, DisputeId(stage.id(seconds(2), 7)), "dp_1");
    let units = (0..4).map(|_| vec![disputes::insert(&told())]).collect();
    one_wins(stage, units, 0).await;
    let found = disputes::of_payment(stage.store.as_ref(), acme, payment.id, 9).await.unwrap();
    assert_eq!(found.len(), 1);
}

pub async fn by_page_and_filter(stage: &Stage) {
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let status = DisputeStatus::Won;
    let first = DisputeRow { status, ..dispute(stage, acme, 1) };
    let (second, third) = (dispute(stage, acme, 2), dispute(stage, acme, 3));
    let rows = [&first, &second, &third, &dispute(stage, other, 4)];
    done(stage, rows.map(disputes::insert).into()).await;
    let all = || Filter { tenant: acme, status: None, before: u128::MAX, from: 0, limit: 9 };
    let listed =
        async |filter: Filter| disputes::list(stage.store.as_ref(), &filter).await.unwrap();
    let everything = [third, second.clone(), first];
    assert_eq!(listed(all()).await, everything);
    assert_eq!(listed(Filter { limit: 1, ..all() }).await, everything[..1]);
    let page = Filter { before: second.id.0, ..all() };
    assert_eq!(listed(page).await, everything[2..]);
    assert_eq!(listed(Filter { from: lowest_at(seconds(2)), ..all() }).await, everything[..2]);
    assert_eq!(listed(Filter { status: Some(status), ..all() }).await, everything[2..]);
}
