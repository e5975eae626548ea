//! Who may do what: scopes, and API keys that carry them.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::{
    audit::Actor,
    id::{ApiKeyId, ServiceAccountId, TenantId},
    time::Timestamp,
};

macro_rules! scopes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// One permission. To add one more: a line here, and the route that asks for it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        pub enum Scope {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Scope {
            pub const ALL: &'static [Scope] = &[$(Scope::$variant),*];

            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

scopes! {
    /// Makes tenants; above every tenant.
    Platform = "platform",
    TenantRead = "tenant:read",
    TenantWrite = "tenant:write",
    ApiKeysRead = "api_keys:read",
    ApiKeysWrite = "api_keys:write",
    WalletsRead = "wallets:read",
    WalletsWrite = "wallets:write",
    /// Gives credit: a floor below zero.
    WalletsCredit = "wallets:credit",
    /// Freezes, unfreezes and closes.
    WalletsControl = "wallets:control",
    TreasuryFund = "treasury:fund",
    /// Tells of money between the bank and the treasury.
    TreasuryBank = "treasury:bank",
    /// Tells of money that a gateway paid to the bank.
    TreasurySettle = "treasury:settle",
    /// Gives money that came too late for a closed wallet to whom it belongs.
    TreasuryApply = "treasury:apply",
    /// Lets the tenant bear what a wallet owes.
    WalletsWriteOff = "wallets:write_off",
    TransfersRead = "transfers:read",
    TransfersWrite = "transfers:write",
    /// Reverses below floors and from who is frozen, with a reason.
    TransfersForce = "transfers:force",
    PaymentsRead = "payments:read",
    PaymentsWrite = "payments:write",
    /// Says what became of a payment that its gateway could not be asked about.
    PaymentsResolve = "payments:resolve",
    UploadsRead = "uploads:read",
    UploadsWrite = "uploads:write",
    DisputesRead = "disputes:read",
    /// Answers disputes and gives them up.
    DisputesWrite = "disputes:write",
    PayoutsRead = "payouts:read",
    PayoutsWrite = "payouts:write",
    EventsRead = "events:read",
    UsersRead = "users:read",
    UsersWrite = "users:write",
    RolesRead = "roles:read",
    RolesWrite = "roles:write",
    /// Ends the sessions of others; everyone may end their own.
    SessionsWrite = "sessions:write",
    ServiceAccountsRead = "service_accounts:read",
    ServiceAccountsWrite = "service_accounts:write",
    AuditRead = "audit:read",
    ReportsRead = "reports:read",
    PaymentTypesRead = "payment_types:read",
    PaymentTypesWrite = "payment_types:write",
    GatewayAccountsRead = "gateway_accounts:read",
    GatewayAccountsWrite = "gateway_accounts:write",
    /// Rotates the keys that sign tokens of every tenant; above every tenant.
    SigningKeysWrite = "signing_keys:write",
    /// Writes rates of exchange down, for every tenant; above every tenant.
    RatesWrite = "rates:write",
    WebhooksRead = "webhooks:read",
    WebhooksWrite = "webhooks:write",
    /// Changes rate limits and quotas.
    LimitsWrite = "limits:write",
    FraudRulesRead = "fraud_rules:read",
    FraudRulesWrite = "fraud_rules:write",
    ReviewsRead = "reviews:read",
    /// Decides on payments that a fraud rule set aside.
    ReviewsWrite = "reviews:write",
}

impl Scope {
    /// Whether it reaches past one tenant, so that no tenant can have or give it.
    pub fn is_above_tenants(self) -> bool {
        matches!(self, Self::Platform | Self::SigningKeysWrite | Self::RatesWrite)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = Cow::<str>::deserialize(from)?;
        let unknown = || D::Error::custom(format_args!("{name:?} is no scope"));
        Self::from_name(&name).ok_or_else(unknown)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An API key as stored: never the secret, only its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub tenant: TenantId,
    pub name: String,
    pub scopes: Vec<Scope>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    /// Whom it acts for; `None`: it is its own account. (These came later than the first stored
    /// answers that have a key in them.)
    #[serde(default)]
    pub service_account: Option<ServiceAccountId>,
    /// The key that takes its place.
    #[serde(default)]
    pub rotated_to: Option<ApiKeyId>,
    /// To within the pace at which uses are written down.
    #[serde(default)]
    pub last_used_at: Option<Timestamp>,
    /// The user or the key that made it or put it in another's place; `None`: the platform, or
    /// nobody knows any more.
    #[serde(default)]
    pub made_by: Option<Actor>,
}
