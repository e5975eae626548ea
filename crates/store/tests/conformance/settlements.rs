//! Settlements: one for each reference of an account and currency, booked once.

use caudal_domain::{GatewayAccountId, TransferId};
use caudal_store::{
    StoreError,
    settlements::{self, SettlementRow},
};

use super::{
    fixtures::{Batch, done, eur, funded, pay, seconds, tenant, usd, wallet},
    payments::batch_with,
    stage::Stage,
};

const ACCOUNTS: [GatewayAccountId; 2] = [GatewayAccountId(7), GatewayAccountId(8)];

pub async fn booked_once(stage: &Stage) {
    let db = stage.store.as_ref();
    let acme = tenant(stage).await;
    let (a, b) = (funded(stage, acme, 10, 900).await, wallet(stage, acme, 20).await);
    let row = SettlementRow {
        id: stage.id(seconds(1), 3),
        tenant: acme,
        gateway_account: ACCOUNTS[0],
        reference: "po_1".into(),
        currency: usd(),
        amount: 100,
        fee: 5,
        transfer: None,
        created_at: seconds(1),
        version: 1,
    };
    let again = SettlementRow { id: stage.id(seconds(2), 3), amount: 7, ..row.clone() };
    let euros = SettlementRow { id: stage.id(seconds(2), 4), currency: eur(), ..row.clone() };
    let other =
        SettlementRow { id: stage.id(seconds(2), 5), gateway_account: ACCOUNTS[1], ..row.clone() };
    let rows = [&row, &again, &euros, &other];
    done(stage, rows.into_iter().map(settlements::insert).collect()).await;
    let found = settlements::of_reference(db, acme, &ACCOUNTS, "po_1").await.unwrap();
    assert_eq!(found, [euros, row.clone(), other], "the second of a reference is not written");
    let stranger = tenant(stage).await;
    let foreign = settlements::of_reference(db, stranger, &ACCOUNTS, "po_1").await.unwrap();
    assert_eq!(foreign, []);

    let mut attachment = settlements::booked(&SettlementRow { amount: 90, ..row.clone() });
    attachment.write = attachment.write.of_transfer(TransferId(9));
    let batch = || Batch::of(acme, seconds(5), vec![pay(a, b, 100)]);
    let locked = batch_with(stage, batch(), attachment.clone()).await.unwrap();
    assert_eq!(locked, [(attachment.row, 1)]);
    let error = batch_with(stage, batch(), attachment).await.expect_err("booked");
    assert!(matches!(error, StoreError::Rejected(_)), "{error:?}");
    let found = settlements::of_reference(db, acme, &ACCOUNTS[..1], "po_1").await.unwrap();
    let booked = SettlementRow { amount: 90, transfer: Some(TransferId(9)), version: 2, ..row };
    assert_eq!(found[1], booked);
}
