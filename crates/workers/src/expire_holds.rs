//! Ends holds whose time has come, a second late at most.

use std::time::Duration;

use caudal_service::{Service, ServiceError, sweep::SWEEP_MOST};

use crate::Rounds;

const PAUSE: Duration = Duration::from_millis(500);

pub(crate) async fn run(service: Service, rounds: Rounds) {
    let mut pause = PAUSE;
    while rounds.next(pause).await {
        pause = match ended(&service).await {
            Ok(ended) if ended as i64 >= SWEEP_MOST => Duration::ZERO,
            Ok(_) => PAUSE,
            Err(error) => {
                tracing::warn!(%error, "holds could not be expired; trying again");
                PAUSE
            }
        };
    }
}

/// Of transfers and of payments; the larger number tells whether there is more to do.
async fn ended(service: &Service) -> Result<usize, ServiceError> {
    let holds = service.expire_holds().await?;
    Ok(holds.max(service.expire_promises().await?))
}
