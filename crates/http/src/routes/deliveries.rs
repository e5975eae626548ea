//! `/api/v1/webhook-endpoints/{id}/deliveries`.

use axum::{extract::State, http::StatusCode};
use caudal_domain::{DeliveryId, WebhookEndpointId};

use super::{BothInPath, InPath};
use crate::{
    answer::{Answer, bytes, done, json},
    api::Api,
    auth::By,
    idempotency::Write,
    json::JsonOrNothing,
    query::{List, Params, Shown, list_body, next_of},
    shapes::{NoFields, deliveries::DeliveryShape},
};

type Ids = BothInPath<WebhookEndpointId, DeliveryId>;

pub(crate) async fn list(
    State(api): State<Api>,
    By(caller): By,
    InPath(endpoint, _): InPath<WebhookEndpointId>,
    params: Params,
) -> Answer {
    let window = params.window(List::Deliveries)?;
    let fields = params.fields(DeliveryShape::FIELDS)?;
    let is_failed = params.word("status", |word| (word == "failed").then_some(true))?;
    let asked = (is_failed.is_some(), &window);
    let page = api.service.list_deliveries(&caller, endpoint, asked).await?;
    let shapes = page.items.iter().map(DeliveryShape::from).collect();
    let body = list_body(shapes, next_of(List::Deliveries, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

pub(crate) async fn read(
    State(api): State<Api>,
    By(caller): By,
    BothInPath(endpoint, id): Ids,
) -> Answer {
    let delivery = api.service.delivery(&caller, (endpoint, id)).await?;
    json(StatusCode::OK, &DeliveryShape::from(&delivery))
}

pub(crate) async fn replay(
    State(api): State<Api>,
    BothInPath(endpoint, id): Ids,
    write: Write,
    JsonOrNothing(request): JsonOrNothing<NoFields>,
) -> Answer {
    let replayed = api.service.replay_delivery(write.asked(&request)?, (endpoint, id)).await?;
    done(StatusCode::OK, &replayed, &DeliveryShape::from(&replayed.value))
}
