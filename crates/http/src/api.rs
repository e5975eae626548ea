//! What every handler shares.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use caudal_service::Service;
use tokio::sync::Semaphore;

use crate::{
    metrics::{Metrics, MoneyMetrics},
    proxies::TrustedProxies,
    shapes::roles::PermissionShape,
    streams::Streams,
};

/// Limits of the door. Every wait has one.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Requests answered at once; above it callers are told `overloaded` at once.
    pub requests_most: usize,
    /// Bytes of bodies being read at once, as they were announced; above it: `overloaded`.
    pub body_bytes_most: usize,
    /// Event streams open at once.
    pub streams_most: usize,
    /// A stream ends after so long and is resumed by its reader, who must show its key again.
    pub stream_lifetime: Duration,
    /// From the last header to the last byte of a body.
    pub body_timeout: Duration,
    /// From the first header to the head of the answer.
    pub request_timeout: Duration,
    /// A comment is sent on a silent event stream this often.
    pub ping_every: Duration,
    pub trusted_proxies: TrustedProxies,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            requests_most: 8192,
            body_bytes_most: 256 << 20,
            streams_most: 1000,
            stream_lifetime: Duration::from_secs(15 * 60),
            body_timeout: Duration::from_secs(8),
            request_timeout: Duration::from_secs(30),
            ping_every: Duration::from_secs(15),
            trusted_proxies: TrustedProxies::default(),
        }
    }
}

/// The state of the router. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    inner: Arc<Inner>,
}

/// Behind every [`Api`].
pub struct Inner {
    pub(crate) service: Service,
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
    pub(crate) money: MoneyMetrics,
    pub(crate) requests: Semaphore,
    pub(crate) streams: Arc<Streams>,
    pub(crate) body_bytes: Semaphore,
    /// Every permission: made of the router's lines when the router is.
    pub(crate) catalogue: OnceLock<Vec<PermissionShape>>,
    /// Makes request ids of different processes different.
    seed: u64,
    counter: AtomicU64,
}

impl std::ops::Deref for Api {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_CHARS: usize = 128;

/// Tells one request from all others: in its answer, its problem and the log.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub HeaderValue);

impl RequestId {
    pub fn text(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl Api {
    /// `metrics` is of the process: install it before the engine is started.
    pub fn new(service: Service, settings: Settings, metrics: Metrics) -> Self {
        let mut seed = [0; 8];
        service.fill_random(&mut seed);
        let inner = Inner {
            requests: Semaphore::new(settings.requests_most),
            streams: Streams::new(settings.streams_most),
            body_bytes: Semaphore::new(settings.body_bytes_most),
            catalogue: OnceLock::new(),
            service,
            settings,
            metrics,
            money: MoneyMetrics::new(),
            seed: u64::from_le_bytes(seed),
            counter: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The caller's own, if it is one; else a new one.
    pub(crate) fn request_id(&self, headers: &HeaderMap) -> RequestId {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
        if let Some(given) = headers.get(X_REQUEST_ID) {
            let bytes = given.as_bytes();
            if (1..=REQUEST_ID_CHARS).contains(&bytes.len()) && bytes.iter().all(is_word) {
                return RequestId(given.clone());
            }
        }
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        // An odd factor loses nothing and makes neighbours look different.
        let id = self.seed.wrapping_add(count).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let text = format!("req_{id:016x}");
        RequestId(HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("req")))
    }
}
