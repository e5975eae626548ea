//! Background work of a running instance, a file each. All stop with the same token.
//!
//! To add one more: a file here with a loop over [`Rounds`], and its line in [`start`].

mod expire_holds;
mod forget_changes;
mod incoming_webhooks;
mod keep_reports;
mod make_available;
mod make_notices;
mod measure_wallets;
mod partitions;
mod payment_sagas;
mod payouts;
mod pool;
mod rotate_signing_keys;
mod rounds;
mod run_schedules;
mod send_mails;
mod send_webhooks;
mod work_on_uploads;

use std::sync::Arc;

use caudal_domain::Clock;
use caudal_service::Service;
use caudal_store::Store;
pub use measure_wallets::measure as measure_wallets;
pub use pool::PoolSettings;
use rounds::Rounds;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What the workers work with.
#[derive(Clone)]
pub struct Parts {
    pub store: Store,
    pub service: Service,
    pub clock: Arc<dyn Clock>,
    /// Sizes of the pool that sends webhooks.
    pub notifications: PoolSettings,
}

/// What every process does for itself, whatever its roles; ends when `stop` is cancelled.
pub async fn forget_changes(service: Service, stop: CancellationToken) {
    forget_changes::run(service, Rounds::new(&stop)).await;
}

/// What goes on with payments and payouts at their gateways, and with what those told.
pub fn start_gateway(service: &Service, stop: &CancellationToken, workers: &mut JoinSet<()>) {
    workers.spawn(incoming_webhooks::run(service.clone(), Rounds::new(stop)));
    workers.spawn(payment_sagas::run(service.clone(), Rounds::new(stop)));
    workers.spawn(payouts::run(service.clone(), Rounds::new(stop)));
}

/// All others; they end when `stop` is cancelled.
pub fn start(parts: &Parts, stop: &CancellationToken, workers: &mut JoinSet<()>) {
    workers.spawn(expire_holds::run(parts.service.clone(), Rounds::new(stop)));
    workers.spawn(make_available::run(parts.service.clone(), Rounds::new(stop)));
    workers.spawn(keep_reports::run(parts.service.clone(), Rounds::new(stop)));
    workers.spawn(partitions::run(parts.store.clone(), parts.clock.clone(), Rounds::new(stop)));
    workers.spawn(rotate_signing_keys::run(parts.service.clone(), Rounds::new(stop)));
    for _ in 0..work_on_uploads::FILES_AT_ONCE {
        workers.spawn(work_on_uploads::run(parts.service.clone(), Rounds::new(stop)));
    }
    workers.spawn(run_schedules::run(parts.service.clone(), Rounds::new(stop)));
    workers.spawn(send_mails::run(parts.service.clone(), Rounds::new(stop)));
    workers.spawn(measure_wallets::run(parts.store.clone(), Rounds::new(stop)));
    workers.spawn(make_notices::run(parts.service.clone(), Rounds::new(stop)));
    let pool = parts.notifications;
    workers.spawn(send_webhooks::run(parts.service.clone(), pool, Rounds::new(stop)));
    workers.spawn(send_mails::purge(parts.service.clone(), Rounds::new(stop)));
}
