//! The WAL's way to the disk. The writer commits, and goes on with the next batch while a thread of
//! its own flushes the WAL, once for all that was committed meanwhile. Nobody is answered before
//! what they wrote, or have seen, is on disk.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use tokio::sync::watch;

use crate::StoreError;

/// How far the disk has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flushed {
    UpTo(u64),
    /// What the disk has is not known any more, and asking again would not tell: after a failed
    /// flush the kernel takes the pages for clean.
    Failed,
}

/// Counts commits on their way.
pub struct Progress {
    /// Commits begun: whatever a reader sees is among them.
    begun: AtomicU64,
    /// Commits that stand in the WAL.
    written: AtomicU64,
    flushed: watch::Sender<Flushed>,
    is_closing: AtomicBool,
}

impl Progress {
    /// From within a COMMIT, before anybody can see it.
    pub fn begin(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
    }

    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// Waits until the first `commits` are on disk.
    pub async fn flushed(&self, commits: u64) -> Result<(), StoreError> {
        let is_known = |flushed: &Flushed| match flushed {
            Flushed::UpTo(most) => *most >= commits,
            Flushed::Failed => true,
        };
        match self.flushed.subscribe().wait_for(is_known).await.as_deref() {
            Ok(Flushed::UpTo(_)) => Ok(()),
            _ => Err(failed()),
        }
    }

    /// Refuses where nothing can be promised any more.
    pub fn require_disk(&self) -> Result<(), StoreError> {
        match *self.flushed.borrow() {
            Flushed::UpTo(_) => Ok(()),
            Flushed::Failed => Err(failed()),
        }
    }
}

fn failed() -> StoreError {
    StoreError::Unavailable(
        "the log could not be flushed to disk; check the disk, then start Caudal again".into(),
    )
}

pub struct Flushes {
    pub progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
}

impl Flushes {
    /// Of the database file's WAL.
    pub fn start(path: &Path) -> Result<Self, StoreError> {
        let mut wal = Wal { path: path.to_owned(), file: None };
        Self::start_with(move || wal.flush())
    }

    pub fn start_with(
        mut flush: impl FnMut() -> io::Result<()> + Send + 'static,
    ) -> Result<Self, StoreError> {
        let progress = Arc::new(Progress {
            begun: AtomicU64::new(0),
            written: AtomicU64::new(0),
            flushed: watch::channel(Flushed::UpTo(0)).0,
            is_closing: AtomicBool::new(false),
        });
        let shared = progress.clone();
        let thread = std::thread::Builder::new()
            .name("sqlite-flush".into())
            .spawn(move || serve(&shared, &mut flush))
            .map_err(|error| StoreError::Unavailable(format!("no flushing thread: {error}")))?;
        Ok(Self { progress, thread: Some(thread) })
    }

    /// Called by the writer when no transaction is open.
    pub fn between_writes(&self) {
        let begun = self.progress.begun();
        if self.progress.written.swap(begun, Ordering::SeqCst) < begun
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
    }
}

impl Drop for Flushes {
    fn drop(&mut self) {
        self.progress.is_closing.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn serve(progress: &Progress, flush: &mut dyn FnMut() -> io::Result<()>) {
    let mut flushed = 0;
    loop {
        let written = progress.written.load(Ordering::SeqCst);
        if written == flushed {
            if progress.is_closing.load(Ordering::SeqCst) {
                return;
            }
            std::thread::park();
            continue;
        }
        if let Err(error) = flush() {
            tracing::error!(%error, "the log could not be flushed to disk");
            progress.flushed.send_replace(Flushed::Failed);
            return;
        }
        flushed = written;
        progress.flushed.send_replace(Flushed::UpTo(flushed));
    }
}

/// A handle of our own: what is flushed is the file's, whoever wrote it.
struct Wal {
    path: PathBuf,
    file: Option<File>,
}

impl Wal {
    fn flush(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file {
            return file.sync_data();
        }
        let mut name = self.path.clone().into_os_string();
        name.push("-wal");
        let file = File::open(name)?;
        file.sync_all()?;
        // Its name, too, has to be there after a power failure.
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        self.file = Some(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Flushes that happen when the test says so, and how.
    fn by_hand() -> (Flushes, mpsc::Sender<io::Result<()>>) {
        let (say, said) = mpsc::channel();
        let flush = move || said.recv().unwrap_or(Ok(()));
        (Flushes::start_with(flush).expect("a thread"), say)
    }

    fn commit(flushes: &Flushes) -> u64 {
        flushes.progress.begin();
        flushes.between_writes();
        flushes.progress.begun()
    }

    #[tokio::test]
    async fn a_commit_is_waited_for() {
        let (flushes, say) = by_hand();
        flushes.progress.flushed(0).await.expect("nothing to wait for");
        let first = commit(&flushes);
        let mut waiting = Box::pin(flushes.progress.flushed(first));
        assert!(futures::poll!(&mut waiting).is_pending());
        say.send(Ok(())).expect("a listener");
        waiting.await.expect("on disk");
        let second = commit(&flushes);
        flushes.progress.flushed(first).await.expect("long on disk");
        assert!(futures::poll!(Box::pin(flushes.progress.flushed(second))).is_pending());
    }

    #[tokio::test]
    async fn a_commit_under_way_is_not_claimed() {
        let (flushes, say) = by_hand();
        let first = commit(&flushes);
        flushes.progress.begin();
        say.send(Ok(())).expect("a listener");
        flushes.progress.flushed(first).await.expect("on disk");
        let seen = flushes.progress.begun();
        assert!(futures::poll!(Box::pin(flushes.progress.flushed(seen))).is_pending());
        flushes.between_writes();
        say.send(Ok(())).expect("a listener");
        flushes.progress.flushed(seen).await.expect("on disk");
    }

    #[tokio::test]
    async fn after_a_failure_nothing_is_promised() {
        let (flushes, say) = by_hand();
        let first = commit(&flushes);
        say.send(Err(io::Error::other("EIO"))).expect("a listener");
        let lost = flushes.progress.flushed(first).await;
        assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
        assert!(flushes.progress.require_disk().is_err());
        let next = commit(&flushes);
        assert!(flushes.progress.flushed(next).await.is_err());
    }
}
