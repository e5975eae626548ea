//! Reviews: a person decides on what a rule set aside, once, and not on what they pay themselves.

use caudal_domain::SystemRole;
use caudal_testkit::{Client, TestApp, at_once, both_databases};
use serde_json::{Value, json};

use super::{
    gateway_accounts::own_accounts,
    payments::{body, with},
    payments_at_gateways::{attempts, card},
    screening::rule,
};

both_databases! {
    what_is_approved_goes_on what_is_rejected_is_blocked promises_are_made_when_approved
    who_pays_does_not_decide the_payer_may_have_nothing_left of_many_decisions_one_counts
    what_waits_can_be_called_off card_payments_are_charged_when_approved
    who_can_be_paid_no_more_is_not_paid
}

/// A payment in review, and the wallets of it.
async fn set_aside(client: &Client, has: i64, amount: i64) -> (String, (String, String)) {
    let pair = client.pair(has).await;
    let rule = rule(client, "true", "review").await;
    let asked = client.post("/payments", body(&pair, amount)).await.expect(201);
    assert_eq!(asked["status"], "in_review");
    assert_eq!(client.delete(format!("/fraud-rules/{rule}")).await.status, 204);
    (asked["id"].as_str().expect("an id").to_owned(), pair)
}

async fn statuses(client: &Client, payment: &str) -> Vec<String> {
    let shown = client.get(format!("/payments/{payment}?expand[]=events")).await.expect(200);
    let events = shown["events"].as_array().expect("a list");
    events.iter().map(|event| event["status"].as_str().expect("text").to_owned()).collect()
}

async fn what_is_approved_goes_on(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let rule = rule(client, "payment.amount > 100", "review").await;
    let asked = client.post_as("order", "/payments", body(&pair, 300)).await.expect(201);
    assert_eq!((&asked["status"], &asked["amount_captured"]), (&json!("in_review"), &json!(0)));
    assert_eq!(client.balance(&pair.0).await, (1000, 0, 1000));
    let id = asked["id"].as_str().expect("an id");
    let reviews = client.all("/reviews").await;
    assert_eq!(reviews.len(), 1);
    for (field, wanted) in [
        ("id", &asked["id"]),
        ("rule_id", &json!(rule)),
        ("reason", &json!("rule")),
        ("amount", &json!(300)),
        ("from", &json!(pair.0)),
        ("to", &json!(pair.1)),
    ] {
        assert_eq!(&reviews[0][field], wanted, "{field}");
    }
    let path = format!("/reviews/{id}/approve");
    let paid = client.post_as("yes", &path, json!({})).await.expect(200);
    assert_eq!((&paid["status"], &paid["amount_captured"]), (&json!("succeeded"), &json!(300)));
    assert_eq!(client.balance(&pair.1).await, (300, 0, 300));
    assert_eq!(client.get(format!("/payments/{id}")).await.expect(200), paid);
    assert_eq!(statuses(client, id).await, ["in_review", "processing", "succeeded"]);
    assert_eq!(client.all("/reviews").await, Vec::<Value>::new());
    let again = client.post_as("yes", &path, json!({})).await;
    assert_eq!((again.is_replay(), &again.json["status"]), (true, &json!("succeeded")));
    client.post_as("again", &path, json!({})).await.refused(409, "payment_state");
    // The first answer to whoever asked for the payment stays what it was.
    let first = client.post_as("order", "/payments", body(&pair, 300)).await;
    assert_eq!((first.is_replay(), &first.json["status"]), (true, &json!("in_review")));
    let audit = client.get(format!("/audit?object={id}")).await.expect(200);
    assert_eq!(audit["data"][0]["action"], "review.approved");
}

async fn what_is_rejected_is_blocked(app: &TestApp) {
    let client = &app.client;
    let (id, pair) = set_aside(client, 1000, 300).await;
    let mut events = client.events(None).await;
    let path = format!("/reviews/{id}/reject");
    let blocked = client.post_as("no", &path, json!({})).await.expect(200);
    assert_eq!((&blocked["status"], &blocked["failure"]), (&json!("blocked"), &json!("blocked")));
    assert_eq!(events.next().await.event, "payment.blocked");
    assert!(client.post_as("no", &path, json!({})).await.is_replay());
    assert_eq!(client.balance(&pair.0).await, (1000, 0, 1000));
    assert_eq!(statuses(client, &id).await, ["in_review", "blocked"]);
    for verb in ["approve", "reject"] {
        let late = client.post(format!("/reviews/{id}/{verb}"), json!({})).await;
        late.refused(409, "payment_state");
    }
    let audit = client.get(format!("/audit?object={id}")).await.expect(200);
    assert_eq!(audit["data"][0]["action"], "review.rejected");
    let unknown = "/reviews/pay_00000000000000000000000007/reject";
    client.post(unknown, json!({})).await.refused(404, "payment_not_found");
}

async fn promises_are_made_when_approved(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    rule(client, "true", "review").await;
    let mut manual = body(&pair, 300);
    manual["capture"] = "manual".into();
    let asked = client.post("/payments", manual).await.expect(201);
    let id = asked["id"].as_str().expect("an id");
    // Days later the promise is as long as any other.
    app.clock.advance(6 * 86_400);
    let held = client.post(format!("/reviews/{id}/approve"), json!({})).await.expect(200);
    assert_eq!(held["status"], "requires_capture");
    assert_eq!(client.balance(&pair.0).await, (700, 300, 1000));
    app.clock.advance(6 * 86_400);
    let taken = client.post(format!("/payments/{id}/capture"), json!({})).await.expect(200);
    assert_eq!(taken["status"], "succeeded");
    assert_eq!(client.balance(&pair.1).await, (300, 0, 300));
}

async fn who_pays_does_not_decide(app: &TestApp) {
    let client = &app.client;
    let (id, operator) = app.user(&[SystemRole::Operator]).await;
    let wallet = json!({"currency": "USD", "user_id": id.to_string()});
    let own = client.post("/wallets", wallet).await.expect(201);
    let own = own["id"].as_str().expect("an id").to_owned();
    client.fund(&own, 100).await.expect(201);
    let shop = client.wallet("USD").await;
    rule(client, "true", "review").await;
    let asked = operator.post("/payments", body(&(own, shop), 6)).await.expect(201);
    let payment = asked["id"].as_str().expect("an id");
    for verb in ["approve", "reject"] {
        let tried = operator.post(format!("/reviews/{payment}/{verb}"), json!({})).await;
        tried.refused(403, "forbidden");
    }
    let (_, support) = app.user(&[SystemRole::Support]).await;
    assert_eq!(support.all("/reviews").await.len(), 1);
    let path = format!("/reviews/{payment}/approve");
    support.post(&path, json!({})).await.refused(403, "forbidden");
    let (_, colleague) = app.user(&[SystemRole::Operator]).await;
    colleague.post(&path, json!({})).await.expect(200);
}

async fn the_payer_may_have_nothing_left(app: &TestApp) {
    let client = &app.client;
    let (id, pair) = set_aside(client, 100, 80).await;
    client.transfer(&pair.0, &pair.1, 50).await.expect(201);
    let path = format!("/reviews/{id}/approve");
    let declined = client.post_as("yes", &path, json!({})).await;
    declined.refused(402, "insufficient_funds");
    assert_eq!(declined.json["payment"]["id"], json!(id));
    assert_eq!(client.get(format!("/payments/{id}")).await.json["status"], "failed");
    assert_eq!(statuses(client, &id).await, ["in_review", "processing", "failed"]);
    client.post(&path, json!({})).await.refused(409, "payment_state");
    assert_eq!(client.balance(&pair.0).await, (50, 0, 50));
}

async fn of_many_decisions_one_counts(app: &TestApp) {
    let client = &app.client;
    let (id, pair) = set_aside(client, 1000, 300).await;
    let answers = at_once(12, |number| {
        let (client, id) = (app.client.clone(), id.clone());
        async move {
            let verb = if number % 2 == 0 { "approve" } else { "reject" };
            client.post(format!("/reviews/{id}/{verb}"), json!({})).await.status
        }
    })
    .await;
    let (done, late): (Vec<_>, Vec<_>) = answers.into_iter().partition(|status| *status == 200);
    assert_eq!(done.len(), 1);
    assert!(late.iter().all(|status| *status == 409), "{late:?}");
    let status = client.get(format!("/payments/{id}")).await.expect(200)["status"].clone();
    let moved = if status == "succeeded" { 300 } else { 0 };
    assert_eq!(client.balance(&pair.1).await, (moved, 0, moved));
}

async fn what_waits_can_be_called_off(app: &TestApp) {
    let client = &app.client;
    let (id, pair) = set_aside(client, 1000, 300).await;
    let canceled = client.post(format!("/payments/{id}/cancel"), json!({})).await.expect(200);
    assert_eq!(canceled["status"], "canceled");
    let late = client.post(format!("/reviews/{id}/approve"), json!({})).await;
    late.refused(409, "payment_state");
    assert_eq!(client.balance(&pair.0).await, (1000, 0, 1000));
}

async fn card_payments_are_charged_when_approved(app: &TestApp) {
    const API_KEY: &str = "sim_test_of_reviews";
    let client = &app.client;
    let simulator = &app.instance.simulator.as_ref().expect("a simulator").simulator;
    own_accounts(app, "reviewed", &[API_KEY]).await;
    rule(client, "true", "review").await;
    let wallet = client.wallet("USD").await;
    let mut waiting = Vec::new();
    for order in ["good", "bad"] {
        let asked = with(card(&wallet, 300, "pm_card_visa"), "type", "reviewed");
        let asked = client.post_as(order, "/payments", asked).await.expect(201);
        assert_eq!(asked["status"], "in_review");
        waiting.push(asked["id"].as_str().expect("an id").to_owned());
    }
    let (good, bad) = (&waiting[0], &waiting[1]);
    assert_eq!(simulator.charges(API_KEY).len(), 0);
    let path = format!("/reviews/{bad}/reject");
    let blocked = client.post_as("no", &path, json!({})).await.expect(200);
    assert_eq!(blocked["status"], "blocked");
    assert_eq!(attempts(client, bad).await, [""; 0]);
    assert_eq!(simulator.charges(API_KEY).len(), 0);
    assert_eq!(client.balance(&wallet).await, (0, 0, 0));

    let path = format!("/reviews/{good}/approve");
    let paid = client.post_as("yes", &path, json!({})).await.expect(200);
    assert_eq!((&paid["status"], &paid["amount_captured"]), (&json!("succeeded"), &json!(300)));
    let again = client.post_as("yes", &path, json!({})).await;
    assert_eq!((again.is_replay(), &again.json["status"]), (true, &json!("succeeded")));
    client.post(&path, json!({})).await.refused(409, "payment_state");
    assert_eq!(statuses(client, good).await, ["in_review", "processing", "succeeded"]);
    assert_eq!(attempts(client, good).await, ["charge \"succeeded\""]);
    let charges = simulator.charges(API_KEY);
    let captured: Vec<_> = charges.iter().map(|charge| charge.amount_captured).collect();
    assert_eq!(captured, [300]);
    assert_eq!(client.balance(&wallet).await, (300, 0, 300));
    let asked = with(card(&wallet, 300, "pm_card_visa"), "type", "reviewed");
    let first = client.post_as("good", "/payments", asked).await;
    assert_eq!((first.is_replay(), &first.json["status"]), (true, &json!("in_review")));
}

async fn who_can_be_paid_no_more_is_not_paid(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    rule(client, "true", "review").await;
    let asked = client.post("/payments", card(&wallet, 300, "pm_card_visa")).await.expect(201);
    let id = asked["id"].as_str().expect("an id");
    client.act(&wallet, "close", json!({})).await.expect(200);
    let path = format!("/reviews/{id}/approve");
    client.post_as("yes", &path, json!({})).await.refused(409, "wallet_closed");
    assert!(client.post_as("yes", &path, json!({})).await.is_replay());
    let shown = client.get(format!("/payments/{id}?expand[]=attempts")).await.expect(200);
    assert_eq!((&shown["status"], &shown["attempts"]), (&json!("in_review"), &json!([])));
}
