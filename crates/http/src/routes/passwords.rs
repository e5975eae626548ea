//! `/api/v1/users/me/password` and `/api/v1/auth/recover`.

use axum::{extract::State, http::StatusCode};

use crate::{
    answer::{Answer, add_headers, json},
    api::Api,
    auth::Whence,
    idempotency::Write,
    json::Json,
    problem::Problem,
    shapes::{
        NoFields,
        users::{ConfirmRequest, PasswordRequest, RecoverRequest},
    },
};

pub(crate) async fn change(
    State(api): State<Api>,
    write: Write,
    Json(request): Json<PasswordRequest>,
) -> Answer {
    // The passwords go into the fingerprint under a key.
    let asked = write.asked(&NoFields {})?;
    let done = api.service.change_password(asked, request.into()).await?;
    let mut response = axum::response::IntoResponse::into_response(StatusCode::NO_CONTENT);
    add_headers(response.headers_mut(), done.replayed, &done.position);
    Ok(response)
}

pub(crate) async fn recover(
    State(api): State<Api>,
    Whence(origin): Whence,
    Json(request): Json<RecoverRequest>,
) -> Answer {
    api.service.recover(&origin, request.into_recovery()?).await?;
    json(StatusCode::ACCEPTED, &NoFields {})
}

pub(crate) async fn confirm(
    State(api): State<Api>,
    Whence(origin): Whence,
    Json(request): Json<ConfirmRequest>,
) -> Result<StatusCode, Problem> {
    api.service.confirm_recovery(&origin, request.into()).await?;
    Ok(StatusCode::NO_CONTENT)
}
