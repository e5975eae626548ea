//! Successes as they leave: JSON straight to bytes, and the headers of a write.

use std::fmt::Write as _;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use caudal_domain::Fingerprint;
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

/// An answer with the entity tag of what it shows.
pub(crate) fn tagged(answer: Answer, version: i64) -> Answer {
    let mut response = answer?;
    response.headers_mut().insert(header::ETAG, etag(&version.to_string()));
    Ok(response)
}

/// The answer of a write that leaves nothing to show.
pub(crate) fn gone<T>(done: &Done<T>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    add_headers(response.headers_mut(), done.replayed, &done.position);
    response
}

/// What anybody may read, and keep for so long. Whoever has it already is told so.
pub(crate) fn public<T: Serialize>(headers: &HeaderMap, seconds: u32, shape: &T) -> Answer {
    let body = serde_json::to_vec(shape).map_err(|_| internal())?;
    let tag = etag(&format!("{:032x}", Fingerprint::of(&[&body]).0));
    // Whoever packs a body on the way makes its tag a weak one.
    let same =
        |name: &str| name == "*" || name.trim_start_matches("W/").as_bytes() == tag.as_bytes();
    let is_known = tags(headers, header::IF_NONE_MATCH).any(same);
    let mut response = match is_known {
        true => bytes(StatusCode::NOT_MODIFIED, Vec::new()),
        false => bytes(StatusCode::OK, body),
    };
    let headers = response.headers_mut();
    if is_known {
        headers.remove(header::CONTENT_TYPE);
    }
    headers.insert(header::ETAG, tag);
    if let Ok(kept) = HeaderValue::try_from(format!("public, max-age={seconds}")) {
        headers.insert(header::CACHE_CONTROL, kept);
    }
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
    tags(headers, header::IF_MATCH).any(|name| name == "*" || name.as_bytes() == tag.as_bytes())
}

fn tags(headers: &HeaderMap, list: HeaderName) -> impl Iterator<Item = &str> {
    let lists = headers.get_all(list).iter();
    lists.flat_map(|value| value.to_str().unwrap_or_default().split(',').map(str::trim))
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
    fn what_anybody_may_read_is_not_sent_twice() {
        let told = |tag: &str| {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::try_from(tag).expect("a header");
            headers.insert(header::IF_NONE_MATCH, value);
            public(&headers, 300, &"said").expect("an answer")
        };
        let first = told("\"other\"");
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::CACHE_CONTROL], "public, max-age=300");
        let tag = first.headers()[header::ETAG].to_str().expect("text").to_owned();
        for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".into()] {
            assert_eq!(told(&known).status(), StatusCode::NOT_MODIFIED, "{known}");
        }
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
