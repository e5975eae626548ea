//! `/api/v1/exchanges`.

use axum::{extract::State, http::StatusCode};

use super::transfers::count;
use crate::{
    answer::{Answer, done},
    api::Api,
    idempotency::Write,
    json::Json,
    shapes::exchanges::{ExchangeRequest, ExchangeShape},
};

pub(crate) async fn create(
    State(api): State<Api>,
    write: Write,
    Json(request): Json<ExchangeRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let made = api.service.exchange(asked, request.into_new()?).await?;
    if !made.replayed {
        made.value.transfers.iter().for_each(|transfer| count(&api, transfer));
    }
    done(StatusCode::CREATED, &made, &ExchangeShape::from(&made.value))
}
