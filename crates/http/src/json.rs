//! Request bodies: JSON within limits, understood wholly or refused with the field's name.

use std::{fmt, marker::PhantomData, time::Duration};

use axum::{
    body::{Body, HttpBody},
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;
use tokio::sync::SemaphorePermit;

use crate::{api::Api, problem::Problem};

/// The largest body of a single request, of a batch, and of a gateway's webhook (Stripe's have
/// some ten thousand), in bytes.
const BODY_BYTES: usize = 1 << 20;
const BATCH_BYTES: usize = 4 << 20;
const RAW_BYTES: usize = 256 << 10;

/// A body that must be there.
pub(crate) struct Json<T>(pub T);

/// A body of many items.
pub(crate) struct BatchJson<T>(pub T);

/// A body as it came, byte for byte, whatever it is: its signature is over that.
pub(crate) struct Raw(pub Bytes);

/// A body that may be left out.
pub(crate) struct JsonOrNothing<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Api> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        check_type(request.headers())?;
        parse(&read(request, api, BODY_BYTES).await?).map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest<Api> for BatchJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        check_type(request.headers())?;
        parse(&read(request, api, BATCH_BYTES).await?).map(Self)
    }
}

impl FromRequest<Api> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        read(request, api, RAW_BYTES).await.map(Self)
    }
}

impl<T: DeserializeOwned + Default> FromRequest<Api> for JsonOrNothing<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let typed = check_type(request.headers());
        let body = read(request, api, BODY_BYTES).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        typed?;
        parse(&body).map(Self)
    }
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = given.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = "Content-Type must be application/json";
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    let mut problem = Problem::new(status, "unsupported_media_type", detail);
    problem.param = Some("Content-Type".into());
    Err(problem)
}

async fn read(request: Request, api: &Api, limit: usize) -> Result<Bytes, Problem> {
    read_for(request, api, limit, api.settings.body_timeout).await
}

/// Within a time of its own.
pub(crate) async fn read_for(
    request: Request,
    api: &Api,
    limit: usize,
    time: Duration,
) -> Result<Bytes, Problem> {
    let mut body = request.into_body();
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    match tokio::time::timeout(time, gather(&mut body, api, limit)).await {
        Ok(gathered) => gathered,
        Err(_) => {
            let detail = "the body did not arrive in time";
            let problem = Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail);
            Err(Problem { retryable: true, is_last: true, ..problem })
        }
    }
}

/// Takes the body as it comes. Room is taken for what has come, not for what was announced: to
/// announce costs a peer nothing.
async fn gather(body: &mut Body, api: &Api, limit: usize) -> Result<Bytes, Problem> {
    let mut room: Option<SemaphorePermit<'_>> = None;
    let mut gathered = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::invalid("", "the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        if gathered.len() + more.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        let taken = api.body_bytes.try_acquire_many(data.len() as u32).map_err(|_| {
            let detail = "too many large bodies are being read";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail)
        })?;
        match &mut room {
            Some(room) => room.merge(taken),
            None => room = Some(taken),
        }
        // Nearly every body is one frame, which is then not copied.
        match (gathered.is_empty(), more.is_empty()) {
            (true, true) => gathered = data,
            (_, is_second) => {
                if is_second {
                    more.extend_from_slice(&std::mem::take(&mut gathered));
                }
                more.extend_from_slice(&data);
            }
        }
    }
    Ok(if more.is_empty() { gathered } else { more.freeze() })
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("a body has {limit} bytes at most");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
}

/// Reads quickly; only what is wrong is read again, slowly, to tell where.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    check_nul(body)?;
    match serde_json::from_slice(body) {
        Ok(Object(value)) => Ok(value),
        Err(_) => Err(explain::<Object<T>>(body)),
    }
}

/// What is written as an object. A derived type alone would take an array as well, its fields by
/// their place: nobody means that, and a new field would change what it means.
pub(crate) struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// For fields that are lists of objects: `#[serde(deserialize_with = "objects")]`.
pub(crate) fn objects<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let objects = Vec::<Object<T>>::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|Object(value)| value).collect())
}

/// The same for a list that may be left out (with `#[serde(default)]`).
pub(crate) fn some_objects<'de, T, D>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let objects = Option::<Vec<Object<T>>>::deserialize(deserializer)?;
    Ok(objects.map(|all| all.into_iter().map(|Object(value)| value).collect()))
}

/// U+0000 can only be there as an escape, and PostgreSQL can't store it.
fn check_nul(body: &[u8]) -> Result<(), Problem> {
    if !body.contains(&b'\\') {
        return Ok(());
    }
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return Ok(()) };
    match nul_in(&value, String::new()) {
        Some(param) => Err(Problem::invalid(param, "holds the character U+0000")),
        None => Ok(()),
    }
}

/// The path of a text or name with U+0000.
fn nul_in(value: &Value, path: String) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then_some(path),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| nul_in(item, format!("{path}[{index}]"))),
        Value::Object(members) => members.iter().find_map(|(name, member)| {
            if name.contains('\0') {
                return Some(path.clone());
            }
            let dot = if path.is_empty() { "" } else { "." };
            nul_in(member, format!("{path}{dot}{name}"))
        }),
        _ => None,
    }
}

fn explain<T: DeserializeOwned>(body: &[u8]) -> Problem {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let error = match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Err(error) => error,
        Ok(_) => return Problem::invalid("", "there is something after the end of the JSON"),
    };
    let path = error.path().to_string();
    let inner = error.into_inner();
    let text = inner.to_string();
    if !inner.is_data() {
        return Problem::invalid("", format!("the body is not JSON: {text}"));
    }
    let detail = text.split(" at line ").next().unwrap_or_default().to_owned();
    Problem::invalid(param(&path, &detail), detail)
}

/// Where a field is missing or unknown, the path ends at its object: the field is in the message.
fn param(path: &str, detail: &str) -> String {
    let path = if path == "." { "" } else { path };
    let lacks = ["missing field `", "duplicate field `"];
    let named = lacks.iter().find_map(|start| detail.strip_prefix(start));
    let Some(field) = named.and_then(|rest| rest.split('`').next()) else {
        return path.to_owned();
    };
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

#[cfg(test)]
mod tests {
    use caudal_domain::Amount;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Order {
        #[expect(dead_code, reason = "only its reading is tested")]
        amount: Amount,
        #[expect(dead_code, reason = "only its reading is tested")]
        #[serde(default, deserialize_with = "objects")]
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        #[expect(dead_code, reason = "only its reading is tested")]
        name: String,
    }

    fn param_of(body: &str) -> Option<String> {
        parse::<Order>(body.as_bytes()).expect_err(body).param
    }

    #[test]
    fn a_problem_names_the_field() {
        assert!(parse::<Order>(br#"{"amount": 5, "items": [{"name": "a"}]}"#).is_ok());
        for (body, wanted) in [
            (r#"{"amount": "10"}"#, "amount"),
            (r#"{"amount": 10.0}"#, "amount"),
            (r#"{"amount": 1e3}"#, "amount"),
            (r#"{"amount": 0}"#, "amount"),
            (r#"{}"#, "amount"),
            (r#"{"amount": 1, "amount": 2}"#, "amount"),
            (r#"{"amount": 1, "colour": 2}"#, "colour"),
            (r#"{"amount": 1, "items": [{"name": "a"}, {}]}"#, "items[1].name"),
            (r#"{"amount": 1, "items": [{"name": 5}]}"#, "items[0].name"),
            (r#"{"amount": 1, "items": [{"name": "a\u0000"}]}"#, "items[0].name"),
        ] {
            assert_eq!(param_of(body).as_deref(), Some(wanted), "{body}");
        }
    }

    #[test]
    fn an_array_is_no_object() {
        for (body, wanted) in
            [("[5, []]", None), (r#"{"amount": 5, "items": [["a"]]}"#, Some("items[0]"))]
        {
            let problem = parse::<Order>(body.as_bytes()).expect_err(body);
            assert_eq!(problem.param.as_deref(), wanted, "{body}");
            assert!(problem.detail.contains("expected an object"), "{}", problem.detail);
        }
    }

    #[test]
    fn what_is_no_json_names_no_field() {
        for body in ["", "{", "[]x", "{\"amount\": 1} {}", "\u{0}", "{\"amount\": 1,}"] {
            assert_eq!(param_of(body), None, "{body}");
        }
        let deep = format!("{{\"amount\": {}1{}}}", "[".repeat(500), "]".repeat(500));
        assert!(parse::<Order>(deep.as_bytes()).is_err());
    }

    #[test]
    fn an_escaped_backslash_is_no_nul() {
        let body = br#"{"amount": 1, "items": [{"name": "a\\u0000"}]}"#;
        assert!(parse::<Order>(body).is_ok());
    }
}
