//! Sends the deliveries that are due, many at once, through a [`Pool`].
//!
//! Whoever is stopped in the middle leaves claims that end by themselves; what was only queued was
//! not claimed.

use std::time::Duration;

use caudal_domain::{DeliveryId, WebhookEndpointId};
use caudal_service::{Service, ServiceError, deliveries::DeliveryRow};
use metrics::gauge;
use tokio::task::JoinSet;

use crate::{
    Rounds,
    pool::{Pool, PoolSettings},
};

const PAUSE: Duration = Duration::from_millis(250);
/// While there is more due than was taken up.
const PAUSE_SHORT: Duration = Duration::from_millis(20);
const PAUSE_AFTER_FAULT: Duration = Duration::from_secs(1);

type Ended = (DeliveryId, WebhookEndpointId);

pub(crate) async fn run(service: Service, settings: PoolSettings, rounds: Rounds) {
    let (mut pool, mut workers) = (Pool::new(settings), JoinSet::new());
    let mut pause = Duration::ZERO;
    while wait(&mut pool, &mut workers, (&service, &rounds, pause)).await {
        pause = match fill(&service, &mut pool).await {
            Ok(true) => PAUSE_SHORT,
            Ok(false) => PAUSE,
            Err(error) => {
                tracing::warn!(%error, "deliveries could not be looked for; trying again");
                PAUSE_AFTER_FAULT
            }
        };
        start(&service, &mut pool, &mut workers);
        gauge!("notifications_queue").set(pool.queued() as f64);
        gauge!("notifications_workers_active").set(pool.running() as f64);
    }
    // Each ends by the time limit of an attempt.
    while workers.join_next().await.is_some() {}
}

/// Keeps workers busy until it is time to look for more; false when the instance stops.
async fn wait(
    pool: &mut Pool,
    workers: &mut JoinSet<Ended>,
    (service, rounds, pause): (&Service, &Rounds, Duration),
) -> bool {
    let next = rounds.next(pause);
    tokio::pin!(next);
    loop {
        tokio::select! {
            goes_on = &mut next => return goes_on,
            Some(ended) = workers.join_next() => {
                // A task that panicked is a bug, and its place is gone with it: told, not hidden.
                match ended {
                    Ok((id, endpoint)) => pool.ended(id, endpoint),
                    Err(error) => tracing::error!(%error, "BUG: a delivery panicked"),
                }
                start(service, pool, workers);
            }
        }
    }
}

/// Takes up what is due and has a place; whether there may be more.
async fn fill(service: &Service, pool: &mut Pool) -> Result<bool, ServiceError> {
    let mut took = false;
    while !pool.is_full() {
        let due = service.due_deliveries(&pool.sated(), pool.most()).await?;
        let mut new = false;
        for row in due {
            new |= pool.push(row);
        }
        if !new {
            break;
        }
        took = true;
    }
    Ok(took)
}

fn start(service: &Service, pool: &mut Pool, workers: &mut JoinSet<Ended>) {
    while let Some(row) = pool.start() {
        workers.spawn(deliver(service.clone(), row));
    }
}

async fn deliver(service: Service, row: DeliveryRow) -> Ended {
    if let Err(error) = service.deliver(&row).await {
        // Its claim ends, and then it is due again.
        tracing::warn!(id = %row.id, %error, "a delivery could not be taken up");
    }
    (row.id, row.endpoint)
}
