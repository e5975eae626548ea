//! `/api/v1/schedules`.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use caudal_domain::{ScheduleId, schedule::ScheduleStatus};

use super::InPath;
use crate::{
    answer::{Answer, add_headers, bytes, done, json},
    api::Api,
    auth::By,
    idempotency::Write,
    json::Json,
    problem::Problem,
    query::{List, Params, Shown, list_body, next_of},
    shapes::schedules::{ScheduleRequest, ScheduleShape},
};

type Id = InPath<ScheduleId>;

pub(crate) async fn create(
    State(api): State<Api>,
    write: Write,
    Json(request): Json<ScheduleRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let made = api.service.create_schedule(asked, request.into_new()?).await?;
    done(StatusCode::CREATED, &made, &ScheduleShape::from(&made.value))
}

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let status = params.word("status", ScheduleStatus::from_name)?;
    let window = params.window(List::Schedules)?;
    let fields = params.fields(ScheduleShape::FIELDS)?;
    let page = api.service.list_schedules(&caller, status, &window).await?;
    let shapes = page.items.iter().map(ScheduleShape::from).collect();
    let body = list_body(shapes, next_of(List::Schedules, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

pub(crate) async fn read(State(api): State<Api>, By(caller): By, InPath(id, _): Id) -> Answer {
    let schedule = api.service.schedule(&caller, id).await?;
    json(StatusCode::OK, &ScheduleShape::from(&schedule))
}

pub(crate) async fn cancel(
    State(api): State<Api>,
    By(caller): By,
    InPath(id, _): Id,
) -> Result<Response, Problem> {
    let canceled = api.service.cancel_schedule(&caller, id).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    add_headers(response.headers_mut(), false, &canceled.position);
    Ok(response)
}
