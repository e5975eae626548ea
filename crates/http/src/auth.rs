//! Who asks: a bearer token becomes a caller before a handler runs.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{FromRequestParts, Request},
    http::{Extensions, HeaderMap, header, request::Parts},
};
use caudal_service::{Caller, Known, Origin, Service, ServiceError};

use crate::{
    api::RequestId,
    problem::{Problem, internal},
};

/// Looks the request's key up; by its hash, so a guess learns nothing from the time it takes.
pub(crate) async fn authenticate(
    service: &Service,
    headers: &HeaderMap,
    origin: Origin,
) -> Result<Caller, Problem> {
    Ok(Caller::new(known(service, headers).await?, origin))
}

/// Whose credentials these are, at this moment.
pub(crate) async fn known(service: &Service, headers: &HeaderMap) -> Result<Arc<Known>, Problem> {
    let secret = bearer(headers).ok_or_else(no_credentials)?;
    Ok(match is_token(secret) {
        true => service.authenticate_token(secret).await?,
        false => service.authenticate(secret).await?,
    })
}

/// Whether it is a JWT rather than a key's secret: those have no dots.
fn is_token(secret: &str) -> bool {
    secret.bytes().filter(|byte| *byte == b'.').count() == 2
}

fn no_credentials() -> Problem {
    Problem { is_bad_token: false, ..ServiceError::Unauthorized.into() }
}

/// Where the request comes from.
pub(crate) fn origin(request: &Request) -> Origin {
    read_origin(request.headers(), request.extensions())
}

/// For handlers of open routes.
pub(crate) struct Whence(pub Origin);

impl<S: Sync> FromRequestParts<S> for Whence {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(read_origin(&parts.headers, &parts.extensions)))
    }
}

fn read_origin(headers: &HeaderMap, extensions: &Extensions) -> Origin {
    let id = extensions.get::<RequestId>();
    let user_agent = headers.get(header::USER_AGENT);
    let user_agent = user_agent.and_then(|value| value.to_str().ok());
    Origin {
        address: extensions.get::<ClientAddress>().map(|address| address.0),
        request_id: id.map_or("", RequestId::text).into(),
        user_agent: user_agent
            .map(|text| text[..text.floor_char_boundary(USER_AGENT_BYTES)].into()),
    }
}

const USER_AGENT_BYTES: usize = 256;

/// Of the client, as far as it can be known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub IpAddr);

/// The token of `Authorization: Bearer …`, if there is just one such header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let value = given.next()?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    let is_one = given.next().is_none();
    (is_one && scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The caller, for handlers of routes that ask for a scope.
pub(crate) struct By(pub Arc<Caller>);

impl<S: Sync> FromRequestParts<S> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Every route with a scope puts the caller there.
        parts.extensions.get::<Arc<Caller>>().cloned().map(Self).ok_or_else(internal)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_scheme_is_bearer_in_any_case() {
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(text));
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(read("Bearer sk_test_1").as_deref(), Some("sk_test_1"));
        assert_eq!(read("bearer  sk_test_1").as_deref(), Some("sk_test_1"));
        for bad in ["", "Bearer", "Bearer ", "Basic sk_test_1", "sk_test_1"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
