//! What happens to every request: an id, a place among those answered at once, a time limit, a net
//! under panics, and problems written out.

use std::panic::AssertUnwindSafe;

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use tokio::time::timeout;

use crate::{
    api::{Api, RequestId, X_REQUEST_ID},
    problem::{Problem, internal},
    remainder::watch,
};

const NOSNIFF: HeaderName = header::X_CONTENT_TYPE_OPTIONS;

pub(crate) async fn frame(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let id = api.request_id(request.headers());
    request.extensions_mut().insert(id.clone());
    api.settings.trusted_proxies.resolve(&mut request);
    let (parts, body) = request.into_parts();
    let (body, remainder) = watch(body, parts.headers.contains_key(header::EXPECT));
    let request = Request::from_parts(parts, body);
    let mut response = match api.requests.try_acquire() {
        Ok(_place) => answer(&api, &id, next.run(request)).await,
        Err(_) => {
            let detail = "too many requests are being answered";
            drop(request);
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).into_response()
        }
    };
    let problem = response.extensions_mut().remove::<Problem>();
    let goes_on = match (&problem, remainder) {
        (Some(problem), _) if problem.is_last => false,
        (_, Some(remainder)) => remainder.drain(api.settings.body_timeout).await,
        (_, None) => true,
    };
    if let Some(problem) = problem {
        problem.write(&id, &mut response);
    }
    let headers = response.headers_mut();
    if !goes_on {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    headers.insert(X_REQUEST_ID, id.0);
    headers.insert(NOSNIFF, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn answer(api: &Api, id: &RequestId, answer: impl Future<Output = Response>) -> Response {
    let answer = AssertUnwindSafe(answer).catch_unwind();
    match timeout(api.settings.request_timeout, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!(request_id = id.text(), "BUG: a request panicked");
            internal().into_response()
        }
        Err(_) => {
            let detail = "the request took too long; whether it was done the same key will tell";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).into_response()
        }
    }
}

/// No route has this path.
pub(crate) async fn unknown_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "There is nothing at this path.")
}

/// The path is there, the method is not.
pub(crate) async fn wrong_method() -> Problem {
    let detail = "This path does not know this method; see the Allow header.";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}
