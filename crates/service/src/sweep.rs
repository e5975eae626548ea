//! Ends holds whose time has come, and makes what was pending available.

use std::collections::BTreeMap;

use caudal_domain::{TenantId, Transfer, TransferId};
use caudal_engine::{Command, Given, Job};
use caudal_ledger::Movement;
use caudal_store::transfers;

use crate::{Service, ServiceError, transfers::accounts_of};

/// Holds ended by one call at most, so that a flood of them is taken in turns with other work.
pub const SWEEP_MOST: i64 = 500;

impl Service {
    /// Ends up to [`SWEEP_MOST`] holds; how many it ended. Call again at once when that many.
    pub async fn expire_holds(&self) -> Result<usize, ServiceError> {
        let due = transfers::expired(self.store(), self.now(), SWEEP_MOST).await?;
        self.sweep(due, |transfer| Movement::Expire { transfer }).await
    }

    /// Makes the pending money of up to [`SWEEP_MOST`] transfers available; of how many it did.
    pub async fn make_available(&self) -> Result<usize, ServiceError> {
        let due = transfers::due_available(self.store(), self.now(), SWEEP_MOST).await?;
        self.sweep(due, |transfer| Movement::MakeAvailable { transfer }).await
    }

    /// How many transfers were moved so.
    async fn sweep(
        &self,
        due: Vec<Transfer>,
        movement: impl Fn(TransferId) -> Movement,
    ) -> Result<usize, ServiceError> {
        let mut by_tenant: BTreeMap<TenantId, Vec<Command>> = BTreeMap::new();
        for transfer in due {
            let mut command = Command::new(movement(transfer.id));
            command.accounts = accounts_of(&transfer);
            by_tenant.entry(transfer.tenant).or_default().push(command);
        }
        let mut ended = 0;
        for (tenant, commands) in by_tenant {
            let job = Job { tenant, commands, atomic: false, dry_run: false, receipt: None };
            // One tenant's full line is not the others'.
            let replies = match self.run(job).await {
                Ok(reply) => reply.replies,
                Err(error) => {
                    tracing::warn!(%tenant, %error, "transfers were not swept; trying again");
                    continue;
                }
            };
            // Refused: captured, voided or swept by another between the look and the batch.
            ended += replies.iter().filter(|r| matches!(r.given, Given::Transfer(_))).count();
        }
        Ok(ended)
    }
}
