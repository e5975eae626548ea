//! `/api/v1/users/me/totp`, `/api/v1/users/me/recovery-codes`, `/api/v1/auth/mfa` and
//! `/api/v1/auth/step-up`.
//!
//! None takes an `Idempotency-Key`: an answer with a secret is not kept, and asking again is
//! harmless, for a code counts once and a new proposal or set takes the place of the last.

use crate::{
    answer::{Answer, json},
    api::Api,
    auth::{By, Whence},
    json::Json,
    problem::Problem,
    shapes::{
        second_factor::{
            CodeRequest, MfaRequest, RecoveryCodesShape, RemovalRequest, StepUpRequest,
            SteppedUpShape, TotpRequest, TotpShape,
        },
        sessions::TokensShape,
    },
};
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};

const OK: StatusCode = StatusCode::OK;

pub(crate) async fn propose(
    State(api): State<Api>,
    By(caller): By,
    Json(request): Json<TotpRequest>,
) -> Answer {
    let proposal = api.service.propose_totp(&caller, &request.into_password()).await?;
    json(OK, &TotpShape::from(&proposal))
}

pub(crate) async fn confirm(
    State(api): State<Api>,
    By(caller): By,
    Json(request): Json<CodeRequest>,
) -> Answer {
    let codes = api.service.confirm_totp(&caller, &request.into_code()?).await?;
    json(OK, &RecoveryCodesShape::from(&codes))
}

pub(crate) async fn remove(
    State(api): State<Api>,
    By(caller): By,
    Json(request): Json<RemovalRequest>,
) -> Result<Response, Problem> {
    let (password, code) = request.into_parts()?;
    api.service.remove_totp(&caller, &password, &code).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn replace_codes(State(api): State<Api>, By(caller): By) -> Answer {
    let codes = api.service.replace_recovery_codes(&caller).await?;
    json(OK, &RecoveryCodesShape::from(&codes))
}

pub(crate) async fn answer_challenge(
    State(api): State<Api>,
    Whence(origin): Whence,
    Json(request): Json<MfaRequest>,
) -> Answer {
    let (challenge, code) = request.into_parts()?;
    let tokens = api.service.answer_challenge(&challenge, &code, &origin).await?;
    json(OK, &TokensShape::from(&tokens))
}

pub(crate) async fn step_up(
    State(api): State<Api>,
    By(caller): By,
    Json(request): Json<StepUpRequest>,
) -> Answer {
    let stepped_up = api.service.step_up(&caller, &request.into_proof()?).await?;
    json(OK, &SteppedUpShape::from(&stepped_up))
}
