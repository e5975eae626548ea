//! Makes pending money available, a second late at most.

use std::time::Duration;

use caudal_service::{Service, sweep::SWEEP_MOST};

use crate::Rounds;

const PAUSE: Duration = Duration::from_secs(1);

pub(crate) async fn run(service: Service, rounds: Rounds) {
    let mut pause = PAUSE;
    while rounds.next(pause).await {
        pause = match service.make_available().await {
            Ok(made) if made as i64 >= SWEEP_MOST => Duration::ZERO,
            Ok(_) => PAUSE,
            Err(error) => {
                tracing::warn!(%error, "pending money could not be made available; trying again");
                PAUSE
            }
        };
    }
}
