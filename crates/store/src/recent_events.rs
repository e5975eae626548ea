//! The events of this process' last commits, so that its consumers need not read back what it has
//! just written. What others wrote is not here: that leaves a gap, and whoever comes to it reads
//! the table.
//!
//! Bare transfers' events are passed over: most consumers do not want them, and they are many.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use caudal_domain::{Event, event::StoredEvent, id::STREAMS};

use crate::{
    Position,
    events::{Found, Part},
};

/// Places kept of each stream: two seconds of a thousand events each. Full of payments, all streams
/// together take some 30 MB.
const PLACES: usize = 2048;
const PASSED_OVER: &str = "transfer.";

#[derive(Default)]
pub struct RecentEvents {
    streams: [Mutex<Stream>; STREAMS as usize],
}

#[derive(Default)]
struct Stream {
    /// The `seq` of the first place.
    first: i64,
    places: VecDeque<Place>,
}

#[derive(Clone, Debug)]
enum Place {
    /// Another process' event, or one whose commit was not answered yet.
    Unknown,
    PassedOver,
    Known(Arc<StoredEvent>),
}

impl RecentEvents {
    fn stream(&self, stream: u8) -> MutexGuard<'_, Stream> {
        let stream = &self.streams[usize::from(stream % STREAMS)];
        stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a commit: the events in the order in which they were written, and how far the streams
    /// had come with them.
    pub(crate) fn keep(&self, events: Vec<Event>, position: &Position) {
        let mut counts = [0i64; STREAMS as usize];
        let stream_of = |event: &Event| event.id.bucket().stream();
        events.iter().for_each(|event| counts[usize::from(stream_of(event))] += 1);
        let mut next = [None; STREAMS as usize];
        for (stream, last) in position {
            let stream = usize::from(*stream);
            next[stream] = Some(last - counts[stream] + 1);
        }
        for event in events {
            let stream = stream_of(&event);
            if let Some(seq) = &mut next[usize::from(stream)] {
                self.stream(stream).put(*seq, place_of(event, (stream, *seq)));
                *seq += 1;
            }
        }
    }

    /// The events of these kinds in the part, up to the first that is not known; `None` where less
    /// than half of it is known, or kinds are wanted that are not kept.
    pub(crate) fn find(&self, part: &Part, kinds: Option<&[&'static str]>) -> Option<Found> {
        let kinds = kinds?;
        if kinds.iter().any(|kind| kind.starts_with(PASSED_OVER)) {
            return None;
        }
        self.stream(part.stream).find(part, kinds)
    }

    /// Another server may answer from now on, which need not have all that the last one had.
    pub(crate) fn forget(&self) {
        (0..STREAMS).for_each(|stream| *self.stream(stream) = Stream::default());
    }
}

fn place_of(event: Event, (stream, seq): (u8, i64)) -> Place {
    if event.kind.starts_with(PASSED_OVER) {
        return Place::PassedOver;
    }
    let Event { id, tenant, kind, subject, data, occurred_at } = event;
    let kind = kind.to_owned();
    Place::Known(Arc::new(StoredEvent {
        stream,
        seq,
        id,
        tenant,
        kind,
        subject,
        data,
        occurred_at,
    }))
}

impl Stream {
    fn put(&mut self, seq: i64, place: Place) {
        let end = self.first + self.places.len() as i64;
        if self.places.is_empty() || seq - end >= PLACES as i64 {
            self.places.clear();
            self.first = seq;
        }
        // Lanes answer out of order: an earlier commit's place may be left open.
        while self.first + (self.places.len() as i64) <= seq {
            self.places.push_back(Place::Unknown);
        }
        let slot = usize::try_from(seq - self.first).ok();
        if let Some(slot) = slot.and_then(|slot| self.places.get_mut(slot)) {
            *slot = place;
        }
        while self.places.len() > PLACES {
            self.places.pop_front();
            self.first += 1;
        }
    }

    fn find(&self, part: &Part, kinds: &[&'static str]) -> Option<Found> {
        let start = usize::try_from(part.after + 1 - self.first).ok()?;
        let mut found = Found { events: Vec::new(), reached: part.after };
        for place in self.places.range(start.min(self.places.len())..) {
            if found.reached == part.to || found.events.len() as i64 == part.limit {
                break;
            }
            match place {
                Place::Unknown => break,
                Place::Known(event) if kinds.contains(&event.kind.as_str()) => {
                    found.events.push(event.clone());
                }
                Place::Known(_) | Place::PassedOver => {}
            }
            found.reached += 1;
        }
        // Where processes write in turn, looks at one or two events would cost more than the table.
        let is_cut = found.events.len() as i64 == part.limit;
        let known = found.reached - part.after;
        (is_cut || known > 0 && 2 * known >= part.to - part.after).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use caudal_domain::{EventId, TenantId, Timestamp, event::kinds};

    use super::*;

    const PAYMENTS: &[&str] = &[kinds::PAYMENT_PROCESSED];

    /// Of stream 0, told apart by their times.
    fn event(kind: &'static str, at: i64) -> Event {
        Event {
            id: EventId(1),
            tenant: TenantId(1),
            kind,
            subject: String::new(),
            data: "{}".into(),
            occurred_at: Timestamp::from_micros(at),
        }
    }

    fn payments(recent: &RecentEvents, seqs: std::ops::RangeInclusive<i64>) {
        let events = seqs.clone().map(|seq| event(kinds::PAYMENT_PROCESSED, seq)).collect();
        recent.keep(events, &vec![(0, *seqs.end())]);
    }

    /// What is found after a place, and up to where.
    fn found(recent: &RecentEvents, after: i64, to: i64) -> Option<(Vec<i64>, i64)> {
        let part = Part { stream: 0, after, to, limit: 5 };
        let found = recent.find(&part, Some(PAYMENTS))?;
        let at = |event: &Arc<StoredEvent>| {
            assert_eq!(event.seq, event.occurred_at.micros());
            event.seq
        };
        Some((found.events.iter().map(at).collect(), found.reached))
    }

    #[test]
    fn what_was_written_is_found_up_to_the_first_gap() {
        let recent = RecentEvents::default();
        assert_eq!(found(&recent, 0, 9), None);
        payments(&recent, 11..=12);
        payments(&recent, 15..=16);
        assert_eq!(found(&recent, 9, 12), None, "10 is unknown");
        assert_eq!(found(&recent, 10, 14), Some((vec![11, 12], 12)));
        assert_eq!(found(&recent, 10, 15), None, "less than half");
        assert_eq!(found(&recent, 10, 11), Some((vec![11], 11)));
        assert_eq!(found(&recent, 12, 13), None);
        payments(&recent, 13..=14);
        assert_eq!(found(&recent, 11, 99), Some((vec![12, 13, 14, 15, 16], 16)), "the limit");
        assert_eq!(found(&recent, 10, 99), Some((vec![11, 12, 13, 14, 15], 15)), "the limit");
        assert_eq!(found(&recent, 16, 17), None);
    }

    #[test]
    fn other_kinds_are_passed_over_and_transfers_are_never_found() {
        let recent = RecentEvents::default();
        let kinds = [kinds::TRANSFER_COMPLETED, kinds::WALLET_FUNDED, kinds::PAYMENT_PROCESSED];
        let events = kinds.iter().zip(1..).map(|(kind, at)| event(kind, at)).collect();
        recent.keep(events, &vec![(0, 3)]);
        assert_eq!(found(&recent, 0, 3), Some((vec![3], 3)));
        let part = Part { stream: 0, after: 0, to: 3, limit: 5 };
        assert_eq!(recent.find(&part, Some(&kinds[..1])), None);
        assert_eq!(recent.find(&part, None), None);
    }

    #[test]
    fn what_is_old_or_of_another_server_is_forgotten() {
        let recent = RecentEvents::default();
        payments(&recent, 1..=3000);
        assert_eq!(found(&recent, 0, 3000), None);
        assert_eq!(found(&recent, 2998, 3000), Some((vec![2999, 3000], 3000)));
        payments(&recent, 1..=1);
        assert_eq!(found(&recent, 0, 3000), None, "too old to be kept");
        payments(&recent, 9000..=9001);
        assert_eq!(found(&recent, 2998, 9001), None);
        assert_eq!(found(&recent, 8999, 9001), Some((vec![9000, 9001], 9001)));
        recent.forget();
        assert_eq!(found(&recent, 8999, 9001), None);
    }
}
