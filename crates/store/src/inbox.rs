//! Which events a consumer has dealt with: its effect is written in the unit of work that marks the
//! event here, so each counts once however often it comes.

use caudal_domain::{EventId, Timestamp};

use crate::{Backend, Step, StoreError};

/// Misses when the consumer has dealt with this event.
pub fn insert(consumer: &str, event: EventId, at: Timestamp) -> Step {
    Step::one(
        "insert into inbox (consumer, event_id, at) values ($1, $2, $3) on conflict do nothing",
        vec![consumer.into(), event.0.into(), at.into()],
    )
}

/// Forgets what was dealt with before `at`: to lie further back than any event can come again.
pub fn remove_before(at: Timestamp) -> Step {
    Step::new("delete from inbox where at < $1", vec![at.into()])
}

pub async fn has(db: &dyn Backend, consumer: &str, event: EventId) -> Result<bool, StoreError> {
    let sql = "select 1 from inbox where consumer = $1 and event_id = $2";
    Ok(!db.query("inbox", sql, &[consumer.into(), event.0.into()]).await?.is_empty())
}
