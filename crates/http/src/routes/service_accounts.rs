//! `/api/v1/service-accounts`.

use axum::{extract::State, http::StatusCode};
use caudal_domain::{ServiceAccount, ServiceAccountId};
use caudal_service::{Done, Edit};

use super::{Editor, InPath};
use crate::{
    answer::{Answer, done, gone, json, tagged},
    api::Api,
    auth::By,
    idempotency::Write,
    json::Json,
    query::{List, Params, Shown, listed},
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
    tagged(done(status, account, &ServiceAccountShape::from(&account.value)), account.value.version)
}

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let window = params.window(List::ServiceAccounts)?;
    let fields = params.fields(ServiceAccountShape::FIELDS)?;
    let page = api.service.list_service_accounts(&caller, &window).await?;
    listed::<_, ServiceAccountShape<'_>>(List::ServiceAccounts, &page, fields.as_deref())
}

pub(crate) async fn read(State(api): State<Api>, By(caller): By, InPath(id, _): Id) -> Answer {
    let account = api.service.service_account(&caller, id).await?;
    tagged(json(StatusCode::OK, &ServiceAccountShape::from(&account)), account.version)
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

pub(crate) async fn delete(State(api): State<Api>, editor: Editor, InPath(id, _): Id) -> Answer {
    let is_met = |account: &ServiceAccount| editor.has_seen(&account.version.to_string());
    let is_met = editor.expects().then_some(&is_met as _);
    let edit = Edit { change: (), is_met };
    let deleted = api.service.delete_service_account(&editor.caller, id, edit).await?;
    Ok(gone(&deleted))
}
