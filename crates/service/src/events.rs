//! Events as they happen: a [`Tail`] follows the store from any position, in commit order and
//! without gaps per stream.
//!
//! One poller reads for all tails and runs only while there is one: it looks at the streams' heads
//! every [`POLL_EVERY`], reads what is new once, and broadcasts it. A tail that starts in the past,
//! or fell behind, reads from the store until it meets the broadcast.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub use caudal_domain::event::StoredEvent;
use caudal_domain::{AccountId, TenantId, id::STREAMS};
pub use caudal_store::events::Heads;
use caudal_store::{Store, events};
use metrics::{counter, histogram};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::{
    Caller, Reach, Service, ServiceError,
    ownership::Owners,
    whose_event::{Heard, Names, seen_by},
};

/// The heads are looked at this often at most.
const POLL_EVERY: Duration = Duration::from_millis(50);
/// After a failed look.
const POLL_AGAIN: Duration = Duration::from_secs(1);
/// Events read in one statement.
const READ_MOST: i64 = 500;
/// Parts of the broadcast a tail may be behind before it reads from the store again.
const BEHIND_MOST: usize = 256;

/// What the poller tells every tail.
#[derive(Clone)]
enum News {
    /// The poller begins here: whoever is before it reads the difference from the store.
    Began(Heads),
    /// The next events of one stream, in order.
    Events(Arc<Vec<Arc<Heard>>>),
}

/// Where tails and the poller meet.
pub(crate) struct Hub {
    store: Store,
    news: broadcast::Sender<News>,
    is_polling: Mutex<bool>,
}

impl Hub {
    pub fn new(store: Store) -> Self {
        Self { store, news: broadcast::Sender::new(BEHIND_MOST), is_polling: Mutex::new(false) }
    }

    /// Joins the broadcast, and starts the poller if nobody had listened before.
    fn join(self: &Arc<Self>) -> broadcast::Receiver<News> {
        let mut is_polling = self.is_polling.lock().unwrap_or_else(PoisonError::into_inner);
        let news = self.news.subscribe();
        if !*is_polling {
            *is_polling = true;
            tokio::spawn(self.clone().poll());
        }
        news
    }

    async fn poll(self: Arc<Self>) {
        let mut reached = None;
        while !self.is_left() {
            let wait = match self.step(&mut reached).await {
                Ok(()) => POLL_EVERY,
                Err(error) => {
                    tracing::warn!(%error, "the event streams can't be read now");
                    POLL_AGAIN
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Whether nobody listens any more; the poller then ends.
    fn is_left(&self) -> bool {
        let mut is_polling = self.is_polling.lock().unwrap_or_else(PoisonError::into_inner);
        *is_polling = self.news.receiver_count() > 0;
        !*is_polling
    }

    async fn step(&self, reached: &mut Option<Heads>) -> Result<(), caudal_store::StoreError> {
        let heads = events::heads(self.store.as_ref()).await?;
        let Some(reached) = reached else {
            *reached = Some(heads);
            // Nobody listens any more: then nobody misses it.
            let _ = self.news.send(News::Began(heads));
            return Ok(());
        };
        for (stream, seq) in reached.iter_mut().enumerate() {
            while *seq < heads[stream] {
                let read =
                    events::after(self.store.as_ref(), stream as u8, *seq, READ_MOST).await?;
                let Some(last) = read.last() else { break };
                *seq = last.seq;
                let read = read.into_iter().map(Heard::new).collect();
                let _ = self.news.send(News::Events(Arc::new(read)));
            }
        }
        Ok(())
    }
}

/// Follows the events of one tenant, as far as its reader reaches.
pub struct Tail {
    hub: Arc<Hub>,
    tenant: TenantId,
    reach: Reach,
    owners: Owners,
    /// The reader's wallets in the first event that is ready, once they were read.
    own: Option<HashSet<AccountId>>,
    news: broadcast::Receiver<News>,
    /// What was given out.
    position: Heads,
    /// What was read, by us or by the poller.
    read: Heads,
    /// Up to where the store has to be read before the broadcast counts.
    catch_up: Heads,
    ready: VecDeque<Arc<Heard>>,
}

impl Service {
    /// How many events a consumer has gone through, and how long after they happened.
    pub(crate) fn measure_heard(&self, consumer: &'static str, events: &[Arc<StoredEvent>]) {
        let Some(last) = events.last() else { return };
        counter!("events_processed_total", "consumer" => consumer).increment(events.len() as u64);
        let late_micros = self.now().micros().saturating_sub(last.occurred_at.micros()).max(0);
        histogram!("event_processing_seconds", "consumer" => consumer)
            .record(late_micros as f64 / 1e6);
    }

    /// Follows the caller's events from a position on, or from now.
    pub async fn tail(&self, caller: &Caller, from: Option<Heads>) -> Result<Tail, ServiceError> {
        let hub = self.inner.hub.clone();
        // Joined before the heads are read, so that nothing falls between the two.
        let news = hub.join();
        let heads = events::heads(self.store()).await?;
        let position = from.unwrap_or(heads);
        if position.iter().zip(heads).any(|(from, head)| *from > head) {
            return Err(ServiceError::invalid("Last-Event-ID", "lies in the future"));
        }
        Ok(Tail {
            hub,
            tenant: caller.tenant,
            reach: caller.reach,
            owners: self.inner.owners.clone(),
            own: None,
            news,
            position,
            read: position,
            catch_up: heads,
            ready: VecDeque::new(),
        })
    }
}

impl Tail {
    /// Where the next event follows.
    pub fn position(&self) -> &Heads {
        &self.position
    }

    /// The next event, waiting for it. May be dropped while it waits and be called again.
    pub async fn next(&mut self) -> Result<Arc<StoredEvent>, ServiceError> {
        loop {
            if let Some(event) = self.try_next() {
                return Ok(event);
            }
            if let Some(first) = self.ready.front().cloned() {
                self.own = Some(self.read_own(&first).await?);
                continue;
            }
            match self.behind() {
                Some(stream) => self.read_store(stream).await?,
                None => self.hear().await?,
            }
        }
    }

    /// The next event, if it was read already.
    pub fn try_next(&mut self) -> Option<Arc<StoredEvent>> {
        while let Some(first) = self.ready.front() {
            let shown = self.shown(first)?;
            let stored = &first.stored;
            self.position[usize::from(stored.stream % STREAMS)] = stored.seq;
            self.ready.pop_front();
            self.own = None;
            if shown.is_some() {
                return shown;
            }
        }
        None
    }

    /// The event as its reader may see it, if at all. `None`: owners of wallets have to be read.
    #[expect(clippy::option_option, reason = "hidden is not the same as not known yet")]
    fn shown(&self, heard: &Heard) -> Option<Option<Arc<StoredEvent>>> {
        let stored = &heard.stored;
        let Reach::Own(user) = self.reach else {
            return Some((stored.tenant == self.tenant).then(|| stored.clone()));
        };
        if stored.tenant != self.tenant {
            return Some(None);
        }
        let names = heard.names();
        let own = match &self.own {
            Some(own) => own.clone(),
            None => self.known_own(names)?,
        };
        let is_theirs = names.user_id == Some(user) || !own.is_empty();
        Some(is_theirs.then(|| seen_by(stored, user, &own)))
    }

    /// Which of the wallets are the reader's, if all are known.
    fn known_own(&self, names: &Names) -> Option<HashSet<AccountId>> {
        let mut own = HashSet::new();
        for wallet in names.wallets() {
            if self.reach.holds_of(self.owners.known(self.tenant, wallet)?) {
                own.insert(wallet);
            }
        }
        Some(own)
    }

    async fn read_own(&self, heard: &Heard) -> Result<HashSet<AccountId>, ServiceError> {
        let mut own = HashSet::new();
        for wallet in heard.names().wallets() {
            let user = self.owners.read(self.hub.store.as_ref(), self.tenant, wallet).await?;
            if self.reach.holds_of(user) {
                own.insert(wallet);
            }
        }
        Ok(own)
    }

    /// A stream that the store has more of.
    fn behind(&self) -> Option<u8> {
        (0..STREAMS).find(|stream| {
            let stream = usize::from(*stream);
            self.read[stream] < self.catch_up[stream]
        })
    }

    async fn read_store(&mut self, stream: u8) -> Result<(), ServiceError> {
        let place = usize::from(stream);
        let store = self.hub.store.as_ref();
        let events = events::after(store, stream, self.read[place], READ_MOST).await?;
        match events.last() {
            Some(last) => self.read[place] = last.seq,
            // Past its retention: there is nothing more to wait for.
            None => self.read[place] = self.catch_up[place],
        }
        self.ready.extend(events.into_iter().map(Heard::new));
        Ok(())
    }

    async fn hear(&mut self) -> Result<(), ServiceError> {
        match self.news.recv().await {
            Ok(News::Began(heads)) => {
                for (place, head) in heads.into_iter().enumerate() {
                    self.catch_up[place] = self.catch_up[place].max(head);
                }
            }
            Ok(News::Events(events)) => self.take(&events),
            Err(RecvError::Lagged(_)) => {
                self.catch_up = events::heads(self.hub.store.as_ref()).await?;
            }
            Err(RecvError::Closed) => {
                return Err(ServiceError::Unavailable("the event stream has ended".into()));
            }
        }
        Ok(())
    }

    /// Takes what continues our reading; what leaves a gap is read from the store instead.
    fn take(&mut self, events: &[Arc<Heard>]) {
        let Some(last) = events.last().map(|last| &last.stored) else { return };
        let place = usize::from(last.stream % STREAMS);
        for event in events {
            let next = self.read[place] + 1;
            let seq = event.stored.seq;
            if seq == next {
                self.read[place] = next;
                self.ready.push_back(event.clone());
            } else if seq > next {
                self.catch_up[place] = self.catch_up[place].max(last.seq);
                return;
            }
        }
    }
}
