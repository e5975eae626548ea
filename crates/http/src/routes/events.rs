//! `/api/v1/events`: server-sent events, resumable, for as long as somebody reads.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use caudal_service::{
    Caller, ServiceError,
    events::{Heads, Tail},
};
use futures::{Stream, stream};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{
    answer::Answer,
    api::Api,
    auth::{By, known},
    metrics::Open,
    problem::Problem,
    serve::Stopping,
    shapes::events::{position_text, push_message, read_position},
    streams::Place,
};

const LAST_EVENT_ID: &str = "Last-Event-ID";
/// Whether its credentials are still good is asked at once when something changed that opens doors,
/// and this often anyway: time ends tokens and keys without a word.
const ASKED_AGAIN_EVERY: Duration = Duration::from_secs(5);
/// One write holds about so much; the rest waits in the tail, whose size is bounded.
const FRAME_BYTES: usize = 32 << 10;

pub(crate) async fn stream(
    State(api): State<Api>,
    By(caller): By,
    headers: HeaderMap,
    stopping: Option<Extension<Stopping>>,
) -> Answer {
    let from = resumed_from(&headers)?;
    let place = api.streams.enter(caller.tenant).ok_or_else(|| {
        let detail = "too many event streams are open";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail)
    })?;
    // Heard from before the credentials are asked again, so that nothing falls between.
    let mut changes = api.service.hear_changes();
    changes.mark_changed();
    let tail = api.service.tail(&caller, from).await?;
    let following = Following {
        greeting: Some(format!("retry: 1000\nid: {}\n\n", position_text(tail.position()))),
        tail,
        caller,
        headers,
        asked_again_at: Instant::now() + ASKED_AGAIN_EVERY,
        changes,
        ping_every: api.settings.ping_every.min(ASKED_AGAIN_EVERY),
        ends_at: Instant::now() + api.settings.stream_lifetime,
        stopping: stopping.map(|Extension(stopping)| stopping),
        api,
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
    api: Api,
    caller: Arc<Caller>,
    headers: HeaderMap,
    asked_again_at: Instant,
    changes: watch::Receiver<u64>,
    _place: Place,
    _open: Open,
}

fn frames(following: Following) -> impl Stream<Item = Result<Bytes, ServiceError>> {
    stream::unfold(following, |mut following| async move {
        let frame = following.next().await?;
        Some((frame.map(Bytes::from), following))
    })
}

impl Following {
    /// Whether the credentials still say the same: a key that was revoked, or whose scopes or
    /// reach changed, reads no further.
    async fn is_still_known(&mut self) -> bool {
        let now = Instant::now();
        if now < self.asked_again_at && !self.changes.has_changed().unwrap_or_default() {
            return true;
        }
        self.changes.mark_unchanged();
        self.asked_again_at = now + ASKED_AGAIN_EVERY;
        match known(&self.api.service, &self.headers).await {
            Ok(known) => *known == **self.caller,
            // The database is away: that says nothing of them.
            Err(problem) => problem.retryable,
        }
    }

    /// The next bytes; `None` when the server stops, the credentials are no longer good or the
    /// stream has lived long enough.
    async fn next(&mut self) -> Option<Result<String, ServiceError>> {
        if let Some(greeting) = self.greeting.take() {
            return Some(Ok(greeting));
        }
        let waited = loop {
            if Instant::now() >= self.ends_at || !self.is_still_known().await {
                return None;
            }
            let waiting = timeout(self.ping_every, self.tail.next());
            let stopped = async {
                match &mut self.stopping {
                    Some(stopping) => stopping.wait().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                waited = waiting => break waited,
                () = stopped => return None,
                Ok(()) = self.changes.changed() => self.changes.mark_changed(),
            }
        };
        // What came after the change that shut them out is not theirs.
        if !self.is_still_known().await {
            return None;
        }
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
