//! Works on what gateways told by webhook, soon after it was answered.

use std::time::Duration;

use caudal_service::Service;

use crate::Rounds;

/// A payer may be looking at a screen.
const PAUSE: Duration = Duration::from_millis(200);
/// After a failed look: the database has other worries.
const PAUSE_LONG: Duration = Duration::from_secs(2);

pub(crate) async fn run(service: Service, rounds: Rounds) {
    let mut pause = PAUSE;
    while rounds.next(pause).await {
        pause = match service.work_on_webhooks().await {
            Ok(0) => PAUSE,
            Ok(_) => Duration::ZERO,
            Err(error) => {
                tracing::warn!(%error, "webhooks could not be looked for; trying again");
                PAUSE_LONG
            }
        };
    }
}
