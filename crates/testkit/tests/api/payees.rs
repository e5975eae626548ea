//! What the payee's wallet holder sees of a payment: their own side, nothing of the payer's.

use caudal_domain::{Clock, SystemRole, payment::PaymentStatus};
use caudal_store::{
    UnitOfWork,
    payments::{self, PaymentRow},
};
use caudal_testkit::{Client, TestApp, both_databases};
use serde_json::{Value, json};

use super::payments::{body, id, with};

both_databases! { a_payee_sees_their_own_side a_card_is_its_payers }

/// A wallet holder with an empty wallet.
async fn holder(app: &TestApp) -> (String, Client, String) {
    let (user, client) = app.user(&[SystemRole::WalletHolder]).await;
    let new = json!({"currency": "USD", "user_id": user.to_string()});
    (user.to_string(), client, id(&app.client.post("/wallets", new).await.expect(201)))
}

/// What tells of the payer.
const PAYERS: [&str; 9] = [
    "user_id",
    "payment_method",
    "gateway_account_id",
    "gateway_reference",
    "next_action",
    "failure",
    "decline_code",
    "reference",
    "description",
];

fn assert_hidden(payment: &Value) {
    for field in PAYERS {
        assert_eq!(payment[field], Value::Null, "{field}: {payment}");
    }
    assert_eq!(payment["metadata"], json!({}), "{payment}");
    let text = payment.to_string();
    assert!(!text.contains("secret"), "{text}");
}

async fn a_payee_sees_their_own_side(app: &TestApp) {
    let (payer_id, payer, from) = holder(app).await;
    let (_, payee, to) = holder(app).await;
    app.client.fund(&from, 1000).await.expect(201);
    let asked = with(body(&(from, to.clone()), 300), "description", "secret: for the operation");
    let asked = with(with(asked, "metadata", json!({"a": "secret"})), "reference", "secret-7");
    let paid = payer.post("/payments", asked).await.expect(201);
    let path = format!("/payments/{}", id(&paid));
    let own = payer.get(&path).await.expect(200);
    assert_eq!(own["user_id"], json!(payer_id));
    assert_eq!(own["description"], "secret: for the operation");
    let seen = payee.get(&path).await.expect(200);
    assert_hidden(&seen);
    for field in ["id", "status", "amount", "currency", "fee", "to", "transfer_id"] {
        assert_eq!(seen[field], own[field], "{field}");
    }
    let listed = payee.all(&format!("/payments?wallet={to}")).await;
    assert_eq!(listed.len(), 1);
    assert_hidden(&listed[0]);
    // Nor can it be guessed.
    let guessed = payee.all(&format!("/payments?wallet={to}&reference=secret-7")).await;
    assert_eq!(guessed, [] as [Value; 0]);
    let refund = json!({"amount": 10, "reason": "secret: requested_by_customer"});
    let refund = app.client.post(format!("{path}/refunds"), refund).await.expect(201);
    let shown = payee.get(format!("{path}?expand[]=refunds")).await.expect(200);
    assert_eq!(shown["refunds"][0]["amount"], 10);
    assert_hidden(&shown);
    let shown = payee.get(format!("/refunds/{}", id(&refund))).await.expect(200);
    assert_eq!(shown["reason"], Value::Null);
    let all = payee.all(&format!("/refunds?payment={}", id(&paid))).await;
    assert_eq!((all.len(), &all[0]["reason"]), (1, &Value::Null));
    assert!(payer.get(format!("/refunds/{}", id(&refund))).await.json["reason"].is_string());
}

async fn a_card_is_its_payers(app: &TestApp) {
    let (_, payer, _) = holder(app).await;
    let (_, payee, to) = holder(app).await;
    let card = json!({"type": "card", "to": to, "amount": 500, "currency": "USD",
        "payment_method": "pm_card_visa", "description": "secret"});
    let paid = payer.post("/payments", card).await.expect(201);
    let path = format!("/payments/{}?expand[]=attempts&expand[]=events", id(&paid));
    let own = payer.get(&path).await.expect(200);
    assert_eq!(own["payment_method"], "pm_card_visa");
    assert_eq!(own["attempts"].as_array().map(Vec::len), Some(1));
    let seen = payee.get(&path).await.expect(200);
    assert_hidden(&seen);
    assert_eq!(seen["attempts"], json!([]));
    assert_eq!(seen["amount_captured"], 500);
    // Whoever works for the tenant sees all of it.
    let staff = app.client.get(&path).await.expect(200);
    assert_eq!(staff, own);
    // A token that is not for tests is whose it was first; to be declined proves nothing.
    let pay = async |client: &Client| {
        let card = json!({"type": "card", "to": to, "amount": 500, "currency": "USD",
            "payment_method": "pm_1PayersOwn"});
        client.post("/payments", card).await
    };
    pay(&payee).await.refused(402, "card_declined");
    let declined = pay(&payer).await;
    let payment = declined.refused(402, "card_declined").json["payment"]["id"].clone();
    pay(&payee).await.refused(402, "card_declined");
    let payment = payment.as_str().expect("an id").parse().expect("an id");
    let (db, tenant) = (app.instance.store.as_ref(), app.tenant_id().await);
    let row = payments::find(db, tenant, payment).await.expect("an answer").expect("a payment");
    let write = async |status, version| {
        let steps = vec![payments::update(&PaymentRow { status, version, ..row.clone() })];
        let unit = UnitOfWork { at: app.clock.now(), steps, ..UnitOfWork::default() };
        app.instance.store.commit(unit).await.expect("a commit");
    };
    write(PaymentStatus::Succeeded, row.version + 1).await;
    pay(&payee).await.refused(404, "payment_method_not_found");
    pay(&payer).await.refused(402, "card_declined");
    pay(&app.client).await.refused(402, "card_declined");
    write(row.status, row.version + 2).await;
}
