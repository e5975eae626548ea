//! What is left of a request's body when it was answered without being read: taken off the
//! connection when it is little, so that the next request can follow; else the connection ends,
//! and says so.

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
use http_body_util::{BodyExt, Limited};
use tokio::sync::oneshot;

/// More than this is not worth reading for nothing, in bytes.
const REMAINDER_BYTES: usize = 256 << 10;
const REMAINDER_TIMEOUT: Duration = Duration::from_secs(1);

/// A body that comes back when it is dropped unread.
struct Returning {
    body: Body,
    back: Option<oneshot::Sender<Body>>,
}

/// Where the unread body comes back to.
pub(crate) struct Remainder(oneshot::Receiver<Body>);

/// Watches over a body; a request without one needs no watching.
pub(crate) fn watch(body: Body) -> (Body, Option<Remainder>) {
    if body.is_end_stream() {
        return (body, None);
    }
    let (back, remainder) = oneshot::channel();
    (Body::new(Returning { body, back: Some(back) }), Some(Remainder(remainder)))
}

impl Remainder {
    /// Reads what is left; whether the connection can go on.
    pub async fn drain(mut self) -> bool {
        let Ok(body) = self.0.try_recv() else { return true };
        if body.size_hint().lower() > REMAINDER_BYTES as u64 {
            return false;
        }
        let rest = Limited::new(body, REMAINDER_BYTES).collect();
        matches!(tokio::time::timeout(REMAINDER_TIMEOUT, rest).await, Ok(Ok(_)))
    }
}

impl HttpBody for Returning {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
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
            let _ = back.send(std::mem::take(&mut self.body));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn body(chunks: usize) -> Body {
        let chunk = || Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 1024]));
        Body::from_stream(stream::iter((0..chunks).map(move |_| chunk())))
    }

    #[tokio::test]
    async fn a_little_is_read_a_lot_ends_the_connection() {
        for (chunks, goes_on) in [(1, true), (100, true), (1000, false)] {
            let (watched, remainder) = watch(body(chunks));
            drop(watched);
            let remainder = remainder.expect("there is a body");
            assert_eq!(remainder.drain().await, goes_on, "{chunks}");
        }
    }

    #[tokio::test]
    async fn what_was_read_does_not_come_back() {
        let (watched, remainder) = watch(body(1000));
        let read = watched.collect().await.expect("a whole body").to_bytes();
        assert_eq!(read.len(), 1000 * 1024);
        assert!(remainder.expect("there was a body").drain().await);
        assert!(watch(Body::empty()).1.is_none());
    }
}
