//! How Stripe behaves, by a stand-in that remembers: intents and their states, idempotency keys,
//! search by metadata, lists in pages, declines with 402.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query as Pairs, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use caudal_domain::{Clock, Currency};
use caudal_gateway::{
    Answer, CancelRequest, CaptureMode, CaptureRequest, ChargeRequest, ConcedeRequest, Delivery,
    Fee, Gateway, GatewayKind, Object, Query, RefundRequest, Standing, webhooks::hmac::sign,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{SECOND, TestClock, around, charge, opened, reference, said, usd};

#[derive(Default)]
struct Books {
    intents: Vec<Value>,
    refunds: Vec<Value>,
    disputes: Vec<Value>,
    answers: HashMap<String, (StatusCode, Value)>,
    /// Requests that were acted on.
    acted: usize,
    /// The next change is made, and its answer is a 500 that is not kept.
    lose_next: bool,
}

type Stripe = State<Arc<Mutex<Books>>>;
type Form = HashMap<String, String>;

async fn start() -> (Arc<Mutex<Books>>, Arc<dyn Gateway>, TestClock) {
    let books = Arc::new(Mutex::new(Books::default()));
    let pages = Router::new()
        .route("/v1/payment_intents", post(create))
        .route("/v1/payment_intents/search", get(search))
        .route("/v1/payment_intents/{id}", get(show))
        .route("/v1/payment_intents/{id}/{act}", post(change))
        .route("/v1/refunds", get(refunds).post(refund))
        .route("/v1/disputes/{id}/close", post(close))
        .with_state(Arc::clone(&books));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, pages).await.unwrap() });
    let clock = TestClock::start();
    let gateway = opened(GatewayKind::Stripe, &around(&url, clock.world(), SECOND));
    (books, gateway, clock)
}

fn form(body: &Bytes) -> Form {
    form_urlencoded::parse(body).into_owned().collect()
}

/// Acts once under a key, as Stripe does.
fn once(
    books: &Stripe,
    headers: &HeaderMap,
    act: impl FnOnce(&mut Books) -> (StatusCode, Value),
) -> Response {
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(text("authorization"), "Bearer sk_test_123");
    assert_eq!(text("stripe-version"), caudal_gateway::stripe::VERSION);
    assert_eq!(text("content-type"), "application/x-www-form-urlencoded");
    let mut books = books.lock().unwrap();
    let key = text("idempotency-key");
    if let Some((status, body)) = books.answers.get(&key) {
        return (*status, Json(body.clone())).into_response();
    }
    books.acted += 1;
    let (status, body) = act(&mut books);
    books.answers.insert(key, (status, body.clone()));
    if std::mem::take(&mut books.lose_next) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    (status, Json(body)).into_response()
}

fn intent(id: &str, form: &Form, status: &str) -> Value {
    let amount: i64 = form["amount"].parse().unwrap();
    let received = if status == "succeeded" { amount } else { 0 };
    json!({
        "id": id, "object": "payment_intent", "status": status, "amount": amount,
        "amount_received": received, "currency": form["currency"], "livemode": false,
        "metadata": {"caudal_key": form["metadata[caudal_key]"]},
        "next_action": (status == "requires_action").then(|| json!({
            "type": "redirect_to_url",
            "redirect_to_url": {"url": "https://hooks.stripe.com/3ds", "return_url": "x"},
        })),
        "last_payment_error": null,
        "latest_charge": {"id": "ch_1", "amount_refunded": 0, "balance_transaction":
            (status == "succeeded").then(|| json!({"id": "txn_1", "fee": 59, "currency": "usd"}))},
    })
}

async fn create(books: Stripe, headers: HeaderMap, body: Bytes) -> Response {
    let form = form(&body);
    assert_eq!(form["confirm"], "true");
    once(&books, &headers, |books| {
        let id = format!("pi_{}", books.intents.len() + 1);
        let manual = form["capture_method"] == "manual";
        let (status, decline) = match form["payment_method"].as_str() {
            "pm_card_visa" if manual => ("requires_capture", None),
            "pm_card_visa" => ("succeeded", None),
            "pm_card_threeDSecure2Required" => ("requires_action", None),
            other => ("requires_payment_method", Some(other)),
        };
        let made = intent(&id, &form, status);
        books.intents.push(made.clone());
        match decline {
            None => (StatusCode::OK, made),
            Some(code) => (
                StatusCode::PAYMENT_REQUIRED,
                json!({"error": {
                    "type": "card_error", "code": "card_declined", "decline_code": code,
                    "message": "Your card was declined.", "payment_intent": made,
                }}),
            ),
        }
    })
}

async fn show(books: Stripe, Path(id): Path<String>) -> Response {
    match books.lock().unwrap().intents.iter().find(|intent| intent["id"] == id) {
        Some(intent) => Json(intent.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn search(books: Stripe, Pairs(pairs): Pairs<Form>) -> Json<Value> {
    let key = pairs["query"].strip_prefix("metadata['caudal_key']:'").unwrap();
    let key = key.strip_suffix('\'').unwrap().replace("\\'", "'").replace("\\\\", "\\");
    let books = books.lock().unwrap();
    let found = books.intents.iter().filter(|intent| intent["metadata"]["caudal_key"] == key);
    Json(json!({"object": "search_result", "has_more": false, "data": found.collect::<Vec<_>>()}))
}

async fn change(
    books: Stripe,
    headers: HeaderMap,
    Path((id, act)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let form = form(&body);
    once(&books, &headers, |books| {
        let intent = books.intents.iter_mut().find(|intent| intent["id"] == id).unwrap();
        if intent["status"] != "requires_capture" {
            return (
                StatusCode::BAD_REQUEST,
                json!({"error": {
                    "type": "invalid_request_error", "code": "payment_intent_unexpected_state",
                    "message": "no", "payment_intent": intent,
                }}),
            );
        }
        if act == "cancel" {
            intent["status"] = "canceled".into();
        } else {
            intent["status"] = "succeeded".into();
            intent["amount_received"] = form["amount_to_capture"].parse::<i64>().unwrap().into();
        }
        (StatusCode::OK, intent.clone())
    })
}

async fn refund(books: Stripe, headers: HeaderMap, body: Bytes) -> Response {
    let form = form(&body);
    once(&books, &headers, |books| {
        let id = format!("re_{}", books.refunds.len() + 1);
        let made = json!({
            "id": id, "object": "refund", "status": "succeeded", "currency": "usd",
            "amount": form["amount"].parse::<i64>().unwrap(),
            "payment_intent": form["payment_intent"],
            "metadata": {"caudal_key": form["metadata[caudal_key]"]},
        });
        books.refunds.insert(0, made.clone());
        (StatusCode::OK, made)
    })
}

async fn close(books: Stripe, headers: HeaderMap, Path(id): Path<String>, body: Bytes) -> Response {
    assert!(body.is_empty());
    once(&books, &headers, |books| {
        let found = books.disputes.iter_mut().find(|dispute| dispute["id"] == id);
        match found {
            Some(dispute) if dispute["status"] == "needs_response" => {
                dispute["status"] = "lost".into();
                (StatusCode::OK, dispute.clone())
            }
            Some(_) => (
                StatusCode::BAD_REQUEST,
                json!({"error": {"type": "invalid_request_error",
                    "message": "This dispute is already closed"}}),
            ),
            None => (
                StatusCode::NOT_FOUND,
                json!({"error": {"type": "invalid_request_error", "code": "resource_missing",
                    "message": "No such dispute"}}),
            ),
        }
    })
}

/// Newest first, two a page whatever is asked, so that paging is seen.
async fn refunds(books: Stripe, Pairs(pairs): Pairs<Form>) -> Json<Value> {
    let books = books.lock().unwrap();
    let of: Vec<_> =
        books.refunds.iter().filter(|r| r["payment_intent"] == pairs["payment_intent"]).collect();
    let after = pairs.get("starting_after");
    let from = after.map_or(0, |id| of.iter().position(|r| r["id"] == *id).unwrap() + 1);
    let to = (from + 2).min(of.len());
    Json(json!({"object": "list", "has_more": to < of.len(), "data": of[from..to]}))
}

#[tokio::test]
async fn charges_come_to_what_stripe_says() {
    let (_, gateway, _) = start().await;
    let table = [
        ("pm_card_visa", "succeeded"),
        ("pm_card_threeDSecure2Required", "requires_action"),
        ("insufficient_funds", "declined: insufficient_funds"),
        ("do_not_honor", "declined: do_not_honor (elsewhere)"),
        ("a_code_of_next_year", "declined: declined"),
    ];
    for (method, expected) in table {
        assert_eq!(said(gateway.charge(&charge(method, 1_000, method)).await), expected);
    }
    let small = gateway.charge(&charge("small", 49, "pm_card_visa")).await;
    assert_eq!(said(small), "declined: invalid_amount");
    let declined = gateway.charge(&charge("expired_card", 1_000, "expired_card")).await.unwrap();
    assert_eq!(declined.reference(), Some("pi_6"));
    let answer = gateway.charge(&charge("pm_card_visa", 1_000, "pm_card_visa")).await.unwrap();
    let fee = Some(Fee { amount_minor: 59, currency: Currency::USD });
    assert_eq!(answer, Answer::Succeeded { reference: "pi_1".into(), fee });
}

#[tokio::test]
async fn an_answer_that_is_lost_is_had_by_a_second_try_under_the_same_key() {
    let (books, gateway, clock) = start().await;
    books.lock().unwrap().lose_next = true;
    let key = "it's a \\ key";
    let answer = gateway.charge(&charge(key, 1_000, "pm_card_visa")).await;
    assert_eq!(said(answer), "succeeded");
    let made = {
        let books = books.lock().unwrap();
        (books.acted, books.intents.len())
    };
    assert_eq!(made, (1, 1));
    // And by asking, whatever the key is made of.
    let since = clock.now();
    let ask =
        |key: &str| Query::Key { object: Object::Charge, key: key.into(), charge: None, since };
    let Some(Standing::Charge(found)) = gateway.query(&ask(key)).await.unwrap() else { panic!() };
    assert_eq!((found.key.as_deref(), found.captured_minor), (Some(key), 1_000));
    assert_eq!(gateway.query(&ask("another")).await, Ok(None));
}

#[tokio::test]
async fn captures_cancellations_and_refunds() {
    let (_, gateway, clock) = start().await;
    let held = |key: &str| ChargeRequest {
        capture: CaptureMode::Manual,
        ..charge(key, 1_000, "pm_card_visa")
    };
    let one = reference(gateway.charge(&held("a")).await);
    let (amount, currency) = usd(600);
    let capture = CaptureRequest { key: "c".into(), reference: one.clone(), amount, currency };
    assert_eq!(said(gateway.capture(&capture).await), "succeeded");
    let again = CaptureRequest { key: "c2".into(), ..capture };
    assert_eq!(said(gateway.capture(&again).await), "declined: wrong_state");
    let query = Query::Reference { object: Object::Charge, reference: one.clone() };
    let Some(Standing::Charge(found)) = gateway.query(&query).await.unwrap() else { panic!() };
    assert_eq!((found.amount_minor, found.captured_minor), (1_000, 600));
    assert_eq!(found.key.as_deref(), Some("a"));

    let two = reference(gateway.charge(&held("b")).await);
    let cancel = CancelRequest { key: "x".into(), reference: two };
    assert_eq!(said(gateway.cancel(&cancel).await), "canceled");

    for n in 0..5 {
        let (amount, currency) = usd(10 + n);
        let refund = RefundRequest { key: format!("r{n}"), charge: one.clone(), amount, currency };
        assert_eq!(said(gateway.refund(&refund).await), "succeeded");
    }
    // The oldest is on the last page.
    for n in 0..5 {
        let query = Query::Key {
            object: Object::Refund,
            key: format!("r{n}"),
            charge: Some(one.clone()),
            since: clock.now(),
        };
        let Some(Standing::Refund(found)) = gateway.query(&query).await.unwrap() else { panic!() };
        assert_eq!(found.amount_minor, 10 + n);
    }
}

#[tokio::test]
async fn a_dispute_is_given_up_once() {
    let (books, gateway, _) = start().await;
    for (id, status) in [("dp_1", "needs_response"), ("dp_2", "won")] {
        books.lock().unwrap().disputes.push(json!({
            "id": id, "object": "dispute", "status": status, "amount": 1_000, "currency": "usd",
            "payment_intent": "pi_1", "reason": "fraudulent",
        }));
    }
    let concede = async |key: &str, dispute: &str| {
        let concession = ConcedeRequest { key: key.into(), dispute: dispute.into() };
        gateway.concede(&concession).await
    };
    // Its first answer is lost on the way, and had by a second try.
    books.lock().unwrap().lose_next = true;
    let given_up = concede("a", "dp_1").await.unwrap();
    assert_eq!(given_up, concede("a", "dp_1").await.unwrap());
    assert_eq!(books.lock().unwrap().acted, 1);
    let Answer::Declined { reference, .. } = given_up else { panic!("{given_up:?}") };
    assert_eq!(reference.as_deref(), Some("dp_1"));
    // Without a name, nothing was given up.
    for (key, dispute) in [("b", "dp_1"), ("c", "dp_2"), ("d", "dp_3")] {
        let refused = concede(key, dispute).await.unwrap();
        let Answer::Declined { reference, .. } = refused else { panic!("{refused:?}") };
        assert_eq!(reference, None, "{dispute}");
    }
}

#[tokio::test]
async fn a_webhook_is_believed_and_what_it_speaks_of_is_fetched() {
    let (_, gateway, clock) = start().await;
    let id = reference(gateway.charge(&charge("k", 1_000, "pm_card_visa")).await);
    let body = json!({
        "id": "evt_1", "object": "event", "type": "payment_intent.succeeded",
        "created": 1_700_000_000, "livemode": false,
        "data": {"object": {"object": "payment_intent", "id": id, "amount": 999_999}},
    })
    .to_string();
    let now_s = clock.now().millis() / 1_000;
    let header =
        |secret: &str| [("stripe-signature".to_owned(), sign(&[secret], now_s, body.as_bytes()))];
    let forged = header("foreign");
    let delivery = Delivery { headers: &forged, body: body.as_bytes() };
    assert!(gateway.verify_webhook(&delivery, clock.now()).await.is_err());
    let good = header("old");
    let delivery = Delivery { headers: &good, body: body.as_bytes() };
    let event = gateway.verify_webhook(&delivery, clock.now()).await.unwrap();
    // The amount is the one that is fetched, not the one that was told.
    let Some(Standing::Charge(found)) = gateway.fetch(&event).await.unwrap() else { panic!() };
    assert_eq!((found.reference, found.amount_minor), (id, 1_000));
}
