//! Gateways that answer with something else than was asked, that turn away what they had taken, or
//! tell later what nobody believed any more. A stand-in speaks the simulator's protocol.

use caudal_domain::{Currency, GatewayAccountId, SystemRole};
use caudal_gateway::{Answer, ChargeStanding, Standing};
use caudal_service::payment_saga::Point;
use caudal_testkit::{Database, TestApp, until};
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{method, path},
};

use super::{
    contradictions::until_told,
    payments::{id, read},
    payments_at_gateways::{card, leap_until},
};

/// Its name, and what it makes of the truth.
type Lie = (&'static str, fn(&mut Value));

/// Runs the case on both databases against a gateway of its own.
pub async fn against(case: impl AsyncFn(&TestApp, &MockServer)) {
    let databases = [Some(Database::sqlite()), Database::postgres().await];
    for database in databases.into_iter().flatten() {
        let gateway = MockServer::start().await;
        let url = format!("{}/", gateway.uri());
        let app = TestApp::start_with(database, |it| it.simulator_url = Some(url)).await;
        case(&app, &gateway).await;
        app.finish().await;
    }
}

/// A charge of 300 USD cents as the gateway shows it.
pub fn charge(change: impl FnOnce(&mut Value)) -> Value {
    let mut charge = json!({"object": "charge", "id": "ch_1", "key": "", "status": "succeeded",
        "amount": 300, "currency": "USD", "amount_captured": 300, "amount_refunded": 0,
        "amount_disputed": 0, "fee": 0, "payment_method": "pm_card_visa", "manual": false,
        "decline_code": null, "next_action_url": null, "return_url": null,
        "created_at": "2026-01-31T09:30:00.000000Z"});
    change(&mut charge);
    charge
}

/// The body bears the request's key where it has an empty one.
pub async fn answers(gateway: &MockServer, (verb, at): (&str, &str), (status, body): (u16, Value)) {
    let reply = move |request: &Request| {
        let mut body = body.clone();
        if let Some(key) = request.headers.get("idempotency-key")
            && body["key"] == ""
        {
            body["key"] = json!(key.to_str().expect("text"));
        }
        ResponseTemplate::new(status).set_body_json(body)
    };
    Mock::given(method(verb)).and(path(at)).respond_with(reply).mount(gateway).await;
}

pub fn refusal(code: &str) -> Value {
    json!({"error": {"code": code, "message": "no"}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_speaks_of_something_else_is_not_believed() {
    against(async |app, gateway| {
        let wallet = app.client.wallet("USD").await;
        let lies: [Lie; 6] = [
            ("another amount", |it| it["amount"] = json!(1)),
            ("another currency", |it| it["currency"] = json!("JPY")),
            ("another payment's", |it| it["key"] = json!("pay_1-1")),
            ("no name", |it| it["id"] = json!("")),
            ("a book for a name", |it| it["id"] = json!("c".repeat(5000))),
            ("another kind", |it| {
                it["object"] = json!("refund");
                it["charge"] = json!("ch_1");
            }),
        ];
        for (lie, change) in lies {
            gateway.reset().await;
            let mut told = charge(|_| {});
            change(&mut told);
            answers(gateway, ("POST", "/v1/charges"), (200, told)).await;
            let paid = app.client.post("/payments", card(&wallet, 300, "pm_card_visa")).await;
            assert_eq!(paid.expect(201)["status"], "unknown", "{lie}");
        }
        assert_eq!(app.client.balance(&wallet).await, (0, 0, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_turned_away_the_second_time_may_have_been_taken_the_first() {
    against(async |app, gateway| {
        let wallet = app.client.wallet("USD").await;
        for (status, code) in [(401, "account_invalid"), (400, "idempotency_mismatch")] {
            gateway.reset().await;
            answers(gateway, ("GET", "/v1/lookup"), (404, refusal("not_found"))).await;
            answers(gateway, ("POST", "/v1/charges"), (status, refusal(code))).await;
            drop(app.instance.service.hold_saga_at(Point::Accepted));
            let made = app.client.post("/payments", card(&wallet, 300, "pm_card_visa")).await;
            let payment = id(&made.expect(201));
            app.clock.advance(61);
            let is_over =
                async || read(&app.client, &payment).await["status"] != json!("processing");
            until("a worker", is_over).await;
            assert_eq!(read(&app.client, &payment).await["status"], "unknown", "{code}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payout_is_not_given_up_because_it_is_turned_away_the_second_time() {
    against(async |app, gateway| {
        let wallet = app.client.funded(1000).await;
        answers(gateway, ("GET", "/v1/lookup"), (401, refusal("account_invalid"))).await;
        answers(gateway, ("POST", "/v1/payouts"), (401, refusal("account_invalid"))).await;
        drop(app.instance.service.hold_saga_at(Point::Called));
        let body = json!({"wallet": wallet, "amount": 400, "destination": "ba_ok"});
        let payout = id(&app.client.post("/payouts", body).await.expect(201));
        let path = format!("/payouts/{payout}");
        let sagas = async || {
            let sql = "select coalesce(max(token), 0) from sagas where finished_at is null";
            let rows = app.instance.store.query("sagas", sql, &[]).await.expect("rows");
            rows[0].int(0).expect("a number")
        };
        until("a crash after the call", async || app.instance.service.is_saga_held()).await;
        for _ in 0..3 {
            let leases = sagas().await;
            until("a worker", async || {
                app.clock.advance(61);
                sagas().await > leases
            })
            .await;
        }
        let status = app.client.get(&path).await.expect(200)["status"].clone();
        assert!(status == "pending" || status == "unknown", "{status}");
        assert_eq!(app.client.balance(&wallet).await.0, 600, "the money stays held");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_decides_on_a_payout() {
    against(async |app, gateway| {
        let wallet = app.client.funded(1000).await;
        let (owner, _) = app.user(&[SystemRole::Owner]).await;
        answers(gateway, ("GET", "/v1/lookup"), (404, refusal("not_found"))).await;
        answers(gateway, ("POST", "/v1/payouts"), (500, json!({}))).await;
        let moved = json!({"outcome": "succeeded", "gateway_reference": "po_1"});
        // It can't be asked about the name.
        answers(gateway, ("GET", "/v1/payouts/po_1"), (500, json!({}))).await;
        let not_moved = json!({"outcome": "failed"});
        for (told, said, status) in [(1, moved, "in_transit"), (2, not_moved, "failed")] {
            let body = json!({"wallet": wallet, "amount": 400, "destination": "ba_ok"});
            let payout = id(&app.client.post("/payouts", body).await.expect(201));
            let (path, resolve) =
                (format!("/payouts/{payout}"), format!("/payouts/{payout}/resolve"));
            until("nobody to know", async || {
                app.clock.advance(61);
                app.client.get(&path).await.expect(200)["status"] == "unknown"
            })
            .await;
            app.client.post(&resolve, said.clone()).await.refused(409, "payout_state");
            let mut answer = json!(null);
            app.clock.advance(8 * 86_400);
            until_told(app, owner, ("payout.needs_decision", told)).await;
            until("a decision", async || {
                let decided = app.client.post(&resolve, said.clone()).await;
                answer = decided.json.clone();
                decided.status == 200
            })
            .await;
            assert_eq!(answer["status"], status, "{answer}");
            assert_eq!(app.client.balance(&wallet).await.0, 600);
            app.client.post(&resolve, said).await.refused(409, "payout_state");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_is_told_later_bears_its_part_of_the_fee() {
    against(async |app, gateway| {
        let account = app.client.all("/gateway-accounts").await[0]["id"].clone();
        for (bearer, asked, parts) in [("payee", 300, (50, 17)), ("payer", 400, (38, 12))] {
            gateway.reset().await;
            let wallet = app.client.wallet("USD").await;
            let fee = json!({"fixed": 100, "basis_points": 0});
            let kind = json!({"name": format!("fee_{bearer}"), "via": "gateway",
                "fee_bearer": bearer,
                "currencies": {"USD": {"gateway_accounts": [account], "fee": fee}}});
            app.client.post("/payment-types", kind).await.expect(201);
            answers(gateway, ("POST", "/v1/charges"), (500, json!({}))).await;
            let mut body = card(&wallet, 300, "pm_card_visa");
            body["type"] = json!(format!("fee_{bearer}"));
            let payment = id(&app.client.post("/payments", body).await.expect(201));
            let told = charge(|it| {
                it["amount"] = json!(asked);
                it["amount_captured"] = json!(50);
            });
            answers(gateway, ("GET", "/v1/lookup"), (200, told)).await;
            leap_until(app, "the janitor", 300, async || {
                read(&app.client, &payment).await["status"] == "succeeded"
            })
            .await;
            let paid = read(&app.client, &payment).await;
            assert_eq!(
                (&paid["amount_captured"], &paid["fee"]),
                (&json!(parts.0), &json!(parts.1))
            );
            let left = if bearer == "payee" { parts.0 - parts.1 } else { parts.0 };
            assert_eq!(app.client.balance(&wallet).await, (left, 0, left), "{bearer}");
        }
    })
    .await;
}

/// A card payment that the gateway declined.
async fn declined(app: &TestApp, gateway: &MockServer, wallet: &str) -> String {
    let no = json!({"error": {"code": "do_not_honor", "message": "no", "reference": "ch_1"}});
    answers(gateway, ("POST", "/v1/charges"), (402, no)).await;
    let answer = app.client.post("/payments", card(wallet, 300, "pm_card_visa")).await;
    answer.refused(402, "card_declined");
    answer.json["payment"]["id"].as_str().expect("an id").to_owned()
}

/// A charge of 300 USD cents by its name there and our key.
pub fn standing((reference, key): (&str, String), answer: Answer) -> Standing {
    Standing::Charge(ChargeStanding {
        reference: reference.into(),
        key: Some(key),
        amount_minor: 300,
        captured_minor: 300,
        refunded_minor: None,
        currency: Currency::from_code("USD").expect("a code"),
        answer,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_gateway_takes_after_all_calls_for_a_person() {
    against(async |app, gateway| {
        let wallet = app.client.wallet("USD").await;
        let payment = declined(app, gateway, &wallet).await;
        let account = app.client.all("/gateway-accounts").await[0]["id"].clone();
        let account = account.as_str().expect("an id").parse().expect("an id");
        let tenant = app.tenant_id().await;
        let taken = Answer::Succeeded { reference: "ch_1".into(), fee: None };
        let standing = standing(("ch_1", format!("{payment}-1")), taken);
        let service = &app.instance.service;
        let early = service.heed_gateway(tenant, account, &standing).await;
        assert!(early.is_err(), "it may have been asked before that was written here");
        app.clock.advance(11);
        for _ in 0..2 {
            service.heed_gateway(tenant, account, &standing).await.expect("heeded");
        }
        let shown = read(&app.client, &payment).await;
        assert_eq!((&shown["status"], &shown["needs_decision"]), (&json!("failed"), &json!(true)));
        assert_eq!(app.client.balance(&wallet).await, (0, 0, 0));
        let resolve = format!("/payments/{payment}/resolve");
        let moved = json!({"outcome": "succeeded", "gateway_reference": "ch_1"});
        app.client.post(&resolve, moved).await.refused(409, "payment_state");
        let said = app.client.post(&resolve, json!({"outcome": "failed"})).await;
        assert_eq!(said.expect(200)["needs_decision"], false);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_account_tells_changes_nothing() {
    against(async |app, gateway| {
        let wallet = app.client.wallet("USD").await;
        let told = charge(|it| {
            it["status"] = json!("requires_capture");
            it["amount_captured"] = json!(0);
        });
        answers(gateway, ("POST", "/v1/charges"), (200, told)).await;
        let mut body = card(&wallet, 300, "pm_card_visa");
        body["capture"] = json!("manual");
        let payment = id(&app.client.post("/payments", body).await.expect(201));
        let (tenant, other) = (app.tenant_id().await, GatewayAccountId(7));
        app.clock.advance(11);
        for answer in [
            Answer::Canceled { reference: "ch_9".into() },
            Answer::Succeeded { reference: "ch_9".into(), fee: None },
        ] {
            let standing = standing(("ch_9", format!("{payment}-1")), answer);
            let service = &app.instance.service;
            service.heed_gateway(tenant, other, &standing).await.expect("heeded");
            assert_eq!(read(&app.client, &payment).await["status"], "requires_capture");
        }
        assert_eq!(read(&app.client, &payment).await["needs_decision"], true);
        assert_eq!(app.client.balance(&wallet).await, (0, 0, 0));
    })
    .await;
}
