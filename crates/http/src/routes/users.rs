//! `/api/v1/users`: sign-up, profiles, status, export, erasure; `/api/v1/auth/verify-email`.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, State},
    http::{StatusCode, header, request::Parts},
};
use caudal_domain::{User, UserId, UserStatus};
use caudal_service::{
    Caller, Done, Edit, Origin, ServiceError, api_keys::Secret, export::Export, users::UserFilter,
};

use super::{Editor, InPath};
use crate::{
    answer::{Answer, bytes, done, etag, json},
    api::Api,
    auth::{By, Whence},
    idempotency::Write,
    json::{Json, JsonOrNothing},
    problem::Problem,
    query::{List, Params, Shown, list_body, next_of},
    shapes::{
        NoFields,
        users::{EraseRequest, ExportShape, ProfilePatch, UserRequest, UserShape, VerifyRequest},
    },
};

type Id = InPath<UserId>;
type NoBody = JsonOrNothing<NoFields>;

/// Who makes a user: somebody who may, or anybody for themselves.
pub(crate) enum Maker {
    Known(Write),
    Anybody(Origin),
}

impl<S: Sync> FromRequestParts<S> for Maker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match parts.extensions.get::<Arc<Caller>>() {
            Some(_) => Write::from_request_parts(parts, state).await.map(Self::Known),
            None => {
                let Whence(origin) = Whence::from_request_parts(parts, state).await?;
                Ok(Self::Anybody(origin))
            }
        }
    }
}

pub(crate) async fn create(
    State(api): State<Api>,
    maker: Maker,
    Json(request): Json<UserRequest>,
) -> Answer {
    match maker {
        Maker::Known(write) => {
            // What is private stays out of the fingerprint here, and goes in under a key.
            let asked = write.asked(&NoFields {})?;
            let made = api.service.create_user(asked, request.into_new()?).await?;
            answer(StatusCode::CREATED, &made)
        }
        Maker::Anybody(origin) => {
            let tenant = request.tenant()?;
            api.service.sign_up(&origin, tenant, request.into_sign_up()?).await?;
            json(StatusCode::ACCEPTED, &NoFields {})
        }
    }
}

/// A user with its entity tag.
fn answer(status: StatusCode, user: &Done<User>) -> Answer {
    let mut response = done(status, user, &UserShape::from(&user.value))?;
    response.headers_mut().insert(header::ETAG, etag(&user.value.version.to_string()));
    Ok(response)
}

fn shown(user: &User) -> Answer {
    let mut response = json(StatusCode::OK, &UserShape::from(user))?;
    response.headers_mut().insert(header::ETAG, etag(&user.version.to_string()));
    Ok(response)
}

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let filter = UserFilter {
        status: params.word("status", UserStatus::from_name)?,
        email: params.get("email").map(Secret::new),
    };
    let window = params.window(List::Users)?;
    let fields = params.fields(UserShape::FIELDS)?;
    let page = api.service.list_users(&caller, &filter, &window).await?;
    let shapes = page.items.iter().map(UserShape::from).collect();
    let body = list_body(shapes, next_of(List::Users, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

pub(crate) async fn read(State(api): State<Api>, By(caller): By, InPath(id, _): Id) -> Answer {
    shown(&api.service.user(&caller, id).await?)
}

pub(crate) async fn read_me(State(api): State<Api>, By(caller): By) -> Answer {
    shown(&api.service.me(&caller).await?)
}

pub(crate) async fn update_me(
    State(api): State<Api>,
    editor: Editor,
    Json(patch): Json<ProfilePatch>,
) -> Answer {
    let is_met = |user: &User| editor.has_seen(&user.version.to_string());
    let is_met = editor.expects().then_some(&is_met as _);
    let edit = Edit { change: patch.into_change()?, is_met };
    answer(StatusCode::OK, &api.service.update_me(&editor.caller, edit).await?)
}

pub(crate) async fn deactivate(api: State<Api>, id: Id, write: Write, body: NoBody) -> Answer {
    let asked = write.asked(&body.0)?;
    answer(StatusCode::OK, &api.service.set_user_status(asked, id.0, false).await?)
}

pub(crate) async fn reactivate(api: State<Api>, id: Id, write: Write, body: NoBody) -> Answer {
    let asked = write.asked(&body.0)?;
    answer(StatusCode::OK, &api.service.set_user_status(asked, id.0, true).await?)
}

pub(crate) async fn erase(
    State(api): State<Api>,
    By(caller): By,
    InPath(id, _): Id,
) -> Result<StatusCode, Problem> {
    api.service.erase_user(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn erase_me(
    State(api): State<Api>,
    By(caller): By,
    JsonOrNothing(request): JsonOrNothing<EraseRequest>,
) -> Result<StatusCode, Problem> {
    let password = request.password.map(Secret::from);
    api.service.erase_me(&caller, password.as_ref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn export(State(api): State<Api>, By(caller): By, InPath(id, _): Id) -> Answer {
    exported(api.service.export_user(&caller, id).await)
}

pub(crate) async fn export_me(State(api): State<Api>, By(caller): By) -> Answer {
    exported(api.service.export_me(&caller).await)
}

fn exported(export: Result<Export, ServiceError>) -> Answer {
    json(StatusCode::OK, &ExportShape::from(&export?))
}

pub(crate) async fn verify_email(
    State(api): State<Api>,
    Whence(origin): Whence,
    Json(request): Json<VerifyRequest>,
) -> Result<StatusCode, Problem> {
    api.service.verify_email(&origin, &request.code.into()).await?;
    Ok(StatusCode::NO_CONTENT)
}
