//! A tenant's type of payments: how the money comes, in which currencies and between which
//! amounts, what it costs, and who bears what.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    fee::{FeeBearer, FeeRate, FeeReturn},
    id::{GatewayAccountId, PaymentTypeId, TenantId},
    money::{Amount, Currency, MAX_AMOUNT},
    time::Timestamp,
};

/// How the money comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentVia {
    /// From a wallet of the tenant.
    Wallet,
    /// Through a payment gateway.
    Gateway,
}

/// What is done when a payment does not say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureMode {
    #[default]
    Automatic,
    /// Authorized only, until it is captured.
    Manual,
}

/// Who bears a dispute that was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossBearer {
    #[default]
    Payee,
    Tenant,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentType {
    pub id: PaymentTypeId,
    pub tenant: TenantId,
    /// Payments name it; it never changes.
    pub name: String,
    /// Whether new payments may be of it.
    pub active: bool,
    pub settings: PaymentTypeSettings,
    /// Counts changes, for `If-Match`.
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// As kept in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentTypeSettings {
    pub via: PaymentVia,
    #[serde(default)]
    pub capture: CaptureMode,
    #[serde(default)]
    pub fee_bearer: FeeBearer,
    #[serde(default)]
    pub fee_return: FeeReturn,
    #[serde(default)]
    pub loss_bearer: LossBearer,
    /// Seconds from the capture until the wallet may spend what came through a gateway.
    #[serde(default)]
    pub available_after_s: i64,
    #[serde(default)]
    pub currencies: BTreeMap<Currency, PaymentTerms>,
    /// For every currency that is not named; `None`: there are no others.
    #[serde(default)]
    pub other_currencies: Option<PaymentTerms>,
}

/// What holds for payments of a type in one currency, in its minor units.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PaymentTerms {
    pub min_amount: Option<Amount>,
    pub max_amount: Option<Amount>,
    pub fee: FeeRate,
    /// In the order in which they are tried.
    pub gateway_accounts: Vec<GatewayAccountId>,
}

/// The longest that gateways hold money back for a first payout, twice over.
const AVAILABLE_AFTER_MOST_S: i64 = 180 * 24 * 3600;
/// All of it.
const BASIS_POINTS_MOST: i64 = 10_000;
/// A payer waits while they are tried one by one.
const GATEWAY_ACCOUNTS_MOST: usize = 10;

/// A field that does not fit, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    pub field: String,
    pub why: &'static str,
}

impl Misfit {
    fn within(self, outer: &str) -> Self {
        Self { field: format!("{outer}.{}", self.field), ..self }
    }
}

fn misfit(field: &str, why: &'static str) -> Result<(), Misfit> {
    Err(Misfit { field: field.to_owned(), why })
}

impl PaymentTypeSettings {
    /// Without a fee or a limit in any currency.
    pub fn new(via: PaymentVia, gateway_accounts: Vec<GatewayAccountId>) -> Self {
        Self {
            via,
            capture: CaptureMode::default(),
            fee_bearer: FeeBearer::default(),
            fee_return: FeeReturn::default(),
            loss_bearer: LossBearer::default(),
            available_after_s: 0,
            currencies: BTreeMap::new(),
            other_currencies: Some(PaymentTerms { gateway_accounts, ..PaymentTerms::default() }),
        }
    }

    /// What cannot be meant: the field it is about, and why.
    pub fn check(&self) -> Result<(), Misfit> {
        if !(0..=AVAILABLE_AFTER_MOST_S).contains(&self.available_after_s) {
            return misfit("available_after_s", "0 to 180 days");
        }
        if self.via == PaymentVia::Wallet && self.available_after_s > 0 {
            return misfit("available_after_s", "what comes from a wallet is there at once");
        }
        if self.currencies.is_empty() && self.other_currencies.is_none() {
            return misfit("currencies", "names no currency, and neither are there others");
        }
        for (currency, terms) in &self.currencies {
            terms
                .check(self.via)
                .map_err(|misfit| misfit.within(&format!("currencies.{currency}")))?;
        }
        let Some(others) = &self.other_currencies else { return Ok(()) };
        if others.min_amount.or(others.max_amount).is_some() || others.fee.fixed != 0 {
            let why = "amounts are in a currency: name it in currencies";
            return misfit("other_currencies", why);
        }
        others.check(self.via).map_err(|misfit| misfit.within("other_currencies"))
    }

    /// Every account that a payment may be sent to.
    pub fn gateway_accounts(&self) -> impl Iterator<Item = GatewayAccountId> {
        let terms = self.currencies.values().chain(&self.other_currencies);
        terms.flat_map(|terms| terms.gateway_accounts.iter().copied())
    }

    /// `None`: not in this currency.
    pub fn terms(&self, currency: Currency) -> Option<&PaymentTerms> {
        self.currencies.get(&currency).or(self.other_currencies.as_ref())
    }
}

impl PaymentTerms {
    fn check(&self, via: PaymentVia) -> Result<(), Misfit> {
        let FeeRate { fixed, basis_points } = self.fee;
        if !(0..=MAX_AMOUNT).contains(&fixed) {
            return misfit("fee.fixed", "an amount in minor units, or 0");
        }
        if !(0..=BASIS_POINTS_MOST).contains(&basis_points) {
            return misfit("fee.basis_points", "0 to 10000");
        }
        if let (Some(least), Some(most)) = (self.min_amount, self.max_amount)
            && least > most
        {
            return misfit("min_amount", "is above max_amount");
        }
        let accounts = &self.gateway_accounts;
        let is_twice = |at: usize| accounts[..at].contains(&accounts[at]);
        match via {
            PaymentVia::Wallet if !accounts.is_empty() => {
                misfit("gateway_accounts", "what comes from a wallet needs no gateway")
            }
            PaymentVia::Gateway if accounts.is_empty() => {
                misfit("gateway_accounts", "which gateway takes the money?")
            }
            _ if accounts.len() > GATEWAY_ACCOUNTS_MOST => {
                misfit("gateway_accounts", "has 10 items at most")
            }
            _ if (0..accounts.len()).any(is_twice) => {
                misfit("gateway_accounts", "names an account twice")
            }
            _ => Ok(()),
        }
    }

    /// Whether the amount is within the limits.
    pub fn takes(&self, amount: Amount) -> bool {
        self.min_amount.is_none_or(|least| amount >= least)
            && self.max_amount.is_none_or(|most| amount <= most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &str) -> PaymentTypeSettings {
        serde_json::from_str(json).expect("settings")
    }

    #[test]
    fn a_currency_that_is_named_has_its_own_terms() {
        let eur = Currency::from_code("EUR").expect("a code");
        let named = r#"{"via": "gateway", "currencies": {"USD": {"max_amount": 5}}}"#;
        let only = settings(named);
        let most = |settings: &PaymentTypeSettings, currency| {
            settings.terms(currency).map(|terms| terms.max_amount.map(Amount::minor))
        };
        assert_eq!((most(&only, Currency::USD), most(&only, eur)), (Some(Some(5)), None));
        let both = PaymentTypeSettings { other_currencies: Some(Default::default()), ..only };
        assert_eq!((most(&both, Currency::USD), most(&both, eur)), (Some(Some(5)), Some(None)));
        let text = serde_json::to_string(&both).expect("plain data");
        assert_eq!(settings(&text), both);
    }

    #[test]
    fn settings_that_cannot_be_meant_name_their_field() {
        let account = GatewayAccountId(7);
        for (json, field) in [
            (r#"{"via": "wallet"}"#, "currencies"),
            (
                r#"{"via": "wallet", "other_currencies": {}, "available_after_s": 1}"#,
                "available_after_s",
            ),
            (
                r#"{"via": "gateway", "other_currencies": {}, "available_after_s": -1}"#,
                "available_after_s",
            ),
            (r#"{"via": "gateway", "other_currencies": {}}"#, "other_currencies.gateway_accounts"),
            (r#"{"via": "wallet", "other_currencies": {"min_amount": 5}}"#, "other_currencies"),
            (r#"{"via": "wallet", "other_currencies": {"fee": {"fixed": 5}}}"#, "other_currencies"),
            (
                r#"{"via": "wallet", "currencies": {"EUR": {"fee": {"fixed": -1}}}}"#,
                "currencies.EUR.fee.fixed",
            ),
            (
                r#"{"via": "wallet", "currencies": {"EUR": {"fee": {"basis_points": 10001}}}}"#,
                "currencies.EUR.fee.basis_points",
            ),
            (
                r#"{"via": "wallet", "currencies": {"EUR": {"min_amount": 6, "max_amount": 5}}}"#,
                "currencies.EUR.min_amount",
            ),
        ] {
            assert_eq!(settings(json).check().map_err(|it| it.field), Err(field.into()), "{json}");
        }
        let of = |via, accounts: &[GatewayAccountId]| {
            PaymentTypeSettings::new(via, accounts.to_vec()).check().is_ok()
        };
        assert!(of(PaymentVia::Wallet, &[]) && of(PaymentVia::Gateway, &[account]));
        assert!(!of(PaymentVia::Wallet, &[account]) && !of(PaymentVia::Gateway, &[]));
        assert!(!of(PaymentVia::Gateway, &[account, account]));
        let many: Vec<_> = (0..11).map(GatewayAccountId).collect();
        assert!(!of(PaymentVia::Gateway, &many) && of(PaymentVia::Gateway, &many[1..]));
    }

    #[test]
    fn limits_are_inclusive() {
        let amount = |minor| Amount::new(minor).expect("an amount");
        let terms = PaymentTerms {
            min_amount: Some(amount(5)),
            max_amount: Some(amount(10)),
            ..PaymentTerms::default()
        };
        for (minor, taken) in [(4, false), (5, true), (10, true), (11, false)] {
            assert_eq!(terms.takes(amount(minor)), taken, "{minor}");
            assert!(PaymentTerms::default().takes(amount(minor)));
        }
    }
}
