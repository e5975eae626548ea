//! HTTP/1.1 over one kept connection, blocking, that tells apart how an answer can fail to come.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::caudal::API_KEY;

/// Longer than any limit of the server: what is later than this never comes.
const ANSWER_LIMIT: Duration = Duration::from_secs(45);
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const ANSWER_MOST: usize = 1 << 20;

pub(super) struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

/// An answer that arrived whole.
pub(super) struct Answer {
    pub status: u16,
    /// In lower case.
    pub head: String,
    pub body: Vec<u8>,
}

/// Why no whole answer arrived.
#[derive(Debug)]
pub(super) enum Fault {
    /// Nobody listens; nothing was sent.
    Unreachable,
    /// The connection ended before the answer began: the same key will tell.
    Unanswered,
    /// The answer ended in the middle.
    CutOff(String),
    /// No answer within any limit.
    Late,
    /// Not HTTP as agreed.
    Nonsense(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => write!(f, "nobody listens"),
            Self::Unanswered => write!(f, "the connection ended before an answer"),
            Self::CutOff(text) => write!(f, "an answer was cut off: {text:?}"),
            Self::Late => write!(f, "no answer in {} s", ANSWER_LIMIT.as_secs()),
            Self::Nonsense(head) => write!(f, "not HTTP as agreed: {head:?}"),
        }
    }
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(300).collect()
    }
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    pub(super) fn get(&mut self, path: &str) -> Result<Answer, Fault> {
        self.send("GET", path, "")
    }

    /// The same key again is the same request again.
    pub(super) fn post(&mut self, path: &str, key: &str, body: &Value) -> Result<Answer, Fault> {
        let body = body.to_string();
        let length = body.len();
        let rest = format!(
            "Content-Type: application/json\r\nIdempotency-Key: {key}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        self.send("POST", path, &rest)
    }

    fn send(&mut self, method: &str, path: &str, rest: &str) -> Result<Answer, Fault> {
        let host = self.address;
        let end = if rest.is_empty() { "\r\n" } else { rest };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {API_KEY}\r\n{end}"
        );
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.address).map_err(|_| Fault::Unreachable)?,
        };
        stream.write_all(request.as_bytes()).map_err(|_| Fault::Unanswered)?;
        let answer = receive(&mut stream)?;
        if !answer.head.contains("\r\nconnection: close") {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, CONNECT_LIMIT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    Ok(stream)
}

fn receive(stream: &mut impl Read) -> Result<Answer, Fault> {
    let mut buffer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(answer) = parse(&buffer)? {
            return Ok(answer);
        }
        match stream.read(&mut chunk) {
            Ok(0) => return Err(ended(&buffer)),
            Ok(read) => buffer.extend_from_slice(&chunk[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(Fault::Late);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(ended(&buffer)),
        }
        if buffer.len() > ANSWER_MOST {
            return Err(Fault::Nonsense("an endless answer".into()));
        }
    }
}

fn ended(buffer: &[u8]) -> Fault {
    match buffer.is_empty() {
        true => Fault::Unanswered,
        false => Fault::CutOff(String::from_utf8_lossy(buffer).into_owned()),
    }
}

fn parse(buffer: &[u8]) -> Result<Option<Answer>, Fault> {
    let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    let nonsense = || Fault::Nonsense(head.clone());
    let status = head.get(9..12).and_then(|digits| digits.parse().ok()).ok_or_else(nonsense)?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|text| text.trim().parse().ok()).ok_or_else(nonsense)?;
    let body = &buffer[end + 4..];
    Ok((body.len() >= length).then(|| Answer { status, body: body[..length].to_vec(), head }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ways_an_answer_fails_to_come_are_told_apart() {
        let receive = |mut text: &[u8]| receive(&mut text);
        let whole = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}";
        let answer = receive(whole).unwrap_or_else(|fault| panic!("{fault:?}"));
        assert_eq!((answer.status, answer.body.as_slice()), (503, b"{}".as_slice()));
        assert!(matches!(receive(b""), Err(Fault::Unanswered)));
        assert!(matches!(receive(&whole[..30]), Err(Fault::CutOff(_))));
        assert!(matches!(receive(&whole[..whole.len() - 1]), Err(Fault::CutOff(_))));
        assert!(matches!(receive(b"HTTP/1.1 200 OK\r\n\r\n"), Err(Fault::Nonsense(_))));
    }
}
