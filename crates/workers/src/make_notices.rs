//! Makes of events what others are told: deliveries to webhook endpoints, notifications in the app.

use std::time::Duration;

use caudal_service::{Service, notices::Looked};

use crate::Rounds;

/// A notice is no answer: a tenth of a second is soon enough.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_AFTER_FAULT: Duration = Duration::from_secs(1);

pub(crate) async fn run(service: Service, rounds: Rounds) {
    let (mut looked, mut pause) = (Looked::default(), Duration::ZERO);
    while rounds.next(pause).await {
        pause = match service.make_notices(&mut looked).await {
            Ok(true) => Duration::ZERO,
            Ok(false) => PAUSE,
            Err(error) => {
                tracing::warn!(%error, "notices can't be made now; trying again");
                PAUSE_AFTER_FAULT
            }
        };
    }
}
