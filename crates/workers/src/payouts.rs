//! Works on payouts that are due: sends them, and asks after those under way.

use std::time::Duration;

use caudal_service::Service;

use crate::Rounds;

const PAUSE: Duration = Duration::from_millis(250);
/// After a failed look: the database has other worries.
const PAUSE_LONG: Duration = Duration::from_secs(2);

pub(crate) async fn run(service: Service, rounds: Rounds) {
    let mut pause = PAUSE;
    while rounds.next(pause).await {
        pause = match service.work_on_payouts().await {
            Ok(0) => PAUSE,
            Ok(_) => Duration::ZERO,
            Err(error) => {
                tracing::warn!(%error, "payouts could not be looked for; trying again");
                PAUSE_LONG
            }
        };
    }
}
