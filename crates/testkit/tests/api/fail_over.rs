//! Fail-over: what one account's bank declines, another's may take; nobody is charged twice.

use caudal_gateway::simulator::Status;
use caudal_service::payment_saga::Point;
use caudal_testkit::{TestApp, both_databases};
use serde_json::json;

use super::{
    gateway_accounts::own_accounts,
    payments::{id, with},
    payments_at_gateways::{attempts, card, ends_at, until_status},
};

both_databases! {
    the_second_account_takes_what_the_first_declines a_crash_on_the_way_charges_nobody_twice
}

const FIRST: &str = "sim_test_declines_all";
const SECOND: &str = "sim_test_takes_all";

async fn the_second_account_takes_what_the_first_declines(app: &TestApp) {
    let client = &app.client;
    let simulator = &app.instance.simulator.as_ref().expect("a simulator").simulator;
    let accounts = own_accounts(app, "two", &[FIRST, SECOND]).await;
    let wallet = client.wallet("USD").await;
    let asked = with(card(&wallet, 300, "pm_card_visa"), "type", "two");
    let paid = client.post_as("once", "/payments", asked.clone()).await.expect(201);
    assert_eq!((&paid["status"], &paid["amount_captured"]), (&json!("succeeded"), &json!(300)));
    assert_eq!(paid["gateway_account_id"], json!(accounts[1]));
    let calls = attempts(client, &id(&paid)).await;
    assert_eq!(calls, ["charge \"declined\"", "charge \"succeeded\""]);
    assert!(client.post_as("once", "/payments", asked).await.is_replay());
    assert_eq!(client.balance(&wallet).await, (300, 0, 300));
    let came = |api_key| {
        let charges = simulator.charges(api_key);
        charges.iter().map(|it| (it.status, it.amount_captured)).collect::<Vec<_>>()
    };
    assert_eq!(came(FIRST), [(Status::Failed, 0)]);
    assert_eq!(came(SECOND), [(Status::Succeeded, 300)]);

    // What was taken there is given back there.
    let path = format!("/payments/{}/refunds", id(&paid));
    let refund = client.post(&path, json!({"amount": 100})).await.expect(201);
    assert_eq!(refund["status"], "succeeded");
    assert_eq!(simulator.totals(SECOND)["USD"].refunded, 100);
    assert_eq!(client.balance(&wallet).await, (200, 0, 200));

    // A promise likewise, until it is captured.
    let asked = with(card(&wallet, 300, "pm_card_visa"), "type", "two");
    let held = id(&client.post("/payments", with(asked, "capture", "manual")).await.expect(201));
    let taken = client.post(format!("/payments/{held}/capture"), json!({"amount": 50})).await;
    assert_eq!(taken.expect(200)["status"], "succeeded");
    assert_eq!(simulator.totals(SECOND)["USD"].captured, 350);
    assert_eq!(client.balance(&wallet).await, (250, 0, 250));
}

async fn a_crash_on_the_way_charges_nobody_twice(app: &TestApp) {
    let client = &app.client;
    let simulator = &app.instance.simulator.as_ref().expect("a simulator").simulator;
    own_accounts(app, "two", &[FIRST, SECOND]).await;
    let wallet = client.wallet("USD").await;
    // Before the first account is called, after, and once the second is to be; then after the
    // next call, whichever that is.
    for (before, point) in Point::ALL.into_iter().enumerate() {
        drop(app.instance.service.hold_saga_at(point));
        let asked = with(card(&wallet, 300, "pm_card_visa"), "type", "two");
        let left = id(&client.post("/payments", asked).await.expect(201));
        ends_at(app, &[Point::Called]).await;
        app.clock.advance(61);
        until_status(app, &left, "succeeded", 0).await;
        let charges = |api_key| simulator.charges(api_key).len();
        assert_eq!((charges(FIRST), charges(SECOND)), (before + 1, before + 1), "{point:?}");
        let calls = attempts(client, &left).await;
        assert_eq!(calls, ["charge \"declined\"", "charge \"succeeded\""], "{point:?}");
    }
    assert_eq!(client.balance(&wallet).await, (900, 0, 900));
}
