//! Keeps the daily sums of payments.

use std::time::Duration;

use caudal_service::{Service, reports::LookedAt};

use crate::Rounds;

/// A report is read by people: a second late is soon enough, and fewer, larger commits are cheaper.
const PAUSE: Duration = Duration::from_millis(1000);

pub(crate) async fn run(service: Service, rounds: Rounds) {
    let (mut looked, mut pause) = (LookedAt::default(), PAUSE);
    while rounds.next(pause).await {
        pause = match service.keep_reports(&mut looked).await {
            Ok(true) => Duration::ZERO,
            Ok(false) => PAUSE,
            Err(error) => {
                tracing::warn!(%error, "payments can't be counted now; trying again");
                PAUSE
            }
        };
    }
}
