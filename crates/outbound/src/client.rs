//! The one HTTP client: TLS by rustls, no redirects, time limits, answers of bounded size.
//!
//! Redirects are answers like any other, so that nobody can send us where no setting points. The
//! environment's proxy settings are not heeded, for the same reason.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{Method, StatusCode, Url, redirect::Policy};

use crate::guard::Fault;

#[derive(Clone, Copy, Debug)]
pub struct ClientOptions {
    pub connect_limit: Duration,
    /// For one request, from connecting to the answer's last byte.
    pub limit: Duration,
    /// The largest answer that is read.
    pub body_bytes: usize,
}

impl Default for ClientOptions {
    /// 3 s as for any guarded call; 2 MiB is far above the answers asked for (HIBP about 40 KB).
    fn default() -> Self {
        let limit = Duration::from_secs(3);
        Self { connect_limit: limit, limit, body_bytes: 2 << 20 }
    }
}

/// Shares its connections among its clones.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    body_bytes: usize,
}

/// A request; headers are pairs of name and value.
#[derive(Clone)]
pub struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl Request {
    pub fn get(url: Url) -> Self {
        Self { method: Method::GET, url, headers: Vec::new(), body: Bytes::new() }
    }

    /// A POST of `body`, which is of the type `content_type`.
    pub fn post(url: Url, content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type", content_type.to_owned())];
        Self { method: Method::POST, url, headers, body: body.into() }
    }

    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
}

impl Answer {
    /// The body of a success (2xx); anything else is a fault.
    pub fn success(self) -> Result<Bytes, HttpFault> {
        match self.status {
            200..=299 => Ok(self.body),
            status => Err(HttpFault::Status(status)),
        }
    }
}

/// Why there is no usable answer. None of them holds a URL, which may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpFault {
    #[error("no client: {0}")]
    Setup(String),
    #[error("the request cannot be sent: {0}")]
    Malformed(String),
    /// Nothing was sent.
    #[error("no connection: {0}")]
    NotConnected(String),
    /// Lost while the request or its answer was under way: the other side may have heard it.
    #[error("connection lost: {0}")]
    Connection(String),
    #[error("no answer in time")]
    TimedOut,
    #[error("status {0}")]
    Status(u16),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the answer is not what the protocol says: {0}")]
    Nonsense(&'static str),
}

impl Fault for HttpFault {
    fn counts(&self) -> bool {
        match self {
            Self::Setup(_) | Self::Malformed(_) => false,
            Self::Status(status) => *status >= 500 || *status == 429,
            _ => true,
        }
    }

    /// A 429 asks for patience, not for another try.
    fn may_pass(&self) -> bool {
        match self {
            Self::NotConnected(_) | Self::Connection(_) | Self::TimedOut => true,
            Self::Status(status) => *status >= 500,
            _ => false,
        }
    }
}

impl Client {
    pub fn new(options: ClientOptions) -> Result<Self, HttpFault> {
        let http = build(builder(&options))?;
        Ok(Self { http, body_bytes: options.body_bytes })
    }

    /// Sends a request and reads its answer. Meant to be called inside a guard.
    pub async fn send(&self, request: Request) -> Result<Answer, HttpFault> {
        let mut draft = self.http.request(request.method, request.url).body(request.body);
        for (name, value) in request.headers {
            draft = draft.header(name, value);
        }
        let response = draft.send().await.map_err(fault)?;
        let status = response.status();
        let body = self.read(response, status).await?;
        Ok(Answer { status: status.as_u16(), body })
    }

    /// Reads chunk by chunk, for a length can be missing or a lie.
    async fn read(
        &self,
        mut response: reqwest::Response,
        status: StatusCode,
    ) -> Result<Bytes, HttpFault> {
        // A redirect's body serves nobody.
        if status.is_redirection() {
            return Ok(Bytes::new());
        }
        let too_large = || HttpFault::TooLarge(self.body_bytes);
        let told = response.content_length().unwrap_or(0);
        if told > self.body_bytes as u64 {
            return Err(too_large());
        }
        let mut body = BytesMut::with_capacity(usize::try_from(told).unwrap_or(0));
        while let Some(chunk) = response.chunk().await.map_err(fault)? {
            if body.len() + chunk.len() > self.body_bytes {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

/// What every client of this room begins with.
pub(crate) fn builder(options: &ClientOptions) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("caudal/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        // Retries are the guard's, which counts them.
        .retry(reqwest::retry::never())
        .connect_timeout(options.connect_limit)
        .timeout(options.limit)
}

pub(crate) fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, HttpFault> {
    builder.build().map_err(|error| HttpFault::Setup(reason(error)))
}

pub(crate) fn fault(error: reqwest::Error) -> HttpFault {
    match error {
        // A connection that was not made in time is one that was not made.
        error if error.is_connect() => HttpFault::NotConnected(reason(error)),
        error if error.is_timeout() => HttpFault::TimedOut,
        error if error.is_builder() => HttpFault::Malformed(reason(error)),
        error => HttpFault::Connection(reason(error)),
    }
}

/// The innermost cause, which says most, without the URL.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
