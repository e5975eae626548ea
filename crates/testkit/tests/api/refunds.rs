//! Refunds: never more than was captured, however many come at once; those of gateways come back
//! when they fail.

use caudal_domain::SystemRole;
use caudal_gateway::simulator::Settings;
use caudal_service::payment_saga::Point;
use caudal_testkit::{Client, TestApp, at_once, both_databases, until};
use serde_json::{Value, json};

use super::{
    gateway_accounts::{at_the_simulator, own_accounts},
    payments::{body, fee_type, id, read, with},
    payments_at_gateways::{card, leap_until},
};

both_databases! {
    wallet_payments_are_given_back_at_once a_hundred_refunds_never_exceed_the_capture
    fees_are_kept_or_given_back_in_proportion card_payments_are_given_back_by_their_gateway
    a_refund_that_fails_gives_the_money_back a_refund_that_fails_unheard_keeps_its_name
    refunds_out_of_place_are_refused
    refunds_are_listed_and_others_see_none a_payments_transfer_is_left_alone
    a_refund_that_bounces_later_is_given_back replays_say_what_was_said_first
    the_gateway_is_asked_for_what_the_books_move
}

async fn wallet_payments_are_given_back_at_once(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let paid = id(&client.post("/payments", body(&pair, 300)).await.expect(201));
    let path = format!("/payments/{paid}/refunds");
    let part = json!({"amount": 100, "reason": "one was broken"});
    let refund = client.post_as("first", &path, part.clone()).await.expect(201);
    for (field, value) in [
        ("object", json!("refund")),
        ("payment_id", json!(paid)),
        ("status", json!("succeeded")),
        ("amount", json!(100)),
        ("reason", json!("one was broken")),
    ] {
        assert_eq!(refund[field], value, "{field}");
    }
    assert!(refund["transfer_id"].is_string());
    assert_eq!(client.balance(&pair.0).await, (800, 0, 800));
    let again = client.post_as("first", &path, part).await;
    assert!(again.is_replay());
    assert_eq!(again.json, refund);
    client.post(&path, json!({"amount": 201})).await.refused(422, "amount_exceeds_refundable");
    assert_eq!(client.post(&path, json!({})).await.expect(201)["amount"], 200);
    client.post(&path, json!({})).await.refused(422, "amount_exceeds_refundable");
    let payment = read(client, &paid).await;
    assert_eq!(
        (&payment["status"], &payment["amount_refunded"]),
        (&json!("succeeded"), &json!(300))
    );
    assert_eq!(client.balance(&pair.0).await, (1000, 0, 1000));
    // What the payee has spent can't be given back.
    let paid = id(&client.post("/payments", body(&pair, 300)).await.expect(201));
    client.transfer(&pair.1, &pair.0, 200).await.expect(201);
    let refused = client.post(format!("/payments/{paid}/refunds"), json!({})).await;
    refused.refused(402, "insufficient_funds");
    assert_eq!(read(client, &paid).await["amount_refunded"], 0);
}

async fn a_hundred_refunds_never_exceed_the_capture(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    client.fund(&pair.1, 5000).await.expect(201);
    let paid = id(&client.post("/payments", body(&pair, 95)).await.expect(201));
    let answers = at_once(100, |_| {
        let (client, path) = (client.clone(), format!("/payments/{paid}/refunds"));
        async move { client.post(path, json!({"amount": 10})).await }
    })
    .await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.refused(422, "amount_exceeds_refundable");
    }
    assert_eq!(made, 9);
    assert_eq!(read(client, &paid).await["amount_refunded"], 90);
    assert_eq!(client.balance(&pair.0).await, (995, 0, 995));
    assert_eq!(client.all(&format!("/refunds?payment={paid}")).await.len(), 9);
}

async fn fees_are_kept_or_given_back_in_proportion(app: &TestApp) {
    let client = &app.client;
    fee_type(client, "kept", json!({"fee_bearer": "payer"})).await;
    let proportional = json!({"fee_bearer": "payer", "fee_return": "proportional"});
    fee_type(client, "proportional", proportional).await;
    // A fee of 35 on top of 1000; a third of it is 12, the rest 23.
    for (kind, third, all) in [("kept", 4298, 4965), ("proportional", 4310, 5000)] {
        let pair = client.pair(5000).await;
        let asked = with(body(&pair, 1000), "type", kind);
        let path =
            format!("/payments/{}/refunds", id(&client.post("/payments", asked).await.expect(201)));
        client.post(&path, json!({"amount": 333})).await.expect(201);
        assert_eq!(client.balance(&pair.0).await.2, third, "{kind}");
        client.post(&path, json!({})).await.expect(201);
        assert_eq!(client.balance(&pair.0).await.2, all, "{kind}");
        assert_eq!(client.balance(&pair.1).await.2, 0, "{kind}");
    }
}

async fn paid_by_card(app: &TestApp, wallet: &str, method: &str) -> String {
    id(&app.client.post("/payments", card(wallet, 1000, method)).await.expect(201))
}

async fn card_payments_are_given_back_by_their_gateway(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let paid = paid_by_card(app, &wallet, "pm_card_visa").await;
    let path = format!("/payments/{paid}/refunds");
    let refund = client.post(&path, json!({"amount": 400})).await.expect(201);
    assert_eq!(refund["status"], "succeeded");
    assert!(refund["gateway_reference"].is_string());
    assert_eq!(client.balance(&wallet).await, (600, 0, 600));
    client.post(&path, json!({"amount": 601})).await.refused(422, "amount_exceeds_refundable");
    // One that takes a while: the money is away meanwhile.
    let slow = paid_by_card(app, &wallet, "pm_card_pendingRefund").await;
    let path = format!("/payments/{slow}/refunds");
    let refund = client.post(&path, json!({})).await.expect(201);
    let status = async || client.get(format!("/refunds/{}", id(&refund))).await.expect(200);
    let is_told = async || status().await["status"] == "succeeded";
    leap_until(app, "the gateway's word", 60, is_told).await;
    assert_eq!(client.balance(&wallet).await, (600, 0, 600));
}

async fn a_refund_that_fails_gives_the_money_back(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let paid = paid_by_card(app, &wallet, "pm_card_refundFail").await;
    let refund = client.post(format!("/payments/{paid}/refunds"), json!({"amount": 300})).await;
    let refund = id(&refund.expect(201));
    let now = async || client.get(format!("/refunds/{refund}")).await.expect(200);
    let is_refused = async || now().await["status"] == "failed";
    leap_until(app, "the gateway's refusal", 60, is_refused).await;
    assert!(now().await["failure"].is_string());
    assert_eq!(client.balance(&wallet).await, (1000, 0, 1000));
    assert_eq!(read(client, &paid).await["amount_refunded"], 0);
}

async fn a_refund_that_fails_unheard_keeps_its_name(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let paid = paid_by_card(app, &wallet, "pm_card_refundFail").await;
    // The process ends between the call and its answer.
    drop(app.instance.service.hold_saga_at(Point::Called));
    let refund = client.post(format!("/payments/{paid}/refunds"), json!({"amount": 300})).await;
    let refund = id(&refund.expect(201));
    let now = async || client.get(format!("/refunds/{refund}")).await.expect(200);
    assert_eq!(now().await["gateway_reference"], Value::Null);
    until("the gateway's refusal", async || {
        app.clock.advance(61);
        now().await["status"] == "failed"
    })
    .await;
    let name = now().await["gateway_reference"].clone();
    assert!(name.as_str().is_some_and(|name| name.starts_with("sim_re_")), "{name}");
    assert_eq!(client.balance(&wallet).await, (1000, 0, 1000));
}

async fn refunds_out_of_place_are_refused(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let held = with(body(&pair, 100), "capture", "manual");
    let held = id(&client.post("/payments", held).await.expect(201));
    let path = format!("/payments/{held}/refunds");
    client.post(&path, json!({})).await.refused(409, "payment_state");
    client.post("/payments/pay_none/refunds", json!({})).await.refused(404, "payment_not_found");
    let paid = id(&client.post("/payments", body(&pair, 100)).await.expect(201));
    let path = format!("/payments/{paid}/refunds");
    for (asked, param) in [
        (json!({"amount": 0}), "amount"),
        (json!({"amount": -1}), "amount"),
        (json!({"amount": "5"}), "amount"),
        (json!({"reason": ""}), "reason"),
        (json!({"reason": "4242 4242 4242 4242"}), "reason"),
        (json!({"colour": "red"}), "colour"),
    ] {
        let answer = client.post(&path, asked.clone()).await;
        assert_eq!((answer.status, &answer.json["param"]), (400, &json!(param)), "{asked}");
    }
}

async fn refunds_are_listed_and_others_see_none(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let paid = id(&client.post("/payments", body(&pair, 100)).await.expect(201));
    let path = format!("/payments/{paid}/refunds");
    let first = client.post(&path, json!({"amount": 10})).await.expect(201);
    let second = client.post(&path, json!({"amount": 20})).await.expect(201);
    let listed: Vec<_> = client.all("/refunds?limit=1").await.iter().map(id).collect();
    assert_eq!(listed, [id(&second), id(&first)]);
    assert_eq!(client.all("/refunds?status=failed").await.len(), 0);
    let expanded = client.get(format!("/payments/{paid}?expand[]=refunds")).await.expect(200);
    assert_eq!(expanded["refunds"].as_array().map(Vec::len), Some(2));
    let thief = app.tenant("test").await;
    let (_, holder) = app.user(&[SystemRole::WalletHolder]).await;
    let one = format!("/refunds/{}", id(&first));
    for other in [&thief, &holder] {
        other.get(&one).await.refused(404, "refund_not_found");
    }
    thief.post(&path, json!({})).await.refused(404, "payment_not_found");
    holder.post(&path, json!({})).await.refused(403, "forbidden");
    holder.get("/refunds").await.refused(400, "invalid_request");
    assert_eq!(client.get(&one).await.expect(200), first);
}

async fn a_payments_transfer_is_left_alone(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let paid = client.post("/payments", body(&pair, 100)).await.expect(201);
    let transfer = paid["transfer_id"].as_str().expect("an id");
    for verb in ["reverse", "capture", "void"] {
        let refused = client.act(transfer, verb, Value::Object(Default::default())).await;
        refused.refused(409, "transfer_of_payment");
    }
    assert_eq!(client.balance(&pair.1).await, (100, 0, 100));
}

async fn a_refund_that_bounces_later_is_given_back(app: &TestApp) {
    const API_KEY: &str = "sim_test_of_refunds";
    let client = &app.client;
    own_accounts(app, "own", &[API_KEY]).await;
    let wallet = client.wallet("USD").await;
    let asked = with(card(&wallet, 1000, "pm_card_visa"), "type", "own");
    let paid = id(&client.post("/payments", asked).await.expect(201));
    let path = format!("/payments/{paid}/refunds");
    let first = client.post_as("once", &path, json!({"amount": 300})).await.expect(201);
    assert_eq!(first["status"], "succeeded");
    assert_eq!(client.balance(&wallet).await, (700, 0, 700));
    // Days later the payer's bank sends it back, and the gateway tells by webhook.
    app.clock.advance(3 * 86_400);
    let simulator = at_the_simulator(app, API_KEY);
    let reference = first["gateway_reference"].as_str().expect("a reference");
    simulator.post(format!("//v1/refunds/{reference}/bounce"), json!({})).await.expect(200);
    let now = async || client.get(format!("/refunds/{}", id(&first))).await.expect(200);
    until("it to bounce", async || now().await["status"] == "failed").await;
    assert!(now().await["failure"].is_string());
    assert_eq!(client.balance(&wallet).await, (1000, 0, 1000));
    let payment = read(client, &paid).await;
    let sums = (&payment["amount_captured"], &payment["amount_refunded"]);
    assert_eq!((&payment["status"], sums), (&json!("succeeded"), (&json!(1000), &json!(0))));
    let again = client.post_as("once", &path, json!({"amount": 300})).await;
    assert_eq!((again.is_replay(), &again.json), (true, &first));
    // All of it can be given back again.
    let whole = client.post(&path, json!({})).await.expect(201);
    assert_eq!((&whole["status"], &whole["amount"]), (&json!("succeeded"), &json!(1000)));
    assert_eq!(client.balance(&wallet).await, (0, 0, 0));
    assert_eq!(read(client, &paid).await["amount_refunded"], 1000);
    let books = &app.instance.simulator.as_ref().expect("a simulator").simulator;
    assert_eq!(books.totals(API_KEY)["USD"].refunded, 1000);
}

async fn replays_say_what_was_said_first(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let simulator = &app.instance.simulator.as_ref().expect("a simulator").simulator;
    // One that takes a while, and one of which nobody is told for a while.
    for (method, p_error_after) in [("pm_card_pendingRefund", 0.0), ("pm_card_visa", 1.0)] {
        let path = format!("/payments/{}/refunds", paid_by_card(app, &wallet, method).await);
        simulator.set(Settings { p_error_after, ..Settings::default() });
        let first = client.post_as(method, &path, json!({})).await.expect(201);
        simulator.set(Settings::default());
        assert_eq!(first["status"], "pending", "{method}");
        leap_until(app, "the gateway's word", 60, async || {
            let now = client.get(format!("/refunds/{}", id(&first))).await.expect(200);
            now["status"] == "succeeded"
        })
        .await;
        let again = client.post_as(method, &path, json!({})).await;
        assert_eq!((again.is_replay(), again.status, &again.json), (true, 201, &first), "{method}");
    }
}

async fn the_gateway_is_asked_for_what_the_books_move(app: &TestApp) {
    let client = &app.client;
    let key = "sim_test_of_refunds";
    let account = json!({"kind": "simulator", "name": "refunds", "credentials":
        {"api_key": key, "webhook_secrets": ["whsec_of_refunds"]}});
    let account = id(&client.post("/gateway-accounts", account).await.expect(201));
    let kind = json!({"name": "proportional", "via": "gateway", "fee_bearer": "payer",
        "fee_return": "proportional", "currencies": {"USD": {
            "fee": {"fixed": 1, "basis_points": 0}, "gateway_accounts": [account]}}});
    client.post("/payment-types", kind).await.expect(201);
    let wallet = client.wallet("USD").await;
    let asked = with(card(&wallet, 3, "pm_card_visa"), "type", "proportional");
    let paid = id(&client.post("/payments", asked).await.expect(201));
    let path = format!("/payments/{paid}/refunds");
    // Of two the first, which took none of the fee, hangs, and has failed in the end.
    let server = app.instance.simulator.as_ref().expect("a simulator");
    server.simulator.set(Settings { p_error: 1.0, ..Settings::default() });
    let first = id(&client.post(&path, json!({"amount": 1})).await.expect(201));
    server.simulator.set(Settings::default());
    client.post(&path, json!({"amount": 1})).await.expect(201);
    app.until_later("a call for a person", 86_400, async || {
        read(client, &paid).await["needs_decision"] == true
    })
    .await;
    let failed = json!({"outcome": "failed"});
    client.post(format!("/refunds/{first}/resolve"), failed).await.expect(200);
    let third = client.post(&path, json!({"amount": 2})).await.expect(201);
    assert_eq!(third["status"], "succeeded", "{third}");
    let reference = third["gateway_reference"].as_str().expect("a reference");
    let url = &server.url;
    let addr = format!("{}:{}", url.host_str().expect("a host"), url.port().expect("a port"));
    let simulator = Client::new(addr.parse().expect("an address"), Some(key));
    let there = simulator.get(format!("//v1/refunds/{reference}")).await.expect(200);
    assert_eq!(there["amount"], 2);
    let transfer = client.read_transfer(third["transfer_id"].as_str().expect("an id")).await;
    assert_eq!(transfer["amount"], 2);
}
