//! `/api/v1/payments`.

use axum::{extract::State, http::StatusCode};
use caudal_domain::{PaymentId, payment::PaymentStatus};
use caudal_service::{
    Done,
    payments::{Expand, Payment, PaymentFilter, PaymentFollow},
};

use super::InPath;
use crate::{
    answer::{Answer, bytes, done},
    api::Api,
    auth::By,
    idempotency::Write,
    json::{Json, JsonOrNothing},
    problem::Problem,
    query::{List, Params, Shown, list_body, next_of, one_body},
    shapes::{
        NoFields,
        payments::{PaymentCaptureRequest, PaymentRequest, PaymentShape},
    },
};

type Id = InPath<PaymentId>;

/// What can be expanded, each once.
pub(crate) const EXPAND: &str = "expand[]";
const EXPANDED: [&str; 3] = ["refunds", "attempts", "events"];

pub(crate) async fn create(
    State(api): State<Api>,
    write: Write,
    Json(request): Json<PaymentRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let made = api.service.pay(asked, request.into_new("")?).await?;
    answer(StatusCode::CREATED, &made)
}

fn answer(status: StatusCode, payment: &Done<Payment>) -> Answer {
    done(status, payment, &PaymentShape::from(&payment.value))
}

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let filter = PaymentFilter {
        status: params.word("status", PaymentStatus::from_name)?,
        kind: params.get("type").map(str::to_owned),
        wallet: params.id("wallet", "wallet")?,
        payer: params.id("from", "wallet")?,
        user: params.id("user", "user")?,
        reference: params.get("reference").map(str::to_owned),
    };
    let window = params.window(List::Payments)?;
    let fields = params.fields(PaymentShape::FIELDS)?;
    let page = api.service.list_payments(&caller, filter, &window).await?;
    let shapes = page.items.iter().map(PaymentShape::from).collect();
    let body = list_body(shapes, next_of(List::Payments, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

pub(crate) async fn read(
    State(api): State<Api>,
    By(caller): By,
    InPath(id, _): Id,
    params: Params,
) -> Answer {
    let asked: Vec<&str> = params.all(EXPAND).collect();
    if let Some(unknown) = asked.iter().find(|name| !EXPANDED.contains(name)) {
        let detail = format!("{unknown:?} can't be expanded; {} can", EXPANDED.join(", "));
        return Err(Problem::invalid(EXPAND, detail));
    }
    let fields = params.fields(PaymentShape::FIELDS)?;
    let has = |name: &str| asked.contains(&name);
    let expand = Expand { refunds: has("refunds"), attempts: has("attempts") };
    let expanded = api.service.expanded_payment(&caller, id, expand).await?;
    let shape = PaymentShape::expanded(&expanded, has("events"));
    let fields = fields.map(|mut fields| {
        fields.extend(asked.iter().map(|name| (*name).to_owned()));
        fields
    });
    Ok(bytes(StatusCode::OK, one_body(&shape, fields.as_deref())?))
}

pub(crate) async fn capture(
    State(api): State<Api>,
    InPath(id, _): Id,
    write: Write,
    JsonOrNothing(request): JsonOrNothing<PaymentCaptureRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    answer(StatusCode::OK, &api.service.follow_payment(asked, id, request.follow()).await?)
}

pub(crate) async fn cancel(
    State(api): State<Api>,
    InPath(id, _): Id,
    write: Write,
    JsonOrNothing(request): JsonOrNothing<NoFields>,
) -> Answer {
    let asked = write.asked(&request)?;
    let canceled = api.service.follow_payment(asked, id, PaymentFollow::Cancel).await?;
    answer(StatusCode::OK, &canceled)
}
