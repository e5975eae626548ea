//! `/api/v1/service-accounts`.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use caudal_domain::{ServiceAccount, ServiceAccountId};
use caudal_service::{Done, Edit};

use super::{Editor, InPath};
use crate::{
    answer::{Answer, add_headers, bytes, done, etag, json},
    api::Api,
    auth::By,
    idempotency::Write,
    json::Json,
    problem::Problem,
    query::{List, Params, Shown, list_body, next_of},
    shapes::service_accounts::{ServiceAccountPatch, ServiceAccountRequest, ServiceAccountShape},
};

type Id = InPath<ServiceAccountId>;

pub(crate) async fn create(
    State(api): State<Api>,
    write: Write,
    Json(request): Json<ServiceAccountRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let made = api.service.create_service_account(asked, request.into_name()?).await?;
    answer(StatusCode::CREATED, &made)
}

/// An account with its entity tag.
fn answer(status: StatusCode, account: &Done<ServiceAccount>) -> Answer {
    let mut response = done(status, account, &ServiceAccountShape::from(&account.value))?;
    response.headers_mut().insert(header::ETAG, etag(&account.value.version.to_string()));
    Ok(response)
}

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let window = params.window(List::ServiceAccounts)?;
    let fields = params.fields(ServiceAccountShape::FIELDS)?;
    let page = api.service.list_service_accounts(&caller, &window).await?;
    let shapes = page.items.iter().map(ServiceAccountShape::from).collect();
    let body = list_body(shapes, next_of(List::ServiceAccounts, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

pub(crate) async fn read(State(api): State<Api>, By(caller): By, InPath(id, _): Id) -> Answer {
    let account = api.service.service_account(&caller, id).await?;
    let mut response = json(StatusCode::OK, &ServiceAccountShape::from(&account))?;
    response.headers_mut().insert(header::ETAG, etag(&account.version.to_string()));
    Ok(response)
}

pub(crate) async fn update(
    State(api): State<Api>,
    editor: Editor,
    InPath(id, _): Id,
    Json(patch): Json<ServiceAccountPatch>,
) -> Answer {
    let is_met = |account: &ServiceAccount| editor.has_seen(&account.version.to_string());
    let is_met = editor.expects().then_some(&is_met as _);
    let edit = Edit { change: patch.into_name()?, is_met };
    let renamed = api.service.rename_service_account(&editor.caller, id, edit).await?;
    answer(StatusCode::OK, &renamed)
}

pub(crate) async fn delete(
    State(api): State<Api>,
    editor: Editor,
    InPath(id, _): Id,
) -> Result<Response, Problem> {
    let is_met = |account: &ServiceAccount| editor.has_seen(&account.version.to_string());
    let is_met = editor.expects().then_some(&is_met as _);
    let edit = Edit { change: (), is_met };
    let deleted = api.service.delete_service_account(&editor.caller, id, edit).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    add_headers(response.headers_mut(), false, &deleted.position);
    Ok(response)
}
