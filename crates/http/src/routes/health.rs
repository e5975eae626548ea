//! Probes and measures.

use std::time::Duration;

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{
    answer::{Answer, json},
    api::Api,
};

/// How long the database may take to say that it is there.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) async fn live() -> Answer {
    json(StatusCode::OK, &json!({"status": "ok"}))
}

pub(crate) async fn ready(State(api): State<Api>) -> Answer {
    let checked = tokio::time::timeout(CHECK_TIMEOUT, api.service.check_database()).await;
    let is_ready = matches!(checked, Ok(Ok(())));
    let (used, most) = api.service.database_connections();
    let (queued, queue_most) = api.service.queued();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = |is_good| if is_good { "ok" } else { "unavailable" };
    let body = json!({
        "status": word(is_ready),
        "database": {"status": word(is_ready), "connections": used, "connections_max": most},
        "queue": {"commands": queued, "commands_max": queue_most},
    });
    json(status, &body)
}

pub(crate) async fn metrics(State(api): State<Api>) -> Response {
    let text = api.metrics.render(&api.service);
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
