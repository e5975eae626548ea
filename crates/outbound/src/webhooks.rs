//! Sends webhooks to wherever tenants say: the one call whose address comes from outside.
//!
//! Nobody may make us call ourselves or our neighbours. So a name is resolved by [`Public`], which
//! gives public addresses only, and the connection is made to just what it gave: between the check
//! and the connection there is no second look that could find something else. Redirects are not
//! followed, ports are bounded, and of an answer only its status counts.
//!
//! There is no breaker here: one endpoint that is ill must not stop the others, and each has its
//! own pauses between attempts, written in the database.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use metrics::counter;
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use tokio::time::timeout;

use crate::{
    addresses::is_public,
    client::{self, ClientOptions, HttpFault},
};

/// Longer addresses are refused: what all servers and proxies take.
const URL_CHARS: usize = 2048;
/// Below are services of systems, which are no receivers of webhooks.
const PORTS_FROM: u16 = 1024;
const PORTS_BELOW: [u16; 2] = [80, 443];
/// What is read of an answer's body, and for how long, so that the connection can be used again.
const DRAINED_BYTES: usize = 16 << 10;
const DRAINED_WITHIN: Duration = Duration::from_millis(250);
/// Names are looked up within this time.
const LOOK_UP: Duration = Duration::from_secs(3);
const IDLE_CONNECTIONS: usize = 4;
const IDLE: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug)]
pub struct WebhookOptions {
    /// For one attempt, from looking up the name to the answer's head.
    pub limit: Duration,
    /// Whether private addresses may be called: in development only.
    pub allow_private: bool,
}

impl Default for WebhookOptions {
    /// 10 s: Standard Webhooks advises senders to wait 15 to 30 s at most.
    fn default() -> Self {
        Self { limit: Duration::from_secs(10), allow_private: false }
    }
}

/// Why an address is no place for webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    #[error("is not an absolute URL")]
    NotAnUrl,
    #[error("is longer than 2048 characters")]
    TooLong,
    #[error("must begin with https://")]
    NotHttps,
    #[error("must begin with https:// or http://")]
    NotHttp,
    #[error("must not hold a user or a password: they would be sent in the clear in every log")]
    Credentials,
    #[error("must not hold a fragment: it is never sent")]
    Fragment,
    #[error("has a port that is not 80, 443 or 1024 to 65535")]
    Port,
    #[error("leads to an address that is not public")]
    NotPublic,
}

/// Why an attempt has no status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookFault {
    #[error("the address {0}")]
    Target(#[from] BadTarget),
    #[error("{0}")]
    Http(HttpFault),
}

/// Shares its connections among its clones.
#[derive(Clone)]
pub struct Webhooks {
    http: reqwest::Client,
    options: WebhookOptions,
}

/// One attempt; headers are pairs of name and value.
pub struct WebhookRequest {
    pub url: Url,
    pub headers: [(&'static str, String); 3],
    pub body: Bytes,
}

impl Webhooks {
    pub fn new(options: WebhookOptions) -> Result<Self, HttpFault> {
        let WebhookOptions { limit, allow_private } = options;
        let limits = ClientOptions { limit, connect_limit: limit, ..ClientOptions::default() };
        let http = client::builder(&limits)
            .dns_resolver(Public { allow_private })
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_idle_timeout(IDLE);
        Ok(Self { http: client::build(http)?, options })
    }

    /// Reads an address and checks all of it but where its name leads. In the clear only where
    /// `allow_http` says so.
    pub fn target(&self, text: &str, allow_http: bool) -> Result<Url, BadTarget> {
        if text.len() > URL_CHARS {
            return Err(BadTarget::TooLong);
        }
        let url = Url::parse(text).map_err(|_| BadTarget::NotAnUrl)?;
        match (url.scheme(), allow_http) {
            ("https", _) | ("http", true) => {}
            ("http", false) => return Err(BadTarget::NotHttps),
            _ => return Err(if allow_http { BadTarget::NotHttp } else { BadTarget::NotHttps }),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadTarget::Credentials);
        }
        if url.fragment().is_some() {
            return Err(BadTarget::Fragment);
        }
        let port = url.port_or_known_default().ok_or(BadTarget::NotAnUrl)?;
        if port < PORTS_FROM && !PORTS_BELOW.contains(&port) {
            return Err(BadTarget::Port);
        }
        self.check_written(&url)?;
        Ok(url)
    }

    /// Looks where the name leads now. What can't be looked up passes: it may be there later, and
    /// each attempt looks again.
    pub async fn check(&self, url: &Url) -> Result<(), BadTarget> {
        self.check_written(url)?;
        let (Some(host), None) = (url.host_str(), written_address(url)) else { return Ok(()) };
        match look_up(host.to_owned(), self.options.allow_private).await {
            Err(NoAddress::NotPublic) => Err(BadTarget::NotPublic),
            Ok(_) | Err(NoAddress::Unknown) => Ok(()),
        }
    }

    /// Sends it once; gives the answer's status, whatever it is.
    pub async fn send(&self, request: WebhookRequest) -> Result<u16, WebhookFault> {
        let sent = self.attempt(request).await;
        let outcome = match &sent {
            Ok(_) => "ok",
            Err(WebhookFault::Http(HttpFault::TimedOut)) => "timed_out",
            Err(_) => "failed",
        };
        counter!("outbound_calls_total", "call" => "webhook", "outcome" => outcome).increment(1);
        sent
    }

    async fn attempt(&self, request: WebhookRequest) -> Result<u16, WebhookFault> {
        let WebhookRequest { url, headers, body } = request;
        // An address that is written as one is not looked up.
        self.check_written(&url)?;
        let mut draft = self.http.post(url).header("content-type", "application/json").body(body);
        for (name, value) in headers {
            draft = draft.header(name, value);
        }
        let response = draft.send().await.map_err(fault)?;
        let status = response.status().as_u16();
        drain(response).await;
        Ok(status)
    }

    fn check_written(&self, url: &Url) -> Result<(), BadTarget> {
        match written_address(url) {
            Some(address) if !self.options.allow_private && !is_public(address) => {
                Err(BadTarget::NotPublic)
            }
            _ => Ok(()),
        }
    }
}

/// The host, if it is an address and no name. All ways to write one are the same by now, for URLs
/// are normalised as they are read: `0x7f.1` and `2130706433` are 127.0.0.1.
fn written_address(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

/// A body that is long or slow is left where it is, and its connection closed.
async fn drain(mut response: reqwest::Response) {
    let reading = async {
        let mut read = 0;
        while read < DRAINED_BYTES
            && let Ok(Some(chunk)) = response.chunk().await
        {
            read += chunk.len();
        }
    };
    // Whether it came to its end says nothing of the delivery.
    let _ = timeout(DRAINED_WITHIN, reading).await;
}

fn fault(error: reqwest::Error) -> WebhookFault {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(found) = cause {
        if found.downcast_ref::<NoAddress>() == Some(&NoAddress::NotPublic) {
            return BadTarget::NotPublic.into();
        }
        cause = found.source();
    }
    WebhookFault::Http(client::fault(error))
}

/// Why a name leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum NoAddress {
    #[error("the name has no address that can be found")]
    Unknown,
    #[error("the name has no public address")]
    NotPublic,
}

/// Resolves names to public addresses, and nothing else.
struct Public {
    allow_private: bool,
}

impl Resolve for Public {
    fn resolve(&self, name: Name) -> Resolving {
        let (host, allow_private) = (name.as_str().to_owned(), self.allow_private);
        Box::pin(async move {
            let found = look_up(host, allow_private).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Port 0 stands for the scheme's, as reqwest wants it.
async fn look_up(host: String, allow_private: bool) -> Result<Vec<SocketAddr>, NoAddress> {
    let found = timeout(LOOK_UP, tokio::net::lookup_host((host, 0))).await;
    let found = found.map_err(|_| NoAddress::Unknown)?.map_err(|_| NoAddress::Unknown)?;
    public_of(found, allow_private)
}

fn public_of(
    found: impl Iterator<Item = SocketAddr>,
    allow_private: bool,
) -> Result<Vec<SocketAddr>, NoAddress> {
    let (public, others): (Vec<_>, Vec<_>) =
        found.partition(|address| allow_private || is_public(address.ip()));
    match (public.is_empty(), others.is_empty()) {
        (false, _) => Ok(public),
        (true, false) => Err(NoAddress::NotPublic),
        (true, true) => Err(NoAddress::Unknown),
    }
}

#[cfg(test)]
mod tests;
