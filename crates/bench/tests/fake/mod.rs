//! Just enough of a Caudal to be driven, with a fault of choice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server does wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// Acknowledges one transfer and never lists it.
    LosesOne,
    /// Does one transfer twice, under two identities.
    DoesOneTwice,
    /// One wallet shows a unit too little.
    TakesOneUnit,
    /// Commits but hangs up, or says it is overloaded, now and then.
    DropsAndOverloads,
    /// Knows no key.
    Refuses,
}

/// A server on a port of its own until it is dropped.
pub struct Fake {
    port: u16,
    task: tokio::task::JoinHandle<()>,
}

struct Transfer {
    id: String,
    to: String,
}

#[derive(Default)]
struct Books {
    fault: Fault,
    balances: HashMap<String, i64>,
    transfers: Vec<Transfer>,
    /// Answers by idempotency key.
    receipts: HashMap<String, Value>,
    requests: u64,
    done: bool,
    slice: Option<String>,
}

enum Reply {
    Answer(u16, Value),
    HangUp,
}

impl Fake {
    pub async fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let books = Arc::new(Mutex::new(Books { fault, ..Books::default() }));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&books)));
            }
        });
        Self { port, task }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Asked {
    method: String,
    path: String,
    key: String,
    body: Value,
}

async fn serve(mut stream: TcpStream, books: Arc<Mutex<Books>>) {
    let mut buffer = Vec::new();
    while let Some(asked) = read(&mut stream, &mut buffer).await {
        let reply = books.lock().expect("no panic before").answer(&asked);
        let Reply::Answer(status, body) = reply else { return };
        let body = body.to_string();
        let length = body.len();
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nretry-after: 1\r\n");
        if stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Asked> {
    loop {
        let text = String::from_utf8_lossy(buffer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let value = |name: &str| {
                let line = head.lines().find(|line| line.starts_with(name));
                line.and_then(|line| line.split_once(": ")).map(|(_, value)| value.to_owned())
            };
            let length = value("Content-Length").map_or(0, |text| text.parse().expect("a length"));
            if body.len() >= length {
                let body = serde_json::from_str(&body[..length]).unwrap_or(Value::Null);
                buffer.drain(..head.len() + 4 + length);
                let mut words = head.split(' ');
                return Some(Asked {
                    method: words.next()?.into(),
                    path: words.next()?.into(),
                    key: value("Idempotency-Key").unwrap_or_default(),
                    body,
                });
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

impl Books {
    fn answer(&mut self, asked: &Asked) -> Reply {
        self.requests += 1;
        if self.fault == Fault::Refuses {
            return Reply::Answer(401, json!({"code": "unauthorized"}));
        }
        let shaky = self.fault == Fault::DropsAndOverloads && asked.method == "POST";
        if shaky && self.requests.is_multiple_of(11) {
            return Reply::Answer(503, json!({"code": "overloaded", "retryable": true}));
        }
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        let parts: Vec<&str> = path.trim_start_matches("/api/v1/").split('/').collect();
        let (status, body) = match (asked.method.as_str(), parts.as_slice()) {
            ("POST", ["transfers", "batch"]) => (200, self.batch(&asked.body)),
            ("POST", parts) => (201, self.once(&asked.key, parts, &asked.body)),
            ("GET", ["wallets", id]) => {
                let skim = i64::from(self.fault == Fault::TakesOneUnit && id.ends_with("_0"));
                (200, json!({"id": id, "balance": {"total": self.balances[*id] - skim}}))
            }
            ("GET", ["transfers"]) => (200, self.list(query)),
            _ => (404, json!({"code": "not_found"})),
        };
        if shaky && self.requests.is_multiple_of(7) {
            return Reply::HangUp;
        }
        Reply::Answer(status, body)
    }

    fn batch(&mut self, body: &Value) -> Value {
        let items = body["transfers"].as_array().expect("transfers").clone();
        let results: Vec<Value> = items
            .iter()
            .map(|item| {
                let key = item["idempotency_key"].as_str().expect("a key");
                json!({"status": 201, "transfer": self.once(key, &["transfers"], item)})
            })
            .collect();
        json!({ "results": results })
    }

    fn once(&mut self, key: &str, parts: &[&str], body: &Value) -> Value {
        if let Some(answer) = self.receipts.get(key) {
            return answer.clone();
        }
        let answer = match parts {
            ["wallets"] => {
                let id = format!("wal_{}", self.balances.len());
                self.balances.insert(id.clone(), 0);
                json!({ "id": id })
            }
            ["wallets", id, "fund"] => self.transfer("treasury", id, body),
            _ => {
                let (from, to) = (body["from"].as_str(), body["to"].as_str());
                self.transfer(from.expect("from"), to.expect("to"), body)
            }
        };
        self.receipts.insert(key.to_owned(), answer.clone());
        answer
    }

    fn transfer(&mut self, from: &str, to: &str, body: &Value) -> Value {
        let amount = body["amount"].as_i64().expect("an amount");
        *self.balances.entry(from.to_owned()).or_default() -= amount;
        *self.balances.entry(to.to_owned()).or_default() += amount;
        let id = format!("trf_{}x{}", self.transfers.len(), self.requests);
        let first = from != "treasury" && !std::mem::replace(&mut self.done, from != "treasury");
        let times = match self.fault {
            Fault::LosesOne if first => 0,
            Fault::DoesOneTwice if first => 2,
            _ => 1,
        };
        for time in 0..times {
            let id = if time == 0 { id.clone() } else { format!("{id}again") };
            self.transfers.push(Transfer { id, to: to.to_owned() });
        }
        json!({"id": id, "object": "transfer", "from": from, "to": to, "status": "posted"})
    }

    /// All transfers, if they are asked for with the right bounds.
    fn list(&mut self, query: &str) -> Value {
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name));
        let (gte, lt) = (value("created%5Bgte%5D="), value("created%5Blt%5D="));
        assert!(gte.expect("a lower bound") < lt.expect("an upper bound"));
        assert!(value("limit=") == Some("100") && gte.expect("a bound").ends_with('Z'));
        let from: usize = value("cursor=").map_or(0, |at| at.parse().expect("a cursor"));
        // The fake has no clock: it gives everything to the slice it is asked for first.
        let gte = gte.expect("a lower bound");
        if self.slice.get_or_insert_with(|| gte.to_owned()) != gte {
            return json!({"data": [], "has_more": false, "next_cursor": null});
        }
        let page: Vec<Value> = self.transfers[from..]
            .iter()
            .take(100)
            .map(|transfer| json!({"id": transfer.id, "amount": 1, "to": transfer.to}))
            .collect();
        let next = from + page.len();
        let more = next < self.transfers.len();
        json!({"data": page, "has_more": more, "next_cursor": more.then(|| next.to_string())})
    }
}
