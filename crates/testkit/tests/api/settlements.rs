//! Settlement files: every difference between what a gateway says and what is here has a name.

use caudal_domain::{
    AccountId, Clock, Currency, GatewayAccountId, PaymentId, TenantId,
    id::lowest_at,
    payment::{PaymentAmounts, PaymentStatus},
    text::Metadata,
};
use caudal_service::settlements::read_settlement;
use caudal_store::{
    UnitOfWork,
    payments::{self, PaymentRow},
};
use caudal_testkit::{TestApp, both_databases};

both_databases! { differences_are_named }

const HEADER: &str = "kind,reference,charge,key,amount,fee,currency,created_at\n";

/// A payment of 10.00 through a gateway, of which 1.00 was given back.
fn paid(app: &TestApp, tenant: TenantId, account: GatewayAccountId, number: u128) -> PaymentRow {
    let at = app.clock.now();
    PaymentRow {
        id: PaymentId(lowest_at(at) | number << 8),
        tenant,
        status: PaymentStatus::Succeeded,
        kind: "card".into(),
        amount: 1000,
        currency: Currency::USD,
        amounts: PaymentAmounts { authorized: 1000, captured: 1000, refunded: 100, disputed: 0 },
        fee: 0,
        wallet: AccountId(7),
        from: None,
        user: None,
        payment_method: None,
        manual_capture: false,
        gateway_account: Some(account),
        gateway_reference: Some(format!("ch_{number}")),
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
    }
}

async fn differences_are_named(app: &TestApp) {
    let tenant = app.tenant_id().await;
    let accounts = app.client.all("/gateway-accounts").await;
    let account = accounts[0]["id"].as_str().expect("an id").parse().expect("an id");
    let rows: Vec<_> = (1..=3).map(|number| paid(app, tenant, account, number)).collect();
    let at = app.clock.now();
    let steps = rows.iter().map(payments::insert).collect();
    let unit = UnitOfWork { at, steps, ..UnitOfWork::default() };
    app.instance.store.commit(unit).await.expect("a unit of work");
    let charge = |number: u32, amount: i64, currency: &str| {
        format!("charge,ch_{number},ch_{number},k,{amount},59,{currency},{at}\n")
    };
    let refund = |number: u32, amount: i64| {
        format!("refund,re_{number},ch_{number},k,{amount},0,USD,{at}\n")
    };
    let settled = |amount: i64| format!("settlement,po_1,,,{amount},0,USD,{at}\n");
    let good = |number: u32| charge(number, 1000, "USD") + &refund(number, -100);
    let all = good(1) + &good(2) + &good(3);
    for (file, tolerance, named) in [
        (all.clone(), 0, vec![]),
        (all.clone() + &settled(-2523), 0, vec![]),
        (all.clone() + &settled(-2522), 1, vec![]),
        (all.clone() + &settled(-2522), 0, vec!["settlement po_1 of 2522 USD"]),
        (good(1) + &good(2), 0, vec!["(ch_3) of 1000 USD is not in the file"]),
        (all.clone() + &good(4), 0, vec!["line 8: charge ch_4 of 1000 USD has no payment"]),
        (
            good(1) + &good(2) + &charge(3, 990, "USD") + &refund(3, -100),
            0,
            vec!["captured 990 in the file, 1000 here"],
        ),
        (good(1) + &good(2) + &charge(3, 990, "USD") + &refund(3, -100), 10, vec![]),
        (all.clone() + &refund(1, -50), 0, vec!["refunded 150 in the file, 100 here"]),
        (
            good(1) + &good(2) + &charge(3, 1000, "EUR") + &refund(3, -100),
            0,
            vec!["ch_3 is in USD here", "EUR in the file, USD here"],
        ),
    ] {
        let lines = read_settlement(&format!("{HEADER}{file}")).expect("a file");
        let report = app.instance.service.check_settlement(tenant, &lines, tolerance).await;
        let found = report.expect("a report").differences;
        assert_eq!(found.len(), named.len(), "{file}{found:#?}");
        for (found, named) in found.iter().zip(&named) {
            assert!(found.contains(named), "{found}");
        }
    }
    let stranger = TenantId(9);
    let lines = read_settlement(&format!("{HEADER}{}", good(1))).expect("a file");
    let report = app.instance.service.check_settlement(stranger, &lines, 0).await;
    assert_eq!(report.expect("a report").differences.len(), 1, "another tenant's are unknown");
    // Written past the door, these were told by no event.
    app.instance.service.rebuild().await.expect("a comparison");
}
