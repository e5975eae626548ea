//! A tenant: one customer of the platform, for tests or for real money.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{business_day::CutOff, id::TenantId, money::Currency, time::Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Test,
    Live,
}

/// What decides a wallet's bucket; immutable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// By its user, else by its own id: a big tenant spreads over all shards.
    #[default]
    User,
    /// By its tenant: a small tenant stays on one shard.
    Tenant,
}

macro_rules! names {
    ($type:ident { $($variant:ident = $name:literal),* }) => {
        impl $type {
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

pub(crate) use names;

names!(Mode { Test = "test", Live = "live" });
names!(Placement { User = "user", Tenant = "tenant" });

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    pub id: TenantId,
    pub name: String,
    pub mode: Mode,
    pub placement: Placement,
    /// Where its data should live; chooses a range of buckets once there are several shards.
    pub region: Option<String>,
    /// IANA name; for business dates and reports.
    pub timezone: String,
    /// What came later than the first stored answers that have a tenant in them.
    #[serde(default)]
    pub config: TenantConfig,
    /// Counts changes, for `If-Match`.
    pub version: i64,
    pub created_at: Timestamp,
}

/// What a tenant has set of its own, as kept beside it in JSON. What is not set is the instance's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TenantConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limits: Option<RateLimits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fraud: Option<FraudConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notifications: Option<NotificationsConfig>,
    /// When its business day ends.
    pub business_day_cut_off: CutOff,
}

/// What its people are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NotificationsConfig {
    /// Whether payers get receipts by mail.
    pub receipts: bool,
    /// Kinds of events that nobody is told of in the app.
    pub muted: Vec<String>,
}

impl Default for NotificationsConfig {
    fn default() -> Self {
        Self { receipts: true, muted: Vec::new() }
    }
}

/// Tiers of wallets by name, and what wallets of them may, by currency. A currency that is not
/// there has no limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitsConfig {
    pub tiers: BTreeMap<String, BTreeMap<Currency, TierLimits>>,
}

/// In minor units; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TierLimits {
    /// The most that may lie in the wallet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<i64>,
    /// What may be taken from it in a day of UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<i64>,
    /// What may be taken from it in a month of UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FraudConfig {
    pub on_failure: OnFailure,
}

/// What becomes of a payment whose rules can't be evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    #[default]
    Review,
    Block,
}

/// Requests let through in a sliding window; `None` is the instance's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RateLimits {
    /// Of each wallet holder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_wallet_per_hour: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fund_per_hour: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer_per_hour: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view_per_hour: Option<u32>,
    /// Of each API key, whatever it asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_per_minute: Option<u32>,
}

impl RateLimits {
    /// What a limit can be set to: none at all would lock its tenant out.
    pub const RANGE: std::ops::RangeInclusive<u32> = 1..=1_000_000;
}
