//! Replaces the key that signs tokens when it has signed for its lifetime.

use std::time::Duration;

use caudal_service::Service;

use crate::Rounds;

/// A key is published a quarter of an hour before it signs: a minute is exact enough.
const PAUSE: Duration = Duration::from_secs(60);

pub(crate) async fn run(service: Service, rounds: Rounds) {
    while rounds.next(PAUSE).await {
        match service.rotate_due_signing_key().await {
            Ok(None) => {}
            Ok(Some(key)) => {
                tracing::info!(kid = key.kid, from = %key.active_from, "the next signing key");
            }
            Err(error) => tracing::error!(%error, "the signing key could not be rotated"),
        }
    }
}
