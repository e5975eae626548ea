//! A client that says just what it is told to, well-formed or not, and keeps the whole answer.

use std::{
    fmt::{self, Display},
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, Response,
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    header,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::wait::PATIENCE;

const PREFIX: &str = "/api/v1";
/// All members that a problem has, whatever it is about.
const MEMBERS: [&str; 8] =
    ["type", "title", "status", "code", "detail", "param", "request_id", "retryable"];

/// Of a body, in the message of a failure.
const SHOWN_BYTES: usize = 200;

static NEXT_KEY: AtomicU64 = AtomicU64::new(0);

/// A key that was never used before.
pub(crate) fn fresh_key() -> String {
    format!("fresh-{}", NEXT_KEY.fetch_add(1, Ordering::Relaxed))
}

/// A request to be sent. `path` is below the API's prefix unless it begins with `//`.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Bytes,
}

impl Call {
    pub fn new(method: &str, path: impl Into<String>) -> Self {
        let method = method.parse().expect("a method");
        Self { method, path: path.into(), headers: Vec::new(), body: Bytes::new() }
    }

    pub fn header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name, value.as_ref().to_vec()));
        self
    }

    pub fn key(self, key: impl AsRef<[u8]>) -> Self {
        self.header("idempotency-key", key)
    }

    pub fn json(self, body: &Value) -> Self {
        self.text(body.to_string())
    }

    /// A body that says it is JSON, whether it is or not.
    pub fn text(self, body: impl Into<Bytes>) -> Self {
        self.header("content-type", "application/json").body(body)
    }

    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// A call as the API document writes it, with its whole path.
    pub fn absolute(method: &str, path: &str) -> Self {
        Self::new(&method.to_uppercase(), format!("/{path}"))
    }

    fn uri(&self) -> String {
        match self.path.strip_prefix("//") {
            Some(outside) => format!("/{outside}"),
            None => format!("{PREFIX}{}", self.path),
        }
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(SHOWN_BYTES)]);
        write!(f, "{} {} {body}", self.method, self.path)?;
        for (name, value) in &self.headers {
            write!(f, " {name}: {:.99}", String::from_utf8_lossy(value))?;
        }
        Ok(())
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Bytes,
    /// Null when the body is not JSON.
    pub json: Value,
}

impl Answer {
    /// The body of an answer with this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        self.json
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A problem with all its members, this status and this code.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> &Self {
        self.refused_as(&format!("{status} {code}"), status, code);
        self
    }

    /// The same, for a row of a table, which is named when it fails.
    #[track_caller]
    pub fn refused_as(&self, row: &str, status: u16, code: &str) {
        let said = String::from_utf8_lossy(&self.bytes);
        assert_eq!(self.status, status, "{row}: {said}");
        assert_eq!(self.json["code"], code, "{row}: {said}");
        assert_eq!(self.json["status"], status, "{row}: {said}");
        let media_type = self.header("content-type");
        assert_eq!(media_type, Some("application/problem+json"), "{row}");
        let members = self.json.as_object().expect("a problem is an object");
        for member in MEMBERS {
            assert!(members.contains_key(member), "{row}: no {member}: {said}");
        }
        let id = self.header("x-request-id");
        assert_eq!(self.json["request_id"].as_str(), id, "{row}: {said}");
    }

    pub fn is_replay(&self) -> bool {
        self.header("idempotency-replayed") == Some("true")
    }
}

type Connection = SendRequest<Full<Bytes>>;

/// Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    addr: SocketAddr,
    key: Option<Arc<str>>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Client {
    pub fn new(addr: SocketAddr, key: Option<&str>) -> Self {
        Self { addr, key: key.map(Into::into), idle: Arc::default() }
    }

    /// The same server with another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.into()), ..self.clone() }
    }

    /// The same key at another server.
    pub(crate) fn at(&self, addr: SocketAddr) -> Self {
        Self { addr, idle: Arc::default(), ..self.clone() }
    }

    /// The same server with the other's key.
    pub fn as_somebody_of(&self, other: &Self) -> Self {
        Self { key: other.key.clone(), ..self.clone() }
    }

    /// The key or token it comes with.
    pub fn secret(&self) -> Option<&str> {
        self.key.as_deref()
    }

    pub fn without_key(&self) -> Self {
        Self { key: None, ..self.clone() }
    }

    pub async fn get(&self, path: impl Display) -> Answer {
        self.send(Call::new("GET", path.to_string())).await
    }

    /// With a key that was never used before.
    pub async fn post(&self, path: impl Display, body: Value) -> Answer {
        self.post_as(&fresh_key(), path, body).await
    }

    pub async fn post_as(&self, key: &str, path: impl Display, body: Value) -> Answer {
        self.send(Call::new("POST", path.to_string()).key(key).json(&body)).await
    }

    pub async fn patch(&self, path: impl Display, body: Value) -> Answer {
        self.send(Call::new("PATCH", path.to_string()).json(&body)).await
    }

    pub async fn delete(&self, path: impl Display) -> Answer {
        self.send(Call::new("DELETE", path.to_string())).await
    }

    /// Sends the call as it is, with this client's API key unless the call has one.
    pub async fn send(&self, call: Call) -> Answer {
        let what = format!("{} {}", call.method, call.path);
        let exchange = async {
            let (response, connection) = self.open(call).await;
            let (head, body) = response.into_parts();
            let bytes = body.collect().await.expect("a whole body").to_bytes();
            self.idle().push(connection);
            let json = serde_json::from_slice(&bytes).unwrap_or_default();
            Answer { status: head.status.as_u16(), headers: head.headers, bytes, json }
        };
        let answer = tokio::time::timeout(3 * PATIENCE, exchange).await;
        answer.unwrap_or_else(|_| panic!("no answer to {what}"))
    }

    /// The status alone, for answers that may never end.
    pub async fn status(&self, call: Call) -> u16 {
        self.open(call).await.0.status().as_u16()
    }

    /// The head of the answer, with its body still to come over the connection.
    pub(crate) async fn open(&self, call: Call) -> (Response<Incoming>, Connection) {
        let mut connection = self.connection().await;
        let request = self.request(call);
        let response = connection.send_request(request).await.expect("an answer");
        (response, connection)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connection(&self) -> Connection {
        loop {
            let Some(mut connection) = self.idle().pop() else { break };
            if connection.ready().await.is_ok() {
                return connection;
            }
        }
        let stream = TcpStream::connect(self.addr).await.expect("the door is open");
        let (connection, work) = handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(work);
        connection
    }

    fn request(&self, call: Call) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(&call.method).uri(call.uri());
        request = request.header(header::HOST, self.addr.to_string());
        let has_own = call.headers.iter().any(|(name, _)| *name == "authorization");
        if let Some(key) = self.key.as_ref().filter(|_| !has_own) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(call.body)).expect("a request")
    }
}
