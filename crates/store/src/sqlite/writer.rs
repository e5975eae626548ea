//! The one thread that writes. It takes closures by a bounded channel and survives whatever they
//! do: after an error or a panic the open transaction is rolled back and the next one is served.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot};

use super::{
    checkpoint::Checkpoints,
    flushes::{Flushes, Progress},
};
use crate::StoreError;

/// Writes that may wait at the thread's door, and how long one may wait to join them.
const QUEUE: usize = 256;
const WAIT: Duration = Duration::from_secs(2);

type Work = Box<dyn FnOnce(&Connection) + Send>;

pub struct Writer {
    queue: Option<mpsc::Sender<Work>>,
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// The lock is let go when the connection is closed.
    pub fn start(
        mut connection: Connection,
        (checkpoints, flushes): (Checkpoints, Flushes),
        lock: File,
    ) -> Result<Self, StoreError> {
        let (queue, work) = mpsc::channel(QUEUE);
        let progress = flushes.progress.clone();
        let begun = progress.clone();
        connection.commit_hook(Some(move || {
            begun.begin();
            false
        }))?;
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || {
                serve(&connection, (&checkpoints, &flushes), work);
                drop(flushes);
                drop(checkpoints);
                drop(connection);
                drop(lock);
            })
            .map_err(|error| StoreError::Unavailable(format!("no writer thread: {error}")))?;
        Ok(Self { queue: Some(queue), progress, thread: Some(thread) })
    }

    /// Runs `work` on the writer thread, and waits until what it wrote, or saw, is on disk.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let gone = || StoreError::Unavailable("the writer gave up on this write".into());
        self.progress.require_disk()?;
        let (answer, answered) = oneshot::channel();
        let progress = self.progress.clone();
        let work: Work = Box::new(move |connection| {
            let result = work(connection);
            // Whoever asked may be gone; the write counts all the same.
            let _ = answer.send((result, progress.begun()));
        });
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        queue
            .send_timeout(work, WAIT)
            .await
            .map_err(|_| StoreError::Unavailable("the writer's queue is full".into()))?;
        let (result, commits) = answered.await.map_err(|_| gone())?;
        match self.progress.flushed(commits).await {
            Ok(()) => result,
            Err(error) => Err(StoreError::Unknown(error.to_string())),
        }
    }

    /// Waits until whatever could be read by now is on disk.
    pub async fn seen_is_on_disk(&self) -> Result<(), StoreError> {
        self.progress.flushed(self.progress.begun()).await
    }
}

impl Drop for Writer {
    /// Waits for the last write and the closing of the file, so that it can be opened again.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    connection: &Connection,
    (checkpoints, flushes): (&Checkpoints, &Flushes),
    mut queue: mpsc::Receiver<Work>,
) {
    while let Some(work) = queue.blocking_recv() {
        if catch_unwind(AssertUnwindSafe(|| work(connection))).is_err() {
            tracing::error!("BUG: a write panicked; it was rolled back");
        }
        roll_back(connection);
        flushes.between_writes();
        checkpoints.between_writes(connection);
    }
}

/// SQLite ends the transaction by itself after some errors; then there is nothing to roll back.
fn roll_back(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("rollback")
    {
        tracing::error!(%error, "a transaction could not be rolled back");
    }
}

/// How a transaction ends that met no error.
pub enum End<T> {
    Commit(T),
    Rollback(T),
}

/// Runs `work` in a transaction of its own; an error means that nothing was written.
pub fn transaction<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<End<T>, StoreError>,
) -> Result<T, StoreError> {
    connection.prepare_cached("begin immediate")?.execute([])?;
    let end = work(connection);
    if let Ok(End::Commit(_)) = end {
        let committed = connection.prepare_cached("commit")?.execute([]);
        if let Err(error) = committed {
            roll_back(connection);
            return Err(not_committed(error));
        }
    } else {
        roll_back(connection);
    }
    end.map(|(End::Commit(value) | End::Rollback(value))| value)
}

/// Where the disk failed under COMMIT itself, the WAL may hold the whole batch or not: this process
/// does not see it, but one that starts after a crash might.
fn not_committed(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure) => StoreError::Unknown(error.to_string()),
        _ => error.into(),
    }
}
