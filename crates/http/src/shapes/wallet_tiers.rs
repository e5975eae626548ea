//! Tiers of wallets as they are set and shown.

use caudal_domain::{AccountId, Currency};
use caudal_service::wallet_tiers::TierOf;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewWalletTier, example = json!({"tier": "basic"}))]
pub(crate) struct WalletTierRequest {
    /// One of the tenant's configuration; null takes the wallet out of its tier.
    pub tier: Option<String>,
}

/// Null is no limit. Days and months are those of UTC; amounts are in minor units.
#[derive(Serialize, ToSchema)]
#[schema(as = WalletTier, example = json!({
    "wallet_id": "wal_01h455vb4pex5vsknk084sn02q", "object": "wallet_tier", "tier": "basic",
    "currency": "USD", "limits": {"balance": null, "day": 20000, "month": 50000},
    "day_used": 1250, "month_used": 8000
}))]
pub(crate) struct WalletTierShape<'a> {
    #[schema(value_type = String)]
    wallet_id: AccountId,
    object: &'static str,
    tier: Option<&'a str>,
    #[schema(value_type = String)]
    currency: Currency,
    limits: TierLimitsShape,
    /// Taken so far.
    day_used: i64,
    month_used: i64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = WalletTierLimits)]
pub(crate) struct TierLimitsShape {
    balance: Option<i64>,
    day: Option<i64>,
    month: Option<i64>,
}

impl<'a> From<&'a TierOf> for WalletTierShape<'a> {
    fn from(tier: &'a TierOf) -> Self {
        let TierOf { wallet, currency, limits, day_used, month_used, .. } = *tier;
        let limits =
            TierLimitsShape { balance: limits.balance, day: limits.day, month: limits.month };
        Self {
            wallet_id: wallet,
            object: "wallet_tier",
            tier: tier.tier.as_deref(),
            currency,
            limits,
            day_used,
            month_used,
        }
    }
}
