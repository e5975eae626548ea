//! `/api/v1/payouts`.

use axum::{extract::State, http::StatusCode};
use caudal_domain::{PayoutId, payment::PayoutStatus};
use caudal_service::payouts::PayoutFilter;

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
        payouts::{PayoutRequest, PayoutShape},
        refunds::ResolutionRequest,
    },
};

type Id = InPath<PayoutId>;

pub(crate) async fn create(
    State(api): State<Api>,
    write: Write,
    Json(request): Json<PayoutRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let made = api.service.create_payout(asked, request.into_new()?).await?;
    done(StatusCode::CREATED, &made, &PayoutShape::from(&made.value))
}

pub(crate) async fn cancel(
    State(api): State<Api>,
    InPath(id, _): Id,
    write: Write,
    JsonOrNothing(body): JsonOrNothing<NoFields>,
) -> Answer {
    let canceled = api.service.cancel_payout(write.asked(&body)?, id).await?;
    done(StatusCode::OK, &canceled, &PayoutShape::from(&canceled.value))
}

pub(crate) async fn resolve(
    State(api): State<Api>,
    InPath(id, _): Id,
    write: Write,
    Json(request): Json<ResolutionRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let resolved = api.service.resolve_payout(asked, id, request.found()?).await?;
    done(StatusCode::OK, &resolved, &PayoutShape::from(&resolved.value))
}

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let filter = PayoutFilter {
        status: params.word("status", PayoutStatus::from_name)?,
        wallet: params.id("wallet", "wallet")?,
    };
    let window = params.window(List::Payouts)?;
    let fields = params.fields(PayoutShape::FIELDS)?;
    let page = api.service.list_payouts(&caller, filter, &window).await?;
    let shapes = page.items.iter().map(PayoutShape::from).collect();
    let body = list_body(shapes, next_of(List::Payouts, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

pub(crate) async fn read(State(api): State<Api>, By(caller): By, InPath(id, _): Id) -> Answer {
    let payout = api.service.payout(&caller, id).await?;
    json(StatusCode::OK, &PayoutShape::from(&payout))
}
