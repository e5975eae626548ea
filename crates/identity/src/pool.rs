//! A few threads of low priority behind a short queue: slow work that must not slow the rest.
//!
//! The threads are niced, so under load money moves first and logins wait; a full queue turns
//! work away at once, and whoever stopped waiting is passed over.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::passwords::HashError;

/// Linux: a tenth of the weight of a thread at 0 when both want the core.
const NICE: i32 = 10;

/// `S` is what each thread keeps between two pieces of work.
pub(crate) struct Pool<S> {
    shared: Arc<Shared<S>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    queue: usize,
}

struct Shared<S> {
    state: Mutex<State<S>>,
    changed: Condvar,
}

struct State<S> {
    jobs: VecDeque<Box<dyn Job<S>>>,
    stopped: bool,
}

trait Job<S>: Send {
    fn is_awaited(&self) -> bool;
    fn run(self: Box<Self>, scratch: &mut S);
}

struct Work<F, T> {
    work: F,
    answer: oneshot::Sender<T>,
}

impl<S, T: Send, F: FnOnce(&mut S) -> T + Send> Job<S> for Work<F, T> {
    fn is_awaited(&self) -> bool {
        !self.answer.is_closed()
    }

    fn run(self: Box<Self>, scratch: &mut S) {
        // Whoever asked may have gone meanwhile.
        let _ = self.answer.send((self.work)(scratch));
    }
}

impl<S: Default + 'static> Pool<S> {
    pub(crate) fn start(threads: usize, queue: usize) -> io::Result<Self> {
        let state = State { jobs: VecDeque::with_capacity(queue), stopped: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        // Threads that did start end with the pool if one more can't.
        let pool = Self { shared, threads: Mutex::default(), queue };
        for n in 0..threads {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::Builder::new().name(format!("passwords-{n}"));
            locked(&pool.threads).push(thread.spawn(move || shared.work())?);
        }
        Ok(pool)
    }
}

impl<S> Pool<S> {
    /// Does the work on one of the threads; waits for `wait` at most.
    pub(crate) async fn run<T, F>(&self, wait: Duration, work: F) -> Result<T, HashError>
    where
        T: Send + 'static,
        F: FnOnce(&mut S) -> T + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.shared.put(self.queue, Box::new(Work { work, answer }))?;
        match tokio::time::timeout(wait, answered).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) => Err(HashError::Stopped),
            Err(_) => Err(HashError::TimedOut),
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        locked(&self.shared.state).jobs.len()
    }

    pub(crate) fn shut_down(&self) {
        let mut state = locked(&self.shared.state);
        state.stopped = true;
        // Who waits learns it from the dropped sender.
        state.jobs.clear();
        drop(state);
        self.shared.changed.notify_all();
        for thread in std::mem::take(&mut *locked(&self.threads)) {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}

impl<S> Drop for Pool<S> {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl<S> Shared<S> {
    fn put(&self, queue: usize, job: Box<dyn Job<S>>) -> Result<(), HashError> {
        let mut state = locked(&self.state);
        if state.stopped {
            return Err(HashError::Stopped);
        }
        if state.jobs.len() >= queue {
            // Those who gave up make room for those who didn't.
            state.jobs.retain(|job| job.is_awaited());
        }
        if state.jobs.len() >= queue {
            return Err(HashError::Full);
        }
        state.jobs.push_back(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    fn take(&self) -> Option<Box<dyn Job<S>>> {
        let mut state = locked(&self.state);
        loop {
            if state.stopped {
                return None;
            }
            match state.jobs.pop_front() {
                Some(job) if job.is_awaited() => return Some(job),
                Some(_) => {}
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl<S: Default> Shared<S> {
    fn work(&self) {
        // Linux sets it for the calling thread alone. Where it is forbidden, work goes on unniced.
        let _ = rustix::process::setpriority_process(None, NICE);
        let mut scratch = S::default();
        while let Some(job) = self.take() {
            job.run(&mut scratch);
        }
    }
}

/// No code that could panic runs under these locks.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::pin,
        sync::mpsc,
        task::{Context, Waker},
    };

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Begins the future, as `spawn` would.
    fn begin<F: Future>(future: std::pin::Pin<&mut F>) {
        assert!(future.poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }

    #[tokio::test]
    async fn a_full_queue_answers_at_once_and_who_gave_up_is_passed_over() {
        let pool: Pool<()> = Pool::start(1, 1).unwrap();
        let (begun, has_begun) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let mut busy = pin!(pool.run(LONG, move |_| {
            begun.send(()).unwrap();
            released.recv().unwrap();
        }));
        begin(busy.as_mut());
        has_begun.recv().unwrap();
        let mut gone = Box::pin(pool.run(LONG, |_| panic!("nobody waits for this")));
        begin(gone.as_mut());
        assert_eq!(pool.run(LONG, |_| ()).await, Err(HashError::Full));
        drop(gone);
        let mut next = pin!(pool.run(LONG, |_| 7));
        begin(next.as_mut());
        assert_eq!(pool.waiting(), 1);
        release.send(()).unwrap();
        assert_eq!(busy.await, Ok(()));
        assert_eq!(next.await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told() {
        let pool: Pool<()> = Pool::start(1, 2).unwrap();
        let (release, released) = mpsc::channel::<()>();
        let answer = pool.run(LONG, move |_| released.recv()).await;
        assert_eq!(answer, Err(HashError::TimedOut));
        release.send(()).unwrap();
    }

    #[tokio::test]
    async fn shutting_down_ends_the_threads_and_tells_who_waits() {
        let pool: Pool<()> = Pool::start(2, 8).unwrap();
        assert_eq!(pool.run(LONG, |_| 1).await, Ok(1));
        pool.shut_down();
        assert_eq!(Arc::strong_count(&pool.shared), 1, "a thread still lives");
        assert_eq!(pool.run(LONG, |_| ()).await, Err(HashError::Stopped));
        pool.shut_down();
    }

    #[tokio::test]
    async fn the_threads_are_niced_and_the_caller_is_not() {
        let pool: Pool<()> = Pool::start(1, 1).unwrap();
        let before = rustix::process::getpriority_process(None).unwrap();
        let nice = pool.run(LONG, |_| rustix::process::getpriority_process(None)).await.unwrap();
        assert_eq!(nice.unwrap(), NICE.max(before));
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), before);
    }
}
