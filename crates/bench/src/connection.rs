//! HTTP/1.1 over one keep-alive connection, with as little work a request as possible.
//!
//! The generator shares its cores with the server it measures, so a request is bytes made
//! beforehand, one write and, nearly always, one read. A general client costs several times that.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::options::BenchError;

/// An answer later than this is no answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// An answer larger than this is a fault.
const ANSWER_MOST: usize = 64 << 20;
/// A server's `Retry-After` is honoured up to this.
const PAUSE_MOST: Duration = Duration::from_millis(100);
/// Between attempts when the server said nothing about it.
const PAUSE: Duration = Duration::from_millis(20);

/// Where the servers listen (`host:port` each), and how requests authenticate.
#[derive(Debug)]
pub(crate) struct Targets {
    authorities: Vec<String>,
    api_key: String,
}

impl Targets {
    pub(crate) fn new(urls: &[String], api_key: &str) -> Result<Arc<Self>, BenchError> {
        let authorities = urls.iter().map(|url| authority(url)).collect::<Result<_, _>>()?;
        Ok(Arc::new(Self { authorities, api_key: api_key.to_owned() }))
    }

    /// The head of a request up to where its own headers go on.
    pub(crate) fn head(&self, method: &str, path: &str) -> String {
        self.head_as(&self.api_key, method, path)
    }

    /// Without credentials: what stands in the body is enough.
    pub(crate) fn post_open(&self, path: &str, body: &str) -> Vec<u8> {
        let head = format!("POST {path} HTTP/1.1\r\nHost: {}\r\n", self.authorities[0]);
        with_json(&head, body)
    }

    /// As a user, by their access token.
    pub(crate) fn patch_as(&self, token: &str, path: &str, body: &str) -> Vec<u8> {
        with_json(&self.head_as(token, "PATCH", path), body)
    }

    pub(crate) fn get_as(&self, token: &str, path: &str) -> Vec<u8> {
        format!("{}\r\n", self.head_as(token, "GET", path)).into_bytes()
    }

    fn head_as(&self, token: &str, method: &str, path: &str) -> String {
        let host = &self.authorities[0];
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n")
    }

    pub(crate) fn get(&self, path: &str) -> Vec<u8> {
        format!("{}\r\n", self.head("GET", path)).into_bytes()
    }

    pub(crate) fn post(&self, path: &str, key: &str, body: &str) -> Vec<u8> {
        with_json(&format!("{}Idempotency-Key: {key}\r\n", self.head("POST", path)), body)
    }
}

fn with_json(head: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let about = format!("Content-Type: application/json\r\nContent-Length: {length}");
    format!("{head}{about}\r\n\r\n{body}").into_bytes()
}

fn authority(url: &str) -> Result<String, BenchError> {
    let wrong = |why: &str| BenchError::Url { url: url.to_owned(), why: why.to_owned() };
    let rest = url.strip_prefix("http://").ok_or_else(|| wrong("it must begin with http://"))?;
    let rest = rest.trim_end_matches('/');
    if rest.is_empty() || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong("it names no host"));
    }
    if rest.contains('/') {
        return Err(wrong("it must end after the port"));
    }
    let bare = rest.rsplit(']').next().unwrap_or(rest);
    Ok(if bare.contains(':') { rest.to_owned() } else { format!("{rest}:80") })
}

/// What became of a request that was sent until something decided it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    /// The deciding status; `None`: patience ran out first.
    pub status: Option<u16>,
    /// Attempts that decided nothing.
    pub faults: u64,
}

/// One connection, reopened when it is lost.
#[derive(Debug)]
pub(crate) struct Connection {
    targets: Arc<Targets>,
    at: usize,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    body: (usize, usize),
}

impl Connection {
    /// Connections with following numbers go to following targets.
    pub(crate) fn new(targets: Arc<Targets>, number: usize) -> Self {
        let buffer = Vec::with_capacity(8 << 10);
        Self { targets, at: number, stream: None, buffer, body: (0, 0) }
    }

    /// The body of the last answer.
    pub(crate) fn body(&self) -> &[u8] {
        &self.buffer[self.body.0..self.body.1]
    }

    /// The body of the last answer as a person may read it, cut short.
    pub(crate) fn excerpt(&self) -> String {
        let body = self.body();
        String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned()
    }

    /// Sends the same bytes until an answer decides the matter or `until` has passed.
    pub(crate) async fn settle(&mut self, request: &[u8], until: Instant) -> Outcome {
        let mut faults = 0;
        loop {
            let pause = match self.exchange(request).await {
                Ok(head) if self.decides(head.status) => {
                    return Outcome { status: Some(head.status), faults };
                }
                Ok(head) => head.retry_after.map_or(PAUSE, |asked| asked.min(PAUSE_MOST)),
                Err(_) => {
                    self.at += 1;
                    PAUSE
                }
            };
            faults += 1;
            if Instant::now() + pause >= until {
                return Outcome { status: None, faults };
            }
            sleep(pause).await;
        }
    }

    fn decides(&self, status: u16) -> bool {
        match status {
            429 | 500.. => false,
            409 => find(self.body(), b"\"retryable\":true").is_none(),
            _ => true,
        }
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<Head> {
        timeout(ANSWER_LIMIT, self.attempt(request)).await.map_err(|_| ErrorKind::TimedOut)?
    }

    /// The stream is put back only when all went well, so a fault or a time-out drops it.
    async fn attempt(&mut self, request: &[u8]) -> io::Result<Head> {
        self.body = (0, 0);
        self.buffer.clear();
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.open().await?,
        };
        stream.write_all(request).await?;
        let head = loop {
            self.receive(&mut stream).await?;
            if let Some(head) = Head::read(&self.buffer)? {
                break head;
            }
        };
        self.body = match head.length {
            Some(length) => {
                let end = head.size.saturating_add(length);
                while self.buffer.len() < end {
                    self.receive(&mut stream).await?;
                }
                (head.size, end)
            }
            None => loop {
                if let Some(body) = dechunk(&self.buffer[head.size..])? {
                    self.buffer.truncate(head.size);
                    self.buffer.extend_from_slice(&body);
                    break (head.size, self.buffer.len());
                }
                self.receive(&mut stream).await?;
            },
        };
        if !head.close {
            self.stream = Some(stream);
        }
        Ok(head)
    }

    async fn open(&self) -> io::Result<TcpStream> {
        let authorities = &self.targets.authorities;
        let stream = TcpStream::connect(&authorities[self.at % authorities.len()]).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn receive(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        let filled = self.buffer.len();
        if filled > ANSWER_MOST {
            return Err(ErrorKind::InvalidData.into());
        }
        if self.buffer.capacity() - filled < 4 << 10 {
            self.buffer.reserve(filled.max(8 << 10));
        }
        match stream.read_buf(&mut self.buffer).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// What matters of an answer's head.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Bytes up to and with the empty line.
    size: usize,
    /// Bytes of the body; `None`: chunked.
    length: Option<usize>,
    retry_after: Option<Duration>,
    close: bool,
}

impl Head {
    fn read(buffer: &[u8]) -> io::Result<Option<Self>> {
        let Some(end) = find(buffer, b"\r\n\r\n") else { return Ok(None) };
        let status = buffer.get(9..12).and_then(number);
        let status = status.filter(|_| buffer.starts_with(b"HTTP/1.")).ok_or(wrong())?;
        let status = u16::try_from(status).map_err(|_| wrong())?;
        let mut head =
            Self { status, size: end + 4, length: None, retry_after: None, close: false };
        let mut chunked = false;
        for line in buffer[..end].split(|&byte| byte == b'\n').skip(1) {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
            let value = line[colon + 1..].trim_ascii();
            match &line[..colon] {
                name if name.eq_ignore_ascii_case(b"content-length") => {
                    head.length = Some(number(value).ok_or(wrong())?);
                }
                name if name.eq_ignore_ascii_case(b"transfer-encoding") => chunked = true,
                name if name.eq_ignore_ascii_case(b"connection") => {
                    head.close = value.eq_ignore_ascii_case(b"close");
                }
                name if name.eq_ignore_ascii_case(b"retry-after") => {
                    head.retry_after = number(value).map(|s| Duration::from_secs(s as u64));
                }
                _ => {}
            }
        }
        if status == 204 || status == 304 {
            head.length = Some(0);
        }
        if chunked == head.length.is_some() {
            return Err(wrong());
        }
        Ok(Some(head))
    }
}

fn wrong() -> io::Error {
    ErrorKind::InvalidData.into()
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Where `needle` begins.
pub(crate) fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|window| window == needle)
}

/// The body behind chunks, once the last of them is there.
fn dechunk(mut rest: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let Some(line) = find(rest, b"\r\n") else { return Ok(None) };
        let size = rest[..line].split(|&byte| byte == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(size.trim_ascii()).map_err(|_| wrong())?;
        let size = usize::from_str_radix(size, 16).map_err(|_| wrong())?;
        let end = size.checked_add(line + 4).ok_or(wrong())?;
        if rest.len() < end {
            return Ok(None);
        }
        if size == 0 {
            return Ok(Some(body));
        }
        body.extend_from_slice(&rest[line + 2..end - 2]);
        rest = &rest[end..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\
                       Retry-After: 1\r\nConnection: close\r\n\r\n{}";
        assert_eq!(Head::read(&answer[..40]).unwrap(), None);
        let head = Head::read(answer).unwrap().unwrap();
        assert_eq!((head.status, head.length, head.close), (503, Some(2), true));
        assert_eq!(head.retry_after, Some(Duration::from_secs(1)));
        assert_eq!(&answer[head.size..], b"{}");
    }

    #[test]
    fn nonsense_is_a_fault() {
        assert!(Head::read(b"SSH-2.0-hello there\r\n\r\n").is_err());
        assert!(Head::read(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(dechunk(b"zz\r\n").is_err());
    }

    #[test]
    fn chunks_become_a_body() {
        assert_eq!(dechunk(b"3\r\nabc\r\n2;x\r\nde\r\n0\r\n").unwrap(), None);
        let body = dechunk(b"3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n").unwrap();
        assert_eq!(body.as_deref(), Some(b"abcde".as_slice()));
    }

    #[test]
    fn urls_are_plain_http_with_nothing_behind_the_port() {
        assert_eq!(authority("http://a:1/").unwrap(), "a:1");
        assert_eq!(authority("http://a").unwrap(), "a:80");
        assert_eq!(authority("http://[::1]:9").unwrap(), "[::1]:9");
        assert!(authority("https://a").is_err() && authority("http://a/b").is_err());
    }
}
