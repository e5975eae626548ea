//! `/api/v1/tenants`.

use axum::{
    extract::State,
    http::{StatusCode, header},
};
use caudal_domain::Tenant;
use caudal_service::Edit;

use super::Editor;
use crate::{
    answer::{Answer, bytes, done, etag, json},
    api::Api,
    auth::By,
    idempotency::Write,
    json::Json,
    query::{List, Params, Shown, list_body, next_of},
    shapes::{
        api_keys::ApiKeyShape,
        tenants::{TenantPatch, TenantRequest, TenantShape},
    },
};

pub(crate) async fn create(
    State(api): State<Api>,
    write: Write,
    Json(request): Json<TenantRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let founded = api.service.create_tenant(asked, request.into_new()?).await?;
    let mut shape = TenantShape::from(&founded.value.tenant);
    shape.api_key = Some(ApiKeyShape::with_secret(&founded.value.key, &founded.value.secret));
    done(StatusCode::CREATED, &founded, &shape)
}

pub(crate) async fn list(State(api): State<Api>, params: Params) -> Answer {
    let window = params.window(List::Tenants)?;
    let fields = params.fields(TenantShape::FIELDS)?;
    let page = api.service.list_tenants(&window).await?;
    let shapes = page.items.iter().map(TenantShape::from).collect();
    let body = list_body(shapes, next_of(List::Tenants, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

pub(crate) async fn read(State(api): State<Api>, By(caller): By) -> Answer {
    let tenant = api.service.tenant(&caller).await?;
    let mut response = json(StatusCode::OK, &TenantShape::from(&tenant))?;
    response.headers_mut().insert(header::ETAG, etag(&version_of(&tenant)));
    Ok(response)
}

pub(crate) async fn update(
    State(api): State<Api>,
    editor: Editor,
    Json(patch): Json<TenantPatch>,
) -> Answer {
    let is_met = |tenant: &Tenant| editor.has_seen(&version_of(tenant));
    let is_met = editor.expects().then_some(&is_met as _);
    let edit = Edit { change: patch.into_change()?, is_met };
    let updated = api.service.update_tenant(&editor.caller, edit).await?;
    let mut response = done(StatusCode::OK, &updated, &TenantShape::from(&updated.value))?;
    response.headers_mut().insert(header::ETAG, etag(&version_of(&updated.value)));
    Ok(response)
}

fn version_of(tenant: &Tenant) -> String {
    tenant.version.to_string()
}
