//! `/api/v1/gateway-accounts`.

use axum::{extract::State, http::StatusCode};
use caudal_domain::GatewayAccountId;
use caudal_service::{Done, Edit, gateway_accounts::GatewayAccount};

use super::{Editor, InPath};
use crate::{
    answer::{Answer, done, json, tagged},
    api::Api,
    auth::By,
    idempotency::Write,
    json::Json,
    query::{List, Params, Shown, listed},
    shapes::gateway_accounts::{
        GatewayAccountPatch, GatewayAccountRequest, GatewayAccountShape, Understood,
    },
};

type Id = InPath<GatewayAccountId>;

pub(crate) async fn create(
    State(api): State<Api>,
    write: Write,
    Json(request): Json<GatewayAccountRequest>,
) -> Answer {
    let Understood { new, print } = request.understand()?;
    let made = api.service.create_gateway_account(write.asked(&print)?, new).await?;
    answer(StatusCode::CREATED, &made)
}

/// An account with its entity tag.
fn answer(status: StatusCode, account: &Done<GatewayAccount>) -> Answer {
    tagged(done(status, account, &GatewayAccountShape::from(&account.value)), account.value.version)
}

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let window = params.window(List::GatewayAccounts)?;
    let fields = params.fields(GatewayAccountShape::FIELDS)?;
    let page = api.service.list_gateway_accounts(&caller, &window).await?;
    listed::<_, GatewayAccountShape<'_>>(List::GatewayAccounts, &page, fields.as_deref())
}

pub(crate) async fn read(State(api): State<Api>, By(caller): By, InPath(id, _): Id) -> Answer {
    let account = api.service.gateway_account(&caller, id).await?;
    tagged(json(StatusCode::OK, &GatewayAccountShape::from(&account)), account.version)
}

pub(crate) async fn update(
    State(api): State<Api>,
    editor: Editor,
    InPath(id, _): Id,
    Json(patch): Json<GatewayAccountPatch>,
) -> Answer {
    let is_met = |account: &GatewayAccount| editor.has_seen(&account.version.to_string());
    let is_met = editor.expects().then_some(&is_met as _);
    let edit = Edit { change: patch.into_change()?, is_met };
    let changed = api.service.update_gateway_account(&editor.caller, id, edit).await?;
    answer(StatusCode::OK, &changed)
}
