//! Limits as they meet HTTP: what a route counts as, and the headers that tell what is left.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use caudal_domain::access::Scope;
use caudal_service::limits::{LimitClass, Verdict};
use utoipa::openapi::HttpMethod;

use crate::endpoint::{Access, Endpoint};

/// draft-ietf-httpapi-ratelimit-headers-03, the form that clients know.
const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// What a request of this route counts as: said by its method and scope.
pub(crate) fn class_of(endpoint: &Endpoint) -> LimitClass {
    match (&endpoint.method, endpoint.access) {
        (HttpMethod::Get, _) => LimitClass::View,
        (HttpMethod::Post, Access::Scope(Scope::WalletsWrite)) => LimitClass::CreateWallet,
        (HttpMethod::Post, Access::Scope(Scope::TreasuryFund)) => LimitClass::Fund,
        (
            HttpMethod::Post,
            Access::Scope(Scope::TransfersWrite | Scope::PaymentsWrite | Scope::PayoutsWrite),
        ) => LimitClass::Transfer,
        _ => LimitClass::Other,
    }
}

/// Times are whole seconds, rounded up: whoever waits so long has waited enough.
pub(crate) fn add_headers(headers: &mut HeaderMap, verdict: &Verdict) {
    headers.insert(LIMIT, verdict.limit.into());
    headers.insert(REMAINING, verdict.remaining.into());
    headers.insert(RESET, seconds(verdict.reset_after));
    if !verdict.allowed {
        headers.insert(header::RETRY_AFTER, seconds(verdict.retry_after));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

fn seconds(time: Duration) -> HeaderValue {
    HeaderValue::from(time.as_micros().div_ceil(1_000_000) as u64)
}

#[cfg(test)]
mod tests {
    use caudal_domain::Timestamp;

    use super::*;
    use crate::endpoint::{get, patch, post};

    #[test]
    fn method_and_scope_say_what_a_route_counts_as() {
        let table = [
            (post("/api/v1/wallets", Scope::WalletsWrite), LimitClass::CreateWallet),
            (patch("/api/v1/wallets/{id}", Scope::WalletsWrite), LimitClass::Other),
            (post("/api/v1/wallets/{id}/fund", Scope::TreasuryFund), LimitClass::Fund),
            (post("/api/v1/transfers", Scope::TransfersWrite), LimitClass::Transfer),
            (get("/api/v1/transfers", Scope::TransfersRead), LimitClass::View),
            (get("/api/v1/users/me", Access::SignedIn), LimitClass::View),
        ];
        for (endpoint, class) in table {
            assert_eq!(class_of(&endpoint), class, "{}", endpoint.path);
        }
    }

    #[test]
    fn headers_round_up() {
        let mut headers = HeaderMap::new();
        let verdict = Verdict {
            allowed: false,
            limit: 10,
            remaining: 0,
            reset_after: Duration::from_millis(3_599_001),
            retry_after: Duration::from_micros(1),
            at: Timestamp::default(),
        };
        add_headers(&mut headers, &verdict);
        assert_eq!(headers["ratelimit-reset"], "3600");
        assert_eq!(headers["retry-after"], "1");
        assert_eq!(headers["cache-control"], "no-store");
    }
}
