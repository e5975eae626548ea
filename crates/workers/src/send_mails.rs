//! Sends the mails of the outbox, and once an hour throws away what has ended.

use std::time::Duration;

use caudal_service::Service;

use crate::Rounds;

/// A code is waited for by somebody who looks at a screen.
const PAUSE: Duration = Duration::from_millis(500);
const PURGE_EVERY: Duration = Duration::from_secs(3600);

pub(crate) async fn run(service: Service, rounds: Rounds) {
    let mut pause = PAUSE;
    while rounds.next(pause).await {
        pause = match service.send_due_mails().await {
            Ok(0) => PAUSE,
            Ok(_) => Duration::ZERO,
            Err(error) => {
                tracing::warn!(%error, "mails could not be looked for; trying again");
                PAUSE
            }
        };
    }
}

pub(crate) async fn purge(service: Service, rounds: Rounds) {
    while rounds.next(PURGE_EVERY).await {
        if let Err(error) = service.purge().await {
            tracing::warn!(%error, "what has ended could not be thrown away; trying again");
        }
    }
}
