//! The simulator's pages. All under `/v1` want `Authorization: Bearer sim_…` and, to change
//! something, `Idempotency-Key`; the rest is for whoever plays with it.
//!
//! | page | does |
//! |---|---|
//! | POST /v1/charges, /v1/charges/{id}/capture, /v1/charges/{id}/cancel | |
//! | POST /v1/refunds, /v1/payouts, /v1/disputes/{id}/evidence, /v1/disputes/{id}/concede | |
//! | GET /v1/{charges, refunds, disputes, payouts}/{id} | |
//! | GET /v1/lookup?key=… | what a key made |
//! | PUT /v1/webhook `{url, secrets}` | where the account's webhooks go |
//! | POST /v1/charges/{id}/dispute `{amount?, currency?}` | the payer's bank takes it back |
//! | POST /v1/disputes/{id}/close `{won}` | and decides |
//! | POST /v1/payouts/{id}/return | the payee's bank, also after it was paid |
//! | POST /v1/refunds/{id}/bounce | the payer's bank, after it succeeded |
//! | GET /3ds/{id}, POST /3ds/{id}/confirm, /3ds/{id}/fail | the payer's browser |
//! | GET, PUT /settings | how it behaves |
//! | GET /books?account=… | what it came to |
//! | GET /settlement.csv?account=…&day=2026-01-31 | every line of a day of UTC; of all without it |
//! | GET /.well-known/jwks.json, POST /keys/rotate | the key of its webhooks |

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{any, get, post},
};
use caudal_domain::{Fingerprint, Timestamp};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::net::TcpListener;

use super::{
    Settings, Simulator,
    books::{Books, No, Said},
    shapes::{
        Endpoint, NewCapture, NewCharge, NewDispute, NewEvidence, NewPayout, NewRefund, Problem,
        ProblemBody, Thing, Verdict,
    },
    tokens::{self, Trouble},
};

type Sim = State<Arc<Simulator>>;

pub async fn serve(listener: TcpListener, simulator: Arc<Simulator>) {
    let pages = Router::new()
        .route("/v1/{*path}", any(v1))
        .route("/3ds/{id}", get(page))
        .route("/3ds/{id}/{verdict}", post(authenticate))
        .route("/settings", get(settings).put(set))
        .route("/books", get(books))
        .route("/settlement.csv", get(settlement))
        .route("/.well-known/jwks.json", get(jwks))
        .route("/keys/rotate", post(rotate))
        .with_state(simulator);
    if let Err(error) = axum::serve(listener, pages).await {
        tracing::error!(%error, "the simulator stopped");
    }
}

/// A request under `/v1`, taken apart.
struct Call<'a> {
    account: &'a str,
    key: &'a str,
    method: Method,
    path: &'a [&'a str],
    query: &'a str,
    body: &'a [u8],
}

async fn v1(State(sim): Sim, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_MAX).await else {
        return said(Err(No::new(413, "invalid_request")));
    };
    let account = match account(&head.headers) {
        Ok(account) => account,
        Err(no) => return said(Err(no)),
    };
    let key = head.headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    let (key, method) = (key.unwrap_or(""), head.method);
    let path: Vec<_> = head.uri.path().split('/').skip(2).collect();
    let query = head.uri.query().unwrap_or("");
    if method == Method::POST && key.is_empty() {
        return said(Err(No::new(400, "invalid_request")));
    }
    sim.take(&Call { account, key, method, path: &path, query, body: &body }).await
}

/// Far above what a charge with all its metadata takes.
const BODY_MAX: usize = 64 << 10;

/// The account is its key. Live ones are turned away at the door.
fn account(headers: &HeaderMap) -> Result<&str, No> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text(header::AUTHORIZATION.as_str()).and_then(|v| v.strip_prefix("Bearer "));
    match bearer {
        _ if text("caudal-mode") == Some("live") => Err(No::new(403, "live_refused")),
        Some(key) if key.starts_with("sim_live") => Err(No::new(403, "live_refused")),
        Some(key) if key.starts_with("sim_") => Ok(key),
        _ => Err(No::new(401, "unauthorized")),
    }
}

impl Simulator {
    /// Answers, after what is set to go wrong before, and with what is set to go wrong after.
    async fn take(self: &Arc<Self>, call: &Call<'_>) -> Response {
        let settings = self.settings();
        let chance = self.chance();
        let again = self.books().knows_key(call.account, call.key);
        let trouble = if again { Trouble::None } else { trouble(call) };
        tokio::time::sleep(Duration::from_millis(settings.latency_ms)).await;
        // One roll for all, so that the chances add up as they are set.
        let (error, silent) = (settings.p_error, settings.p_error + settings.p_timeout);
        if trouble == Trouble::Error || chance < error {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        if trouble == Trouble::Silent || chance < silent {
            return silence(settings).await;
        }
        let answer = self.act(call);
        self.follow_up();
        if let Trouble::Slow(by) = trouble {
            tokio::time::sleep(by).await;
        }
        if chance < silent + settings.p_error_after {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        if chance < silent + settings.p_error_after + settings.p_timeout_after {
            return silence(settings).await;
        }
        said(answer)
    }

    fn act(&self, call: &Call<'_>) -> Said {
        match (call.method.as_str(), call.path) {
            ("POST", _) => {
                let asked = self.asked(call.account, call.key);
                let path = call.path.join("/");
                let fingerprint = Fingerprint::of(&[path.as_bytes(), call.body]);
                self.books().once(asked, fingerprint, |books| self.change(call, books))
            }
            ("GET", ["lookup"]) => {
                let mut pairs = form_urlencoded::parse(call.query.as_bytes());
                let key = pairs.find(|(name, _)| name == "key").unwrap_or_default().1;
                self.books().by_key(call.account, &key)
            }
            ("GET", [_, id]) => self.books().get(call.account, id),
            ("PUT", ["webhook"]) => self.point(call),
            _ => Err(No::new(404, "resource_missing")),
        }
    }

    fn change(&self, call: &Call<'_>, books: &mut Books) -> Said {
        let asked = self.asked(call.account, call.key);
        match call.path {
            ["charges"] => books.charge(asked, &read::<NewCharge>(call)?, &self.url),
            ["charges", id, "capture"] => {
                books.capture(asked, id, read::<NewCapture>(call)?.amount.minor())
            }
            ["charges", id, "cancel"] => books.cancel(asked, id),
            ["charges", id, "dispute"] if call.body.is_empty() => {
                books.dispute(asked, id, NewDispute::default())
            }
            ["charges", id, "dispute"] => books.dispute(asked, id, read(call)?),
            ["refunds", id, "bounce"] => books.bounce_refund(asked, id),
            ["refunds"] => books.refund(asked, &read::<NewRefund>(call)?),
            ["payouts", id, "return"] => books.return_payout(asked, id),
            ["payouts"] => books.payout(asked, &read::<NewPayout>(call)?),
            ["disputes", id, "evidence"] => {
                books.evidence(asked, id, &read::<NewEvidence>(call)?.text)
            }
            ["disputes", id, "concede"] => books.concede(asked, id),
            ["disputes", id, "close"] => books.close(asked, id, read::<Verdict>(call)?.won),
            _ => Err(No::new(404, "resource_missing")),
        }
    }

    /// Answered with 204 by [`said`], as nothing that is kept is made.
    fn point(&self, call: &Call<'_>) -> Said {
        let endpoint = read::<Endpoint>(call)?;
        self.books().endpoints.insert(call.account.to_owned(), endpoint);
        Err(No::new(204, ""))
    }
}

fn trouble(call: &Call<'_>) -> Trouble {
    if call.path != ["charges"] {
        return Trouble::None;
    }
    let method = serde_json::from_slice::<NewCharge>(call.body).ok();
    let token = method.and_then(|charge| tokens::method(&charge.payment_method));
    token.map_or(Trouble::None, |(_, trouble)| trouble)
}

async fn silence(settings: Settings) -> Response {
    tokio::time::sleep(Duration::from_millis(settings.hang_ms)).await;
    StatusCode::GATEWAY_TIMEOUT.into_response()
}

fn read<T: DeserializeOwned>(call: &Call<'_>) -> Result<T, No> {
    serde_json::from_slice(call.body).map_err(|_| No::new(400, "invalid_request"))
}

fn said(said: Said) -> Response {
    let no = match said {
        Ok(thing) => return Json(thing).into_response(),
        Err(no) => no,
    };
    let status = StatusCode::from_u16(no.status).unwrap_or(StatusCode::BAD_REQUEST);
    if status == StatusCode::NO_CONTENT {
        return status.into_response();
    }
    let message = format!("the simulator says {}", no.code);
    let error = ProblemBody { code: no.code.to_owned(), message, reference: no.reference };
    (status, Json(Problem { error })).into_response()
}

/// The page of a bank that asks the payer.
async fn page(State(sim): Sim, Path(id): Path<String>) -> Response {
    let Some(owner) = sim.books().owner(&id) else { return StatusCode::NOT_FOUND.into_response() };
    let Ok(Thing::Charge(charge)) = sim.books().get(&owner, &id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // Nothing in it comes from a payer: an id of ours, an amount, a currency.
    Html(format!(
        "<!doctype html><title>Simulated bank</title><h1>Simulated bank</h1>\
         <p>Do you pay {} {} (minor units)?</p>\
         <form method=post action=/3ds/{id}/confirm><button>Confirm</button></form>\
         <form method=post action=/3ds/{id}/fail><button>Refuse</button></form>",
        charge.amount, charge.currency
    ))
    .into_response()
}

async fn authenticate(State(sim): Sim, Path((id, verdict)): Path<(String, String)>) -> Response {
    let Some(owner) = sim.books().owner(&id) else { return StatusCode::NOT_FOUND.into_response() };
    let answer = sim.books().authenticate(sim.asked(&owner, ""), &id, verdict == "confirm");
    sim.follow_up();
    match answer {
        Ok(Thing::Charge(charge)) => match charge.return_url {
            Some(url) if url.starts_with("http") => Redirect::to(&url).into_response(),
            _ => "You may close this page.".into_response(),
        },
        other => said(other),
    }
}

async fn settings(State(sim): Sim) -> Json<Settings> {
    Json(sim.settings())
}

async fn set(State(sim): Sim, Json(settings): Json<Settings>) -> Json<Settings> {
    sim.set(settings);
    Json(settings)
}

#[derive(Deserialize)]
struct Whose {
    account: String,
}

async fn books(State(sim): Sim, Query(whose): Query<Whose>) -> Response {
    Json(sim.totals(&whose.account)).into_response()
}

#[derive(Deserialize)]
struct OfDay {
    account: String,
    day: Option<String>,
}

async fn settlement(State(sim): Sim, Query(OfDay { account, day }): Query<OfDay>) -> Response {
    let at = day.as_ref().map(|day| Timestamp::parse(&format!("{day}T00:00:00Z")));
    if at == Some(None) {
        return said(Err(No::new(400, "invalid_request")));
    }
    let day = at.flatten().map(Timestamp::days);
    ([(header::CONTENT_TYPE, "text/csv")], sim.settlement(&account, day)).into_response()
}

async fn jwks(State(sim): Sim) -> Json<serde_json::Value> {
    Json(sim.outbox.jwks())
}

async fn rotate(State(sim): Sim) -> StatusCode {
    sim.outbox.rotate(&*sim.world.chance);
    StatusCode::NO_CONTENT
}
