//! `/api/v1/auth/login`, `refresh` and `logout`, and the sessions they make.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use caudal_domain::{SessionId, UserId};

use super::InPath;
use crate::{
    answer::{Answer, bytes, json},
    api::Api,
    auth::{By, Whence, authenticate},
    json::{Json, JsonOrNothing},
    problem::Problem,
    query::{List, Params, Shown, list_body, next_of},
    shapes::sessions::{
        LoginRequest, LoginShape, LogoutRequest, RefreshRequest, SessionShape, TokensShape,
    },
};

pub(crate) async fn login(
    State(api): State<Api>,
    Whence(origin): Whence,
    Json(request): Json<LoginRequest>,
) -> Answer {
    let login = api.service.login(&request.credentials(), &origin).await?;
    json(StatusCode::OK, &LoginShape::from(&login))
}

pub(crate) async fn refresh(
    State(api): State<Api>,
    Whence(origin): Whence,
    Json(request): Json<RefreshRequest>,
) -> Answer {
    let tokens = api.service.refresh(&request.refresh_token, &origin).await?;
    json(StatusCode::OK, &TokensShape::from(&tokens))
}

/// With the refresh token, so that it works when the access token has expired, or with that.
pub(crate) async fn logout(
    State(api): State<Api>,
    Whence(origin): Whence,
    headers: HeaderMap,
    JsonOrNothing(request): JsonOrNothing<LogoutRequest>,
) -> Result<StatusCode, Problem> {
    match request.refresh_token {
        Some(token) => api.service.logout_by_refresh(&token, &origin).await?,
        None => {
            let caller = authenticate(&api.service, &headers, origin).await?;
            api.service.logout(&caller).await?;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let window = params.window(List::Sessions)?;
    let fields = params.fields(SessionShape::FIELDS)?;
    let current = caller.signed_in()?.session;
    let page = api.service.list_sessions(&caller, &window).await?;
    let shapes = page.items.iter().map(|session| SessionShape::new(session, current)).collect();
    let body = list_body(shapes, next_of(List::Sessions, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

pub(crate) async fn revoke(
    State(api): State<Api>,
    By(caller): By,
    InPath(id, _): InPath<SessionId>,
) -> Result<StatusCode, Problem> {
    api.service.revoke_session(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn revoke_of_user(
    State(api): State<Api>,
    By(caller): By,
    InPath(user, _): InPath<UserId>,
) -> Result<StatusCode, Problem> {
    api.service.revoke_sessions_of(&caller, user).await?;
    Ok(StatusCode::NO_CONTENT)
}
