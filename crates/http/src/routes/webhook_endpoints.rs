//! `/api/v1/webhook-endpoints`.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::Response,
};
use caudal_domain::{WebhookEndpoint, WebhookEndpointId};
use caudal_service::{Done, Edit, webhook_endpoints::CreatedEndpoint};

use super::{Editor, InPath};
use crate::{
    answer::{Answer, bytes, done, etag, json},
    api::Api,
    auth::By,
    idempotency::Write,
    json::{Json, JsonOrNothing},
    problem::Problem,
    query::{List, Params, Shown, list_body, next_of},
    shapes::{
        NoFields,
        deliveries::DeliveryShape,
        webhook_endpoints::{
            WebhookEndpointPatch, WebhookEndpointRequest, WebhookEndpointShape, WebhookRotation,
        },
    },
};

type Id = InPath<WebhookEndpointId>;

pub(crate) async fn create(
    State(api): State<Api>,
    write: Write,
    Json(request): Json<WebhookEndpointRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let made = api.service.create_webhook_endpoint(asked, request.into_new()?).await?;
    with_secret(StatusCode::CREATED, &made)
}

pub(crate) async fn rotate(
    State(api): State<Api>,
    InPath(id, _): Id,
    write: Write,
    JsonOrNothing(request): JsonOrNothing<WebhookRotation>,
) -> Answer {
    let asked = write.asked(&request)?;
    let rotated = api.service.rotate_webhook_endpoint(asked, id, request.overlap_s()?).await?;
    with_secret(StatusCode::OK, &rotated)
}

fn with_secret(status: StatusCode, made: &Done<CreatedEndpoint>) -> Answer {
    let CreatedEndpoint { endpoint, secret } = &made.value;
    let shape = WebhookEndpointShape::with_secret(endpoint, secret.as_ref());
    Ok(tagged(done(status, made, &shape)?, endpoint))
}

fn tagged(mut response: Response, endpoint: &WebhookEndpoint) -> Response {
    response.headers_mut().insert(header::ETAG, etag(&endpoint.version.to_string()));
    response
}

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let window = params.window(List::WebhookEndpoints)?;
    let fields = params.fields(WebhookEndpointShape::FIELDS)?;
    let page = api.service.list_webhook_endpoints(&caller, &window).await?;
    let shapes = page.items.iter().map(WebhookEndpointShape::from).collect();
    let body = list_body(shapes, next_of(List::WebhookEndpoints, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

pub(crate) async fn read(State(api): State<Api>, By(caller): By, InPath(id, _): Id) -> Answer {
    let endpoint = api.service.webhook_endpoint(&caller, id).await?;
    Ok(tagged(json(StatusCode::OK, &WebhookEndpointShape::from(&endpoint))?, &endpoint))
}

pub(crate) async fn update(
    State(api): State<Api>,
    editor: Editor,
    InPath(id, _): Id,
    Json(patch): Json<WebhookEndpointPatch>,
) -> Answer {
    let is_met = |endpoint: &WebhookEndpoint| editor.has_seen(&endpoint.version.to_string());
    let is_met = editor.expects().then_some(&is_met as _);
    let edit = Edit { change: patch.into_change()?, is_met };
    let updated = api.service.update_webhook_endpoint(&editor.caller, id, edit).await?;
    let shape = WebhookEndpointShape::from(&updated.value);
    Ok(tagged(done(StatusCode::OK, &updated, &shape)?, &updated.value))
}

pub(crate) async fn delete(
    State(api): State<Api>,
    By(caller): By,
    InPath(id, _): Id,
) -> Result<StatusCode, Problem> {
    api.service.delete_webhook_endpoint(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn ping(
    State(api): State<Api>,
    InPath(id, _): Id,
    write: Write,
    JsonOrNothing(request): JsonOrNothing<NoFields>,
) -> Answer {
    let pinged = api.service.ping_webhook_endpoint(write.asked(&request)?, id).await?;
    done(StatusCode::CREATED, &pinged, &DeliveryShape::from(&pinged.value))
}
