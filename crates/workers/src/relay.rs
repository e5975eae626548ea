//! The relay: events of each stream to the bus, in commit order, without gaps.
//!
//! It reads `seq > last` per stream; `seq` is commit order (the stream's head is taken in the last
//! step before COMMIT), so nothing is skipped or turned round. Its position is kept in the
//! database: after a restart it goes on where it was, giving an event again rather than never.

use std::{sync::Arc, time::Duration};

use caudal_bus::Bus;
use caudal_domain::{Timestamp, id::STREAMS};
use caudal_store::{
    Store, StoreError, UnitOfWork,
    events::{self, Heads},
};
use metrics::counter;

use crate::Rounds;

const NAME: &str = "bus";
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_AFTER_FAULT: Duration = Duration::from_secs(1);
/// Events read from one stream at a time.
const PAGE: i64 = 500;

pub(crate) async fn run(store: Store, bus: Bus, rounds: Rounds) {
    let mut relay = Relay { store, bus, position: None };
    let mut pause = Duration::ZERO;
    while rounds.next(pause).await {
        pause = match relay.round().await {
            Ok(true) => Duration::ZERO,
            Ok(false) => PAUSE,
            Err(error) => {
                tracing::warn!(%error, "the relay could not read; trying again");
                PAUSE_AFTER_FAULT
            }
        };
    }
}

struct Relay {
    store: Store,
    bus: Bus,
    position: Option<Heads>,
}

impl Relay {
    /// One look at all streams; whether there may be more at once.
    async fn round(&mut self) -> Result<bool, StoreError> {
        if !self.bus.has_subscribers() {
            return Ok(false);
        }
        let db = self.store.as_ref();
        let mut position = match self.position {
            Some(position) => position,
            None => events::position(db, NAME).await?,
        };
        let heads = events::heads(db).await?;
        let mut steps = Vec::new();
        let mut more = false;
        for stream in 0..STREAMS {
            let last = &mut position[usize::from(stream)];
            if *last >= heads[usize::from(stream)] {
                continue;
            }
            let page = events::after(db, stream, *last, PAGE).await?;
            more |= page.len() as i64 == PAGE;
            counter!("events_processed_total").increment(page.len() as u64);
            *last = page.last().map_or(heads[usize::from(stream)], |event| event.seq);
            steps.push(events::save_position(NAME, stream, *last));
            page.into_iter().for_each(|event| self.bus.publish(Arc::new(event)));
        }
        self.position = Some(position);
        if !steps.is_empty() {
            let unit = UnitOfWork { at: Timestamp::default(), steps, ..UnitOfWork::default() };
            self.store.commit(unit).await?;
        }
        Ok(more)
    }
}
