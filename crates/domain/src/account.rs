//! A ledger account: what is on it, what is held, and what may still be taken.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    id::{AccountId, Bucket, TenantId},
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
}

/// Which column of the trial balance an account's balance normally stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormalSide {
    Debit,
    Credit,
}

impl AccountKind {
    pub const ALL: [Self; 4] = [Self::Wallet, Self::Treasury, Self::External, Self::Unapplied];
    /// The accounts every tenant has once per currency.
    pub const SYSTEM: [Self; 3] = [Self::Treasury, Self::External, Self::Unapplied];

    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as i16 == code)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Wallet => "wallet",
            Self::Treasury => "treasury",
            Self::External => "external",
            Self::Unapplied => "unapplied",
        }
    }

    pub fn normal_side(self) -> NormalSide {
        match self {
            Self::Wallet | Self::Unapplied | Self::External => NormalSide::Credit,
            Self::Treasury => NormalSide::Debit,
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
    let mut hash = Sha256::new();
    hash.update(tenant.0.to_be_bytes());
    hash.update((kind as i16).to_be_bytes());
    hash.update(currency.code().as_bytes());
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes[15] = Bucket::of(&tenant.0.to_be_bytes()).0;
    AccountId(u128::from_be_bytes(bytes))
}
