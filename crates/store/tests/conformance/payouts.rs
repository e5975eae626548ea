//! Payouts: round trips and lists.

use caudal_domain::{
    AccountId, GatewayAccountId, PayoutId, TenantId, TransferId, UserId, id::lowest_at,
    payment::PayoutStatus, text::Metadata,
};
use caudal_store::payouts::{self, Filter, PayoutRow};

use super::{
    fixtures::{done, metadata, missed, seconds, tenant, usd},
    stage::Stage,
};

fn payout(stage: &Stage, tenant: TenantId, second: i64) -> PayoutRow {
    let at = seconds(second);
    PayoutRow {
        id: PayoutId(stage.id(at, 7)),
        tenant,
        wallet: AccountId(stage.id(at, 7)),
        user: None,
        status: PayoutStatus::Pending,
        amount: 70,
        currency: usd(),
        destination: "ba_1".into(),
        gateway_account: None,
        gateway_reference: None,
        transfer: None,
        failure: None,
        description: None,
        metadata: Metadata::default(),
        data: "{}".into(),
        created_at: at,
        updated_at: at,
        version: 1,
    }
}

pub async fn round_trip(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let mut row = PayoutRow {
        user: Some(UserId(8)),
        description: Some("rent".into()),
        metadata: metadata(&[("k", "v")]),
        ..payout(stage, acme, 1)
    };
    done(stage, vec![payouts::insert(&row)]).await;
    missed(stage, vec![payouts::insert(&row)]).await;
    assert_eq!(payouts::find(db, acme, row.id).await.unwrap().as_ref(), Some(&row));
    assert_eq!(payouts::find(db, other, row.id).await.unwrap(), None);
    let account = GatewayAccountId(stage.id(seconds(1), 3));
    row.status = PayoutStatus::Returned;
    (row.gateway_account, row.gateway_reference) = (Some(account), Some("po_1".into()));
    (row.transfer, row.failure) = (Some(TransferId(5)), Some("account_closed".into()));
    (row.data, row.updated_at, row.version) = ("[1]".into(), seconds(2), 2);
    let attachment = payouts::attachment(&row);
    assert_eq!((attachment.row.table, attachment.expected_version), ("payouts", 1));
    missed(stage, vec![payouts::update(&PayoutRow { tenant: other, ..row.clone() })]).await;
    done(stage, vec![attachment.write.clone()]).await;
    missed(stage, vec![attachment.write]).await;
    let found = payouts::find_by_gateway(db, acme, account, "po_1").await.unwrap();
    assert_eq!(found.as_ref(), Some(&row));
    assert_eq!(payouts::find_by_gateway(db, other, account, "po_1").await.unwrap(), None);
}

pub async fn by_page_and_filter(stage: &Stage) {
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let user = Some(UserId(8));
    let first = PayoutRow { status: PayoutStatus::Paid, user, ..payout(stage, acme, 1) };
    let (second, third) = (payout(stage, acme, 2), payout(stage, acme, 3));
    let rows = [&first, &second, &third, &payout(stage, other, 4)];
    done(stage, rows.map(payouts::insert).into()).await;
    let all = || Filter {
        tenant: acme,
        status: None,
        wallet: None,
        user: None,
        before: u128::MAX,
        from: 0,
        limit: 9,
    };
    let listed = async |filter: Filter| payouts::list(stage.store.as_ref(), &filter).await.unwrap();
    let everything = [third.clone(), second.clone(), first];
    assert_eq!(listed(all()).await, everything);
    assert_eq!(listed(Filter { limit: 1, ..all() }).await, everything[..1]);
    let page = Filter { before: second.id.0, ..all() };
    assert_eq!(listed(page).await, everything[2..]);
    assert_eq!(listed(Filter { from: lowest_at(seconds(2)), ..all() }).await, everything[..2]);
    let paid = Filter { status: Some(PayoutStatus::Paid), ..all() };
    assert_eq!(listed(paid).await, everything[2..]);
    assert_eq!(listed(Filter { user, ..all() }).await, everything[2..]);
    assert_eq!(listed(Filter { wallet: Some(third.wallet), ..all() }).await, everything[..1]);
}
