//! Works on payments that were left: what waits for a gateway, what another process did not end.

use std::time::Duration;

use caudal_service::{Service, payment_saga::SAGAS_MOST};

use crate::Rounds;

const PAUSE: Duration = Duration::from_millis(500);

pub(crate) async fn run(service: Service, rounds: Rounds) {
    let mut pause = PAUSE;
    while rounds.next(pause).await {
        pause = match service.work_on_sagas().await {
            Ok(worked) if worked as i64 >= SAGAS_MOST => Duration::ZERO,
            Ok(_) => PAUSE,
            Err(error) => {
                tracing::warn!(%error, "sagas could not be worked on; trying again");
                PAUSE
            }
        };
    }
}
