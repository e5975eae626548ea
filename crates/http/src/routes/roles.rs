//! `/api/v1/roles`, `/api/v1/users/{id}/roles` and `/api/v1/permissions`.

use axum::{extract::State, http::StatusCode};
use caudal_domain::{Role, RoleRef, User, UserId};
use caudal_service::{Done, Edit, roles::AnyRole};

use super::{Editor, InPath};
use crate::{
    answer::{Answer, bytes, done, gone, json, tagged},
    api::Api,
    auth::By,
    idempotency::Write,
    json::Json,
    query::{List, Params, Shown, list_body, listed},
    shapes::roles::{
        PermissionShape, RolePatch, RoleRequest, RoleShape, UserRolesRequest, UserRolesShape,
    },
};

type Id = InPath<RoleRef>;

pub(crate) async fn permissions(State(api): State<Api>, params: Params) -> Answer {
    let fields = params.fields(PermissionShape::FIELDS)?;
    let body =
        list_body(api.catalogue.get().into_iter().flatten().collect(), None, fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

pub(crate) async fn create(
    State(api): State<Api>,
    write: Write,
    Json(request): Json<RoleRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let made = api.service.create_role(asked, request.into_new()?).await?;
    answer(StatusCode::CREATED, made)
}

/// A role with its entity tag.
fn answer(status: StatusCode, role: Done<Role>) -> Answer {
    let version = role.value.version;
    let role = role.map(AnyRole::Custom);
    tagged(done(status, &role, &RoleShape::from(&role.value)), version)
}

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let window = params.window(List::Roles)?;
    let fields = params.fields(RoleShape::FIELDS)?;
    let page = api.service.list_roles(&caller, &window).await?;
    listed::<_, RoleShape>(List::Roles, &page, fields.as_deref())
}

pub(crate) async fn read(State(api): State<Api>, By(caller): By, InPath(id, _): Id) -> Answer {
    let role = api.service.role(&caller, id).await?;
    let shown = json(StatusCode::OK, &RoleShape::from(&role));
    match &role {
        AnyRole::Custom(role) => tagged(shown, role.version),
        _ => shown,
    }
}

pub(crate) async fn update(
    State(api): State<Api>,
    editor: Editor,
    InPath(id, _): Id,
    Json(patch): Json<RolePatch>,
) -> Answer {
    let is_met = |role: &Role| editor.has_seen(&role.version.to_string());
    let is_met = editor.expects().then_some(&is_met as _);
    let edit = Edit { change: patch.into_change()?, is_met };
    answer(StatusCode::OK, api.service.update_role(&editor.caller, id, edit).await?)
}

pub(crate) async fn delete(State(api): State<Api>, editor: Editor, InPath(id, _): Id) -> Answer {
    let is_met = |role: &Role| editor.has_seen(&role.version.to_string());
    let is_met = editor.expects().then_some(&is_met as _);
    let edit = Edit { change: (), is_met };
    let deleted = api.service.delete_role(&editor.caller, id, edit).await?;
    Ok(gone(&deleted))
}

pub(crate) async fn set_of_user(
    State(api): State<Api>,
    editor: Editor,
    InPath(id, _): InPath<UserId>,
    Json(request): Json<UserRolesRequest>,
) -> Answer {
    let is_met = |user: &User| editor.has_seen(&user.version.to_string());
    let is_met = editor.expects().then_some(&is_met as _);
    let edit = Edit { change: request.roles, is_met };
    let set = api.service.set_user_roles(&editor.caller, id, edit).await?;
    tagged(done(StatusCode::OK, &set, &UserRolesShape::from(&set.value)), set.value.version)
}
