//! Drops what this process remembers of people when another one changed it: roles, sessions,
//! signing keys. Runs in every process, whatever its roles, for each remembers for itself.
//!
//! What it reads on each round is the stream heads, and where those moved the few kinds of events
//! that matter; a time limit on what is remembered stands behind it.

use std::time::Duration;

use caudal_service::Service;

use crate::Rounds;

const PAUSE: Duration = Duration::from_millis(500);
/// After a failed look: the database has other worries.
const PAUSE_LONG: Duration = Duration::from_secs(2);

pub(crate) async fn run(service: Service, rounds: Rounds) {
    let (mut reached, mut pause) = (None, Duration::ZERO);
    while rounds.next(pause).await {
        pause = match service.heed_others(&mut reached).await {
            Ok(()) => PAUSE,
            Err(error) => {
                tracing::warn!(%error, "changes of other processes can't be followed now");
                PAUSE_LONG
            }
        };
    }
}
