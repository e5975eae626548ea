//! Pays the lines of files that were uploaded.

use std::time::Duration;

use caudal_service::Service;

use crate::Rounds;

/// Whoever uploads a file looks at its progress soon after.
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) async fn run(service: Service, rounds: Rounds) {
    let mut pause = PAUSE;
    while rounds.next(pause).await {
        pause = match service.work_on_uploads().await {
            Ok(true) => Duration::ZERO,
            Ok(false) => PAUSE,
            Err(error) => {
                tracing::warn!(%error, "files of payments can't be worked on now; trying again");
                PAUSE
            }
        };
    }
}
