//! A ledger account: what is on it, what is held, and what may still be taken.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    id::{AccountId, Bucket, GatewayAccountId, TenantId},
    money::Currency,
    time::Timestamp,
};

/// What an account is for. The numbers are stored; never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum AccountKind {
    /// Money the tenant owes to a holder.
    Wallet = 0,
    /// The tenant's own money, from which wallets are funded.
    Treasury = 1,
    /// The world outside: money that was withdrawn.
    External = 2,
    /// Money that came too late for a closed wallet.
    Unapplied = 3,
    /// What lies at the tenant's bank.
    Bank = 4,
    /// What a gateway took for the tenant and still owes; one for each gateway account.
    GatewayReceivable = 5,
    /// What was sent to holders' banks and not confirmed yet.
    PayoutInTransit = 6,
    /// What the tenant took for payments.
    Fees = 7,
    /// What gateways took.
    GatewayFees = 8,
    /// What one currency is owed by the others.
    Fx = 9,
    /// What exchanges brought or cost.
    FxResult = 10,
    /// What disputes and arrears cost the tenant.
    DisputeLoss = 11,
}

/// What an account's balance is to the tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountClass {
    Asset,
    Liability,
    Equity,
    Income,
    Expense,
}

/// Which column of the trial balance an account's balance normally stands in. A credit is a
/// positive entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormalSide {
    Debit,
    Credit,
}

impl AccountKind {
    pub const ALL: [Self; 12] = [
        Self::Wallet,
        Self::Treasury,
        Self::External,
        Self::Unapplied,
        Self::Bank,
        Self::GatewayReceivable,
        Self::PayoutInTransit,
        Self::Fees,
        Self::GatewayFees,
        Self::Fx,
        Self::FxResult,
        Self::DisputeLoss,
    ];
    /// The accounts every tenant has once per currency, from its first wallet on.
    pub const SYSTEM: [Self; 3] = [Self::Treasury, Self::External, Self::Unapplied];
    /// The accounts a tenant has besides, once per currency, when it takes payments in it.
    pub const PAYMENTS: [Self; 7] = [
        Self::Bank,
        Self::PayoutInTransit,
        Self::Fees,
        Self::GatewayFees,
        Self::Fx,
        Self::FxResult,
        Self::DisputeLoss,
    ];

    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as i16 == code)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Wallet => "wallet",
            Self::Treasury => "treasury",
            Self::External => "external",
            Self::Unapplied => "unapplied",
            Self::Bank => "bank",
            Self::GatewayReceivable => "gateway_receivable",
            Self::PayoutInTransit => "payout_in_transit",
            Self::Fees => "fees",
            Self::GatewayFees => "gateway_fees",
            Self::Fx => "fx",
            Self::FxResult => "fx_result",
            Self::DisputeLoss => "dispute_loss",
        }
    }

    pub fn class(self) -> AccountClass {
        match self {
            Self::Bank | Self::GatewayReceivable | Self::External | Self::Fx => AccountClass::Asset,
            Self::Wallet | Self::Unapplied | Self::PayoutInTransit => AccountClass::Liability,
            Self::Treasury => AccountClass::Equity,
            Self::Fees | Self::FxResult => AccountClass::Income,
            Self::GatewayFees | Self::DisputeLoss => AccountClass::Expense,
        }
    }

    /// That of its class, but for `external`: it stands against the bank, for money that left by
    /// ways the books do not follow.
    pub fn normal_side(self) -> NormalSide {
        match self.class() {
            _ if self == Self::External => NormalSide::Credit,
            AccountClass::Asset | AccountClass::Expense => NormalSide::Debit,
            AccountClass::Liability | AccountClass::Equity | AccountClass::Income => {
                NormalSide::Credit
            }
        }
    }

    /// Lowest balance of a tenant's own account. A treasury spends what came in, but for test
    /// tenants, which fund without having money; what clears stands on either side.
    pub fn floor(self, unbounded_treasury: bool) -> Option<i64> {
        match self {
            Self::Treasury if unbounded_treasury => None,
            Self::Wallet | Self::Treasury | Self::Unapplied | Self::PayoutInTransit => Some(0),
            Self::External
            | Self::Bank
            | Self::GatewayReceivable
            | Self::Fees
            | Self::GatewayFees
            | Self::Fx
            | Self::FxResult
            | Self::DisputeLoss => None,
        }
    }
}

impl AccountClass {
    pub fn name(self) -> &'static str {
        match self {
            Self::Asset => "asset",
            Self::Liability => "liability",
            Self::Equity => "equity",
            Self::Income => "income",
            Self::Expense => "expense",
        }
    }
}

impl NormalSide {
    pub fn name(self) -> &'static str {
        match self {
            Self::Debit => "debit",
            Self::Credit => "credit",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum AccountStatus {
    Active = 0,
    /// No debits; credits and captures of earlier holds go on.
    Frozen = 1,
    /// Nothing moves; final.
    Closed = 2,
}

impl AccountStatus {
    pub const ALL: [Self; 3] = [Self::Active, Self::Frozen, Self::Closed];

    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status as i16 == code)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Frozen => "frozen",
            Self::Closed => "closed",
        }
    }
}

/// What the tier of a wallet's holder bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WalletLimit {
    Balance,
    /// What is taken from it in a day.
    Day,
    /// What is taken from it in a month.
    Month,
}

impl WalletLimit {
    pub fn name(self) -> &'static str {
        match self {
            Self::Balance => "balance",
            Self::Day => "spending a day",
            Self::Month => "spending a month",
        }
    }
}

impl fmt::Display for AccountStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The hot row of an account. Amounts in minor units of `currency`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub id: AccountId,
    pub tenant: TenantId,
    pub kind: AccountKind,
    pub currency: Currency,
    pub status: AccountStatus,
    /// Lowest available balance allowed; `None` is unbounded.
    pub floor: Option<i64>,
    /// Sum of all entries.
    pub total: i64,
    /// Part of `total` that open holds keep.
    pub held: i64,
    /// Part of `total` that is not there to spend yet.
    pub pending: i64,
    /// Number of entries; the next one is `version + 1`.
    pub version: i64,
    /// Time of the last entry; time never goes back on an account.
    pub updated_at: Timestamp,
}

impl Account {
    pub fn available(&self) -> i64 {
        self.total - self.held - self.pending
    }

    /// What may still be taken; unbounded accounts have no number for it.
    pub fn spendable(&self) -> Option<i64> {
        self.floor.map(|floor| self.available() - floor)
    }

    /// By how much a forced movement has taken it below its floor; 0 when it is not in arrears.
    /// Then nothing more is taken, and what comes in repays first.
    pub fn arrears(&self) -> i64 {
        self.spendable().map_or(0, |spendable| spendable.min(0).abs())
    }

    /// The part of the arrears that is owed, and so can be written off: a floor above zero is a
    /// reserve, and what it lacks is nobody's debt.
    pub fn owed(&self) -> i64 {
        self.arrears().min(-self.total).max(0)
    }
}

impl AccountId {
    /// Whether this is a tenant's own account (a UUIDv8) and no wallet (a UUIDv7).
    pub fn is_system(self) -> bool {
        (self.0 >> 76) & 0xf == 8
    }
}

/// The id of a tenant's system account: derived, so that no look-up is needed.
///
/// A UUIDv8 (RFC 9562: the application's own layout) of SHA-256 over tenant, kind and currency.
pub fn system_account(tenant: TenantId, kind: AccountKind, currency: Currency) -> AccountId {
    derived(tenant, kind, currency, &[])
}

/// The id of what one gateway account owes the tenant in a currency.
pub fn gateway_receivable(
    tenant: TenantId,
    gateway: GatewayAccountId,
    currency: Currency,
) -> AccountId {
    derived(tenant, AccountKind::GatewayReceivable, currency, &gateway.0.to_be_bytes())
}

fn derived(tenant: TenantId, kind: AccountKind, currency: Currency, part: &[u8]) -> AccountId {
    let mut hash = Sha256::new();
    hash.update(tenant.0.to_be_bytes());
    hash.update((kind as i16).to_be_bytes());
    hash.update(currency.code().as_bytes());
    hash.update(part);
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes[15] = Bucket::of(&tenant.0.to_be_bytes()).0;
    AccountId(u128::from_be_bytes(bytes))
}

/// A tenant's own accounts in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chart {
    pub tenant: TenantId,
    pub currency: Currency,
}

impl Chart {
    pub fn of(self, kind: AccountKind) -> AccountId {
        system_account(self.tenant, kind, self.currency)
    }

    pub fn receivable(self, gateway: GatewayAccountId) -> AccountId {
        gateway_receivable(self.tenant, gateway, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_and_a_name_of_its_own() {
        for kind in AccountKind::ALL {
            assert_eq!(AccountKind::from_code(kind as i16), Some(kind));
            let same = AccountKind::ALL.into_iter().filter(|other| other.name() == kind.name());
            assert_eq!(same.count(), 1, "{}", kind.name());
        }
    }

    #[test]
    fn every_account_of_a_tenant_has_an_id_of_its_own() {
        let mut ids = Vec::new();
        for tenant in [TenantId(1), TenantId(2)] {
            for currency in [Currency::USD, Currency::from_code("EUR").expect("a code")] {
                let chart = Chart { tenant, currency };
                ids.extend(AccountKind::ALL.map(|kind| chart.of(kind)));
                ids.extend([1, 2].map(|gateway| chart.receivable(GatewayAccountId(gateway))));
            }
        }
        assert!(ids.iter().all(|id| id.is_system()));
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }

    #[test]
    fn arrears_are_what_is_missing_to_the_floor_and_only_debts_are_owed() {
        let account = |floor, total, held| Account {
            id: AccountId(1),
            tenant: TenantId(1),
            kind: AccountKind::Wallet,
            currency: Currency::USD,
            status: AccountStatus::Active,
            floor,
            total,
            held,
            pending: 0,
            version: 0,
            updated_at: Timestamp::default(),
        };
        for (floor, total, held, arrears, owed) in [
            (Some(0), 10, 0, 0, 0),
            (Some(0), -10, 0, 10, 10),
            (Some(-50), -80, 0, 30, 30),
            (Some(0), -10, 5, 15, 10),
            (Some(20), 5, 0, 15, 0),
            (None, -10, 0, 0, 0),
        ] {
            let account = account(floor, total, held);
            assert_eq!((account.arrears(), account.owed()), (arrears, owed), "{account:?}");
        }
    }
}
