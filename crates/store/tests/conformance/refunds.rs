//! Refunds: round trips and lists.

use std::slice::from_ref;

use caudal_domain::{
    GatewayAccountId, RefundId, TenantId, TransferId, id::lowest_at, payment::RefundStatus,
};
use caudal_store::{
    payments::PaymentRow,
    refunds::{self, Filter, RefundRow},
};

use super::{
    fixtures::{done, missed, seconds, tenant},
    payments::new_payment,
    stage::Stage,
};

pub fn new_refund(payment: &PaymentRow, id: RefundId) -> RefundRow {
    RefundRow {
        id,
        tenant: payment.tenant,
        payment: payment.id,
        status: RefundStatus::Pending,
        amount: 50,
        currency: payment.currency,
        reason: None,
        gateway_account: None,
        gateway_reference: None,
        transfer: None,
        failure: None,
        data: "{}".into(),
        created_at: payment.created_at,
        updated_at: payment.created_at,
        version: 1,
    }
}

fn refund(stage: &Stage, tenant: TenantId, second: i64) -> RefundRow {
    let payment = new_payment(stage, tenant, second);
    new_refund(&payment, RefundId(stage.id(seconds(second), 7)))
}

pub async fn round_trip(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let mut row = RefundRow { reason: Some("broken".into()), ..refund(stage, acme, 1) };
    done(stage, vec![refunds::insert(&row)]).await;
    missed(stage, vec![refunds::insert(&row)]).await;
    assert_eq!(refunds::find(db, acme, row.id).await.unwrap().as_ref(), Some(&row));
    assert_eq!(refunds::find(db, other, row.id).await.unwrap(), None);
    let account = GatewayAccountId(stage.id(seconds(1), 3));
    row.status = RefundStatus::Failed;
    (row.gateway_account, row.gateway_reference) = (Some(account), Some("re_1".into()));
    (row.transfer, row.failure) = (Some(TransferId(5)), Some("expired_card".into()));
    (row.data, row.updated_at, row.version) = ("[1]".into(), seconds(2), 2);
    let attachment = refunds::attachment(&row);
    assert_eq!((attachment.row.table, attachment.expected_version), ("refunds", 1));
    missed(stage, vec![refunds::update(&RefundRow { tenant: other, ..row.clone() })]).await;
    done(stage, vec![attachment.write.clone()]).await;
    missed(stage, vec![attachment.write]).await;
    assert_eq!(refunds::find(db, acme, row.id).await.unwrap().as_ref(), Some(&row));
    let found = refunds::find_by_gateway(db, acme, account, "re_1").await.unwrap();
    assert_eq!(found.as_ref(), Some(&row));
    assert_eq!(refunds::find_by_gateway(db, other, account, "re_1").await.unwrap(), None);
    assert_eq!(refunds::of_payment(db, acme, row.payment, 9).await.unwrap(), from_ref(&row));
    assert_eq!(refunds::of_payment(db, other, row.payment, 9).await.unwrap(), []);
}

pub async fn by_page_and_filter(stage: &Stage) {
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let status = RefundStatus::Succeeded;
    let first = RefundRow { status, ..refund(stage, acme, 1) };
    let (second, third) = (refund(stage, acme, 2), refund(stage, acme, 3));
    let rows = [&first, &second, &third, &refund(stage, other, 4)];
    done(stage, rows.map(refunds::insert).into()).await;
    let all = || Filter {
        tenant: acme,
        status: None,
        payment: None,
        before: u128::MAX,
        from: 0,
        limit: 9,
    };
    let listed = async |filter: Filter| refunds::list(stage.store.as_ref(), &filter).await.unwrap();
    let everything = [third, second.clone(), first];
    assert_eq!(listed(all()).await, everything);
    assert_eq!(listed(Filter { limit: 1, ..all() }).await, everything[..1]);
    let page = Filter { before: second.id.0, ..all() };
    assert_eq!(listed(page).await, everything[2..]);
    assert_eq!(listed(Filter { from: lowest_at(seconds(2)), ..all() }).await, everything[..2]);
    assert_eq!(listed(Filter { status: Some(status), ..all() }).await, everything[2..]);
    let pending = Filter { status: Some(RefundStatus::Pending), ..all() };
    assert_eq!(listed(pending).await, everything[..2]);
}
