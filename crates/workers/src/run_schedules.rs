//! Pays what schedules say, when it is due.

use std::time::Duration;

use caudal_service::Service;

use crate::Rounds;

/// Schedules are made to the minute: a second late is in time.
const PAUSE: Duration = Duration::from_millis(1000);

pub(crate) async fn run(service: Service, rounds: Rounds) {
    let mut pause = PAUSE;
    while rounds.next(pause).await {
        pause = match service.run_due_schedules().await {
            Ok(true) => Duration::ZERO,
            Ok(false) => PAUSE,
            Err(error) => {
                tracing::warn!(%error, "schedules can't be looked for now; trying again");
                PAUSE
            }
        };
    }
}
