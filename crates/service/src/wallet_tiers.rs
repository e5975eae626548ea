//! Tiers of wallets: what may lie in one, and what may be taken from it in a day and in a month.
//! What a tier allows stands in the tenant's configuration; which tier a wallet is of, and what was
//! taken from it so far, in a row of its own.
//!
//! The ledger decides, on what was read before: the row goes along with the movement, so that a
//! count that has gone stale refuses it, and it is decided again. In one process the movements of
//! one wallet take turns, so that this is rare. What is held counts when it is held, and what came
//! back later stays counted. Tenants without tiers pay for one look into memory.

use std::{collections::BTreeSet, slice::from_mut};

use caudal_domain::{
    AccountId, Chart, Currency, Leg, LimitsConfig, Refusal, TenantId, TierLimits, UserId,
    account::WalletLimit, event::kinds,
};
use caudal_engine::{Command, Given};
use caudal_ledger::{
    Movement, NewTransfer,
    movements::{Limit, Terms},
};
use caudal_store::{
    UnitOfWork, UnitOutcome,
    wallet_tiers::{self, WalletTier},
};
use serde::Serialize;

use crate::{Caller, Done, Service, ServiceError, audit::Did, turns::Turn, unit::Subject};

/// How often it is decided again when another process came between.
const ATTEMPTS: u32 = 8;
/// A wallet's tier, what it allows, and what is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierOf {
    pub wallet: AccountId,
    pub currency: Currency,
    pub tier: Option<String>,
    pub limits: TierLimits,
    /// Taken this day and this month, in minor units.
    pub day_used: i64,
    pub month_used: i64,
}

#[derive(Serialize)]
struct TierData<'a> {
    wallet_id: AccountId,
    tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
}

impl Service {
    /// The wallet's tier; who sees the wallet sees it.
    pub async fn wallet_tier(
        &self,
        caller: &Caller,
        wallet: AccountId,
    ) -> Result<TierOf, ServiceError> {
        let currency = self.wallet(caller, wallet).await?.account.currency;
        let found = wallet_tiers::find(self.store(), caller.tenant, wallet).await?;
        let now = self.now();
        let row = found.unwrap_or_else(|| WalletTier::new(caller.tenant, wallet, now)).at(now);
        let config = self.tenant_config(caller.tenant).await?;
        Ok(tier_of(config.limits.as_ref(), &row, currency))
    }

    /// Puts the wallet into a tier, or (`None`) out of it. What was taken so far stays counted.
    pub async fn set_wallet_tier(
        &self,
        caller: &Caller,
        wallet: AccountId,
        tier: Option<String>,
    ) -> Result<Done<TierOf>, ServiceError> {
        caller.reach.require_tenant()?;
        self.require_step_up(caller)?;
        let found = self.wallet(caller, wallet).await?;
        let config = self.tenant_config(caller.tenant).await?;
        let limits = config.limits.as_ref();
        let is_known = |tier: &String| limits.is_some_and(|it| it.tiers.contains_key(tier));
        if tier.as_ref().is_some_and(|tier| !is_known(tier)) {
            return Err(ServiceError::invalid(
                "tier",
                "the tenant's configuration has no such tier",
            ));
        }
        let at = self.now();
        let before = wallet_tiers::find(self.store(), caller.tenant, wallet).await?;
        let is_new = before.is_none();
        let before = before.unwrap_or_else(|| WalletTier::new(caller.tenant, wallet, at));
        let row = WalletTier { tier, ..before.at(at) };
        let kind = kinds::WALLET_TIER_CHANGED;
        let object_id = wallet.to_string();
        let did = Did { action: kind, object_kind: "wallet", object_id, fields: &["tier"] };
        let write = if is_new { wallet_tiers::insert(&row) } else { wallet_tiers::update(&row) };
        let data = TierData { wallet_id: wallet, tier: row.tier.as_deref(), user_id: found.user };
        let subject = Subject { kind, tenant: caller.tenant, id: wallet.0, text: &wallet, at };
        let events = vec![self.event(&subject, &data)?];
        let steps = vec![write, self.audit(caller, did, at)];
        match self.commit(UnitOfWork { at, steps, events, receipt: None }).await? {
            (UnitOutcome::Done, position) => {
                let value = tier_of(limits, &row, found.account.currency);
                Ok(Done { value, replayed: false, position })
            }
            // Something was taken from it meanwhile.
            _ => Err(Refusal::Conflict.into()),
        }
    }

    /// Hands a posting to the engine within what the tiers of its wallets allow.
    pub(crate) async fn submit_within_tiers(
        &self,
        tenant: TenantId,
        command: Command,
    ) -> Result<Done<Given>, ServiceError> {
        let config = self.tenant_config(tenant).await?;
        let limits = config.limits.as_ref().filter(|limits| !limits.tiers.is_empty());
        let Some(limits) = limits else { return self.submit(tenant, command).await };
        for _ in 0..ATTEMPTS {
            let mut limited = command.clone();
            let turns = self.limit_by_tier(tenant, limits, from_mut(&mut limited)).await?;
            match self.submit(tenant, limited).await {
                Err(ServiceError::Refused(Refusal::Conflict)) if !turns.is_empty() => {}
                done => return done,
            }
        }
        Err(Refusal::Conflict.into())
    }

    /// Whether anything that the postings take counts against a limit.
    pub(crate) async fn is_tiered(
        &self,
        tenant: TenantId,
        commands: &[Command],
    ) -> Result<bool, ServiceError> {
        let config = self.tenant_config(tenant).await?;
        let Some(limits) = config.limits.as_ref().filter(|it| !it.tiers.is_empty()) else {
            return Ok(false);
        };
        // Limits of balances, too: an item that falls alone must find them.
        Ok(!self.tiers_in(tenant, commands).await?.iter().all(|row| {
            let of_currency = |new: &NewTransfer| tier_of(Some(limits), row, new.currency).limits;
            postings(commands).all(|new| of_currency(new) == TierLimits::default())
        }))
    }

    /// The same as [`Self::limit_by_tier`], by what the tenant's tiers allow.
    pub(crate) async fn limit_alike(
        &self,
        tenant: TenantId,
        commands: &mut [Command],
    ) -> Result<Turn, ServiceError> {
        let config = self.tenant_config(tenant).await?;
        match config.limits.as_ref().filter(|it| !it.tiers.is_empty()) {
            Some(limits) => self.limit_by_tier(tenant, limits, commands).await,
            None => Ok(Vec::new()),
        }
    }

    /// Adds to postings that stand or fall together what the tiers of their wallets allow, and the
    /// rows that count. The turns are to be kept until they are done; none: nothing is counted.
    pub(crate) async fn limit_by_tier(
        &self,
        tenant: TenantId,
        limits: &LimitsConfig,
        commands: &mut [Command],
    ) -> Result<Turn, ServiceError> {
        let mut rows = self.tiers_in(tenant, commands).await?;
        let counted = counted(limits, &rows, commands);
        let turns = self.inner.turns.of(&counted.iter().map(|wallet| wallet.0).collect()).await?;
        if !turns.is_empty() {
            // What was read before its turn came may have gone stale.
            rows = self.tiers_in(tenant, commands).await?;
        }
        let now = self.now();
        for row in rows {
            let mut tier = row.at(now);
            let mut first = None;
            for (place, command) in commands.iter_mut().enumerate() {
                let Some(Movement::Post(new)) = &mut command.movement else { continue };
                add_limits(new, &tier, tier_of(Some(limits), &tier, new.currency).limits);
                let taken = taken(&new.legs, tier.wallet);
                tier.day_used = tier.day_used.saturating_add(taken);
                tier.month_used = tier.month_used.saturating_add(taken);
                first = first.or((taken > 0).then_some(place));
            }
            // Once, with all of them: a row goes along with one command of a commit.
            let first = first.filter(|_| counted.contains(&tier.wallet));
            if let Some(command) = first.and_then(|place| commands.get_mut(place)) {
                command.attachments.push(wallet_tiers::attachment(&tier));
            }
        }
        Ok(turns)
    }

    /// What may lie in the wallets that a capture of these legs pays. The ledger decides on what
    /// lies there then, so nothing has to take turns.
    pub(crate) async fn limits_of_payees(
        &self,
        chart: Chart,
        payees: impl Iterator<Item = AccountId>,
    ) -> Result<Vec<Limit>, ServiceError> {
        let Chart { tenant, currency } = chart;
        let config = self.tenant_config(tenant).await?;
        let limits = config.limits.as_ref().filter(|limits| !limits.tiers.is_empty());
        let Some(limits) = limits else { return Ok(Vec::new()) };
        let tiers = self.tiers_of(tenant, payees).await?;
        let limit_of = |row: &WalletTier| {
            let most = tier_of(Some(limits), row, currency).limits.balance?;
            Some(Limit { account: row.wallet, limit: WalletLimit::Balance, most, used: 0 })
        };
        Ok(tiers.iter().filter_map(limit_of).collect())
    }

    async fn tiers_in(
        &self,
        tenant: TenantId,
        commands: &[Command],
    ) -> Result<Vec<WalletTier>, ServiceError> {
        let legs = postings(commands).flat_map(|new| &new.legs);
        self.tiers_of(tenant, legs.flat_map(|leg| [leg.from, leg.to])).await
    }

    async fn tiers_of(
        &self,
        tenant: TenantId,
        named: impl Iterator<Item = AccountId>,
    ) -> Result<Vec<WalletTier>, ServiceError> {
        let wallets: BTreeSet<AccountId> =
            named.filter(|id| !id.is_system() && *id != AccountId(0)).collect();
        let wallets: Vec<AccountId> = wallets.into_iter().collect();
        Ok(wallet_tiers::of_wallets(self.store(), tenant, &wallets).await?)
    }
}

/// What the tier allows in this currency.
fn tier_of(limits: Option<&LimitsConfig>, row: &WalletTier, currency: Currency) -> TierOf {
    let tier = row.tier.as_ref().and_then(|tier| limits?.tiers.get(tier));
    let WalletTier { wallet, day_used, month_used, .. } = *row;
    TierOf {
        wallet,
        currency,
        tier: row.tier.clone(),
        limits: tier.and_then(|tier| tier.get(&currency)).copied().unwrap_or_default(),
        day_used,
        month_used,
    }
}

/// The wallets from which something is taken that counts.
fn counted(
    limits: &LimitsConfig,
    rows: &[WalletTier],
    commands: &[Command],
) -> BTreeSet<AccountId> {
    let counts_in = |row: &WalletTier, new: &NewTransfer| {
        let TierLimits { day, month, .. } = tier_of(Some(limits), row, new.currency).limits;
        (day.is_some() || month.is_some()) && taken(&new.legs, row.wallet) > 0
    };
    let counts = |row: &&WalletTier| postings(commands).any(|new| counts_in(row, new));
    rows.iter().filter(counts).map(|row| row.wallet).collect()
}

fn taken(legs: &[Leg], wallet: AccountId) -> i64 {
    let legs = legs.iter().filter(|leg| leg.from == wallet);
    legs.fold(0, |sum: i64, leg| sum.saturating_add(leg.amount))
}

fn postings(commands: &[Command]) -> impl Iterator<Item = &NewTransfer> {
    commands.iter().filter_map(|command| match &command.movement {
        Some(Movement::Post(new)) => Some(new),
        _ => None,
    })
}

fn add_limits(new: &mut NewTransfer, tier: &WalletTier, limits: TierLimits) {
    let account = tier.wallet;
    let all = [
        (WalletLimit::Balance, limits.balance, 0),
        (WalletLimit::Day, limits.day, tier.day_used),
        (WalletLimit::Month, limits.month, tier.month_used),
    ];
    for (limit, most, used) in all {
        let Some(most) = most else { continue };
        let is_met = match limit {
            WalletLimit::Balance => new.legs.iter().any(|leg| leg.to == account),
            WalletLimit::Day | WalletLimit::Month => new.legs.iter().any(|leg| leg.from == account),
        };
        if is_met {
            let terms = new.terms.get_or_insert_with(|| Box::new(Terms::default()));
            terms.limits.push(Limit { account, limit, most, used });
        }
    }
}
