//! `/api/v1/notifications`: each user's own.

use axum::{extract::State, http::StatusCode};
use caudal_domain::NotificationId;
use caudal_service::notifications::UNREAD_MOST;

use super::InPath;
use crate::{
    answer::{Answer, bytes, json},
    api::Api,
    auth::By,
    json::Json,
    problem::Problem,
    query::{List, Params, Shown, list_body, next_of},
    shapes::notifications::{NotificationPatch, NotificationShape, UnreadShape},
};

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let window = params.window(List::Notifications)?;
    let fields = params.fields(NotificationShape::FIELDS)?;
    let page = api.service.list_notifications(&caller, (params.flag("unread")?, &window)).await?;
    let shapes = page.items.iter().map(NotificationShape::from).collect();
    let body = list_body(shapes, next_of(List::Notifications, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

pub(crate) async fn unread(State(api): State<Api>, By(caller): By) -> Answer {
    let count = api.service.count_unread(&caller).await?;
    let shape = UnreadShape { object: "unread_notifications", count, most: UNREAD_MOST };
    json(StatusCode::OK, &shape)
}

pub(crate) async fn update(
    State(api): State<Api>,
    By(caller): By,
    InPath(id, _): InPath<NotificationId>,
    Json(patch): Json<NotificationPatch>,
) -> Answer {
    patch.check()?;
    let read = api.service.read_notification(&caller, id).await?;
    json(StatusCode::OK, &NotificationShape::from(&read))
}

pub(crate) async fn update_all(
    State(api): State<Api>,
    By(caller): By,
    Json(patch): Json<NotificationPatch>,
) -> Result<StatusCode, Problem> {
    patch.check()?;
    api.service.read_all_notifications(&caller).await?;
    Ok(StatusCode::NO_CONTENT)
}
