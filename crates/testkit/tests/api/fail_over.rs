//! Fail-over: what one account's bank declines, another's may take; nobody is charged twice.

use caudal_gateway::simulator::Status;
use caudal_testkit::{TestApp, both_databases};
use serde_json::json;

use super::{
    gateway_accounts::own_accounts,
    payments::{id, with},
    payments_at_gateways::{attempts, card},
};

both_databases! { the_second_account_takes_what_the_first_declines }

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
