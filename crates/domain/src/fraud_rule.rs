//! A tenant's fraud rule: an expression over a payment, and what follows when it holds.

use serde::{Deserialize, Serialize};

use crate::{
    id::{FraudRuleId, TenantId},
    tenant::names,
    time::Timestamp,
};

/// What follows when a rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FraudAction {
    /// The payment goes on, and no rule behind this one is asked.
    Allow,
    /// A person decides, unless a rule behind this one blocks.
    Review,
    /// The payment is refused.
    Block,
}

names!(FraudAction { Allow = "allow", Review = "review", Block = "block" });

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FraudRule {
    pub id: FraudRuleId,
    pub tenant: TenantId,
    /// Rules of a lower one are asked first; of the same, the older first.
    pub position: i64,
    pub name: String,
    /// CEL.
    pub expression: String,
    pub action: FraudAction,
    /// Whether it is asked at all.
    pub active: bool,
    /// Counts changes, for `If-Match`.
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl FraudRule {
    /// Where a rule stands that names no position.
    pub const POSITION: i64 = 100;
    pub const POSITIONS: std::ops::RangeInclusive<i64> = 0..=1_000_000;
}
