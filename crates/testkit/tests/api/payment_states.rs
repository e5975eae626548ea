//! Every way from state to state that a gateway's word opens, whatever was asked of it before: an
//! answer that was lost, a call-off that was lost, what it tells by itself. A stand-in says each
//! thing in each state; money moves with the state or not at all.

use caudal_domain::Clock;
use caudal_gateway::{Answer, DeclineCode};
use caudal_testkit::{TestApp, until};
use serde_json::{Value, json};
use wiremock::MockServer;

use super::{
    lying_gateways::{against, answers, charge, standing},
    payments::{id, read, with},
    payments_at_gateways::card,
};

/// A charge of that name, as it stands there.
fn stands(name: &str, status: &str) -> Value {
    charge(|it| {
        it["id"] = json!(name);
        it["status"] = json!(status);
        if status != "succeeded" {
            it["amount_captured"] = json!(0);
        }
        if status == "requires_action" {
            it["next_action_url"] = json!("https://bank.example.org/confirm");
        }
        if status == "failed" {
            it["decline_code"] = json!("do_not_honor");
        }
    })
}

/// A payment that stands there so, and so here.
async fn paid(app: &TestApp, gateway: &MockServer, (name, status): (&str, &str)) -> Paid {
    gateway.reset().await;
    answers(gateway, ("POST", "/v1/charges"), (200, stands(name, status))).await;
    let wallet = app.client.wallet("USD").await;
    let capture = if status == "requires_capture" { "manual" } else { "automatic" };
    let asked = with(card(&wallet, 300, "pm_card_visa"), "capture", capture);
    let made = app.client.post("/payments", asked).await.expect(201);
    assert_eq!(made["status"], status);
    gateway.reset().await;
    Paid { wallet, payment: id(&made) }
}

struct Paid {
    wallet: String,
    payment: String,
}

impl Paid {
    fn path(&self, verb: &str) -> String {
        format!("/payments/{}/{verb}", self.payment)
    }

    /// The state, with the money that belongs to it.
    async fn is(&self, app: &TestApp, status: &str, row: &str) -> Value {
        let shown = read(&app.client, &self.payment).await;
        assert_eq!(shown["status"], status, "{row}: {shown}");
        let money = if status == "succeeded" { 300 } else { 0 };
        assert_eq!(shown["amount_captured"], money, "{row}");
        assert_eq!(app.client.balance(&self.wallet).await, (money, 0, money), "{row}");
        shown
    }

    /// Lets time pass until the gateway was asked after it and nobody is at work on it.
    async fn is_asked_after(&self, app: &TestApp, gateway: &MockServer) {
        let before = asked_after(gateway).await;
        app.until_later("a question", 300, async || asked_after(gateway).await > before).await;
        let sql = "select count(*) from sagas where finished_at is null and lease_until > $1";
        until("the answer to be written", async || {
            let now = app.clock.now();
            let rows = app.instance.store.query("sagas", sql, &[now.into()]).await.expect("rows");
            rows[0].int(0).expect("a count") == 0
        })
        .await;
    }
}

async fn asked_after(gateway: &MockServer) -> usize {
    let requests = gateway.received_requests().await.expect("recorded");
    requests.iter().filter(|it| it.method == "GET").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charge_that_was_lost_from_sight_is_found() {
    against(async |app, gateway| {
        for (told, after) in [
            ("succeeded", "succeeded"),
            ("requires_capture", "requires_capture"),
            ("requires_action", "requires_action"),
            ("processing", "unknown"),
            ("canceled", "canceled"),
            ("failed", "failed"),
        ] {
            let name = format!("ch_{told}");
            // Half of its calls go well: its breaker stays closed.
            paid(app, gateway, (&format!("{name}_before"), "succeeded")).await;
            answers(gateway, ("POST", "/v1/charges"), said(NOT_HEARD)).await;
            let wallet = app.client.wallet("USD").await;
            let capture = if told == "requires_capture" { "manual" } else { "automatic" };
            let asked = with(card(&wallet, 300, "pm_card_visa"), "capture", capture);
            let made = app.client.post("/payments", asked).await.expect(201);
            let paid = Paid { wallet, payment: id(&made) };
            answers(gateway, ("GET", "/v1/lookup"), (200, stands(&name, told))).await;
            let by_name = format!("/v1/charges/{name}");
            answers(gateway, ("GET", &by_name), (200, stands(&name, told))).await;
            paid.is_asked_after(app, gateway).await;
            let shown = paid.is(app, after, told).await;
            let url = &shown["next_action"]["url"];
            assert_eq!(url.is_string(), after == "requires_action", "{told}: {shown}");
        }
    })
    .await;
}

/// How a call may go that did nothing for certain: no answer, or a refusal.
const NOT_HEARD: (u16, &str) = (500, "");
const REFUSED: (u16, &str) = (400, "wrong_state");

fn said((status, code): (u16, &str)) -> (u16, Value) {
    (status, json!({"error": {"code": code, "message": "no"}}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_capture_that_was_not_heard_is_found() {
    against(async |app, gateway| {
        for (call, told, after) in [
            (NOT_HEARD, "succeeded", "succeeded"),
            (NOT_HEARD, "requires_capture", "requires_capture"),
            (NOT_HEARD, "processing", "unknown"),
            (NOT_HEARD, "canceled", "canceled"),
            (NOT_HEARD, "failed", "failed"),
            (REFUSED, "succeeded", "succeeded"),
            (REFUSED, "requires_capture", "requires_capture"),
            (REFUSED, "processing", "processing"),
            (REFUSED, "canceled", "canceled"),
            (REFUSED, "failed", "failed"),
        ] {
            let row = format!("{} {told}", call.0);
            let name = format!("ch_{}_{told}", call.0);
            let paid = paid(app, gateway, (&name, "requires_capture")).await;
            let by_name = format!("/v1/charges/{name}");
            answers(gateway, ("POST", &format!("{by_name}/capture")), said(call)).await;
            answers(gateway, ("GET", &by_name), (200, stands(&name, told))).await;
            let answer = app.client.post(paid.path("capture"), json!({})).await;
            if call == NOT_HEARD {
                answer.expect(200);
                paid.is_asked_after(app, gateway).await;
            }
            paid.is(app, after, &row).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_off_that_was_not_heard_is_found() {
    against(async |app, gateway| {
        for (before, told, after) in [
            ("requires_capture", "canceled", "canceled"),
            ("requires_capture", "requires_capture", "requires_capture"),
            ("requires_capture", "succeeded", "succeeded"),
            ("requires_capture", "processing", "requires_capture"),
            ("requires_capture", "failed", "requires_capture"),
            ("requires_action", "canceled", "canceled"),
            ("requires_action", "requires_action", "requires_action"),
            ("requires_action", "succeeded", "succeeded"),
            ("requires_action", "processing", "requires_action"),
            ("requires_action", "failed", "failed"),
        ] {
            for call in [NOT_HEARD, REFUSED] {
                let row = format!("{} {before} {told}", call.0);
                let name = row.replace(' ', "_");
                let paid = paid(app, gateway, (&name, before)).await;
                let by_name = format!("/v1/charges/{name}");
                answers(gateway, ("POST", &format!("{by_name}/cancel")), said(call)).await;
                answers(gateway, ("GET", &by_name), (200, stands(&name, told))).await;
                let answer = app.client.post(paid.path("cancel"), json!({})).await;
                // Whoever asks hears at once that it had failed before.
                let hears_no = call == REFUSED && after == "failed";
                assert_eq!(answer.status, if hears_no { 402 } else { 200 }, "{row}");
                if call == NOT_HEARD {
                    paid.is(app, before, &row).await;
                    paid.is_asked_after(app, gateway).await;
                }
                paid.is(app, after, &row).await;
            }
        }
    })
    .await;
}

/// A call-off that came to nothing leaves a payer who may still confirm: the money is seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_confirms_after_a_call_off_has_paid() {
    against(async |app, gateway| {
        let paid = paid(app, gateway, ("ch_1", "requires_action")).await;
        answers(gateway, ("POST", "/v1/charges/ch_1/cancel"), said(NOT_HEARD)).await;
        let waits = stands("ch_1", "requires_action");
        answers(gateway, ("GET", "/v1/charges/ch_1"), (200, waits)).await;
        app.client.post(paid.path("cancel"), json!({})).await.expect(200);
        paid.is_asked_after(app, gateway).await;
        paid.is(app, "requires_action", "nothing has happened there").await;
        gateway.reset().await;
        let has_paid = stands("ch_1", "succeeded");
        answers(gateway, ("GET", "/v1/charges/ch_1"), (200, has_paid)).await;
        paid.is_asked_after(app, gateway).await;
        paid.is(app, "succeeded", "confirmed").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_gateway_tells_by_itself_is_heeded() {
    against(async |app, gateway| {
        let account = app.client.all("/gateway-accounts").await[0]["id"].clone();
        let account = account.as_str().expect("an id").parse().expect("an id");
        let tenant = app.tenant_id().await;
        for (before, told, after) in [
            ("requires_capture", "succeeded", "succeeded"),
            ("requires_capture", "canceled", "canceled"),
            ("requires_capture", "requires_capture", "requires_capture"),
            ("requires_action", "succeeded", "succeeded"),
            ("requires_action", "canceled", "canceled"),
            ("requires_action", "failed", "failed"),
            ("requires_action", "processing", "processing"),
            ("succeeded", "succeeded", "succeeded"),
            ("succeeded", "canceled", "succeeded"),
        ] {
            let name = format!("ch_{before}_{told}");
            let paid = paid(app, gateway, (&name, before)).await;
            let reference = name.clone();
            let answer = match told {
                "succeeded" => Answer::Succeeded { reference, fee: None },
                "canceled" => Answer::Canceled { reference },
                "requires_capture" => Answer::RequiresCapture { reference },
                "processing" => Answer::Processing { reference },
                _ => Answer::Declined {
                    code: DeclineCode::DoNotHonor,
                    reference: Some(reference),
                    retryable_elsewhere: false,
                },
            };
            let standing = standing((&name, format!("{}-1", paid.payment)), answer);
            let service = &app.instance.service;
            if before == "succeeded" {
                // What contradicts what has just changed is asked after once more.
                app.clock.advance(11);
            }
            for _ in 0..2 {
                service.heed_gateway(tenant, account, &standing).await.expect("heeded");
                paid.is(app, after, &format!("{before} {told}")).await;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promise_that_cannot_be_let_go_calls_for_a_person() {
    against(async |app, gateway| {
        let paid = paid(app, gateway, ("ch_1", "requires_capture")).await;
        answers(gateway, ("POST", "/v1/charges/ch_1/cancel"), said(REFUSED)).await;
        let stands = stands("ch_1", "requires_capture");
        answers(gateway, ("GET", "/v1/charges/ch_1"), (200, stands)).await;
        app.clock.advance(7 * 86_400);
        app.until_later("a call for a person", 1, async || {
            read(&app.client, &paid.payment).await["needs_decision"] == true
        })
        .await;
        // It is asked after from then on, and not called off again.
        paid.is_asked_after(app, gateway).await;
        let requests = gateway.received_requests().await.expect("recorded");
        assert_eq!(requests.iter().filter(|it| it.method == "POST").count(), 1);
        let resolve = paid.path("resolve");
        let done = app.client.post(resolve, json!({"outcome": "failed"})).await.expect(200);
        assert_eq!((&done["status"], &done["needs_decision"]), (&json!("canceled"), &json!(false)));
    })
    .await;
}
