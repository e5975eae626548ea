//! What a gateway does beside us: refunds and captures made at its own pages, money that is taken
//! or paid after all, names that somebody mistyped, an account that can't be opened any more. It is
//! booked where it can be, and a person is called for where it can't. A stand-in speaks the
//! simulator's protocol.

use caudal_domain::{Clock, Currency, GatewayAccountId, SystemRole, UserId};
use caudal_gateway::{Answer, ChargeStanding, DeclineCode, RefundStanding, Standing};
use caudal_store::{Step, UnitOfWork};
use caudal_testkit::{TestApp, until};
use serde_json::{Value, json};
use wiremock::MockServer;

use super::{
    gateway_accounts::own_accounts,
    incoming_webhooks::{account, seconds, signed, tell},
    lying_gateways::{against, answers, charge, refusal, standing},
    payments::{id, read, with},
    payments_at_gateways::{card, leap_until},
};

const SECRET: &str = "whsec_of_the_gateway";

async fn default_account(app: &TestApp) -> GatewayAccountId {
    let account = app.client.all("/gateway-accounts").await[0]["id"].clone();
    account.as_str().expect("an id").parse().expect("an id")
}

/// Heeded when nothing has changed here for a while, and nobody is at work on it.
async fn heed(app: &TestApp, standing: &Standing) {
    app.clock.advance(11);
    let (tenant, account) = (app.tenant_id().await, default_account(app).await);
    let service = &app.instance.service;
    until("it to be heeded", async || {
        service.heed_gateway(tenant, account, standing).await.is_ok()
    })
    .await;
}

/// A charge of 300 USD cents that was paid at the stand-in as `ch_1`.
async fn paid(app: &TestApp, gateway: &MockServer, wallet: &str) -> String {
    answers(gateway, ("POST", "/v1/charges"), (200, charge(|_| {}))).await;
    let paid = app.client.post("/payments", card(wallet, 300, "pm_card_visa")).await;
    id(&paid.expect(201))
}

async fn needs_decision(app: &TestApp, payment: &str) -> bool {
    read(&app.client, payment).await["needs_decision"] == true
}

/// A person has set it right at the gateway.
async fn set_right(app: &TestApp, payment: &str) {
    let path = format!("/payments/{payment}/resolve");
    let said = app.client.post(path, json!({"outcome": "failed"})).await.expect(200);
    assert_eq!(said["needs_decision"], false);
}

/// The owner has heard so often of this kind.
pub async fn until_told(app: &TestApp, owner: UserId, (kind, count): (&str, i64)) {
    until("the owner to be told", async || {
        let sql = "select count(*) from notifications where user_id = $1 and kind = $2";
        let asked = [owner.0.into(), kind.into()];
        let rows = app.instance.store.query("notifications", sql, &asked).await;
        rows.expect("rows")[0].int(0).expect("a number") == count
    })
    .await;
}

/// A refund of the charge `ch_1` that somebody made at the gateway's pages.
fn theirs(reference: &str, (amount, currency): (i64, &str), answer: Answer) -> Standing {
    Standing::Refund(RefundStanding {
        reference: reference.into(),
        key: Some("a click".into()),
        charge: Some("ch_1".into()),
        amount_minor: amount,
        currency: Currency::from_code(currency).expect("a code"),
        answer,
    })
}

fn made(reference: &str) -> Answer {
    Answer::Succeeded { reference: reference.into(), fee: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_made_at_the_gateways_pages_is_booked() {
    against(async |app, gateway| {
        let wallet = app.client.wallet("USD").await;
        let payment = paid(app, gateway, &wallet).await;
        for _ in 0..2 {
            heed(app, &theirs("re_1", (100, "USD"), made("re_1"))).await;
        }
        assert_eq!(app.client.balance(&wallet).await, (200, 0, 200));
        // Also below the floor, and by two who hear of it at once.
        let other = app.client.wallet("USD").await;
        app.client.transfer(&wallet, &other, 150).await.expect(201);
        let told = theirs("re_2", (120, "USD"), made("re_2"));
        tokio::join!(heed(app, &told), heed(app, &told));
        assert_eq!(app.client.balance(&wallet).await, (-70, 0, -70));
        let path = format!("/payments/{payment}/refunds");
        let refunds = app.client.all(&format!("/refunds?payment={payment}")).await;
        let told =
            refunds.iter().map(|it| (&it["amount"], &it["gateway_reference"], &it["status"]));
        let wanted = [(120, "re_2"), (100, "re_1")];
        let wanted = wanted.map(|(amount, name)| (json!(amount), json!(name), json!("succeeded")));
        assert!(told.eq(wanted.iter().map(|(a, b, c)| (a, b, c))), "{refunds:#?}");
        assert_eq!(refunds[0]["reason"], "made at the gateway");
        // It bounces, and the rest is given back here.
        heed(app, &theirs("re_2", (120, "USD"), Answer::Canceled { reference: "re_2".into() }))
            .await;
        assert_eq!(app.client.balance(&wallet).await, (50, 0, 50));
        let shown = read(&app.client, &payment).await;
        let said = (&shown["amount_refunded"], &shown["needs_decision"]);
        assert_eq!(said, (&json!(100), &json!(false)));
        app.client.transfer(&other, &wallet, 150).await.expect(201);
        answers(gateway, ("POST", "/v1/refunds"), (200, ours("re_3", (200, "succeeded")))).await;
        app.client.post(&path, json!({})).await.expect(201);
        assert_eq!(app.client.balance(&wallet).await, (0, 0, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_made_there_brings_its_part_of_the_fee_back() {
    against(async |app, gateway| {
        let wallet = app.client.wallet("USD").await;
        let body = fee_on_top(app, &wallet, "proportional").await;
        let told = charge(|it| (it["amount"], it["amount_captured"]) = (json!(400), json!(400)));
        answers(gateway, ("POST", "/v1/charges"), (200, told)).await;
        let payment = id(&app.client.post("/payments", body).await.expect(201));
        heed(app, &theirs("re_1", (200, "USD"), made("re_1"))).await;
        let refunds = app.client.all(&format!("/refunds?payment={payment}")).await;
        assert_eq!(refunds[0]["amount"], 150);
        assert_eq!(app.client.balance(&wallet).await, (150, 0, 150));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_made_there_that_fits_no_payment_calls_for_a_person() {
    against(async |app, gateway| {
        let (owner, _) = app.user(&[SystemRole::Owner]).await;
        let wallet = app.client.wallet("USD").await;
        let payment = paid(app, gateway, &wallet).await;
        for (count, (name, money)) in
            [("re_1", (301, "USD")), ("re_2", (100, "EUR"))].iter().enumerate()
        {
            heed(app, &theirs(name, *money, made(name))).await;
            assert!(needs_decision(app, &payment).await, "{name}");
            until_told(app, owner, ("payment.needs_decision", count as i64 + 1)).await;
            set_right(app, &payment).await;
        }
        assert_eq!(app.client.balance(&wallet).await, (300, 0, 300));
    })
    .await;
}

/// The refund of this name that our own request makes at the stand-in.
fn ours(reference: &str, (amount, status): (i64, &str)) -> Value {
    json!({"object": "refund", "id": reference, "key": "", "charge": "ch_1", "status": status,
        "amount": amount, "currency": "USD", "decline_code": null,
        "created_at": "2026-01-31T09:30:00Z"})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_has_set_right_is_not_booked_when_it_fits_later() {
    against(async |app, gateway| {
        let wallet = app.client.wallet("USD").await;
        let payment = paid(app, gateway, &wallet).await;
        answers(gateway, ("POST", "/v1/refunds"), (200, ours("re_1", (100, "processing")))).await;
        let path = format!("/payments/{payment}/refunds");
        app.client.post(path, json!({"amount": 100})).await.expect(201);
        let told = theirs("re_2", (250, "USD"), made("re_2"));
        heed(app, &told).await;
        set_right(app, &payment).await;
        let gone = Answer::Canceled { reference: "re_1".into() };
        heed(app, &theirs("re_1", (100, "USD"), gone)).await;
        assert_eq!(app.client.balance(&wallet).await, (300, 0, 300));
        heed(app, &told).await;
        assert_eq!(app.client.balance(&wallet).await, (300, 0, 300));
        assert!(!needs_decision(app, &payment).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_may_be_ours_or_comes_before_its_payment_is_heeded_again() {
    against(async |app, gateway| {
        let (tenant, by) = (app.tenant_id().await, default_account(app).await);
        let wallet = app.client.wallet("USD").await;
        let slow = charge(|it| it["status"] = json!("processing"));
        answers(gateway, ("POST", "/v1/charges"), (200, slow)).await;
        let asked = card(&wallet, 300, "pm_card_visa");
        let payment = id(&app.client.post("/payments", asked).await.expect(201));
        let Standing::Refund(told) = theirs("re_1", (100, "USD"), made("re_1")) else { return };
        let told = Standing::Refund(RefundStanding { key: None, ..told });
        let heeded = async || app.instance.service.heed_gateway(tenant, by, &told).await.is_ok();
        app.clock.advance(11);
        assert!(!heeded().await, "the payment is under way");
        let taken = Answer::Succeeded { reference: "ch_1".into(), fee: None };
        heed(app, &standing(("ch_1", format!("{payment}-1")), taken)).await;
        answers(gateway, ("GET", "/v1/lookup"), (500, json!({}))).await;
        answers(gateway, ("POST", "/v1/refunds"), (500, json!({}))).await;
        let path = format!("/payments/{payment}/refunds");
        let refund = app.client.post(path, json!({"amount": 100})).await.expect(201);
        assert_eq!(refund["status"], "pending");
        app.clock.advance(11);
        assert!(!heeded().await, "nobody knows whose it is");
        assert!(!needs_decision(app, &payment).await);
        let gone = Answer::Canceled { reference: "re_2".into() };
        let Standing::Refund(no) = theirs("re_2", (100, "USD"), gone) else { return };
        heed(app, &Standing::Refund(RefundStanding { key: Some(id(&refund)), ..no })).await;
        assert_eq!(app.client.balance(&wallet).await, (300, 0, 300));
        until("it to be heeded", heeded).await;
        assert_eq!(app.client.balance(&wallet).await, (200, 0, 200));
    })
    .await;
}

/// A standing with this much captured.
fn captured(standing: Standing, amount: i64) -> Standing {
    match standing {
        Standing::Charge(charge) => {
            Standing::Charge(ChargeStanding { captured_minor: amount, ..charge })
        }
        other => other,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_booked_otherwise_calls_for_a_person() {
    against(async |app, gateway| {
        let wallet = app.client.wallet("USD").await;
        let payment = paid(app, gateway, &wallet).await;
        let key = || ("ch_1", format!("{payment}-1"));
        let taken = || standing(key(), Answer::Succeeded { reference: "ch_1".into(), fee: None });
        heed(app, &taken()).await;
        assert!(!needs_decision(app, &payment).await, "as it is booked");
        let no = Answer::Declined {
            code: DeclineCode::DoNotHonor,
            retryable_elsewhere: false,
            reference: Some("ch_1".into()),
        };
        let gone = Answer::Canceled { reference: "ch_1".into() };
        for told in [captured(taken(), 200), standing(key(), no), standing(key(), gone)] {
            heed(app, &told).await;
            assert!(needs_decision(app, &payment).await, "{told:?}");
            set_right(app, &payment).await;
        }
        assert_eq!(app.client.balance(&wallet).await, (300, 0, 300));
    })
    .await;
}

/// Asks for a payment of 300, with a fee of 100 that its payer bears.
async fn fee_on_top(app: &TestApp, wallet: &str, fee_return: &str) -> Value {
    let account = default_account(app).await;
    let kind = json!({"name": "on_top", "via": "gateway", "fee_bearer": "payer",
        "fee_return": fee_return, "currencies": {"USD": {"gateway_accounts": [account],
            "fee": {"fixed": 100, "basis_points": 0}}}});
    app.client.post("/payment-types", kind).await.expect(201);
    with(card(wallet, 300, "pm_card_visa"), "type", "on_top")
}

/// A payment of 300, with a fee of 100 that its payer bears, promised at the gateway.
async fn promised(app: &TestApp, gateway: &MockServer, wallet: &str) -> String {
    let body = with(fee_on_top(app, wallet, "kept").await, "capture", "manual");
    let told = charge(|it| {
        it["status"] = json!("requires_capture");
        it["amount"] = json!(400);
        it["amount_captured"] = json!(0);
    });
    answers(gateway, ("POST", "/v1/charges"), (200, told)).await;
    let made = app.client.post("/payments", body).await.expect(201);
    assert_eq!(made["status"], "requires_capture");
    id(&made)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_captured_at_the_gateways_pages_bears_its_part_of_the_fee() {
    against(async |app, gateway| {
        let wallet = app.client.wallet("USD").await;
        let payment = promised(app, gateway, &wallet).await;
        let told = standing(
            ("ch_1", format!("{payment}-1")),
            Answer::Succeeded { reference: "ch_1".into(), fee: None },
        );
        heed(app, &captured(told, 300)).await;
        let shown = read(&app.client, &payment).await;
        let said = (&shown["status"], &shown["amount_captured"], &shown["fee"]);
        assert_eq!(said, (&json!("succeeded"), &json!(225), &json!(75)));
        assert_eq!(app.client.balance(&wallet).await, (225, 0, 225));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_not_its_own_is_refused() {
    against(async |app, gateway| {
        let wallet = app.client.wallet("USD").await;
        answers(gateway, ("GET", "/v1/lookup"), (404, refusal("not_found"))).await;
        answers(gateway, ("POST", "/v1/charges"), (500, json!({}))).await;
        let made = app.client.post("/payments", card(&wallet, 300, "pm_card_visa")).await;
        let payment = id(&made.expect(201));
        app.until_later("a call for a person", 86_400, async || {
            needs_decision(app, &payment).await
        })
        .await;
        let others = charge(|it| it["key"] = json!("pay_00000000000000000000000001-1"));
        answers(gateway, ("GET", "/v1/charges/ch_of_another"), (200, others)).await;
        let cents = charge(|it| it["amount"] = json!(3));
        answers(gateway, ("GET", "/v1/charges/ch_of_cents"), (200, cents)).await;
        answers(gateway, ("GET", "/v1/charges/ch_nowhere"), (404, refusal("not_found"))).await;
        let own = charge(|it| it["key"] = json!(format!("{payment}-1")));
        answers(gateway, ("GET", "/v1/charges/ch_1"), (200, own)).await;
        let path = format!("/payments/{payment}/resolve");
        let moved = |name: &str| json!({"outcome": "succeeded", "gateway_reference": name});
        for name in ["ch_of_another", "ch_of_cents", "ch_nowhere"] {
            let answer = app.client.post(&path, moved(name)).await;
            answer.refused_as(name, 400, "invalid_request");
            assert_eq!(answer.json["param"], "gateway_reference", "{name}");
        }
        assert_eq!(app.client.balance(&wallet).await, (0, 0, 0));
        let said = app.client.post(&path, moved("ch_1")).await.expect(200);
        assert_eq!(said["status"], "succeeded");
    })
    .await;
}

/// A payout of 400 of which nobody knew for a week.
async fn lost_payout(app: &TestApp, gateway: &MockServer, (wallet, by): (&str, &str)) -> String {
    answers(gateway, ("GET", "/v1/lookup"), (404, refusal("not_found"))).await;
    answers(gateway, ("POST", "/v1/payouts"), (500, json!({}))).await;
    let body = json!({"wallet": wallet, "amount": 400, "destination": "ba_ok",
        "gateway_account": by});
    let payout = id(&app.client.post("/payouts", body).await.expect(201));
    let path = format!("/payouts/{payout}");
    until("nobody to know", async || {
        app.clock.advance(61);
        app.client.get(&path).await.expect(200)["status"] == "unknown"
    })
    .await;
    app.clock.advance(8 * 86_400);
    payout
}

fn payout_at(gateway_status: &str, (name, key): (&str, &str)) -> Value {
    json!({"object": "payout", "id": name, "key": key, "status": gateway_status, "amount": 400,
        "currency": "USD", "destination": "ba_ok", "decline_code": null,
        "created_at": "2026-01-31T09:30:00Z"})
}

async fn told_of(app: &TestApp, path: &str, (name, kind, data): (&str, &str, Value)) {
    let event = json!({"id": name, "type": kind, "data": data,
        "created_at": "2026-01-31T09:30:00Z"});
    let event = event.to_string();
    let signature = signed(SECRET, seconds(app), &event);
    assert_eq!(tell(app, path, Some(&signature), &event).await.status, 200);
}

async fn until_all_is_heeded(app: &TestApp) {
    until("it to be heeded", async || {
        let sql = "select count(*) from incoming_webhooks where done_at is null";
        let rows = app.instance.store.query("incoming_webhooks", sql, &[]).await;
        rows.expect("rows")[0].int(0).expect("a count") == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payout_under_a_wrong_name_is_found_by_its_key() {
    against(async |app, gateway| {
        let wallet = app.client.funded(1000).await;
        let path = account(app, "bank", &[SECRET]).await;
        let by = path.rsplit('/').next().expect("an id");
        let payout = lost_payout(app, gateway, (&wallet, by)).await;
        // The gateway can't be asked, so the name is taken as it is said.
        answers(gateway, ("GET", "/v1/payouts/po_typo"), (500, json!({}))).await;
        let moved = json!({"outcome": "succeeded", "gateway_reference": "po_typo"});
        let resolve = format!("/payouts/{payout}/resolve");
        until("a decision", async || app.client.post(&resolve, moved.clone()).await.status == 200)
            .await;
        let returned = payout_at("failed", ("po_1", &payout));
        answers(gateway, ("GET", "/v1/payouts/po_1"), (200, returned.clone())).await;
        told_of(app, &path, ("evt_1", "payout.failed", returned)).await;
        let path = format!("/payouts/{payout}");
        leap_until(app, "the money to be back", 61, async || {
            app.client.get(&path).await.expect(200)["status"] == "returned"
        })
        .await;
        let shown = app.client.get(&path).await.expect(200);
        assert_eq!(shown["gateway_reference"], "po_1");
        assert_eq!(app.client.balance(&wallet).await, (1000, 0, 1000));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispute_that_was_won_and_is_lost_after_all_calls_for_a_person() {
    against(async |app, gateway| {
        let (owner, _) = app.user(&[SystemRole::Owner]).await;
        let wallet = app.client.wallet("USD").await;
        let path = format!("/gateway-accounts/{}", default_account(app).await);
        let credentials = json!({"api_key": "sim_test_own", "webhook_secrets": [SECRET]});
        app.client.patch(&path, json!({"credentials": credentials})).await.expect(200);
        paid(app, gateway, &wallet).await;
        for (event, status, left) in [("1", "won", 300), ("2", "lost", 300)] {
            gateway.reset().await;
            let dispute = json!({"object": "dispute", "id": "dp_1", "charge": "ch_1",
                "status": status, "amount": 300, "currency": "USD", "reason": "fraudulent",
                "evidence": null, "evidence_due_at": "2026-02-07T09:30:00Z",
                "created_at": "2026-01-31T09:30:00Z"});
            answers(gateway, ("GET", "/v1/disputes/dp_1"), (200, dispute.clone())).await;
            app.clock.advance(11);
            told_of(app, &path, (event, "dispute.closed", dispute)).await;
            until_all_is_heeded(app).await;
            assert_eq!(app.client.balance(&wallet).await.2, left, "{status}");
        }
        until_told(app, owner, ("dispute.needs_decision", 1)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_queued_and_was_taken_all_the_same_is_booked() {
    against(async |app, gateway| {
        let wallet = app.client.wallet("USD").await;
        answers(gateway, ("POST", "/v1/charges"), (429, json!({}))).await;
        let made = app.client.post("/payments", card(&wallet, 300, "pm_card_visa")).await;
        let made = made.expect(201);
        assert_eq!(made["status"], "queued");
        let taken = Answer::Succeeded { reference: "ch_1".into(), fee: None };
        heed(app, &standing(("ch_1", format!("{}-1", id(&made))), taken)).await;
        assert_eq!(read(&app.client, &id(&made)).await["status"], "succeeded");
        assert_eq!(app.client.balance(&wallet).await, (300, 0, 300));
    })
    .await;
}

/// What its accounts are sealed with is lost, and nobody remembers them.
async fn lose_the_credentials(app: &TestApp) {
    let at = app.clock.now();
    let steps = vec![Step::new(
        "update gateway_accounts set sealed = 'lost', version = version + 1",
        vec![],
    )];
    let unit = UnitOfWork { at, steps, ..UnitOfWork::default() };
    app.instance.store.commit(unit).await.expect("a commit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_cannot_be_opened_keeps_no_money() {
    against(async |app, gateway| {
        let wallet = app.client.funded(1000).await;
        answers(gateway, ("POST", "/v1/charges"), (429, json!({}))).await;
        answers(gateway, ("POST", "/v1/payouts"), (429, json!({}))).await;
        let made = app.client.post("/payments", card(&wallet, 300, "pm_card_visa")).await;
        let payment = id(&made.expect(201));
        let body = json!({"wallet": wallet, "amount": 400, "destination": "ba_ok"});
        let payout = id(&app.client.post("/payouts", body).await.expect(201));
        assert_eq!(app.client.balance(&wallet).await, (600, 400, 1000));
        lose_the_credentials(app).await;
        // An hour for a payment that was never sent, a day for a payout.
        leap_until(app, "the payment to fail", 600, async || {
            read(&app.client, &payment).await["status"] == "failed"
        })
        .await;
        let path = format!("/payouts/{payout}");
        leap_until(app, "the payout to fail", 7200, async || {
            app.client.get(&path).await.expect(200)["status"] == "failed"
        })
        .await;
        assert_eq!(app.client.balance(&wallet).await, (1000, 0, 1000));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_declined_later_is_tried_elsewhere_at_once() {
    against(async |app, gateway| {
        let accounts = own_accounts(app, "two", &["sim_test_one", "sim_test_other"]).await;
        let wallet = app.client.wallet("USD").await;
        let slow = charge(|it| it["status"] = json!("processing"));
        answers(gateway, ("POST", "/v1/charges"), (200, slow)).await;
        let asked = with(card(&wallet, 300, "pm_card_visa"), "type", "two");
        let payment = id(&app.client.post("/payments", asked).await.expect(201));
        gateway.reset().await;
        answers(gateway, ("GET", "/v1/lookup"), (404, refusal("not_found"))).await;
        let taken = charge(|it| it["id"] = json!("ch_2"));
        answers(gateway, ("POST", "/v1/charges"), (200, taken)).await;
        let no = Answer::Declined {
            code: DeclineCode::ProcessingError,
            retryable_elsewhere: true,
            reference: Some("ch_1".into()),
        };
        let told = standing(("ch_1", format!("{payment}-1")), no);
        let (tenant, first) = (app.tenant_id().await, accounts[0].parse().expect("an id"));
        app.instance.service.heed_gateway(tenant, first, &told).await.expect("heeded");
        // The next question was to come after ten seconds, by a clock that stands still.
        until("the other account", async || {
            read(&app.client, &payment).await["status"] == "succeeded"
        })
        .await;
        let shown = read(&app.client, &payment).await;
        assert_eq!(shown["gateway_account_id"], json!(accounts[1]));
        assert_eq!(app.client.balance(&wallet).await, (300, 0, 300));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_is_made_after_all_calls_for_a_person() {
    against(async |app, gateway| {
        let wallet = app.client.wallet("USD").await;
        let payment = paid(app, gateway, &wallet).await;
        let no = json!({"error": {"code": "do_not_honor", "message": "no", "reference": "re_1"}});
        answers(gateway, ("POST", "/v1/refunds"), (402, no)).await;
        let path = format!("/payments/{payment}/refunds");
        let refund = app.client.post(path, json!({"amount": 100})).await.expect(201);
        assert_eq!(refund["status"], "failed");
        let standing = Standing::Refund(RefundStanding {
            reference: "re_1".into(),
            key: None,
            charge: Some("ch_1".into()),
            amount_minor: 100,
            currency: Currency::from_code("USD").expect("a code"),
            answer: Answer::Succeeded { reference: "re_1".into(), fee: None },
        });
        heed(app, &standing).await;
        assert!(needs_decision(app, &payment).await);
        assert_eq!(app.client.balance(&wallet).await, (300, 0, 300));
        set_right(app, &payment).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payout_that_is_paid_after_all_calls_for_a_person() {
    against(async |app, gateway| {
        let wallet = app.client.funded(1000).await;
        let (owner, _) = app.user(&[SystemRole::Owner]).await;
        let path = account(app, "bank", &[SECRET]).await;
        let no = json!({"error": {"code": "do_not_honor", "message": "no", "reference": "po_1"}});
        answers(gateway, ("POST", "/v1/payouts"), (402, no)).await;
        let by = path.rsplit('/').next().expect("an id");
        let body = json!({"wallet": wallet, "amount": 400, "destination": "ba_ok",
            "gateway_account": by});
        let payout = id(&app.client.post("/payouts", body).await.expect(201));
        until("the bank's no", async || {
            let path = format!("/payouts/{payout}");
            app.client.get(path).await.expect(200)["status"] == "failed"
        })
        .await;
        let paid = payout_at("succeeded", ("po_1", &payout));
        answers(gateway, ("GET", "/v1/payouts/po_1"), (200, paid.clone())).await;
        app.clock.advance(11);
        // However often it is said, a person is called once.
        for event in ["evt_1", "evt_2"] {
            told_of(app, &path, (event, "payout.paid", paid.clone())).await;
            until_all_is_heeded(app).await;
        }
        let sql = "select count(*) from events where kind = 'payout.needs_decision'";
        let rows = app.instance.store.query("events", sql, &[]).await.expect("rows");
        assert_eq!(rows[0].int(0).expect("a number"), 1);
        until_told(app, owner, ("payout.needs_decision", 1)).await;
        assert_eq!(app.client.balance(&wallet).await.0, 1000);
    })
    .await;
}
