//! Webhooks out: signed, in any order and more than once if so set, and again when not taken.
//!
//! By secrets as Stripe does it, or by an Ed25519 key that `/.well-known/jwks.json` publishes.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use caudal_domain::id::Chance;
use caudal_outbound::{Request, Url};
use serde_json::json;
use tokio::sync::{Notify, Semaphore};

use super::{Simulator, WebhookSettings, client::HEADER, shapes::Event};
use crate::webhooks::hmac;

/// Webhooks that wait; a gateway with more drops the newest.
const WAITING_MAX: usize = 200_000;

/// Webhooks under way at once.
const AT_ONCE: usize = 32;

/// Tries of each.
const TRIES: u32 = 6;

struct Waiting {
    account: String,
    body: Bytes,
    tried: u32,
}

pub struct Outbox {
    waiting: Mutex<VecDeque<Waiting>>,
    more: Notify,
    key: Mutex<SigningKey>,
}

struct SigningKey {
    number: u32,
    pair: Option<Ed25519KeyPair>,
}

impl SigningKey {
    fn new(number: u32, chance: &dyn Chance) -> Self {
        let mut seed = [0; 32];
        chance.fill(&mut seed);
        Self { number, pair: Ed25519KeyPair::from_seed_unchecked(&seed).ok() }
    }

    fn kid(&self) -> String {
        format!("sim-{}", self.number)
    }
}

impl Outbox {
    pub fn new(chance: &dyn Chance) -> Self {
        let key = Mutex::new(SigningKey::new(1, chance));
        Self { waiting: Mutex::default(), more: Notify::new(), key }
    }

    pub fn wake(&self) {
        self.more.notify_one();
    }

    pub fn put(&self, events: Vec<(String, Event)>) {
        if events.is_empty() {
            return;
        }
        let ready = events.into_iter().filter_map(|(account, event)| {
            let body = serde_json::to_vec(&event).ok()?.into();
            Some(Waiting { account, body, tried: 0 })
        });
        self.waiting().extend(ready);
        self.waiting().truncate(WAITING_MAX);
        self.wake();
    }

    /// Another key from now on; the old one is no longer published.
    pub fn rotate(&self, chance: &dyn Chance) {
        let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        *key = SigningKey::new(key.number + 1, chance);
    }

    pub fn jwks(&self) -> serde_json::Value {
        let key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let x = key.pair.as_ref().map(|pair| BASE64_URL_SAFE_NO_PAD.encode(pair.public_key()));
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": key.kid(), "x": x}]})
    }

    fn sign_by_key(&self, at_s: i64, body: &[u8]) -> String {
        let key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let message = [at_s.to_string().as_bytes(), b".", body].concat();
        let tag = key.pair.as_ref().map(|pair| STANDARD.encode(pair.sign(&message)));
        format!("t={at_s},kid={},k1={}", key.kid(), tag.unwrap_or_default())
    }

    fn take(&self, settings: WebhookSettings, chance: f64) -> Option<Waiting> {
        let mut waiting = self.waiting();
        if settings.hold || waiting.is_empty() {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index below the length, by a chance below 1"
        )]
        let any = (chance * waiting.len() as f64) as usize;
        let next = if settings.disorder { any.min(waiting.len() - 1) } else { 0 };
        waiting.remove(next)
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends what waits, for ever.
pub async fn run(simulator: Arc<Simulator>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let settings = simulator.settings().webhooks;
        match simulator.outbox.take(settings, simulator.chance()) {
            None => {
                drop(place);
                simulator.outbox.more.notified().await;
            }
            Some(waiting) => {
                let simulator = Arc::clone(&simulator);
                tokio::spawn(async move {
                    simulator.deliver(waiting, settings).await;
                    drop(place);
                });
            }
        }
    }
}

impl Simulator {
    /// Sends one, as often as is set; what is not taken waits for its next try.
    async fn deliver(self: &Arc<Self>, mut waiting: Waiting, settings: WebhookSettings) {
        let mut taken = true;
        for _ in 0..settings.copies.max(1) {
            taken &= self.send(&waiting, settings).await;
        }
        waiting.tried += 1;
        if taken || waiting.tried >= TRIES {
            return;
        }
        let simulator = Arc::clone(self);
        let pause = Duration::from_millis(settings.retry_ms << waiting.tried.min(10));
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            simulator.outbox.waiting().push_back(waiting);
            simulator.outbox.wake();
        });
    }

    async fn send(&self, waiting: &Waiting, settings: WebhookSettings) -> bool {
        let endpoint = self.books().endpoints.get(&waiting.account).cloned();
        let Some(endpoint) = endpoint else { return true };
        let Ok(url) = Url::parse(&endpoint.url) else { return true };
        let at_s = self.world.clock.now().millis().div_euclid(1_000);
        let signature = if settings.by_key {
            self.outbox.sign_by_key(at_s, &waiting.body)
        } else {
            let secrets: Vec<_> = endpoint.secrets.iter().map(String::as_str).collect();
            hmac::sign(&secrets, at_s, &waiting.body)
        };
        let request = Request::post(url, "application/json", waiting.body.clone())
            .with_header(HEADER, signature);
        match self.client.send(request).await {
            Ok(reply) => (200..300).contains(&reply.status),
            Err(fault) => {
                tracing::debug!(%fault, "a webhook of the simulator was not taken");
                false
            }
        }
    }
}
