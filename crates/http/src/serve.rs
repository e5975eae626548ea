//! Connections: accepted up to a limit, served with time limits, finished before the process ends.

use std::{io, sync::Arc, time::Duration};

use axum::{Extension, Router, middleware::AddExtension};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{interval, sleep, timeout},
};

use tower::Layer;

use crate::{
    auth::ClientAddress,
    metrics::{Metrics, Open},
    stall::Impatient,
};

/// Connections open at once; one more is told `overloaded` and closed.
const CONNECTIONS_MOST: usize = 10_000;
/// From the first byte of a request to the end of its headers; also how long one may be idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// A peer that takes nothing for so long is cut off.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests under way may take so long to finish after shutdown began.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);
/// After a failed accept: the process may be out of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// Measures are gathered this often.
const GATHER_EVERY: Duration = Duration::from_secs(5);
/// What one connection buffers at most, in bytes.
const BUFFER_BYTES: usize = 256 << 10;

/// Said to a connection too many, without a look at what it asks.
const TOO_MANY: &str = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n\
    connection: close\r\ncontent-type: application/problem+json\r\ncontent-length: 181\r\n\r\n\
    {\"type\":\"urn:caudal:problem:overloaded\",\"title\":\"Overloaded\",\"status\":503,\
    \"code\":\"overloaded\",\"detail\":\"too many connections are open\",\
    \"param\":null,\"request_id\":\"\",\"retryable\":true}";

/// Tells event streams, which never end by themselves, that the server stops.
#[derive(Clone)]
pub(crate) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    pub async fn wait(&mut self) {
        // An error means that the server is gone already.
        let _ = self.0.wait_for(|stops| *stops).await;
    }
}

/// Serves until `shutdown` is done, then finishes the requests under way, for 20 seconds at most.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let (stop, stops) = watch::channel(false);
    let gathering = tokio::spawn(gather());
    let server = Server {
        router: Extension(Stopping(stops)).layer(router),
        places: Arc::new(Semaphore::new(CONNECTIONS_MOST)),
        graceful: GracefulShutdown::new(),
    };
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            accepted = listener.accept() => server.accept(accepted).await,
            () = &mut shutdown => break,
        }
    }
    drop(listener);
    // Nobody listens when there is no event stream.
    let _ = stop.send(true);
    if timeout(SHUTDOWN_TIMEOUT, server.graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
    gathering.abort();
    Ok(())
}

/// Without it, what was measured would pile up until somebody looks.
async fn gather() {
    let mut ticks = interval(GATHER_EVERY);
    loop {
        ticks.tick().await;
        Metrics::gather();
    }
}

/// The routes, which are told when the server stops.
type Stoppable = AddExtension<Router, Stopping>;

struct Server {
    router: Stoppable,
    places: Arc<Semaphore>,
    graceful: GracefulShutdown,
}

impl Server {
    async fn accept(&self, accepted: io::Result<(TcpStream, std::net::SocketAddr)>) {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                return sleep(ACCEPT_AGAIN).await;
            }
        };
        // Small answers must not wait for more; a peer already gone is found out on reading.
        let _ = stream.set_nodelay(true);
        match self.places.clone().try_acquire_owned() {
            Ok(place) => {
                let watcher = self.graceful.watcher();
                let service = Extension(ClientAddress(peer.ip())).layer(self.router.clone());
                tokio::spawn(converse(stream, service, watcher, place));
            }
            Err(_) => {
                // Whoever can't be told at once is not told.
                let _ = stream.try_write(TOO_MANY.as_bytes());
            }
        }
    }
}

/// One connection, to its end.
async fn converse(
    stream: TcpStream,
    service: AddExtension<Stoppable, ClientAddress>,
    watcher: Watcher,
    _place: OwnedSemaphorePermit,
) {
    let _open = Open::new("concurrent_connections");
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(BUFFER_BYTES)
        .pipeline_flush(true);
    let io = TokioIo::new(Impatient::new(stream, WRITE_TIMEOUT));
    let connection = builder.serve_connection(io, TowerToHyperService::new(service)).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(error, "a connection ended badly");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_made_answer_is_as_long_as_it_says() {
        let (head, body) = TOO_MANY.split_once("\r\n\r\n").expect("head and body");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
