//! Webhooks as they come in: the simulator's own, and published keys that come and go.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize, PublicKeyComponents},
    signature::{KeyPair, RSA_PKCS1_SHA256},
};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::HeaderMap,
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use caudal_domain::Clock;
use caudal_gateway::{
    Delivery, EventKind, Gateway, GatewayKind, WebhookError, WebhookEvent,
    simulator::{Settings, Simulator, WebhookSettings},
    webhooks::keys::KeyScheme,
};
use caudal_outbound::{Client, ClientOptions, Method, Request, Url};
use tokio::{net::TcpListener, sync::mpsc};

use crate::{SECOND, TestClock, around, charge, opened};

type Came = (Vec<(String, String)>, Bytes);

async fn serve(pages: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, pages).await.unwrap() });
    url
}

/// A shop's endpoint that refuses its first webhook, to be sent it again.
async fn receiver() -> (String, mpsc::UnboundedReceiver<Came>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let first = Arc::new(AtomicUsize::new(0));
    let take = move |State(sender): State<mpsc::UnboundedSender<Came>>,
                     headers: HeaderMap,
                     body: Bytes| async move {
        if first.fetch_add(1, SeqCst) == 0 {
            return axum::http::StatusCode::SERVICE_UNAVAILABLE;
        }
        let pair = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
            (name.to_string(), value.to_str().unwrap_or("").to_owned())
        };
        sender.send((headers.iter().map(pair).collect(), body)).unwrap();
        axum::http::StatusCode::OK
    };
    let url = serve(Router::new().route("/", post(take)).with_state(sender)).await;
    (url, receiver)
}

async fn verify(
    gateway: &dyn Gateway,
    clock: &TestClock,
    (headers, body): &Came,
) -> Result<WebhookEvent, WebhookError> {
    gateway.verify_webhook(&Delivery { headers, body }, clock.now()).await
}

#[tokio::test]
async fn the_simulator_signs_and_sends_again_and_more_than_once_and_in_any_order() {
    let clock = TestClock::start();
    let hold = WebhookSettings { hold: true, retry_ms: 1, ..Default::default() };
    let settings = Settings { webhooks: hold, ..Settings::default() };
    let at = "127.0.0.1:0".parse().unwrap();
    let running = Simulator::start(at, settings, clock.world()).await.unwrap();
    let around = around(running.url.as_str(), clock.world(), SECOND);
    let gateway = opened(GatewayKind::Simulator, &around);
    let (url, mut came) = receiver().await;
    let put = format!(r#"{{"url": "{url}", "secrets": ["foreign", "old"]}}"#);
    let mut point = Request::post(running.url.join("v1/webhook").unwrap(), "application/json", put)
        .with_header("authorization", "Bearer sim_test_1");
    point.method = Method::PUT;
    assert_eq!(around.client.send(point).await.unwrap().status, 204);

    for n in 0..20 {
        gateway.charge(&charge(&format!("k{n}"), 1_000, "pm_card_visa")).await.unwrap();
    }
    let webhooks = WebhookSettings { hold: false, copies: 2, disorder: true, ..hold };
    running.simulator.set(Settings { webhooks, ..settings });
    let mut events = Vec::new();
    // The refused one comes twice again beside its first copy.
    for _ in 0..41 {
        let one = came.recv().await.unwrap();
        let event = verify(&*gateway, &clock, &one).await.unwrap();
        assert_eq!(event.kind, EventKind::ChargeSucceeded);
        let fetched = gateway.fetch(&event).await.unwrap();
        assert!(fetched.is_some(), "{event:?}");
        events.push(event.id);
    }
    let once: std::collections::BTreeSet<_> = events.iter().collect();
    assert_eq!(once.len(), 20);
    assert!(!events.is_sorted(), "in order: {events:?}");

    // By its key, which the gateway fetches; a new key is fetched anew.
    let by_key = WebhookSettings { by_key: true, ..Default::default() };
    running.simulator.set(Settings { webhooks: by_key, ..settings });
    for turn in 0..2 {
        gateway.charge(&charge(&format!("q{turn}"), 1_000, "pm_card_visa")).await.unwrap();
        let (headers, body) = came.recv().await.unwrap();
        let event = verify(&*gateway, &clock, &(headers.clone(), body.clone())).await.unwrap();
        assert_eq!(event.kind, EventKind::ChargeSucceeded);
        let other = Bytes::from([&body[..], b" "].concat());
        let changed = verify(&*gateway, &clock, &(headers, other)).await;
        assert_eq!(changed, Err(WebhookError::BadSignature));
        let rotate = Request::post(running.url.join("keys/rotate").unwrap(), "text/plain", "");
        around.client.send(rotate).await.unwrap();
        clock.advance(30);
    }
}

struct Published {
    jwks: Mutex<String>,
    asked: AtomicUsize,
}

struct Rsa(RsaKeyPair);

impl Rsa {
    fn new(size: KeySize) -> Self {
        Self(RsaKeyPair::generate(size).unwrap())
    }

    fn jwk(&self, kid: &str) -> String {
        let public: PublicKeyComponents<Vec<u8>> = self.0.public_key().into();
        let [n, e] = [&public.n, &public.e].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        format!(r#"{{"kty":"RSA","kid":"{kid}","n":"{n}","e":"{e}"}}"#)
    }

    fn sign(&self, kid: &str, at_s: i64, body: &str) -> String {
        let message = format!("{at_s}.{body}");
        let mut tag = vec![0; self.0.public_modulus_len()];
        let random = SystemRandom::new();
        self.0.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut tag).unwrap();
        format!("t={at_s},kid={kid},k1={}", STANDARD.encode(tag))
    }
}

async fn publish(jwks: String) -> (Arc<Published>, Url) {
    let published = Arc::new(Published { jwks: Mutex::new(jwks), asked: AtomicUsize::new(0) });
    let page = |State(published): State<Arc<Published>>| async move {
        published.asked.fetch_add(1, SeqCst);
        published.jwks.lock().unwrap().clone()
    };
    let url = serve(Router::new().route("/", get(page)).with_state(Arc::clone(&published))).await;
    (published, url.parse().unwrap())
}

async fn check(scheme: &KeyScheme, clock: &TestClock, header: &str) -> Result<(), WebhookError> {
    let headers = [("sig".to_owned(), header.to_owned())];
    scheme.verify(&Delivery { headers: &headers, body: b"body" }, clock.now()).await
}

#[tokio::test]
async fn published_keys_are_kept_and_asked_for_again_at_a_bounded_rate() {
    let (clock, first, second) =
        (TestClock::start(), Rsa::new(KeySize::Rsa2048), Rsa::new(KeySize::Rsa2048));
    let oct = r#"{"kty":"oct","kid":"oct","k":"AAAA"}"#;
    let set = |keys: &[&str]| format!(r#"{{"keys":[{}]}}"#, keys.join(","));
    let (published, url) = publish(set(&[&first.jwk("one"), oct])).await;
    let client = Client::new(ClientOptions::default()).unwrap();
    let scheme = KeyScheme::new("sig", url, &client, &clock.world());
    let now_s = || clock.now().millis() / 1_000;
    let asked = || published.asked.load(SeqCst);

    let good = first.sign("one", now_s(), "body");
    let table = [
        ("good", good.clone(), Ok(())),
        ("five minutes old", first.sign("one", now_s() - 300, "body"), Ok(())),
        ("older", first.sign("one", now_s() - 301, "body"), Err(WebhookError::TooOld)),
        ("of another body", first.sign("one", now_s(), "bodies"), Err(WebhookError::BadSignature)),
        ("by another key", second.sign("one", now_s(), "body"), Err(WebhookError::BadSignature)),
        ("no key named", good.replace("kid=one,", ""), Err(WebhookError::Malformed)),
        ("no signature", format!("t={},kid=one", now_s()), Err(WebhookError::Malformed)),
        ("not base64", format!("t={},kid=one,k1=!", now_s()), Err(WebhookError::Malformed)),
        ("a secret key", first.sign("oct", now_s(), "body"), Err(WebhookError::UnknownKey)),
    ];
    for (what, header, expected) in table {
        assert_eq!(check(&scheme, &clock, &header).await, expected, "{what}");
    }
    // The last one asked again at once, for no question had been put since the first: too early.
    assert_eq!(asked(), 1);

    *published.jwks.lock().unwrap() = set(&[&second.jwk("two")]);
    clock.advance(30);
    assert_eq!(check(&scheme, &clock, &second.sign("two", now_s(), "body")).await, Ok(()));
    assert_eq!(asked(), 2);
    for _ in 0..5 {
        let forged = first.sign("made up", now_s(), "body");
        assert_eq!(check(&scheme, &clock, &forged).await, Err(WebhookError::UnknownKey));
    }
    assert_eq!(asked(), 2);
    // Withdrawn keys are believed no longer.
    let withdrawn = first.sign("one", now_s(), "body");
    assert_eq!(check(&scheme, &clock, &withdrawn).await, Err(WebhookError::UnknownKey));
}
