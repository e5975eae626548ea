//! Somebody's server that hears webhooks, and answers well, badly or not at all.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use caudal_testkit::until;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What was heard.
#[derive(Clone, Debug)]
pub struct Heard {
    pub path: String,
    /// By name in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Heard {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a webhook is JSON")
    }

    pub fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    /// The type of the event.
    pub fn kind(&self) -> String {
        self.json()["type"].as_str().expect("a type").to_owned()
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Reply {
    Status(u16),
    /// To another path here.
    Redirect,
    /// Closes the connection without a word.
    HangUp,
    /// Never answers.
    Silence,
    /// Begins to answer, a byte now and then, without end.
    Drip,
    /// 200, with a body without end.
    Huge,
    /// 200, with a body of which nothing comes.
    Stuck,
}

type Replies = Arc<Mutex<Box<dyn Fn(&Heard) -> Reply + Send>>>;

pub struct Receiver {
    pub port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
    replies: Replies,
    listening: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Receiver {
    /// Answers 200.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let replies: Replies = Arc::new(Mutex::new(Box::new(|_| Reply::Status(200))));
        let (all, how) = (heard.clone(), replies.clone());
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, all.clone(), how.clone()));
            }
        });
        Self { port, heard, replies, listening }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hooks", self.port)
    }

    /// From now on.
    pub fn reply(&self, how: impl Fn(&Heard) -> Reply + Send + 'static) {
        *self.replies.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(how);
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All that was heard, once it is so many.
    pub async fn hears(&self, count: usize) -> Vec<Heard> {
        until("webhooks", async || self.heard().len() >= count).await;
        self.heard()
    }
}

async fn serve(mut stream: TcpStream, all: Arc<Mutex<Vec<Heard>>>, how: Replies) {
    while let Some(heard) = read(&mut stream).await {
        let reply = how.lock().unwrap_or_else(PoisonError::into_inner)(&heard);
        all.lock().unwrap_or_else(PoisonError::into_inner).push(heard);
        if !answer(&mut stream, reply).await {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Heard> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length")?.parse().ok()?;
    while bytes.len() < end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Heard { path, headers, body: bytes[end..end + length].to_vec() })
}

/// Whether the connection goes on.
async fn answer(stream: &mut TcpStream, reply: Reply) -> bool {
    let text = match reply {
        Reply::Status(status) => format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nok"),
        Reply::Redirect => {
            "HTTP/1.1 302 X\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n".into()
        }
        Reply::HangUp => return false,
        Reply::Silence => std::future::pending().await,
        Reply::Drip => return drip(stream).await,
        Reply::Huge => return flood(stream).await,
        Reply::Stuck => "HTTP/1.1 200 X\r\ncontent-length: 1000\r\n\r\n".into(),
    };
    // Of a body that never comes the connection stays open, and waits for the next request.
    stream.write_all(text.as_bytes()).await.is_ok()
}

async fn drip(stream: &mut TcpStream) -> bool {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let head = "HTTP/1.1 200 X\r\nx-slow: ".bytes().chain(std::iter::repeat(b'.'));
    for byte in head {
        ticks.tick().await;
        if stream.write_all(&[byte]).await.is_err() {
            break;
        }
    }
    false
}

async fn flood(stream: &mut TcpStream) -> bool {
    let head = "HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    let mut sent = stream.write_all(head.as_bytes()).await;
    while sent.is_ok() {
        sent = stream.write_all(chunk.as_bytes()).await;
    }
    false
}
