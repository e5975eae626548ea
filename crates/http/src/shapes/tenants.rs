//! Tenants as they are asked for and shown.

use std::collections::BTreeMap;

use caudal_domain::{
    Currency, CutOff, FraudConfig, LimitsConfig, MAX_AMOUNT, Mode, NotificationsConfig, OnFailure,
    Placement, RateLimits, Tenant, TenantConfig, TenantId, TierLimits, Timestamp,
    business_day::is_time_zone,
};
use caudal_service::{
    notifications::may_be_muted,
    tenants::{NewTenant, TenantChange},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{api_keys::ApiKeyShape, check_name, given};
use crate::{problem::Problem, query::Shown};

/// Characters of a region and of a time zone's name at most.
const WORD_CHARS: usize = 64;
/// Tiers that wallets may be of.
const TIERS_MOST: usize = 50;

#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTenant, example = json!({"name": "Acme", "mode": "test"}))]
pub(crate) struct TenantRequest {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// `test` or `live`.
    #[schema(value_type = String)]
    mode: Mode,
    /// `user` (a big tenant spreads over all shards) or `tenant` (a small one stays on one).
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    placement: Placement,
    region: Option<String>,
    /// IANA name; `UTC`, if not given.
    timezone: Option<String>,
}

impl TenantRequest {
    pub fn into_new(self) -> Result<NewTenant, Problem> {
        let Self { name, mode, placement, region, timezone } = self;
        check_name("name", &name)?;
        if let Some(region) = &region {
            check_word("region", region)?;
        }
        let timezone = timezone.unwrap_or_else(|| "UTC".into());
        check_timezone(&timezone)?;
        Ok(NewTenant { name, mode, placement, region, timezone })
    }
}

/// What is not given stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TenantChange, example = json!({
    "timezone": "Europe/Lisbon", "config": {"rate_limits": {"transfer_per_hour": 500}}
}))]
pub(crate) struct TenantPatch {
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// IANA name.
    timezone: Option<String>,
    config: Option<TenantConfigPatch>,
}

/// What is not given stays; null is the instance's own again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TenantConfigChange)]
pub(crate) struct TenantConfigPatch {
    /// Needs the scope `limits:write`. All of them are set: those not given to the instance's own.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<RateLimitsShape>)]
    rate_limits: Option<Option<RateLimitsShape>>,
    /// Tiers of wallets. Needs the scope `limits:write`. All of them are set; a tier that wallets
    /// are of has to stay.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<LimitsShape>)]
    limits: Option<Option<LimitsShape>>,
    /// Needs the scope `fraud_rules:write`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<FraudShape>)]
    fraud: Option<Option<FraudShape>>,
    /// What its people are told; all of it is set.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<NotificationsShape>)]
    notifications: Option<Option<NotificationsShape>>,
    /// The time of day from which on payments belong to the next business day: `17:00`. `00:00` is
    /// midnight. Counts for payments made from now on.
    #[schema(value_type = Option<String>, example = "17:00")]
    business_day_cut_off: Option<CutOff>,
}

/// Tiers by name, then by currency; a currency that is not there has no limits.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WalletLimits, example = json!({
    "tiers": {"basic": {"USD": {"balance": 100000, "day": 20000, "month": 50000}}}
}))]
pub(crate) struct LimitsShape {
    #[schema(value_type = BTreeMap<String, BTreeMap<String, TierLimitsShape>>)]
    tiers: BTreeMap<String, BTreeMap<Currency, TierLimitsShape>>,
}

/// In minor units; null is no limit. Days and months are those of UTC.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TierLimits)]
pub(crate) struct TierLimitsShape {
    /// The most that may lie in the wallet.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    balance: Option<i64>,
    /// What may be taken from it in a day, and in a month.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    day: Option<i64>,
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    month: Option<i64>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FraudConfig, example = json!({"on_failure": "block"}))]
pub(crate) struct FraudShape {
    /// What becomes of a payment whose rules can't be evaluated: `review` or `block`.
    #[schema(value_type = String)]
    on_failure: OnFailure,
}

#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NotificationsConfig, example = json!({
    "receipts": false, "muted": ["wallet.funded"]
}))]
pub(crate) struct NotificationsShape {
    /// Whether payers get receipts by mail; true, if not given.
    receipts: Option<bool>,
    /// Types of events that nobody is told of in the app. What is about people's own safety
    /// (password, second factor, roles) is always told.
    #[serde(default)]
    muted: Vec<String>,
}

impl NotificationsShape {
    fn into_config(self) -> Result<NotificationsConfig, Problem> {
        for (at, kind) in self.muted.iter().enumerate() {
            let wrong = match may_be_muted(kind) {
                Some(true) if !self.muted[..at].contains(kind) => continue,
                Some(true) => "is named twice",
                Some(false) => "is always told: it is about people's own safety",
                None => "no type of event that people are told of",
            };
            return Err(Problem::invalid(format!("config.notifications.muted[{at}]"), wrong));
        }
        Ok(NotificationsConfig { receipts: self.receipts.unwrap_or(true), muted: self.muted })
    }
}

impl From<&NotificationsConfig> for NotificationsShape {
    fn from(config: &NotificationsConfig) -> Self {
        Self { receipts: Some(config.receipts), muted: config.muted.clone() }
    }
}

impl LimitsShape {
    fn into_limits(self) -> Result<LimitsConfig, Problem> {
        const PARAM: &str = "config.limits.tiers";
        let invalid = |param: String, detail: String| Err(Problem::invalid(param, detail));
        if self.tiers.len() > TIERS_MOST {
            return invalid(PARAM.into(), format!("at most {TIERS_MOST} tiers"));
        }
        let mut tiers = BTreeMap::new();
        for (name, by_currency) in self.tiers {
            check_word(PARAM, &name)?;
            let mut limits = BTreeMap::new();
            for (currency, TierLimitsShape { balance, day, month }) in by_currency {
                for (what, most) in [("balance", balance), ("day", day), ("month", month)] {
                    if most.is_some_and(|most| !(0..=MAX_AMOUNT).contains(&most)) {
                        let param = format!("{PARAM}.{name}.{}.{what}", currency.code());
                        return invalid(param, format!("a number from 0 to {MAX_AMOUNT}"));
                    }
                }
                limits.insert(currency, TierLimits { balance, day, month });
            }
            tiers.insert(name, limits);
        }
        Ok(LimitsConfig { tiers })
    }
}

impl From<&LimitsConfig> for LimitsShape {
    fn from(limits: &LimitsConfig) -> Self {
        let shape = |limits: &TierLimits| {
            let TierLimits { balance, day, month } = *limits;
            TierLimitsShape { balance, day, month }
        };
        let of = |by_currency: &BTreeMap<Currency, TierLimits>| {
            by_currency.iter().map(|(currency, limits)| (*currency, shape(limits))).collect()
        };
        let tiers = limits.tiers.iter().map(|(name, tier)| (name.clone(), of(tier))).collect();
        Self { tiers }
    }
}

/// Requests let through in a sliding window, each 1 to 1,000,000.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RateLimits)]
pub(crate) struct RateLimitsShape {
    /// Of each wallet holder, as the next three.
    create_wallet_per_hour: Option<u32>,
    fund_per_hour: Option<u32>,
    transfer_per_hour: Option<u32>,
    view_per_hour: Option<u32>,
    /// Of each API key, whatever it asks for.
    api_key_per_minute: Option<u32>,
}

impl RateLimitsShape {
    fn into_limits(self) -> Result<RateLimits, Problem> {
        let Self {
            create_wallet_per_hour,
            fund_per_hour,
            transfer_per_hour,
            view_per_hour,
            api_key_per_minute,
        } = self;
        for (name, limit) in [
            ("create_wallet_per_hour", create_wallet_per_hour),
            ("fund_per_hour", fund_per_hour),
            ("transfer_per_hour", transfer_per_hour),
            ("view_per_hour", view_per_hour),
            ("api_key_per_minute", api_key_per_minute),
        ] {
            if limit.is_some_and(|limit| !RateLimits::RANGE.contains(&limit)) {
                let param = format!("config.rate_limits.{name}");
                return Err(Problem::invalid(param, "a number from 1 to 1000000"));
            }
        }
        Ok(RateLimits {
            create_wallet_per_hour,
            fund_per_hour,
            transfer_per_hour,
            view_per_hour,
            api_key_per_minute,
        })
    }
}

impl From<RateLimits> for RateLimitsShape {
    fn from(limits: RateLimits) -> Self {
        let RateLimits {
            create_wallet_per_hour,
            fund_per_hour,
            transfer_per_hour,
            view_per_hour,
            api_key_per_minute,
        } = limits;
        Self {
            create_wallet_per_hour,
            fund_per_hour,
            transfer_per_hour,
            view_per_hour,
            api_key_per_minute,
        }
    }
}

/// What the tenant has set of its own; null is the instance's.
#[derive(Serialize, ToSchema)]
#[schema(as = TenantConfig)]
pub(crate) struct TenantConfigShape {
    rate_limits: Option<RateLimitsShape>,
    limits: Option<LimitsShape>,
    fraud: Option<FraudShape>,
    notifications: Option<NotificationsShape>,
    #[schema(value_type = String, example = "00:00")]
    business_day_cut_off: CutOff,
}

impl From<&TenantConfig> for TenantConfigShape {
    fn from(config: &TenantConfig) -> Self {
        Self {
            rate_limits: config.rate_limits.map(RateLimitsShape::from),
            limits: config.limits.as_ref().map(LimitsShape::from),
            fraud: config.fraud.map(|FraudConfig { on_failure }| FraudShape { on_failure }),
            notifications: config.notifications.as_ref().map(NotificationsShape::from),
            business_day_cut_off: config.business_day_cut_off,
        }
    }
}

impl TenantPatch {
    pub fn into_change(self) -> Result<TenantChange, Problem> {
        let Self { name, timezone, config } = self;
        if let Some(name) = &name {
            check_name("name", name)?;
        }
        if let Some(timezone) = &timezone {
            check_timezone(timezone)?;
        }
        let Some(config) = config else {
            return Ok(TenantChange { name, timezone, ..TenantChange::default() });
        };
        let TenantConfigPatch { rate_limits, limits, fraud, notifications, business_day_cut_off } =
            config;
        let rate_limits = rate_limits.map(|it| it.map(RateLimitsShape::into_limits).transpose());
        let limits = limits.map(|it| it.map(LimitsShape::into_limits).transpose());
        let fraud = fraud.map(|it| it.map(|FraudShape { on_failure }| FraudConfig { on_failure }));
        let (rate_limits, limits) = (rate_limits.transpose()?, limits.transpose()?);
        let notifications =
            notifications.map(|it| it.map(NotificationsShape::into_config).transpose());
        let notifications = notifications.transpose()?;
        Ok(TenantChange {
            name,
            timezone,
            rate_limits,
            limits,
            fraud,
            notifications,
            business_day_cut_off,
        })
    }
}

fn check_timezone(name: &str) -> Result<(), Problem> {
    if is_time_zone(name) {
        return Ok(());
    }
    Err(Problem::invalid("timezone", "not an IANA time zone such as Europe/Lisbon"))
}

/// Names such as `eu-west-1`.
fn check_word(param: &str, text: &str) -> Result<(), Problem> {
    let fits = (1..=WORD_CHARS).contains(&text.len());
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-+".contains(&b))
    };
    if fits && text.split('/').all(is_part) {
        return Ok(());
    }
    Err(Problem::invalid(param, "1 to 64 letters, digits and -, _, + in parts divided by /"))
}

#[derive(Serialize, ToSchema)]
#[schema(as = Tenant, example = json!({
    "id": "ten_01h455vb4pex5vsknk084sn02q", "object": "tenant", "name": "Acme", "mode": "test",
    "placement": "user", "region": null, "timezone": "UTC",
    "config": {"rate_limits": null, "limits": null, "fraud": null, "notifications": null,
        "business_day_cut_off": "00:00"},
    "created_at": "2026-01-31T09:30:00.000000Z"
}))]
pub(crate) struct TenantShape<'a> {
    #[schema(value_type = String)]
    id: TenantId,
    object: &'static str,
    name: &'a str,
    #[schema(value_type = String)]
    mode: Mode,
    #[schema(value_type = String)]
    placement: Placement,
    region: Option<&'a str>,
    timezone: &'a str,
    config: TenantConfigShape,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Only in the answer to its creation: the owner's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<ApiKeyShape<'a>>,
}

impl<'a> From<&'a Tenant> for TenantShape<'a> {
    fn from(tenant: &'a Tenant) -> Self {
        let Tenant { id, mode, placement, created_at, .. } = *tenant;
        Self {
            id,
            object: "tenant",
            name: &tenant.name,
            mode,
            placement,
            region: tenant.region.as_deref(),
            timezone: &tenant.timezone,
            config: TenantConfigShape::from(&tenant.config),
            created_at,
            api_key: None,
        }
    }
}

impl Shown for TenantShape<'_> {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "object",
        "name",
        "mode",
        "placement",
        "region",
        "timezone",
        "config",
        "created_at",
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_look_like_names() {
        for good in ["eu", "eu-west-1", "eu/west"] {
            assert!(check_word("region", good).is_ok(), "{good}");
        }
        for bad in ["", "/", "a//b", "a b", "é", &"a".repeat(65)] {
            assert!(check_word("region", bad).is_err(), "{bad}");
        }
    }
}
