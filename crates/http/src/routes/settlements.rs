//! `/api/v1/gateway-accounts/{id}/settlements`.

use axum::{extract::State, http::StatusCode};
use caudal_domain::GatewayAccountId;

use super::{InPath, transfers::moved};
use crate::{
    answer::Answer, api::Api, idempotency::Write, json::Json,
    shapes::settlements::SettlementRequest,
};

pub(crate) async fn create(
    State(api): State<Api>,
    write: Write,
    InPath(id, _): InPath<GatewayAccountId>,
    Json(request): Json<SettlementRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let made = api.service.book_settlement(asked, (id, request.into_settlement()?)).await?;
    moved(&api, StatusCode::CREATED, &made)
}
