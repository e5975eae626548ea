//! `/api/v1/gateway-accounts/{id}/webhooks`: what gateways tell. Their signature is over the bytes
//! as they came, so nothing is read of the body before it is checked.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::IntoResponse,
};
use caudal_domain::GatewayAccountId;

use super::InPath;
use crate::{answer::Answer, api::Api, json::Raw};

/// Headers looked at; gateways send about ten.
const HEADERS_MOST: usize = 64;

pub(crate) async fn take(
    State(api): State<Api>,
    InPath(account, _): InPath<GatewayAccountId>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Answer {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    let headers: Vec<_> = headers.iter().filter_map(text).take(HEADERS_MOST).collect();
    api.service.take_webhook(account, &headers, &body).await?;
    Ok(StatusCode::OK.into_response())
}
