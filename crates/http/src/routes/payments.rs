//! `/api/v1/payments`.

use axum::{Extension, extract::State, http::StatusCode};
use caudal_domain::{PaymentId, payment::PaymentStatus};
use caudal_service::{
    Done, ReceiptOf,
    asked::receipt,
    payments::{Expand, NewPayment, Payment, PaymentFilter, PaymentFollow},
};

use super::InPath;
use crate::{
    answer::{Answer, bytes, done, json},
    api::{Api, RequestId},
    auth::By,
    idempotency::{self, Write, is_key},
    json::{BatchJson, Json, JsonOrNothing},
    problem::{Problem, internal},
    query::{List, Params, Shown, list_body, next_of, one_body},
    shapes::{
        NoFields,
        payments::{
            PaymentBatchRequest, PaymentBatchShape, PaymentCaptureRequest, PaymentItem,
            PaymentRequest, PaymentResultShape, PaymentShape,
        },
        refunds::ResolutionRequest,
        transfers::BATCH_MOST,
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

/// Where a single payment is made: an item of a batch is the same request.
const PATH: &[u8] = b"/api/v1/payments";

pub(crate) async fn batch(
    State(api): State<Api>,
    Extension(request_id): Extension<RequestId>,
    write: Write,
    BatchJson(request): BatchJson<PaymentBatchRequest>,
) -> Answer {
    if !(1..=BATCH_MOST).contains(&request.payments.len()) {
        let detail = format!("has 1 to {BATCH_MOST} items");
        return Err(Problem::invalid("payments", detail));
    }
    let numbered = request.payments.into_iter().enumerate();
    let items: Vec<_> =
        numbered.map(|(index, item)| read_item(&write, index, item)).collect::<Result<_, _>>()?;
    let paid = api.service.pay_batch(&write.caller, items).await?;
    let results: Vec<Result<Payment, Problem>> =
        paid.into_iter().map(|one| one.map(|done| done.value).map_err(Problem::from)).collect();
    let results = results.iter().map(|result| PaymentResultShape {
        status: result.as_ref().map_or_else(|it| it.status, |_| StatusCode::CREATED).as_u16(),
        payment: result.as_ref().ok().map(PaymentShape::from),
        error: result.as_ref().err().map(|problem| problem.shape(&request_id)),
    });
    json(StatusCode::OK, &PaymentBatchShape { results: results.collect() })
}

/// An item as the single payment it stands for.
fn read_item(
    write: &Write,
    index: usize,
    item: PaymentItem,
) -> Result<(NewPayment, ReceiptOf), Problem> {
    let (key, request) = item.split();
    let at = format!("payments[{index}].");
    let key = key.filter(|key| is_key(key)).ok_or_else(|| {
        let param = format!("{at}idempotency_key");
        Problem { param: Some(param), ..idempotency::missing() }
    })?;
    let body = serde_json::to_vec(&request).map_err(|_| internal())?;
    let receipt = receipt(&write.caller, &key, &[b"POST", PATH, &body]);
    Ok((request.into_new(&at)?, receipt))
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

pub(crate) async fn resolve(
    State(api): State<Api>,
    InPath(id, _): Id,
    write: Write,
    Json(request): Json<ResolutionRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let resolved = api.service.resolve_payment(asked, id, request.found()?).await?;
    answer(StatusCode::OK, &resolved)
}
