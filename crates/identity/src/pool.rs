//! A few threads of low priority behind a short queue: slow work that must not slow the rest.
//!
//! The threads run when nothing else wants the core (`SCHED_IDLE`), so under load money moves first
//! and logins wait. Whoever comes takes a [`Place`] in the line before doing anything else: a full
//! line turns away at once. When it is their [`Turn`] they do what costs others something, such as
//! looks into a database, and then the work itself; whoever stopped waiting is passed over.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot};

use crate::passwords::HashError;

/// Where the policy is forbidden: a tenth of the weight of a thread at 0 when both want the core.
const NICE: i32 = 10;
/// For each thread: one piece of work under way, and one being made ready for it.
const TURNS_PER_THREAD: usize = 2;

/// `S` is what each thread keeps between two pieces of work.
pub(crate) struct Pool<S> {
    shared: Arc<Shared<S>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Those who wait and those whose turn it is.
    line: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    /// How long one waits for a turn, and then for the work.
    wait: Duration,
}

/// A place in the line: work that will be done.
#[derive(Debug)]
pub struct Place {
    held: OwnedSemaphorePermit,
    turns: Arc<Semaphore>,
    wait: Duration,
}

/// The work can be done now. Given up by dropping it.
#[derive(Debug)]
pub struct Turn {
    _place: OwnedSemaphorePermit,
    _turn: OwnedSemaphorePermit,
}

impl Place {
    /// Waits for those before.
    pub async fn turn(self) -> Result<Turn, HashError> {
        let Self { held, turns, wait } = self;
        match tokio::time::timeout(wait, turns.acquire_owned()).await {
            Ok(Ok(turn)) => Ok(Turn { _place: held, _turn: turn }),
            Ok(Err(_)) => Err(HashError::Stopped),
            Err(_) => Err(HashError::TimedOut),
        }
    }
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
    /// `queue`: how many may wait besides those whose turn it is.
    pub(crate) fn start(threads: usize, queue: usize, wait: Duration) -> io::Result<Self> {
        let state = State { jobs: VecDeque::new(), stopped: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let at_once = TURNS_PER_THREAD * threads;
        let (line, turns) = (Semaphore::new(at_once + queue), Semaphore::new(at_once));
        let (line, turns) = (Arc::new(line), Arc::new(turns));
        // Threads that did start end with the pool if one more can't.
        let pool = Self { shared, threads: Mutex::default(), line, turns, wait };
        for n in 0..threads {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::Builder::new().name(format!("passwords-{n}"));
            locked(&pool.threads).push(thread.spawn(move || shared.work())?);
        }
        Ok(pool)
    }
}

impl<S> Pool<S> {
    /// Takes a place in the line; refuses at once where it is full.
    pub(crate) fn place(&self) -> Result<Place, HashError> {
        let held = self.line.clone().try_acquire_owned().map_err(|error| match error {
            TryAcquireError::NoPermits => HashError::Full,
            TryAcquireError::Closed => HashError::Stopped,
        })?;
        Ok(Place { held, turns: self.turns.clone(), wait: self.wait })
    }

    /// Does the work on one of the threads. The turn ends with it.
    pub(crate) async fn run<T, F>(&self, _turn: Turn, work: F) -> Result<T, HashError>
    where
        T: Send + 'static,
        F: FnOnce(&mut S) -> T + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.shared.put(Box::new(Work { work, answer }))?;
        match tokio::time::timeout(self.wait, answered).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) => Err(HashError::Stopped),
            Err(_) => Err(HashError::TimedOut),
        }
    }

    pub(crate) fn shut_down(&self) {
        self.line.close();
        self.turns.close();
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
    /// There are never more jobs than turns, for those who gave up are thrown out.
    fn put(&self, job: Box<dyn Job<S>>) -> Result<(), HashError> {
        let mut state = locked(&self.state);
        if state.stopped {
            return Err(HashError::Stopped);
        }
        state.jobs.retain(|job| job.is_awaited());
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
        stand_back();
        let mut scratch = S::default();
        while let Some(job) = self.take() {
            job.run(&mut scratch);
        }
    }
}

/// Lets every other thread go first. Among processes of other sessions that is less than it seems:
/// `sched_autogroup` shares the core among sessions before it looks at their threads.
fn stand_back() {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let idle = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy);
    if idle.is_err() {
        // Linux sets it for the calling thread alone. Where it is forbidden, work goes on unniced.
        let _ = rustix::process::setpriority_process(None, NICE);
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

    use thread_priority::thread_schedule_policy;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Begins the future, as `spawn` would.
    fn begin<F: Future>(future: std::pin::Pin<&mut F>) {
        assert!(future.poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }

    async fn do_it<T: Send + 'static>(
        pool: &Pool<()>,
        work: impl FnOnce(&mut ()) -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let turn = pool.place()?.turn().await?;
        pool.run(turn, work).await
    }

    #[tokio::test]
    async fn a_full_line_refuses_at_once_and_who_gave_up_is_passed_over() {
        let pool: Pool<()> = Pool::start(1, 1, LONG).unwrap();
        let (begun, has_begun) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let mut busy = pin!(do_it(&pool, move |_| {
            begun.send(()).unwrap();
            released.recv().unwrap();
        }));
        begin(busy.as_mut());
        has_begun.recv().unwrap();
        let mut gone = Box::pin(do_it(&pool, |_| panic!("nobody waits for this")));
        begin(gone.as_mut());
        let mut next = pin!(do_it(&pool, |_| 7));
        begin(next.as_mut());
        assert_eq!(pool.place().unwrap_err(), HashError::Full);
        drop(gone);
        let place = pool.place().unwrap();
        assert_eq!(pool.place().unwrap_err(), HashError::Full);
        drop(place);
        // It was in the line; now it is its turn, and it waits for the thread.
        begin(next.as_mut());
        release.send(()).unwrap();
        assert_eq!(busy.await, Ok(()));
        assert_eq!(next.await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told() {
        let pool: Pool<()> = Pool::start(1, 2, LONG).unwrap();
        let (release, released) = mpsc::channel::<()>();
        let answer = do_it(&pool, move |_| released.recv()).await;
        assert_eq!(answer, Err(HashError::TimedOut));
        let turns = [(); TURNS_PER_THREAD].map(|()| pool.place().unwrap());
        let mut held = Vec::new();
        for place in turns {
            held.push(place.turn().await.unwrap());
        }
        assert_eq!(pool.place().unwrap().turn().await.unwrap_err(), HashError::TimedOut);
        release.send(()).unwrap();
    }

    #[tokio::test]
    async fn shutting_down_ends_the_threads_and_tells_who_waits() {
        let pool: Pool<()> = Pool::start(2, 8, LONG).unwrap();
        assert_eq!(do_it(&pool, |_| 1).await, Ok(1));
        let place = pool.place().unwrap();
        pool.shut_down();
        assert_eq!(Arc::strong_count(&pool.shared), 1, "a thread still lives");
        assert_eq!(place.turn().await.unwrap_err(), HashError::Stopped);
        assert_eq!(do_it(&pool, |_| ()).await, Err(HashError::Stopped));
        pool.shut_down();
    }

    #[tokio::test]
    async fn the_threads_stand_back_and_the_caller_does_not() {
        let pool: Pool<()> = Pool::start(1, 1, LONG).unwrap();
        let before = thread_schedule_policy().unwrap();
        let policy = do_it(&pool, |_| thread_schedule_policy()).await.unwrap();
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        assert_eq!(policy.unwrap(), idle);
        assert_eq!(thread_schedule_policy().unwrap(), before);
    }
}
