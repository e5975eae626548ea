//! What is left of a request's body when it was answered without being read: taken off the
//! connection, so that the next request can follow. To close a connection on a peer that is still
//! sending would reset it, and the answer would be lost on the way (RFC 9112, 9.6); so only what is
//! too much, or too slow, ends the connection.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Error,
    body::{Body, HttpBody},
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::oneshot;

/// More than this is not worth reading for nothing, in bytes.
const REMAINDER_BYTES: usize = 16 << 20;

/// A body that comes back when it is dropped unread.
struct Returning {
    body: Body,
    back: Option<oneshot::Sender<Option<Body>>>,
    /// The peer asks before it sends, and was not told to go on.
    is_held_back: bool,
}

/// Where the unread body comes back to.
/// `None`: it was never sent.
pub(crate) struct Remainder(oneshot::Receiver<Option<Body>>);

/// Watches over a body; a request without one needs no watching. `is_held_back`: the peer sends it
/// only when it is read (`Expect: 100-continue`).
pub(crate) fn watch(body: Body, is_held_back: bool) -> (Body, Option<Remainder>) {
    if body.is_end_stream() {
        return (body, None);
    }
    let (back, remainder) = oneshot::channel();
    (Body::new(Returning { body, back: Some(back), is_held_back }), Some(Remainder(remainder)))
}

impl Remainder {
    /// Reads what is left and throws it away; whether the connection can go on.
    pub async fn drain(mut self, limit: Duration) -> bool {
        let body = match self.0.try_recv() {
            Ok(Some(body)) => body,
            Ok(None) => return false,
            Err(_) => return true,
        };
        tokio::time::timeout(limit, throw_away(body)).await.unwrap_or(false)
    }
}

async fn throw_away(mut body: Body) -> bool {
    let mut left = REMAINDER_BYTES;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(rest) => left = rest,
            None => return false,
        }
    }
    true
}

impl HttpBody for Returning {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.is_held_back = false;
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        if let Some(back) = self.back.take()
            && !self.body.is_end_stream()
        {
            // Nobody waits for it when the request was given up.
            let body = (!self.is_held_back).then(|| std::mem::take(&mut self.body));
            let _ = back.send(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn body(chunks: usize) -> Body {
        let chunk = || Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 1024]));
        Body::from_stream(stream::iter((0..chunks).map(move |_| chunk())))
    }

    #[tokio::test]
    async fn a_lot_is_read_too_much_ends_the_connection() {
        for (chunks, goes_on) in [(1, true), (16_384, true), (16_385, false)] {
            let (watched, remainder) = watch(body(chunks), false);
            drop(watched);
            let remainder = remainder.expect("there is a body");
            assert_eq!(remainder.drain(LIMIT).await, goes_on, "{chunks}");
        }
    }

    #[tokio::test]
    async fn what_was_never_sent_is_not_waited_for() {
        let silent = || Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let (watched, remainder) = watch(silent(), true);
        drop(watched);
        assert!(!remainder.expect("there is a body").drain(LIMIT).await);
        // Too slow is too much as well.
        let (watched, remainder) = watch(silent(), false);
        drop(watched);
        let limit = Duration::from_millis(1);
        assert!(!remainder.expect("there is a body").drain(limit).await);
    }

    #[tokio::test]
    async fn what_was_read_does_not_come_back() {
        let (watched, remainder) = watch(body(1000), false);
        let read = watched.collect().await.expect("a whole body").to_bytes();
        assert_eq!(read.len(), 1000 * 1024);
        assert!(remainder.expect("there was a body").drain(LIMIT).await);
        assert!(watch(Body::empty(), false).1.is_none());
    }
}
