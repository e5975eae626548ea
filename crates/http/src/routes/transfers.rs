//! `/api/v1/transfers`.

use axum::{Extension, extract::State, http::StatusCode};
use caudal_domain::{Amount, Refusal, Transfer, TransferId, TransferStatus};
use caudal_service::{
    Done, ReceiptOf,
    asked::receipt,
    transfers::{Batch, BatchOutcome, Follow, NewTransfer, TransferFilter},
};

use super::InPath;
use crate::{
    answer::{Answer, bytes, done, json},
    api::{Api, RequestId},
    auth::By,
    idempotency::{self, Write, is_key},
    json::{BatchJson, Json, JsonOrNothing},
    problem::{Problem, internal},
    query::{List, Params, Shown, list_body, next_of},
    shapes::{
        NoFields,
        transfers::{
            BATCH_MOST, BatchItem, BatchRequest, BatchShape, CaptureRequest, ItemShape,
            ReverseRequest, TransferRequest, TransferShape,
        },
    },
};

type Id = InPath<TransferId>;

/// Where a single transfer is posted: an item of a batch is the same request.
const PATH: &[u8] = b"/api/v1/transfers";

pub(crate) async fn create(
    State(api): State<Api>,
    params: Params,
    write: Write,
    Json(request): Json<TransferRequest>,
) -> Answer {
    if params.flag("dry_run")? {
        let transfer = api.service.dry_run(&write.caller, request.into_new("")?).await?;
        return json(StatusCode::CREATED, &TransferShape::from(&transfer));
    }
    let asked = write.asked(&request)?;
    let posted = api.service.post(asked, request.into_new("")?).await?;
    moved(&api, StatusCode::CREATED, &posted)
}

/// The answer of a movement, which is counted.
pub(crate) fn moved(api: &Api, status: StatusCode, transfer: &Done<Transfer>) -> Answer {
    if !transfer.replayed {
        count(api, &transfer.value);
    }
    done(status, transfer, &TransferShape::from(&transfer.value))
}

pub(super) fn count(api: &Api, transfer: &Transfer) {
    let has_moved = match transfer.status {
        TransferStatus::Posted | TransferStatus::Captured => true,
        // A part was taken, or nothing yet.
        TransferStatus::Held => transfer.amount_captured > 0,
        _ => false,
    };
    if has_moved {
        api.money.moved(transfer.legs.len());
    }
}

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let filter = TransferFilter {
        status: params.word("status", TransferStatus::from_name)?,
        reference: params.get("reference").map(str::to_owned),
        wallet: params.id("wallet", "wallet")?,
    };
    let list = if filter.wallet.is_some() { List::WalletTransfers } else { List::Transfers };
    let window = params.window(list)?;
    let fields = params.fields(TransferShape::FIELDS)?;
    let page = api.service.list_transfers(&caller, &filter, &window).await?;
    let shapes = page.items.iter().map(TransferShape::from).collect();
    let body = list_body(shapes, next_of(list, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

pub(crate) async fn read(State(api): State<Api>, By(caller): By, InPath(id, _): Id) -> Answer {
    let transfer = api.service.transfer(&caller, id).await?;
    json(StatusCode::OK, &TransferShape::from(&transfer))
}

pub(crate) async fn capture(
    State(api): State<Api>,
    InPath(id, _): Id,
    write: Write,
    JsonOrNothing(request): JsonOrNothing<CaptureRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let amount = request.amount.map(Amount::minor);
    let follow = Follow::Capture { amount, last: request.is_final.unwrap_or(true) };
    moved(&api, StatusCode::OK, &api.service.follow(asked, id, follow).await?)
}

pub(crate) async fn void(
    State(api): State<Api>,
    InPath(id, _): Id,
    write: Write,
    JsonOrNothing(request): JsonOrNothing<NoFields>,
) -> Answer {
    let asked = write.asked(&request)?;
    let voided = api.service.follow(asked, id, Follow::Void).await?;
    done(StatusCode::OK, &voided, &TransferShape::from(&voided.value))
}

pub(crate) async fn reverse(
    State(api): State<Api>,
    InPath(id, _): Id,
    write: Write,
    JsonOrNothing(request): JsonOrNothing<ReverseRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let follow = request.into_follow()?;
    moved(&api, StatusCode::CREATED, &api.service.follow(asked, id, follow).await?)
}

pub(crate) async fn batch(
    State(api): State<Api>,
    Extension(request_id): Extension<RequestId>,
    write: Write,
    BatchJson(request): BatchJson<BatchRequest>,
) -> Answer {
    if !(1..=BATCH_MOST).contains(&request.transfers.len()) {
        let detail = format!("has 1 to {BATCH_MOST} items");
        return Err(Problem::invalid("transfers", detail));
    }
    let receipt = write.receipt(&request)?;
    let BatchRequest { transfers, atomic } = request;
    let numbered = transfers.into_iter().enumerate();
    let items: Vec<_> =
        numbered.map(|(index, item)| read_item(&write, index, item)).collect::<Result<_, _>>()?;
    if let Some(outer) = receipt
        && items.iter().any(|(_, item)| item.key == outer.key)
    {
        let detail = "an item has the key of the whole batch; each needs its own";
        return Err(Problem::invalid(idempotency::HEADER, detail));
    }
    let batch = Batch { items, atomic, receipt };
    let outcome = api.service.batch(&write.caller, batch).await?;
    match &outcome.value {
        BatchOutcome::RefusedAt(index, refusal) => {
            let is_replay = outcome.replayed;
            Err(Problem { index: Some(*index), is_replay, ..refusal.clone().into() })
        }
        BatchOutcome::Items(items) => {
            if !outcome.replayed {
                items.iter().flatten().for_each(|transfer| count(&api, transfer));
            }
            done_batch(&outcome, items, &request_id)
        }
    }
}

/// An item as the single transfer it stands for.
fn read_item(
    write: &Write,
    index: usize,
    item: BatchItem,
) -> Result<(NewTransfer, ReceiptOf), Problem> {
    let (key, request) = item.split();
    let at = format!("transfers[{index}].");
    let key = key.filter(|key| is_key(key)).ok_or_else(|| {
        let param = format!("{at}idempotency_key");
        Problem { param: Some(param), ..idempotency::missing() }
    })?;
    let body = serde_json::to_vec(&request).map_err(|_| internal())?;
    let receipt = receipt(&write.caller, &key, &[b"POST", PATH, &body]);
    Ok((request.into_new(&at)?, receipt))
}

fn done_batch(
    outcome: &Done<BatchOutcome>,
    items: &[Result<Transfer, Refusal>],
    request_id: &RequestId,
) -> Answer {
    let problems: Vec<Option<Problem>> = items
        .iter()
        .map(|item| item.as_ref().err().map(|refusal| refusal.clone().into()))
        .collect();
    let results = items.iter().zip(&problems).map(|(item, problem)| ItemShape {
        status: problem.as_ref().map_or(StatusCode::CREATED, |p| p.status).as_u16(),
        transfer: item.as_ref().ok().map(TransferShape::from),
        error: problem.as_ref().map(|problem| problem.shape(request_id)),
    });
    done(StatusCode::OK, outcome, &BatchShape { results: results.collect() })
}
