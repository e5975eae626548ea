//! `/api/v1/payment-types`.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use caudal_domain::{PaymentType, PaymentTypeId};
use caudal_service::{Done, Edit};

use super::{Editor, InPath};
use crate::{
    answer::{Answer, add_headers, bytes, done, etag, json},
    api::Api,
    auth::By,
    idempotency::Write,
    json::Json,
    problem::Problem,
    query::{List, Params, Shown, list_body, next_of},
    shapes::payment_types::{PaymentTypePatch, PaymentTypeRequest, PaymentTypeShape},
};

type Id = InPath<PaymentTypeId>;

pub(crate) async fn create(
    State(api): State<Api>,
    write: Write,
    Json(request): Json<PaymentTypeRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let made = api.service.create_payment_type(asked, request.into_new()?).await?;
    answer(StatusCode::CREATED, &made)
}

/// A type with its entity tag.
fn answer(status: StatusCode, kind: &Done<PaymentType>) -> Answer {
    let mut response = done(status, kind, &PaymentTypeShape::from(&kind.value))?;
    response.headers_mut().insert(header::ETAG, etag(&kind.value.version.to_string()));
    Ok(response)
}

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let window = params.window(List::PaymentTypes)?;
    let fields = params.fields(PaymentTypeShape::FIELDS)?;
    let page = api.service.list_payment_types(&caller, &window).await?;
    let shapes = page.items.iter().map(PaymentTypeShape::from).collect();
    let body = list_body(shapes, next_of(List::PaymentTypes, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

pub(crate) async fn read(State(api): State<Api>, By(caller): By, InPath(id, _): Id) -> Answer {
    let kind = api.service.find_payment_type(&caller, id).await?;
    let mut response = json(StatusCode::OK, &PaymentTypeShape::from(&kind))?;
    response.headers_mut().insert(header::ETAG, etag(&kind.version.to_string()));
    Ok(response)
}

pub(crate) async fn update(
    State(api): State<Api>,
    editor: Editor,
    InPath(id, _): Id,
    Json(patch): Json<PaymentTypePatch>,
) -> Answer {
    let is_met = |kind: &PaymentType| editor.has_seen(&kind.version.to_string());
    let is_met = editor.expects().then_some(&is_met as _);
    let edit = Edit { change: patch.into(), is_met };
    let changed = api.service.update_payment_type(&editor.caller, id, edit).await?;
    answer(StatusCode::OK, &changed)
}

pub(crate) async fn delete(
    State(api): State<Api>,
    editor: Editor,
    InPath(id, _): Id,
) -> Result<Response, Problem> {
    let is_met = |kind: &PaymentType| editor.has_seen(&kind.version.to_string());
    let is_met = editor.expects().then_some(&is_met as _);
    let edit = Edit { change: (), is_met };
    let deleted = api.service.delete_payment_type(&editor.caller, id, edit).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    add_headers(response.headers_mut(), false, &deleted.position);
    Ok(response)
}
