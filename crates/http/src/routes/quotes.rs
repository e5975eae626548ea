//! `/api/v1/quotes`.

use axum::{extract::State, http::StatusCode};
use caudal_domain::QuoteId;

use super::InPath;
use crate::{
    answer::{Answer, bytes, done, json},
    api::Api,
    auth::By,
    idempotency::Write,
    json::Json,
    query::{List, Params, Shown, list_body, next_of},
    shapes::quotes::{QuoteRequest, QuoteShape},
};

pub(crate) async fn create(
    State(api): State<Api>,
    write: Write,
    Json(request): Json<QuoteRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let made = api.service.create_quote(asked, request.to_new()?).await?;
    let shape = QuoteShape::at(&made.value, made.value.created_at);
    done(StatusCode::CREATED, &made, &shape)
}

pub(crate) async fn read(
    State(api): State<Api>,
    By(caller): By,
    InPath(id, _): InPath<QuoteId>,
) -> Answer {
    let quote = api.service.quote(&caller, id).await?;
    json(StatusCode::OK, &QuoteShape::at(&quote, api.service.now()))
}

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let window = params.window(List::Quotes)?;
    let fields = params.fields(QuoteShape::FIELDS)?;
    let page = api.service.list_quotes(&caller, &window).await?;
    let now = api.service.now();
    let shapes = page.items.iter().map(|quote| QuoteShape::at(quote, now)).collect();
    let body = list_body(shapes, next_of(List::Quotes, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}
