//! `/api/v1/events`: server-sent events, resumable, for as long as somebody reads.

use std::time::Duration;

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use caudal_service::{
    ServiceError,
    events::{Heads, Tail},
};
use futures::{Stream, stream};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout},
};

use crate::{
    answer::Answer,
    api::Api,
    auth::By,
    metrics::Open,
    problem::Problem,
    serve::Stopping,
    shapes::events::{position_text, push_message, read_position},
};

const LAST_EVENT_ID: &str = "Last-Event-ID";
/// One write holds about so much; the rest waits in the tail, whose size is bounded.
const FRAME_BYTES: usize = 32 << 10;

pub(crate) async fn stream(
    State(api): State<Api>,
    By(caller): By,
    headers: HeaderMap,
    stopping: Option<Extension<Stopping>>,
) -> Answer {
    let from = resumed_from(&headers)?;
    let place = api.streams.clone().try_acquire_owned().map_err(|_| {
        let detail = "too many event streams are open";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail)
    })?;
    let tail = api.service.tail(&caller, from).await?;
    let following = Following {
        greeting: Some(format!("retry: 1000\nid: {}\n\n", position_text(tail.position()))),
        tail,
        ping_every: api.settings.ping_every,
        ends_at: Instant::now() + api.settings.stream_lifetime,
        stopping: stopping.map(|Extension(stopping)| stopping),
        _place: place,
        _open: Open::new("event_streams"),
    };
    let mut response = Response::new(Body::from_stream(frames(following)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn resumed_from(headers: &HeaderMap) -> Result<Option<Heads>, Problem> {
    let Some(given) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let text = given.to_str().unwrap_or("?");
    // Nothing was heard yet: then it starts now.
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || Problem::invalid(LAST_EVENT_ID, "not an id of this stream");
    read_position(text).map(Some).ok_or_else(wrong)
}

/// A stream on its way. Only what its reader takes is asked of the tail, so a slow reader costs
/// no memory; one that takes nothing at all is cut off by the connection.
struct Following {
    greeting: Option<String>,
    tail: Tail,
    ping_every: Duration,
    ends_at: Instant,
    stopping: Option<Stopping>,
    _place: OwnedSemaphorePermit,
    _open: Open,
}

fn frames(following: Following) -> impl Stream<Item = Result<Bytes, ServiceError>> {
    stream::unfold(following, |mut following| async move {
        let frame = following.next().await?;
        Some((frame.map(Bytes::from), following))
    })
}

impl Following {
    /// The next bytes; `None` when the server stops or the stream has lived long enough.
    async fn next(&mut self) -> Option<Result<String, ServiceError>> {
        if let Some(greeting) = self.greeting.take() {
            return Some(Ok(greeting));
        }
        if Instant::now() >= self.ends_at {
            return None;
        }
        let waiting = timeout(self.ping_every, self.tail.next());
        let waited = match &mut self.stopping {
            Some(stopping) => tokio::select! {
                waited = waiting => waited,
                () = stopping.wait() => return None,
            },
            None => waiting.await,
        };
        match waited {
            Err(_) => Some(Ok(format!(": ping\nid: {}\n\n", position_text(self.tail.position())))),
            Ok(Err(error)) => Some(Err(error)),
            Ok(Ok(event)) => {
                let mut frame = String::with_capacity(1024);
                push_message(&mut frame, &event, self.tail.position());
                while frame.len() < FRAME_BYTES
                    && let Some(event) = self.tail.try_next()
                {
                    push_message(&mut frame, &event, self.tail.position());
                }
                Some(Ok(frame))
            }
        }
    }
}
