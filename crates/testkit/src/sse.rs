//! Reads an event stream message by message, as a browser would.

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1::SendRequest};
use serde_json::Value;

use crate::{Call, Client, wait::PATIENCE};

/// One message of a stream.
#[derive(Clone, Debug)]
pub struct Message {
    /// To resume behind it.
    pub id: String,
    pub event: String,
    pub data: Value,
}

pub struct EventStream {
    body: Incoming,
    read: BytesMut,
    /// Kept open as long as the stream is read.
    _connection: SendRequest<Full<Bytes>>,
}

impl Client {
    /// Follows the events behind `last`, or from now on.
    pub async fn events(&self, last: Option<&str>) -> EventStream {
        let mut call = Call::new("GET", "/events").header("accept", "text/event-stream");
        if let Some(last) = last {
            call = call.header("last-event-id", last);
        }
        let (response, connection) = self.open(call).await;
        assert_eq!(response.status(), 200);
        let media_type = response.headers()["content-type"].to_str().unwrap_or_default();
        assert!(media_type.starts_with("text/event-stream"), "{media_type}");
        let body = response.into_body();
        EventStream { body, read: BytesMut::new(), _connection: connection }
    }
}

impl EventStream {
    /// The next message; fails the test when none comes in time.
    pub async fn next(&mut self) -> Message {
        let message = tokio::time::timeout(PATIENCE, self.read_message()).await;
        message.expect("an event came in time")
    }

    /// Reads on until the server ends the stream; fails the test when it doesn't.
    pub async fn ended(&mut self) {
        let end = async { while self.body.frame().await.is_some() {} };
        tokio::time::timeout(PATIENCE, end).await.expect("the stream ends");
    }

    /// What still came before the server ended the stream; fails the test when it doesn't.
    pub async fn rest(&mut self) -> Vec<Message> {
        let mut rest = Vec::new();
        let end = async {
            while let Some(Ok(frame)) = self.body.frame().await {
                self.read.extend_from_slice(&frame.into_data().unwrap_or_default());
            }
        };
        tokio::time::timeout(PATIENCE, end).await.expect("the stream ends");
        while let Some(text) = self.read_text() {
            rest.extend(parse(&text));
        }
        rest
    }

    /// What stands before the next empty line, if it is there.
    fn read_text(&mut self) -> Option<String> {
        let end = self.read.windows(2).position(|pair| pair == b"\n\n")?;
        Some(String::from_utf8_lossy(&self.read.split_to(end + 2)).into_owned())
    }

    async fn read_message(&mut self) -> Message {
        loop {
            if let Some(text) = self.read_text() {
                if let Some(message) = parse(&text) {
                    return message;
                }
                continue;
            }
            let frame = self.body.frame().await.expect("the stream goes on");
            if let Ok(data) = frame.expect("the stream is whole").into_data() {
                self.read.extend_from_slice(&data);
            }
        }
    }
}

/// `None` for comments and hints without data.
fn parse(text: &str) -> Option<Message> {
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
    };
    let data = serde_json::from_str(&field("data")?).expect("an event is JSON");
    Some(Message { id: field("id")?, event: field("event")?, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_no_messages() {
        assert!(parse(": ping\n\n").is_none());
        assert!(parse("retry: 1000\n\n").is_none());
        let message = parse("id: 7\nevent: a.b\ndata: {\"x\":1}\n\n").expect("a message");
        assert_eq!((message.id.as_str(), message.event.as_str()), ("7", "a.b"));
        assert_eq!(message.data["x"], 1);
    }
}
