//! The tenant's own accounts that payments move money on: there before the first movement in a
//! currency, and through a gateway, is asked for.

use caudal_domain::{Chart, Currency, GatewayAccountId, Mode, TenantId};
use caudal_store::{UnitOfWork, tenants, wallets};
use moka::future::Cache;

use crate::{Service, ServiceError};

/// Accounts remembered as being there at once; they are never removed.
const REMEMBERED: u64 = 100_000;

type Part = (TenantId, Currency, Option<GatewayAccountId>);

/// What is known to be there.
pub(crate) struct Charts(Cache<Part, ()>);

impl Charts {
    pub fn new() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl Service {
    /// The tenant's accounts in this currency, with what the gateway account owes in it.
    pub(crate) async fn chart(
        &self,
        tenant: TenantId,
        currency: Currency,
        gateway: Option<GatewayAccountId>,
    ) -> Result<Chart, ServiceError> {
        let (chart, known) = (Chart { tenant, currency }, &self.inner.charts.0);
        let part = (tenant, currency, gateway);
        if known.contains_key(&part) {
            return Ok(chart);
        }
        let found = tenants::find(self.store(), tenant).await?;
        let mode = found.ok_or(ServiceError::NotFound("tenant"))?.mode;
        let at = self.now();
        let gateways: Vec<_> = gateway.into_iter().collect();
        let steps = wallets::insert_payment_accounts(chart, &gateways, mode == Mode::Test, at);
        self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await?;
        known.insert(part, ()).await;
        Ok(chart)
    }
}
