//! Copies the WAL back into the file, beside the writer as far as can be.
//!
//! Left to the writer, the copying of 400 MB stops every write for half a second. So a thread of
//! its own copies most of it while batches go on, and the writer only the last few pages between
//! two batches; after that the WAL starts anew, unless a reader still needs its old end.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
        mpsc,
    },
    thread::JoinHandle,
};

use rusqlite::{Connection, OpenFlags};

use super::connect;
use crate::StoreError;

/// Pages of the WAL (400 MB) that make a checkpoint due: so many that a page changed by many
/// batches is copied once.
pub const PAGES: i64 = 200_000;

const IDLE: u8 = 0;
/// The thread is copying.
const COPYING: u8 = 1;
/// The thread is through; the writer copies what has come since.
const NEARLY_DONE: u8 = 2;

pub struct Checkpoints {
    pages: i64,
    state: Arc<AtomicU8>,
    wake: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    pub fn start(path: PathBuf, pages: i64) -> Result<Self, StoreError> {
        let connection = connect(
            &path,
            OpenFlags::SQLITE_OPEN_READ_WRITE,
            "pragma synchronous = full; pragma busy_timeout = 2000",
        )?;
        let state = Arc::new(AtomicU8::new(IDLE));
        let (wake, woken) = mpsc::channel();
        let shared = state.clone();
        let thread = std::thread::Builder::new()
            .name("sqlite-checkpoint".into())
            .spawn(move || {
                while woken.recv().is_ok() {
                    // The second time is short, and leaves the writer what came in a short time.
                    copy(&connection);
                    copy(&connection);
                    shared.store(NEARLY_DONE, Ordering::SeqCst);
                }
            })
            .map_err(|error| StoreError::Unavailable(format!("no checkpoint thread: {error}")))?;
        Ok(Self { pages, state, wake: Some(wake), thread: Some(thread) })
    }

    /// Called by the writer when no transaction is open.
    pub fn between_writes(&self, writer: &Connection) {
        match self.state.load(Ordering::SeqCst) {
            IDLE if waiting_pages(writer) >= self.pages => {
                self.state.store(COPYING, Ordering::SeqCst);
                if let Some(wake) = &self.wake {
                    let _ = wake.send(());
                }
            }
            NEARLY_DONE => {
                copy(writer);
                self.state.store(IDLE, Ordering::SeqCst);
            }
            _ => {}
        }
    }
}

impl Drop for Checkpoints {
    /// Closes its connection, so that the writer's is the last one and takes the WAL away.
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Pages in the WAL that are not in the file yet.
fn waiting_pages(connection: &Connection) -> i64 {
    let (pages, copied) = checkpoint(connection, "pragma wal_checkpoint(noop)");
    pages - copied
}

fn copy(connection: &Connection) {
    checkpoint(connection, "pragma wal_checkpoint(passive)");
}

/// Copies everything and cuts the WAL off; whether no reader was in the way. Does not wait for one,
/// for no write goes on meanwhile.
pub fn cut(writer: &Connection) -> bool {
    copy(writer);
    let wait = |ms: u32| writer.execute_batch(&format!("pragma busy_timeout = {ms}"));
    let blocked = wait(0).and_then(|()| {
        let mut pragma = writer.prepare_cached("pragma wal_checkpoint(truncate)")?;
        pragma.query_row([], |row| row.get::<_, bool>(0))
    });
    let waits_again = wait(super::BUSY_MS);
    matches!((blocked, waits_again), (Ok(false), Ok(())))
}

/// `(pages in the WAL, of these copied)`. What fails now is tried again with the next one.
fn checkpoint(connection: &Connection, pragma: &str) -> (i64, i64) {
    let done = connection
        .prepare_cached(pragma)
        .and_then(|mut pragma| pragma.query_row([], |row| Ok((row.get(1)?, row.get(2)?))));
    done.unwrap_or_else(|error| {
        tracing::warn!(%error, "the WAL could not be copied");
        (0, 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wal_starts_anew() {
        let folder = std::env::temp_dir().join(format!("caudal-wal-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("books.db");
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let pragmas = "pragma journal_mode = wal; pragma synchronous = off;
                       pragma wal_autocheckpoint = 0; create table t (n integer)";
        let writer = connect(&path, flags, pragmas).expect("a file");
        let checkpoints = Checkpoints::start(path, 50).expect("a thread");
        let (mut highest, mut fell) = (0, false);
        // Until the thread was seen to work: how soon it is woken is the machine's affair.
        for n in 0..10_000_000 {
            writer.execute("insert into t values (?1)", [n]).expect("a write");
            let (pages, _) = checkpoint(&writer, "pragma wal_checkpoint(noop)");
            fell = pages < highest;
            if fell {
                break;
            }
            highest = pages;
            checkpoints.between_writes(&writer);
        }
        assert!(fell && highest >= 50, "{highest} pages and never anew");
        drop(checkpoints);
        drop(writer);
        assert!(!folder.join("books.db-wal").exists(), "the last connection takes it away");
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
