//! Keys of trusted OIDC issuers: fetches their JWKS documents and keeps them a while.
//!
//! Only issuers from the settings are asked, never one that a token names. A document is taken as
//! text and only checked to be a JWKS at all, so that an error page never takes a good one's
//! place; `identity` reads the keys.
//!
//! An unknown key id asks for the document again ([`Issuers::newer`]), but no more often than
//! every 30 s, for anybody can send tokens with made-up key ids. One fetch an issuer is under way
//! at a time, in a task of its own, so that a caller who hangs up neither stops nor repeats it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use caudal_domain::Timestamp;
use reqwest::Url;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::{
    client::{Client, HttpFault, Request},
    guard::{Guard, GuardOptions, Refused, World},
};

/// A trusted issuer, from the settings.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// As its tokens say it in `iss`.
    pub name: String,
    /// Where its keys are; else its `/.well-known/openid-configuration` is asked.
    pub jwks_uri: Option<Url>,
}

#[derive(Clone, Copy, Debug)]
pub struct IssuersOptions {
    /// A document is used for so long without asking again.
    pub ttl: Duration,
    /// Past its time, a document is used for so long while its issuer does not answer.
    pub stale: Duration,
    /// Between two fetches for unknown key ids.
    pub refresh_every: Duration,
    /// After a failed fetch.
    pub pause: Duration,
    pub guard: GuardOptions,
}

impl Default for IssuersOptions {
    /// 10 min as all reference data; an hour is a long outage, yet soon enough for a key that its
    /// issuer withdrew.
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(600),
            stale: Duration::from_secs(3600),
            refresh_every: Duration::from_secs(30),
            pause: Duration::from_secs(5),
            guard: GuardOptions::default(),
        }
    }
}

/// A JWKS document, word for word.
#[derive(Debug)]
pub struct Jwks {
    pub json: String,
    pub fetched_at: Timestamp,
}

/// Why there are no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKeys {
    #[error("the issuer is not a trusted one")]
    Untrusted,
    #[error("the issuer's keys cannot be had: {0}")]
    Unavailable(String),
}

pub struct Issuers {
    known: HashMap<String, Arc<Known>>,
}

struct Known {
    issuer: Issuer,
    client: Client,
    guard: Guard,
    world: World,
    options: IssuersOptions,
    /// Locked while a fetch is under way, which the guard bounds.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    jwks: Option<Arc<Jwks>>,
    tried_at: Option<Timestamp>,
    /// Why the last fetch failed, if it did.
    failed: Option<String>,
}

impl Issuers {
    pub fn new(
        issuers: Vec<Issuer>,
        client: &Client,
        options: IssuersOptions,
        world: &World,
    ) -> Self {
        let known = |issuer: Issuer| {
            let name = format!("jwks {}", issuer.name);
            let guard = Guard::new(&name, options.guard, world.clone());
            let (client, world) = (client.clone(), world.clone());
            let state = Mutex::default();
            let name = issuer.name.clone();
            (name, Arc::new(Known { issuer, client, guard, world, options, state }))
        };
        Self { known: issuers.into_iter().map(known).collect() }
    }

    /// The issuer's keys, at most `ttl` old while it answers.
    pub async fn jwks(&self, issuer: &str) -> Result<Arc<Jwks>, NoKeys> {
        self.get(issuer, None).await
    }

    /// Newer keys than `seen`, in which a key was missing; the same ones when it is too early to
    /// ask again.
    pub async fn newer(&self, issuer: &str, seen: &Arc<Jwks>) -> Result<Arc<Jwks>, NoKeys> {
        self.get(issuer, Some(Arc::clone(seen))).await
    }

    async fn get(&self, issuer: &str, seen: Option<Arc<Jwks>>) -> Result<Arc<Jwks>, NoKeys> {
        let known = Arc::clone(self.known.get(issuer).ok_or(NoKeys::Untrusted)?);
        let unavailable = |why: &str| NoKeys::Unavailable(why.to_owned());
        tokio::spawn(known.get(seen)).await.map_err(|_| unavailable("the fetch broke off"))?
    }
}

impl Known {
    async fn get(self: Arc<Self>, seen: Option<Arc<Jwks>>) -> Result<Arc<Jwks>, NoKeys> {
        let mut state = self.state.lock().await;
        let now = self.world.clock.now();
        if self.must_fetch(&state, seen.as_ref(), now) {
            state.tried_at = Some(now);
            match self.fetch().await {
                Ok(json) => {
                    state.failed = None;
                    state.jwks = Some(Arc::new(Jwks { json, fetched_at: now }));
                }
                Err(fault) => {
                    tracing::warn!(issuer = self.issuer.name, %fault, "no keys from the issuer");
                    state.failed = Some(fault.to_string());
                }
            }
        }
        self.usable(&state, now)
    }

    fn must_fetch(&self, state: &State, seen: Option<&Arc<Jwks>>, now: Timestamp) -> bool {
        let since = |pause| state.tried_at.is_none_or(|tried| age(tried, now) >= pause);
        let Some(jwks) = &state.jwks else { return since(self.options.pause) };
        let missing = seen.is_some_and(|seen| Arc::ptr_eq(seen, jwks));
        let pause = if state.failed.is_some() { self.options.pause } else { Duration::ZERO };
        let expired = age(jwks.fetched_at, now) >= self.options.ttl && since(pause);
        expired || (missing && since(self.options.refresh_every))
    }

    fn usable(&self, state: &State, now: Timestamp) -> Result<Arc<Jwks>, NoKeys> {
        let longest = self.options.ttl + self.options.stale;
        match &state.jwks {
            Some(jwks) if age(jwks.fetched_at, now) < longest => Ok(Arc::clone(jwks)),
            _ => Err(NoKeys::Unavailable(state.failed.clone().unwrap_or_default())),
        }
    }

    /// Both requests, if two are needed, within one guarded call.
    async fn fetch(&self) -> Result<String, Refused<HttpFault>> {
        self.guard
            .call_idempotent(|| async {
                let url = match &self.issuer.jwks_uri {
                    Some(url) => url.clone(),
                    None => self.discover().await?,
                };
                let json = self.text(url).await?;
                let is_jwks = serde_json::from_str::<AnyJwks>(&json).is_ok();
                is_jwks.then_some(json).ok_or(HttpFault::Nonsense("not a JWKS document"))
            })
            .await
    }

    async fn discover(&self) -> Result<Url, HttpFault> {
        let base = self.issuer.name.trim_end_matches('/');
        let url = Url::parse(&format!("{base}/.well-known/openid-configuration"))
            .map_err(|error| HttpFault::Malformed(error.to_string()))?;
        // Plain HTTP is for an issuer that the settings name so: development.
        let insecure = url.scheme() == "http";
        let found = serde_json::from_str::<Discovery>(&self.text(url).await?)
            .map_err(|_| HttpFault::Nonsense("not an OpenID configuration"))?;
        if found.issuer != self.issuer.name {
            return Err(HttpFault::Nonsense("the configuration is another issuer's"));
        }
        if found.jwks_uri.scheme() != "https" && !insecure {
            return Err(HttpFault::Nonsense("jwks_uri is not https"));
        }
        Ok(found.jwks_uri)
    }

    async fn text(&self, url: Url) -> Result<String, HttpFault> {
        let headers = vec![("accept", "application/json".to_owned())];
        let body = self.client.send(Request { headers, ..Request::get(url) }).await?.success()?;
        String::from_utf8(body.into()).map_err(|_| HttpFault::Nonsense("not UTF-8"))
    }
}

/// Zero when the clock went back.
fn age(since: Timestamp, now: Timestamp) -> Duration {
    let micros = now.micros().saturating_sub(since.micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    #[serde(deserialize_with = "url")]
    jwks_uri: Url,
}

fn url<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let text = String::deserialize(deserializer)?;
    Url::parse(&text).map_err(serde::de::Error::custom)
}

#[derive(Deserialize)]
struct AnyJwks {
    #[serde(rename = "keys")]
    _keys: Vec<serde::de::IgnoredAny>,
}
