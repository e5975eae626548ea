//! What lies in wallets, for dashboards.

use std::time::{Duration, Instant};

use caudal_domain::AccountKind;
use caudal_store::{Store, StoreError, books};
use metrics::gauge;

use crate::Rounds;

const PAUSE: Duration = Duration::from_secs(15);
/// It reads every account, so it takes one part in so many of a connection's time at most.
const SHARE: u32 = 100;

pub(crate) async fn run(store: Store, rounds: Rounds) {
    let mut pause = PAUSE;
    while rounds.next(pause).await {
        let began = Instant::now();
        if let Err(error) = measure(&store).await {
            tracing::warn!(%error, "what lies in wallets could not be summed; trying again");
        }
        pause = PAUSE.max(began.elapsed() * SHARE);
    }
}

/// Sets `wallet_balance_total`, in minor units of each currency, of all tenants.
pub async fn measure(store: &Store) -> Result<(), StoreError> {
    for line in books::trial_balance(store.as_ref(), None).await? {
        let total = line.total.parse::<f64>().unwrap_or(f64::NAN);
        if line.kind == AccountKind::Wallet as i64 {
            gauge!("wallet_balance_total", "currency" => line.currency).set(total);
        }
    }
    Ok(())
}
