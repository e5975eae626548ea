//! `/.well-known/jwks.json`, and the rotation of what it shows.

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
};
use caudal_service::signing_keys::JWKS_MAX_AGE_S;

use crate::{
    answer::{Answer, bytes, done},
    api::Api,
    idempotency::Write,
    json::JsonOrNothing,
    problem::internal,
    shapes::signing_keys::{RotatedKeyShape, RotationRequest},
};

pub(crate) async fn jwks(State(api): State<Api>) -> Answer {
    let document = api.service.jwks().await?;
    let mut response = bytes(StatusCode::OK, document.as_bytes().to_vec());
    let kept = HeaderValue::try_from(format!("public, max-age={JWKS_MAX_AGE_S}"));
    response.headers_mut().insert(header::CACHE_CONTROL, kept.map_err(|_| internal())?);
    Ok(response)
}

pub(crate) async fn rotate(
    State(api): State<Api>,
    write: Write,
    JsonOrNothing(request): JsonOrNothing<RotationRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let rotated = api.service.rotate_signing_key(asked, request.rotation()).await?;
    done(StatusCode::OK, &rotated, &RotatedKeyShape::from(&rotated.value))
}
