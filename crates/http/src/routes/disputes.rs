//! `/api/v1/disputes`.

use axum::{extract::State, http::StatusCode};
use caudal_domain::{DisputeId, payment::DisputeStatus};

use super::InPath;
use crate::{
    answer::{Answer, bytes, done, json},
    api::Api,
    auth::By,
    idempotency::Write,
    json::{Json, JsonOrNothing},
    query::{List, Params, Shown, list_body, next_of},
    shapes::{
        NoFields,
        disputes::{DisputeShape, EvidenceRequest},
    },
};

type Id = InPath<DisputeId>;

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let status = params.word("status", DisputeStatus::from_name)?;
    let window = params.window(List::Disputes)?;
    let fields = params.fields(DisputeShape::FIELDS)?;
    let page = api.service.list_disputes(&caller, status, &window).await?;
    let shapes = page.items.iter().map(DisputeShape::from).collect();
    let body = list_body(shapes, next_of(List::Disputes, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

pub(crate) async fn read(State(api): State<Api>, By(caller): By, InPath(id, _): Id) -> Answer {
    let dispute = api.service.dispute(&caller, id).await?;
    json(StatusCode::OK, &DisputeShape::from(&dispute))
}

pub(crate) async fn answer(
    State(api): State<Api>,
    InPath(id, _): Id,
    write: Write,
    Json(request): Json<EvidenceRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let answered = api.service.answer_dispute(asked, id, request.into_text()?).await?;
    done(StatusCode::OK, &answered, &DisputeShape::from(&answered.value))
}

pub(crate) async fn accept(
    State(api): State<Api>,
    InPath(id, _): Id,
    write: Write,
    JsonOrNothing(body): JsonOrNothing<NoFields>,
) -> Answer {
    let accepted = api.service.accept_dispute(write.asked(&body)?, id).await?;
    done(StatusCode::OK, &accepted, &DisputeShape::from(&accepted.value))
}
