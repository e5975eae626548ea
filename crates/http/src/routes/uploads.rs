//! `/api/v1/payments/uploads`.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use caudal_domain::UploadId;
use caudal_service::{Caller, ServiceError, uploads::LineRow};
use futures::{Stream, stream};

use super::InPath;
use crate::{
    answer::{Answer, bytes, done, json},
    api::Api,
    auth::By,
    idempotency::Write,
    lines::File,
    query::{List, Params, Shown, list_body, next_of},
    shapes::uploads::UploadShape,
};

type Id = InPath<UploadId>;

/// Lines of a result read at once.
const LINES_AT_ONCE: i64 = 1000;

pub(crate) async fn create(State(api): State<Api>, write: Write, file: File) -> Answer {
    let asked = write.asked_of(&file.bytes)?;
    let made = api.service.create_upload(asked, file.read()?).await?;
    done(StatusCode::CREATED, &made, &UploadShape::from(&made.value))
}

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let window = params.window(List::Uploads)?;
    let fields = params.fields(UploadShape::FIELDS)?;
    let page = api.service.list_uploads(&caller, &window).await?;
    let shapes = page.items.iter().map(UploadShape::from).collect();
    let body = list_body(shapes, next_of(List::Uploads, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

pub(crate) async fn read(State(api): State<Api>, By(caller): By, InPath(id, _): Id) -> Answer {
    let upload = api.service.upload(&caller, id).await?;
    json(StatusCode::OK, &UploadShape::from(&upload))
}

/// CSV, written as it is read: `line,status,payment_id,detail`.
pub(crate) async fn results(State(api): State<Api>, By(caller): By, InPath(id, _): Id) -> Answer {
    api.service.upload(&caller, id).await?;
    let mut response = Response::new(Body::from_stream(rows(api, caller, id)));
    let csv = HeaderValue::from_static("text/csv; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, csv);
    Ok(response)
}

fn rows(
    api: Api,
    caller: Arc<Caller>,
    upload: UploadId,
) -> impl Stream<Item = Result<Bytes, ServiceError>> {
    stream::try_unfold(Some(0), move |after: Option<i64>| {
        let (api, caller) = (api.clone(), caller.clone());
        async move {
            let Some(after) = after else { return Ok(None) };
            let page = (after, LINES_AT_ONCE);
            let lines = api.service.upload_lines(&caller, upload, page).await?;
            let head = if after == 0 { "line,status,payment_id,detail\r\n" } else { "" };
            let text = lines.iter().fold(head.to_owned(), |text, line| text + &row(line));
            let is_last = (lines.len() as i64) < LINES_AT_ONCE;
            let next = lines.last().map(|line| line.number).filter(|_| !is_last);
            Ok(Some((Bytes::from(text), next)))
        }
    })
}

fn row(line: &LineRow) -> String {
    let payment = line.payment.map(|id| id.to_string()).unwrap_or_default();
    let detail = plain(line.detail.as_deref().unwrap_or_default()).replace('"', "\"\"");
    format!("{},{},{payment},\"{detail}\"\r\n", line.number, line.status.name())
}

/// What the file's own words begin is not to be worked out by a spreadsheet.
fn plain(detail: &str) -> String {
    let is_formula = detail.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if is_formula { format!("'{detail}") } else { detail.to_owned() }
}
