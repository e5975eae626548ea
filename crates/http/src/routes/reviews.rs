//! `/api/v1/reviews`: payments that wait for a person.

use axum::{extract::State, http::StatusCode};
use caudal_domain::PaymentId;

use super::InPath;
use crate::{
    answer::{Answer, bytes, done},
    api::Api,
    auth::By,
    idempotency::Write,
    json::JsonOrNothing,
    query::{List, Params, Shown, list_body, next_of},
    shapes::{NoFields, payments::PaymentShape, reviews::ReviewShape},
};

type Id = InPath<PaymentId>;

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let window = params.window(List::Reviews)?;
    let fields = params.fields(ReviewShape::FIELDS)?;
    let page = api.service.list_reviews(&caller, &window).await?;
    let shapes: Vec<_> = page.items.iter().map(ReviewShape::from).collect();
    let body = list_body(shapes, next_of(List::Reviews, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

pub(crate) async fn approve(
    State(api): State<Api>,
    InPath(id, _): Id,
    write: Write,
    JsonOrNothing(request): JsonOrNothing<NoFields>,
) -> Answer {
    let asked = write.asked(&request)?;
    let approved = api.service.approve_review(asked, id).await?;
    done(StatusCode::OK, &approved, &PaymentShape::from(&approved.value))
}

pub(crate) async fn reject(
    State(api): State<Api>,
    InPath(id, _): Id,
    write: Write,
    JsonOrNothing(request): JsonOrNothing<NoFields>,
) -> Answer {
    let asked = write.asked(&request)?;
    let rejected = api.service.reject_review(asked, id).await?;
    done(StatusCode::OK, &rejected, &PaymentShape::from(&rejected.value))
}
