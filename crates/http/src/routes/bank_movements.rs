//! `/api/v1/bank-movements`.

use axum::{extract::State, http::StatusCode};

use super::transfers::moved;
use crate::{
    answer::Answer, api::Api, idempotency::Write, json::Json,
    shapes::bank_movements::BankMovementRequest,
};

pub(crate) async fn create(
    State(api): State<Api>,
    write: Write,
    Json(request): Json<BankMovementRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let made = api.service.move_bank_money(asked, request.into_movement()?).await?;
    moved(&api, StatusCode::CREATED, &made)
}
