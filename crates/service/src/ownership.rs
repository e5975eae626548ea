//! Whose wallet is whose: how far a caller reaches is decided here and nowhere else.
//!
//! A wallet's user never changes, so what was read once is remembered.

use std::{collections::HashSet, sync::Arc};

use caudal_domain::{AccountId, TenantId, Transfer, UserId, Wallet};
use caudal_ledger::NewTransfer;
use caudal_store::{Backend, wallets};
use quick_cache::sync::Cache;

use crate::{Caller, Reach, Service, ServiceError};

/// Wallets whose user is remembered.
const REMEMBERED: usize = 100_000;
/// Payers that one request of a wallet holder may name: unknown ones are each a look-up.
const PAYERS_MOST: usize = 100;

impl Reach {
    pub fn holds(self, wallet: &Wallet) -> bool {
        self.holds_of(wallet.user)
    }

    pub(crate) fn holds_of(self, user: Option<UserId>) -> bool {
        match self {
            Self::Tenant => true,
            Self::Own(own) => user == Some(own),
        }
    }

    /// Of what belongs to nobody but the tenant: its money, its keys, its people.
    pub fn require_tenant(self) -> Result<(), ServiceError> {
        match self {
            Self::Tenant => Ok(()),
            Self::Own(_) => Err(ServiceError::BeyondReach),
        }
    }
}

/// The users of wallets. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Owners(Arc<Cache<(TenantId, AccountId), Option<UserId>>>);

impl Owners {
    pub fn new() -> Self {
        Self(Arc::new(Cache::new(REMEMBERED)))
    }

    /// `None`: it has to be read first.
    pub fn known(&self, tenant: TenantId, wallet: AccountId) -> Option<Option<UserId>> {
        self.0.get(&(tenant, wallet))
    }

    /// Reads it if it is not known. What is no wallet is nobody's, and stays so: nobody knows the
    /// id of a wallet before its commit.
    pub async fn read(
        &self,
        db: &dyn Backend,
        tenant: TenantId,
        wallet: AccountId,
    ) -> Result<Option<UserId>, ServiceError> {
        if let Some(user) = self.known(tenant, wallet) {
            return Ok(user);
        }
        // A tenant's own accounts are no wallets, and need no look.
        let found = match wallet.is_system() {
            true => None,
            false => wallets::find(db, tenant, wallet).await?,
        };
        let user = found.and_then(|wallet| wallet.user);
        self.0.insert((tenant, wallet), user);
        Ok(user)
    }
}

impl Service {
    /// Those of the wallets that the caller reaches.
    async fn reached(
        &self,
        caller: &Caller,
        wallets: HashSet<AccountId>,
    ) -> Result<HashSet<AccountId>, ServiceError> {
        let mut reached = HashSet::new();
        for wallet in wallets {
            let user = self.inner.owners.read(self.store(), caller.tenant, wallet).await?;
            if caller.reach.holds_of(user) {
                reached.insert(wallet);
            }
        }
        Ok(reached)
    }

    /// Whether one of the transfer's wallets is the caller's.
    pub(crate) async fn touches(
        &self,
        caller: &Caller,
        transfer: &Transfer,
    ) -> Result<bool, ServiceError> {
        if caller.reach == Reach::Tenant {
            return Ok(true);
        }
        let wallets = transfer.legs.iter().flat_map(|leg| [leg.from, leg.to]).collect();
        Ok(!self.reached(caller, wallets).await?.is_empty())
    }

    /// A payer that is not the caller's is as good as unknown: the ledger refuses it, and that is
    /// kept with the key like any other refusal.
    pub(crate) async fn only_own_payers(
        &self,
        caller: &Caller,
        transfers: &mut [&mut NewTransfer],
    ) -> Result<(), ServiceError> {
        if caller.reach == Reach::Tenant {
            return Ok(());
        }
        let legs = transfers.iter().flat_map(|new| &new.legs);
        let payers: HashSet<_> = legs.map(|leg| leg.from).collect();
        if payers.len() > PAYERS_MOST {
            let detail = format!("name more than {PAYERS_MOST} payers");
            return Err(ServiceError::invalid("transfers", detail));
        }
        let own = self.reached(caller, payers).await?;
        for leg in transfers.iter_mut().flat_map(|new| &mut new.legs) {
            if !own.contains(&leg.from) {
                leg.from = AccountId(0);
            }
        }
        Ok(())
    }
}
