//! Successes as they leave: JSON straight to bytes, and the headers of a write.

use std::fmt::Write as _;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use caudal_service::{Done, Position};
use serde::Serialize;

use crate::problem::{Problem, internal};

const CAUDAL_POSITION: HeaderName = HeaderName::from_static("caudal-position");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// A transfer of one leg fits without growing.
const BODY_BYTES: usize = 768;

pub(crate) type Answer = Result<Response, Problem>;

pub(crate) fn bytes(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

pub(crate) fn json<T: Serialize>(status: StatusCode, shape: &T) -> Answer {
    let mut body = Vec::with_capacity(BODY_BYTES);
    serde_json::to_writer(&mut body, shape).map_err(|_| internal())?;
    Ok(bytes(status, body))
}

/// The answer of a write: `shape` is what `done` gave.
pub(crate) fn done<T, S: Serialize>(status: StatusCode, done: &Done<T>, shape: &S) -> Answer {
    let mut response = json(status, shape)?;
    add_headers(response.headers_mut(), done.replayed, &done.position);
    Ok(response)
}

pub(crate) fn add_headers(headers: &mut HeaderMap, replayed: bool, position: &Position) {
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    if !position.is_empty()
        && let Ok(value) = HeaderValue::try_from(position_text(position))
    {
        headers.insert(CAUDAL_POSITION, value);
    }
}

/// `stream:seq,stream:seq`.
fn position_text(position: &Position) -> String {
    let mut text = String::with_capacity(position.len() * 12);
    for (stream, seq) in position {
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a String can't fail.
        let _ = write!(text, "{comma}{stream}:{seq}");
    }
    text
}

/// The entity tag of a version.
pub(crate) fn etag(version: &str) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Whether `If-Match` is there, and then whether it names this version.
pub(crate) fn is_match(headers: &HeaderMap, version: &str) -> bool {
    let tag = etag(version);
    headers.get_all(header::IF_MATCH).iter().any(|value| {
        let names = value.to_str().unwrap_or_default().split(',').map(str::trim);
        names.into_iter().any(|name| name == "*" || name.as_bytes() == tag.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_pairs() {
        assert_eq!(position_text(&vec![(0, 5), (15, 77)]), "0:5,15:77");
        assert_eq!(position_text(&vec![]), "");
    }

    #[test]
    fn if_match_knows_lists_and_the_star() {
        let with = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, HeaderValue::from_static(text));
            headers
        };
        assert!(is_match(&with("\"3\""), "3"));
        assert!(is_match(&with("\"2\", \"3\""), "3"));
        assert!(is_match(&with("*"), "3"));
        for other in ["\"2\"", "3", "W/\"3\"", ""] {
            assert!(!is_match(&with(other), "3"), "{other}");
        }
    }
}
