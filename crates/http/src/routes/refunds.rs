//! `/api/v1/refunds`, and refunds of a payment.

use axum::{extract::State, http::StatusCode};
use caudal_domain::{Amount, PaymentId, RefundId, payment::RefundStatus};
use caudal_service::refunds::{NewRefund, RefundFilter};

use super::InPath;
use crate::{
    answer::{Answer, bytes, done, json},
    api::Api,
    auth::By,
    idempotency::Write,
    json::{Json, JsonOrNothing},
    query::{List, Params, Shown, list_body, next_of},
    shapes::{
        check_name,
        refunds::{RefundRequest, RefundShape, ResolutionRequest},
    },
};

pub(crate) async fn create(
    State(api): State<Api>,
    InPath(payment, _): InPath<PaymentId>,
    write: Write,
    JsonOrNothing(request): JsonOrNothing<RefundRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    request.reason.iter().try_for_each(|reason| check_name("reason", reason))?;
    let new = NewRefund { amount: request.amount.map(Amount::minor), reason: request.reason };
    let made = api.service.refund(asked, payment, new).await?;
    done(StatusCode::CREATED, &made, &RefundShape::from(&made.value))
}

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let filter = RefundFilter {
        status: params.word("status", RefundStatus::from_name)?,
        payment: params.id("payment", "payment")?,
    };
    let window = params.window(List::Refunds)?;
    let fields = params.fields(RefundShape::FIELDS)?;
    let page = api.service.list_refunds(&caller, &filter, &window).await?;
    let shapes = page.items.iter().map(RefundShape::from).collect();
    let body = list_body(shapes, next_of(List::Refunds, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

pub(crate) async fn read(
    State(api): State<Api>,
    By(caller): By,
    InPath(id, _): InPath<RefundId>,
) -> Answer {
    let refund = api.service.refund_by_id(&caller, id).await?;
    json(StatusCode::OK, &RefundShape::from(&refund))
}

pub(crate) async fn resolve(
    State(api): State<Api>,
    InPath(id, _): InPath<RefundId>,
    write: Write,
    Json(request): Json<ResolutionRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let resolved = api.service.resolve_refund(asked, id, request.found()?).await?;
    done(StatusCode::OK, &resolved, &RefundShape::from(&resolved.value))
}
