//! Proves the books: every check of the store, and what is held, worked out a second time here.

use std::collections::{BTreeMap, BTreeSet};

use caudal_domain::{AccountId, AccountKind, Leg, TenantId};
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
    /// Asset, liability, equity, income or expense.
    pub class: &'static str,
    /// The normal one: a balance on the other has another sign.
    pub side: &'static str,
    /// Above zero is a credit.
    pub total: String,
    pub held: String,
    pub pending: String,
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
        let mut checks = Vec::with_capacity(CHECKS.len() + 2);
        for check in CHECKS {
            let differences = self.run_check(check, tenant).await?;
            checks.push(CheckReport { name: check.name, differences });
        }
        let differences = Some(self.check_holds(tenant).await?);
        checks.push(CheckReport { name: "held = what is left of open holds", differences });
        let differences = Some(self.check_pending(tenant).await?);
        checks.push(CheckReport { name: "pending = what is pending of transfers", differences });
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

    async fn check_holds(&self, tenant: Option<TenantId>) -> Result<Vec<String>, ServiceError> {
        self.check_parts(tenant, &HELD).await
    }

    async fn check_pending(&self, tenant: Option<TenantId>) -> Result<Vec<String>, ServiceError> {
        self.check_parts(tenant, &PENDING).await
    }

    /// Only what differs in every look is a difference.
    async fn check_parts(
        &self,
        tenant: Option<TenantId>,
        kept: &Kept,
    ) -> Result<Vec<String>, ServiceError> {
        let mut found = self.differences(tenant, kept).await?;
        for _ in 1..LOOKS {
            if found.is_empty() {
                break;
            }
            let again = self.differences(tenant, kept).await?;
            let both: BTreeSet<u128> =
                found.keys().filter(|id| again.contains_key(*id)).copied().collect();
            found = again.into_iter().filter(|(id, _)| both.contains(id)).collect();
        }
        Ok(found.into_values().take(DIFFERENCES_MOST as usize).collect())
    }

    async fn differences(
        &self,
        tenant: Option<TenantId>,
        kept: &Kept,
    ) -> Result<BTreeMap<u128, String>, ServiceError> {
        let mut legs = self.legs(tenant, kept).await?;
        let mut differences = BTreeMap::new();
        let mut after = 0;
        loop {
            let page = books::balances(self.store(), tenant, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.account;
            for balance in page {
                let id = balance.account;
                let (shown, left) = ((kept.shown)(&balance), legs.remove(&id).unwrap_or(0));
                if left != i128::from(shown) {
                    let (word, id_text) = (kept.word, AccountId(id));
                    let text = format!("{id_text}: {word} {shown}, its transfers say {left}");
                    differences.insert(id, text);
                }
            }
        }
        for (id, left) in legs.into_iter().filter(|(_, left)| *left != 0) {
            let text = format!("{} is not there, but {left} of it is {}", AccountId(id), kept.word);
            differences.insert(id, text);
        }
        Ok(differences)
    }

    /// What the transfers' legs keep, by account.
    async fn legs(
        &self,
        tenant: Option<TenantId>,
        kept: &Kept,
    ) -> Result<BTreeMap<u128, i128>, ServiceError> {
        let mut left: BTreeMap<u128, i128> = BTreeMap::new();
        let mut after = 0;
        loop {
            let page = match kept.of_holds {
                true => transfers::open_holds(self.store(), after, PAGE).await?,
                false => transfers::pending(self.store(), after, PAGE).await?,
            };
            let Some(last) = page.last() else { return Ok(left) };
            after = last.id.0;
            for transfer in page.iter().filter(|t| tenant.is_none_or(|tenant| tenant == t.tenant)) {
                for leg in &transfer.legs {
                    let (account, amount) = (kept.leg)(leg);
                    *left.entry(account.0).or_default() += i128::from(amount);
                }
            }
        }
    }
}

/// A part of a balance that transfers keep: what an account shows of it, and what a leg does.
struct Kept {
    word: &'static str,
    of_holds: bool,
    shown: fn(&books::Balance) -> i64,
    leg: fn(&Leg) -> (AccountId, i64),
}

const HELD: Kept = Kept {
    word: "held",
    of_holds: true,
    shown: |balance| balance.held,
    leg: |leg| (leg.from, leg.amount - leg.captured),
};

const PENDING: Kept = Kept {
    word: "pending",
    of_holds: false,
    shown: |balance| balance.pending,
    leg: |leg| (leg.to, leg.pending),
};

fn line(line: books::BalanceLine) -> TrialBalanceLine {
    let books::BalanceLine { currency, kind, total, held, pending, accounts } = line;
    let kind = i16::try_from(kind).ok().and_then(AccountKind::from_code);
    TrialBalanceLine {
        currency,
        kind: kind.map_or("unknown", AccountKind::name),
        class: kind.map_or("unknown", |kind| kind.class().name()),
        side: kind.map_or("unknown", |kind| kind.normal_side().name()),
        total,
        held,
        pending,
        accounts,
    }
}
