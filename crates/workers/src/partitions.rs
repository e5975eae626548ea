//! Keeps partitions ahead of time, and empties the generation of receipts that no longer counts.

use std::{sync::Arc, time::Duration};

use caudal_domain::Clock;
use caudal_store::Store;

use crate::Rounds;

/// Months are created three ahead and generations turn once a day: an hour is early enough.
const PAUSE: Duration = Duration::from_secs(3600);

pub(crate) async fn run(store: Store, clock: Arc<dyn Clock>, rounds: Rounds) {
    let mut pause = Duration::ZERO;
    while rounds.next(pause).await {
        pause = PAUSE;
        let now = clock.now();
        match store.create_partitions(now).await {
            Ok(created) if created.is_empty() => {}
            Ok(created) => tracing::info!(?created, "created partitions"),
            Err(error) => tracing::error!(%error, "partitions could not be created"),
        }
        if let Err(error) = store.retire_receipts(now).await {
            tracing::error!(%error, "old receipts could not be removed");
        }
    }
}
