//! This room against servers on this machine: those that fail, the simulator, Stripe's own mock
//! and a stand-in for Stripe that remembers.

#![expect(clippy::unwrap_used, reason = "a server that cannot start fails the test")]

mod failures;
mod signatures;
mod simulator;
mod stripe_mock;
mod stripe_stand_in;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use caudal_domain::{Amount, Clock, Currency, Mode, Timestamp, id::Chance};
use caudal_gateway::{
    Answer, CaptureMode, ChargeRequest, Credentials, Gateway, GatewayAccount, GatewayFault,
    GatewayKind, OpenError, Surroundings, open,
};
use caudal_outbound::{Client, ClientOptions, Url, World};

#[derive(Clone)]
struct TestClock(Arc<AtomicI64>);

impl TestClock {
    fn start() -> Self {
        Self(Arc::new(AtomicI64::new(1_700_000_000_000_000)))
    }

    fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, SeqCst);
    }

    fn world(&self) -> World {
        World { clock: Arc::new(self.clone()), chance: Arc::new(Seeded(AtomicU64::new(7))) }
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(SeqCst))
    }
}

/// The same chance in every run (SplitMix64).
struct Seeded(AtomicU64);

impl Chance for Seeded {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, SeqCst);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Everything at one address, with a limit that tests can wait for.
fn around(url: &str, world: World, limit: Duration) -> Surroundings {
    let url = Url::parse(url).unwrap();
    let client = Client::new(ClientOptions { limit, ..Default::default() }).unwrap();
    let guard = Surroundings::guard();
    Surroundings { client, world, guard, stripe: url.clone(), simulator: Some(url) }
}

const SECOND: Duration = Duration::from_secs(1);

fn account(kind: GatewayKind) -> GatewayAccount {
    let json = r#"{"api_key": "sim_test_1", "secret_key": "sk_test_123",
                   "webhook_secrets": ["new", "old"]}"#;
    GatewayAccount { kind, mode: Mode::Test, credentials: Credentials::new(json.into()) }
}

fn usd(minor: i64) -> (Amount, Currency) {
    (Amount::new(minor).unwrap(), Currency::USD)
}

fn charge(key: &str, minor: i64, payment_method: &str) -> ChargeRequest {
    let (amount, currency) = usd(minor);
    ChargeRequest {
        key: key.into(),
        amount,
        currency,
        payment_method: payment_method.into(),
        capture: CaptureMode::Automatic,
        description: None,
        return_url: Some("https://shop.example/back".into()),
        metadata: vec![("payment".into(), "pay_1".into())],
    }
}

/// An answer in a word or two, so that tables can be read.
fn said(answer: Result<Answer, GatewayFault>) -> String {
    match answer {
        Ok(Answer::Succeeded { .. }) => "succeeded".into(),
        Ok(Answer::RequiresAction { .. }) => "requires_action".into(),
        Ok(Answer::RequiresCapture { .. }) => "requires_capture".into(),
        Ok(Answer::Processing { .. }) => "processing".into(),
        Ok(Answer::Canceled { .. }) => "canceled".into(),
        Ok(Answer::Declined { code, retryable_elsewhere, .. }) => {
            let elsewhere = if retryable_elsewhere { " (elsewhere)" } else { "" };
            format!("declined: {}{elsewhere}", code.name())
        }
        Err(fault) => fault.to_string(),
    }
}

fn reference(answer: Result<Answer, GatewayFault>) -> String {
    answer.unwrap().reference().unwrap().to_owned()
}

fn opened(kind: GatewayKind, around: &Surroundings) -> Arc<dyn Gateway> {
    open(&account(kind), around).unwrap()
}

#[test]
fn accounts_open_in_their_own_mode_only_and_keep_their_secrets() {
    use GatewayKind::{Simulator, Stripe};
    let around = around("http://127.0.0.1:1/", TestClock::start().world(), SECOND);
    let test = r#"{"api_key": "sim_test_1", "secret_key": "sk_test_secret"}"#;
    let live = r#"{"secret_key": "rk_live_secret"}"#;
    let table = [
        (Simulator, Mode::Test, test, None),
        (Simulator, Mode::Live, test, Some(OpenError::SimulatorIsForTests)),
        (Simulator, Mode::Test, live, Some(OpenError::Credentials("not of this kind"))),
        (Stripe, Mode::Test, test, None),
        (Stripe, Mode::Live, live, None),
        (Stripe, Mode::Live, test, Some(OpenError::WrongMode)),
        (Stripe, Mode::Test, live, Some(OpenError::WrongMode)),
        (Stripe, Mode::Test, "secret", Some(OpenError::Credentials("not of this kind"))),
    ];
    for (kind, mode, json, expected) in table {
        let account = GatewayAccount { kind, mode, credentials: Credentials::new(json.into()) };
        assert_eq!(open(&account, &around).err(), expected, "{kind:?} {mode:?} {json}");
        assert!(!format!("{account:?}").contains("secret"));
    }
    let nowhere = Surroundings { simulator: None, ..around };
    assert_eq!(open(&account(Simulator), &nowhere).err(), Some(OpenError::NoSimulator));
}
