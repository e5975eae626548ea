//! Pays the lines of files that were uploaded: of several at the same time, so that one whose
//! gateway is slow holds up no other.

use std::time::Duration;

use caudal_service::Service;

use crate::Rounds;

/// Workers of one process.
pub(crate) const FILES_AT_ONCE: usize = 4;
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
