//! `/api/v1/payment-types`.

use axum::{extract::State, http::StatusCode};
use caudal_domain::{PaymentType, PaymentTypeId};
use caudal_service::{Done, Edit};

use super::{Editor, InPath};
use crate::{
    answer::{Answer, done, gone, json, tagged},
    api::Api,
    auth::By,
    idempotency::Write,
    json::Json,
    query::{List, Params, Shown, listed},
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
    tagged(done(status, kind, &PaymentTypeShape::from(&kind.value)), kind.value.version)
}

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let window = params.window(List::PaymentTypes)?;
    let fields = params.fields(PaymentTypeShape::FIELDS)?;
    let page = api.service.list_payment_types(&caller, &window).await?;
    listed::<_, PaymentTypeShape<'_>>(List::PaymentTypes, &page, fields.as_deref())
}

pub(crate) async fn read(State(api): State<Api>, By(caller): By, InPath(id, _): Id) -> Answer {
    let kind = api.service.find_payment_type(&caller, id).await?;
    tagged(json(StatusCode::OK, &PaymentTypeShape::from(&kind)), kind.version)
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

pub(crate) async fn delete(State(api): State<Api>, editor: Editor, InPath(id, _): Id) -> Answer {
    let is_met = |kind: &PaymentType| editor.has_seen(&kind.version.to_string());
    let is_met = editor.expects().then_some(&is_met as _);
    let edit = Edit { change: (), is_met };
    let deleted = api.service.delete_payment_type(&editor.caller, id, edit).await?;
    Ok(gone(&deleted))
}
