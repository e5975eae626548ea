//! Proves the books: every check of the store, and what is held, worked out a second time here.

use std::collections::{BTreeMap, BTreeSet};

use caudal_domain::{AccountId, AccountKind, TenantId, account::NormalSide};
use caudal_store::{
    books::{self, CHECKS, Check},
    transfers,
};
use serde::Serialize;

use crate::{Service, ServiceError};

/// A difference is looked at so often: the books may be moving while they are read.
const LOOKS: usize = 3;
/// Differences told of one check.
const DIFFERENCES_MOST: i64 = 100;
/// Rows read at once.
const PAGE: i64 = 1000;

/// What a proof found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub checks: Vec<CheckReport>,
    pub trial_balance: Vec<TrialBalanceLine>,
}

#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    pub name: &'static str,
    /// Empty when the check holds; `None` when it has no meaning for one tenant.
    pub differences: Option<Vec<String>>,
}

/// All accounts of a kind in a currency, in minor units as decimal text (they are 128 bits wide).
#[derive(Clone, Debug, Serialize)]
pub struct TrialBalanceLine {
    pub currency: String,
    pub kind: &'static str,
    pub side: &'static str,
    pub total: String,
    pub held: String,
    pub accounts: i64,
}

impl Report {
    pub fn is_proven(&self) -> bool {
        self.checks.iter().flat_map(|check| &check.differences).all(Vec::is_empty)
    }
}

impl Service {
    /// Of one tenant, or of all.
    pub async fn reconcile(&self, tenant: Option<TenantId>) -> Result<Report, ServiceError> {
        self.store().gather_statistics().await?;
        let mut checks = Vec::with_capacity(CHECKS.len() + 1);
        for check in CHECKS {
            let differences = self.run_check(check, tenant).await?;
            checks.push(CheckReport { name: check.name, differences });
        }
        let differences = Some(self.check_holds(tenant).await?);
        checks.push(CheckReport { name: "held = what is left of open holds", differences });
        let lines = books::trial_balance(self.store(), tenant).await?;
        let trial_balance = lines.into_iter().map(line).collect();
        Ok(Report { checks, trial_balance })
    }

    async fn run_check(
        &self,
        check: &Check,
        tenant: Option<TenantId>,
    ) -> Result<Option<Vec<String>>, ServiceError> {
        let mut differences = None;
        for _ in 0..LOOKS {
            differences = check.run(self.store(), tenant, DIFFERENCES_MOST).await?;
            if differences.as_ref().is_none_or(Vec::is_empty) {
                break;
            }
        }
        Ok(differences)
    }

    /// Only what differs in every look is a difference.
    async fn check_holds(&self, tenant: Option<TenantId>) -> Result<Vec<String>, ServiceError> {
        let mut found = self.hold_differences(tenant).await?;
        for _ in 1..LOOKS {
            if found.is_empty() {
                break;
            }
            let again = self.hold_differences(tenant).await?;
            let both: BTreeSet<u128> =
                found.keys().filter(|id| again.contains_key(*id)).copied().collect();
            found = again.into_iter().filter(|(id, _)| both.contains(id)).collect();
        }
        Ok(found.into_values().take(DIFFERENCES_MOST as usize).collect())
    }

    async fn hold_differences(
        &self,
        tenant: Option<TenantId>,
    ) -> Result<BTreeMap<u128, String>, ServiceError> {
        let mut open = self.open_holds(tenant).await?;
        let mut differences = BTreeMap::new();
        let mut after = 0;
        loop {
            let page = books::balances(self.store(), tenant, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.0;
            for (id, _, held, _) in page {
                let left = open.remove(&id).unwrap_or(0);
                if left != i128::from(held) {
                    let id_text = AccountId(id);
                    let text = format!("{id_text} holds {held}, its open holds add up to {left}");
                    differences.insert(id, text);
                }
            }
        }
        for (id, left) in open {
            let text = format!("{} is not there, but {left} of it is held", AccountId(id));
            differences.insert(id, text);
        }
        Ok(differences)
    }

    /// What is left of all open holds, by paying account.
    async fn open_holds(
        &self,
        tenant: Option<TenantId>,
    ) -> Result<BTreeMap<u128, i128>, ServiceError> {
        let mut left: BTreeMap<u128, i128> = BTreeMap::new();
        let mut after = 0;
        loop {
            let page = transfers::open_holds(self.store(), after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(left) };
            after = last.id.0;
            for hold in page.iter().filter(|hold| tenant.is_none_or(|t| t == hold.tenant)) {
                for leg in &hold.legs {
                    *left.entry(leg.from.0).or_default() += i128::from(leg.amount - leg.captured);
                }
            }
        }
    }
}

fn line((currency, kind, total, held, accounts): books::BalanceLine) -> TrialBalanceLine {
    let kind = i16::try_from(kind).ok().and_then(AccountKind::from_code);
    TrialBalanceLine {
        currency,
        kind: kind.map_or("unknown", AccountKind::name),
        side: match kind.map(AccountKind::normal_side) {
            Some(NormalSide::Debit) => "debit",
            Some(NormalSide::Credit) => "credit",
            None => "unknown",
        },
        total,
        held,
        accounts,
    }
}
