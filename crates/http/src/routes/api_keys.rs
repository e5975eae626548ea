//! `/api/v1/api-keys`.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use caudal_domain::{ApiKeyId, Fingerprint, access::ApiKey};
use caudal_service::Edit;

use super::{Editor, InPath, audit::actor};
use crate::{
    answer::{Answer, add_headers, bytes, done, etag, json},
    api::Api,
    auth::By,
    idempotency::Write,
    json::{Json, JsonOrNothing},
    problem::Problem,
    query::{List, Params, Shown, list_body, next_of},
    shapes::api_keys::{ApiKeyPatch, ApiKeyRequest, ApiKeyRotation, ApiKeyShape},
};

pub(crate) async fn create(
    State(api): State<Api>,
    write: Write,
    Json(request): Json<ApiKeyRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let new = request.into_new()?;
    let made = api.service.create_api_key(asked, new).await?;
    let shape = ApiKeyShape::with_secret(&made.value.key, &made.value.secret);
    done(StatusCode::CREATED, &made, &shape)
}

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let window = params.window(List::ApiKeys)?;
    let fields = params.fields(ApiKeyShape::FIELDS)?;
    let made_by = params.word("made_by", actor)?;
    let page = api.service.list_api_keys(&caller, made_by, &window).await?;
    let shapes = page.items.iter().map(ApiKeyShape::from).collect();
    let body = list_body(shapes, next_of(List::ApiKeys, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

pub(crate) async fn read(
    State(api): State<Api>,
    By(caller): By,
    InPath(id, _): InPath<ApiKeyId>,
) -> Answer {
    let key = api.service.api_key(&caller, id).await?;
    tagged(json(StatusCode::OK, &ApiKeyShape::from(&key))?, &key)
}

fn tagged(mut response: Response, key: &ApiKey) -> Answer {
    response.headers_mut().insert(header::ETAG, etag(&version_of(key)));
    Ok(response)
}

/// Nothing but the name can be changed.
fn version_of(key: &ApiKey) -> String {
    format!("{:032x}", Fingerprint::of(&[key.name.as_bytes()]).0)
}

pub(crate) async fn update(
    State(api): State<Api>,
    editor: Editor,
    InPath(id, _): InPath<ApiKeyId>,
    Json(patch): Json<ApiKeyPatch>,
) -> Answer {
    let is_met = |key: &ApiKey| editor.has_seen(&version_of(key));
    let is_met = editor.expects().then_some(&is_met as _);
    let edit = Edit { change: patch.into_name()?, is_met };
    let updated = api.service.rename_api_key(&editor.caller, id, edit).await?;
    tagged(done(StatusCode::OK, &updated, &ApiKeyShape::from(&updated.value))?, &updated.value)
}

pub(crate) async fn rotate(
    State(api): State<Api>,
    InPath(id, _): InPath<ApiKeyId>,
    write: Write,
    JsonOrNothing(request): JsonOrNothing<ApiKeyRotation>,
) -> Answer {
    let asked = write.asked(&request)?;
    let made = api.service.rotate_api_key(asked, id, request.overlap_s()?).await?;
    let shape = ApiKeyShape::with_secret(&made.value.key, &made.value.secret);
    done(StatusCode::CREATED, &made, &shape)
}

pub(crate) async fn revoke(
    State(api): State<Api>,
    By(caller): By,
    InPath(id, _): InPath<ApiKeyId>,
    params: Params,
) -> Result<Response, Problem> {
    let revoked = match params.flag("descendants")? {
        true => api.service.revoke_with_descendants(&caller, id).await?,
        false => api.service.revoke_api_key(&caller, id).await?,
    };
    let mut response = StatusCode::NO_CONTENT.into_response();
    add_headers(response.headers_mut(), false, &revoked.position);
    Ok(response)
}
