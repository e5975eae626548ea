//! The `Idempotency-Key` header, and the receipt that a write asks for under it.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, Method, Uri, request::Parts},
};
use caudal_service::{Asked, Caller, ReceiptOf, asked::receipt};
use serde::Serialize;

use crate::{
    auth::By,
    problem::{Problem, internal},
};

pub(crate) const HEADER: &str = "Idempotency-Key";
const KEY_CHARS: usize = 255;

/// 1–255 printable ASCII characters.
pub(crate) fn is_key(text: &str) -> bool {
    (1..=KEY_CHARS).contains(&text.len()) && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

/// A write: who asks, where, and under which key.
pub(crate) struct Write {
    pub caller: Arc<Caller>,
    key: Option<HeaderValue>,
    method: Method,
    uri: Uri,
}

impl Write {
    /// What the use case is asked with; `body` as it was understood.
    pub fn asked<T: Serialize>(&self, body: &T) -> Result<Asked<'_>, Problem> {
        let receipt = self.receipt(body)?.ok_or_else(missing)?;
        Ok(Asked { caller: &self.caller, receipt })
    }

    /// The same of a body that is not understood yet: its bytes.
    pub fn asked_of(&self, body: &[u8]) -> Result<Asked<'_>, Problem> {
        let receipt = self.receipt_of(body)?.ok_or_else(missing)?;
        Ok(Asked { caller: &self.caller, receipt })
    }

    /// `None` when no key was given.
    pub fn receipt<T: Serialize>(&self, body: &T) -> Result<Option<ReceiptOf>, Problem> {
        self.receipt_of(&serde_json::to_vec(body).map_err(|_| internal())?)
    }

    fn receipt_of(&self, body: &[u8]) -> Result<Option<ReceiptOf>, Problem> {
        let Some(key) = &self.key else { return Ok(None) };
        let key = key.to_str().map_err(|_| malformed())?;
        let parts = [self.method.as_str().as_bytes(), self.uri.path().as_bytes(), body];
        Ok(Some(receipt(&self.caller, key, &parts)))
    }
}

impl<S: Sync> FromRequestParts<S> for Write {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let By(caller) = By::from_request_parts(parts, state).await?;
        let key = read(&parts.headers)?;
        Ok(Self { caller, key, method: parts.method.clone(), uri: parts.uri.clone() })
    }
}

fn read(headers: &HeaderMap) -> Result<Option<HeaderValue>, Problem> {
    let mut given = headers.get_all(HEADER).iter();
    let Some(key) = given.next() else { return Ok(None) };
    let is_good = key.to_str().is_ok_and(is_key) && given.next().is_none();
    if is_good { Ok(Some(key.clone())) } else { Err(malformed()) }
}

fn malformed() -> Problem {
    Problem::invalid(HEADER, "one header of 1 to 255 printable ASCII characters")
}

pub(crate) fn missing() -> Problem {
    Problem::invalid(
        HEADER,
        "this request needs an Idempotency-Key header, so that it is safe to repeat",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_printable_and_bounded() {
        assert!(is_key("a") && is_key(" ~") && is_key(&"k".repeat(255)));
        assert!(!is_key("") && !is_key(&"k".repeat(256)));
        assert!(!is_key("tab\t") && !is_key("é") && !is_key("\u{7f}"));
    }
}
