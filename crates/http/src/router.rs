//! Every route on one page, with its scope.
//!
//! To add one: a line here, its handler in `routes/`, its shapes in `shapes/`. The scope is asked
//! for, unknown query parameters are refused, answers are measured and the OpenAPI document is
//! written, all from that line.

mod administration;
mod disputes;
mod exchanges;
mod fraud;
mod notifications;
mod payment_setup;
mod payments;
mod payouts;
mod reports;
mod schedules;
mod second_factor;
mod treasury;
mod users;

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::from_fn_with_state,
};
use caudal_domain::access::Scope::{
    ApiKeysRead, ApiKeysWrite, EventsRead, Platform, SessionsWrite, SigningKeysWrite, TenantRead,
    TenantWrite, TransfersRead, TransfersWrite, TreasuryFund, WalletsControl, WalletsRead,
    WalletsWrite,
};
use tower::Layer;

use self::{
    administration::administration_routes,
    exchanges::exchange_routes,
    fraud::fraud_routes,
    notifications::notification_routes,
    payment_setup::{incoming_webhook_routes, payment_setup_routes},
    reports::report_routes,
    schedules::schedule_routes,
    second_factor::second_factor_routes,
    treasury::treasury_routes,
    users::user_routes,
};
use crate::{
    api::Api,
    document::document,
    endpoint::{Access, Routes, delete, get, patch, post},
    frame::{frame, unknown_route, wrong_method},
    routes::{
        api_keys, config, console, events, health, openapi, sessions, signing_keys, tenants,
        transfers, wallets,
    },
    shapes::{
        NoFields,
        api_keys::{ApiKeyPatch, ApiKeyRequest, ApiKeyShape},
        config::ConfigShape,
        roles::PermissionShape,
        sessions::{
            LoginRequest, LoginShape, LogoutRequest, RefreshRequest, SessionShape, TokensShape,
        },
        signing_keys::{RotatedKeyShape, RotationRequest},
        tenants::{TenantPatch, TenantRequest, TenantShape},
        transfers::{
            BatchRequest, BatchShape, CaptureRequest, ReverseRequest, TransferRequest,
            TransferShape,
        },
        wallets::{
            EntryShape, FundRequest, WalletBalanceShape, WalletMoneyRequest, WalletPatch,
            WalletRequest, WalletShape,
        },
    },
};

const OK: StatusCode = StatusCode::OK;
const CREATED: StatusCode = StatusCode::CREATED;
/// What may be refused when money moves.
const MONEY: &[u16] = &[402, 404, 409, 422];

/// What an address serves: the routes of some roles, or what watches over the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// People, their sessions and roles, tenants and API keys.
    Users,
    /// Wallets, transfers, exchange, the event stream.
    Wallets,
    /// Payments with all that is set up for them.
    Payments,
    /// What external gateways send.
    Gateway,
    /// Whether the process runs, and whether it can serve.
    Probes,
    Metrics,
}

impl Part {
    pub const ALL: [Self; 6] =
        [Self::Users, Self::Wallets, Self::Payments, Self::Gateway, Self::Probes, Self::Metrics];

    fn add_to(self, routes: Routes) -> Routes {
        match self {
            Self::Users => {
                let routes = second_factor_routes(token_routes(session_routes(routes)));
                tenant_routes(user_routes(administration_routes(routes)))
            }
            Self::Wallets => {
                let routes = exchange_routes(treasury_routes(event_routes(routes)));
                transfer_routes(wallet_money_routes(wallet_routes(routes)))
            }
            Self::Payments => {
                let routes = payments::payment_routes(fraud_routes(payment_setup_routes(routes)));
                let routes = payouts::payout_routes(disputes::dispute_routes(routes));
                schedule_routes(report_routes(notification_routes(routes)))
            }
            Self::Gateway => incoming_webhook_routes(routes),
            Self::Probes => probe_routes(routes),
            Self::Metrics => metric_routes(routes),
        }
    }
}

/// All routes of an address. What happens to every request lies around the routes, not in each of
/// them: a layer of a route costs every request a few copies.
pub fn router(api: Api, parts: &[Part]) -> Router {
    let routes = parts.iter().fold(Routes::new(api.clone()), |routes, part| part.add_to(routes));
    let mut router = routes.router;
    if parts.iter().any(|part| !matches!(part, Part::Probes | Part::Metrics)) {
        api.catalogue.get_or_init(|| PermissionShape::all(&every_route(&api).endpoints));
        router = console::serve(openapi::serve(router, openapi(&api)));
    }
    let router = router.fallback(unknown_route).method_not_allowed_fallback(wrong_method);
    let frame = from_fn_with_state::<_, _, (State<Api>, Request)>(api.clone(), frame);
    Router::new().fallback_service(frame.layer(router.with_state(api)))
}

/// The OpenAPI document of the whole platform, as JSON.
pub fn openapi(api: &Api) -> String {
    document(&every_route(api).endpoints)
}

fn every_route(api: &Api) -> Routes {
    Part::ALL.into_iter().fold(Routes::new(api.clone()), |routes, part| part.add_to(routes))
}

fn token_routes(routes: Routes) -> Routes {
    routes
        .add(
            get("/.well-known/jwks.json", Access::Open)
                .summary("The public keys that verify access tokens (JWKS)")
                .gives_text("application/json"),
            signing_keys::jwks,
        )
        .add(
            post("/api/v1/signing-keys/rotate", SigningKeysWrite)
                .summary("Sign access tokens with a new key from now on")
                .may_take::<RotationRequest>()
                .gives::<RotatedKeyShape<'_>>(OK)
                .errors(&[409, 422])
                .once(),
            signing_keys::rotate,
        )
}

fn session_routes(routes: Routes) -> Routes {
    routes
        .add(
            post("/api/v1/auth/login", Access::Open)
                .summary("Log in with a password; a second factor may be asked for")
                .takes::<LoginRequest>()
                .gives::<LoginShape<'_>>(OK)
                .errors(&[401]),
            sessions::login,
        )
        .add(
            post("/api/v1/auth/refresh", Access::Open)
                .summary("Get new tokens for a refresh token, which is used up")
                .takes::<RefreshRequest>()
                .gives::<TokensShape<'_>>(OK)
                .errors(&[401]),
            sessions::refresh,
        )
        .add(
            post("/api/v1/auth/logout", Access::Open)
                .summary("End the session of a refresh token, or of the access token")
                .may_take::<LogoutRequest>()
                .gives_nothing(StatusCode::NO_CONTENT)
                .errors(&[401, 403]),
            sessions::logout,
        )
        .add(
            get("/api/v1/users/me/sessions", Access::SignedIn)
                .summary("List one's own sessions, newest first")
                .lists::<SessionShape<'_>>(),
            sessions::list,
        )
        .add(
            delete("/api/v1/users/me/sessions/{id}", Access::SignedIn)
                .summary("End one of one's own sessions")
                .gives_nothing(StatusCode::NO_CONTENT)
                .errors(&[404]),
            sessions::revoke,
        )
        .add(
            delete("/api/v1/users/{id}/sessions", SessionsWrite)
                .summary("End all sessions of a user")
                .gives_nothing(StatusCode::NO_CONTENT)
                .errors(&[404]),
            sessions::revoke_of_user,
        )
}

fn event_routes(routes: Routes) -> Routes {
    let routes = routes.add(
        get("/api/v1/config/{name}", Access::Open)
            .summary("Read what the platform takes and tells: currencies, limits, events")
            .gives::<ConfigShape>(OK)
            .errors(&[404]),
        config::read,
    );
    routes.add(
        get("/api/v1/events", EventsRead)
            .summary("Events as they happen: server-sent, resumable with Last-Event-ID")
            .gives_text("text/event-stream"),
        events::stream,
    )
}

fn probe_routes(routes: Routes) -> Routes {
    routes.add(get("/healthz", Access::Open).summary("Whether the process runs"), health::live).add(
        get("/readyz", Access::Open).summary("Whether requests can be served").errors(&[503]),
        health::ready,
    )
}

fn metric_routes(routes: Routes) -> Routes {
    routes.add(
        get("/metrics", Access::Open).summary("Measures for Prometheus").gives_text("text/plain"),
        health::metrics,
    )
}

fn tenant_routes(routes: Routes) -> Routes {
    routes
        .add(
            post("/api/v1/tenants", Platform)
                .summary("Create a tenant with its owner's key, which is shown once")
                .takes::<TenantRequest>()
                .gives::<TenantShape<'_>>(CREATED)
                .errors(&[409, 422])
                .once(),
            tenants::create,
        )
        .add(
            get("/api/v1/tenants/me", TenantRead)
                .summary("Read the tenant of the key used")
                .gives::<TenantShape<'_>>(OK),
            tenants::read,
        )
        .add(
            patch("/api/v1/tenants/me", TenantWrite)
                .summary("Configure the tenant of the key used")
                .takes::<TenantPatch>()
                .gives::<TenantShape<'_>>(OK)
                .errors(&[409, 412]),
            tenants::update,
        )
        .add(
            post("/api/v1/api-keys", ApiKeysWrite)
                .summary("Create an API key, whose secret is shown once")
                .takes::<ApiKeyRequest>()
                .gives::<ApiKeyShape<'_>>(CREATED)
                .errors(&[409, 422])
                .once(),
            api_keys::create,
        )
        .add(
            get("/api/v1/api-keys", ApiKeysRead)
                .summary("List API keys, newest first")
                .lists::<ApiKeyShape<'_>>()
                .query(&["made_by"]),
            api_keys::list,
        )
        .add(
            get("/api/v1/api-keys/{id}", ApiKeysRead)
                .summary("Read an API key")
                .gives::<ApiKeyShape<'_>>(OK)
                .errors(&[404]),
            api_keys::read,
        )
        .add(
            patch("/api/v1/api-keys/{id}", ApiKeysWrite)
                .summary("Rename an API key")
                .takes::<ApiKeyPatch>()
                .gives::<ApiKeyShape<'_>>(OK)
                .errors(&[404, 409, 412]),
            api_keys::update,
        )
        .add(
            delete("/api/v1/api-keys/{id}", ApiKeysWrite)
                .summary("Revoke an API key; with `descendants`, also those that it made")
                .query(&["descendants"])
                .gives_nothing(StatusCode::NO_CONTENT)
                .errors(&[404]),
            api_keys::revoke,
        )
}

fn wallet_routes(routes: Routes) -> Routes {
    routes
        .add(
            post("/api/v1/wallets", WalletsWrite)
                .summary("Create a wallet")
                .takes::<WalletRequest>()
                .gives::<WalletShape<'_>>(CREATED)
                .errors(&[404, 409, 422])
                .once(),
            wallets::create,
        )
        .add(
            get("/api/v1/wallets", WalletsRead)
                .summary("List wallets, newest first")
                .lists::<WalletShape<'_>>()
                .query(&["user", "status", "currency"])
                .errors(&[404]),
            wallets::list,
        )
        .add(
            get("/api/v1/wallets/{id}", WalletsRead)
                .summary("Read a wallet")
                .gives::<WalletShape<'_>>(OK)
                .errors(&[404]),
            wallets::read,
        )
        .add(
            patch("/api/v1/wallets/{id}", WalletsWrite)
                .summary("Change a wallet's name, metadata and floor")
                .takes::<WalletPatch>()
                .gives::<WalletShape<'_>>(OK)
                .errors(&[404, 409, 412]),
            wallets::update,
        )
        .add(
            get("/api/v1/wallets/{id}/entries", WalletsRead)
                .summary("List what changed a wallet, newest first")
                .lists::<EntryShape>()
                .errors(&[404]),
            wallets::entries,
        )
        .add(
            get("/api/v1/wallets/{id}/balance", WalletsRead)
                .summary("Read a wallet's balance, now or as it was")
                .gives::<WalletBalanceShape>(OK)
                .query(&["at"])
                .errors(&[404]),
            wallets::balance,
        )
}

fn wallet_money_routes(routes: Routes) -> Routes {
    let control = |path, summary| {
        post(path, WalletsControl)
            .summary(summary)
            .takes::<NoFields>()
            .gives::<WalletShape<'static>>(OK)
            .errors(&[404, 409, 422])
            .once()
    };
    routes
        .add(
            post("/api/v1/wallets/{id}/fund", TreasuryFund)
                .summary("Move the tenant's own money into a wallet")
                .takes::<FundRequest>()
                .gives::<TransferShape<'_>>(CREATED)
                .errors(MONEY)
                .once()
                .money(),
            wallets::fund,
        )
        .add(
            post("/api/v1/wallets/{id}/withdraw", TransfersWrite)
                .summary("Move a wallet's money to the world outside")
                .takes::<WalletMoneyRequest>()
                .gives::<TransferShape<'_>>(CREATED)
                .errors(MONEY)
                .once()
                .money(),
            wallets::withdraw,
        )
        .add(
            control("/api/v1/wallets/{id}/freeze", "Stop what would be taken from a wallet"),
            wallets::freeze,
        )
        .add(control("/api/v1/wallets/{id}/unfreeze", "End a freeze"), wallets::unfreeze)
        .add(control("/api/v1/wallets/{id}/close", "Close an empty wallet"), wallets::close)
}

fn transfer_routes(routes: Routes) -> Routes {
    let write = |path| post(path, TransfersWrite).errors(MONEY).once().money();
    routes
        .add(
            write("/api/v1/transfers")
                .summary("Move money between wallets, at once or held")
                .takes::<TransferRequest>()
                .gives::<TransferShape<'_>>(CREATED)
                .query(&["dry_run"]),
            transfers::create,
        )
        .add(
            post("/api/v1/transfers/batch", TransfersWrite)
                .summary("Move money many times in one commit")
                .takes::<BatchRequest>()
                .gives::<BatchShape<'_>>(OK)
                .errors(MONEY)
                .money(),
            transfers::batch,
        )
        .add(
            get("/api/v1/transfers", TransfersRead)
                .summary("List transfers, newest first")
                .lists::<TransferShape<'_>>()
                .query(&["status", "wallet", "reference"])
                .errors(&[404]),
            transfers::list,
        )
        .add(
            get("/api/v1/transfers/{id}", TransfersRead)
                .summary("Read a transfer")
                .gives::<TransferShape<'_>>(OK)
                .errors(&[404]),
            transfers::read,
        )
        .add(
            write("/api/v1/transfers/{id}/capture")
                .summary("Take what is held, wholly or in part")
                .may_take::<CaptureRequest>()
                .gives::<TransferShape<'_>>(OK),
            transfers::capture,
        )
        .add(
            write("/api/v1/transfers/{id}/void")
                .summary("Let go what is held")
                .takes::<NoFields>()
                .gives::<TransferShape<'_>>(OK),
            transfers::void,
        )
        .add(
            write("/api/v1/transfers/{id}/reverse")
                .summary("Give back what was moved, wholly or in part")
                .may_take::<ReverseRequest>()
                .gives::<TransferShape<'_>>(CREATED),
            transfers::reverse,
        )
}
