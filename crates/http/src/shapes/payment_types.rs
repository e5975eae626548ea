//! Payment types as they are asked for and shown.

use std::collections::BTreeMap;

use caudal_domain::{
    Amount, Currency, GatewayAccountId, PaymentType, PaymentTypeId, Timestamp,
    fee::{FeeBearer, FeeRate, FeeReturn},
    payment_type::{CaptureMode, LossBearer, PaymentTerms, PaymentTypeSettings, PaymentVia},
};
use caudal_service::payment_types::{NewPaymentType, PaymentTypeChange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::given;
use crate::{problem::Problem, query::Shown};

/// Characters of a type's name at most: payments say it.
const NAME_CHARS: usize = 50;

#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewPaymentType, example = json!({
    "name": "card", "via": "gateway", "available_after_s": 172800,
    "currencies": {"USD": {"max_amount": 500000, "fee": {"fixed": 30, "basis_points": 290},
        "gateway_accounts": ["gwa_01h455vb4pex5vsknk084sn02q"]}}
}))]
pub(crate) struct PaymentTypeRequest {
    /// Payments name it: small letters, digits and `_`, first a letter. Never changes.
    #[schema(min_length = 1, max_length = 50)]
    name: String,
    /// `wallet` or `gateway`: where the money comes from. Never changes.
    #[schema(value_type = String)]
    via: PaymentVia,
    #[serde(default = "yes")]
    #[schema(default = true)]
    active: bool,
    /// `automatic` or `manual`: for payments that do not say it.
    #[serde(default)]
    #[schema(value_type = Option<String>, default = "automatic")]
    capture: CaptureMode,
    /// `payee` (out of the amount) or `payer` (on top of it).
    #[serde(default)]
    #[schema(value_type = Option<String>, default = "payee")]
    fee_bearer: FeeBearer,
    /// What becomes of the fee in a refund: `kept`, or given back as `proportional`.
    #[serde(default)]
    #[schema(value_type = Option<String>, default = "kept")]
    fee_return: FeeReturn,
    /// `payee` or `tenant`: who bears a dispute that was lost.
    #[serde(default)]
    #[schema(value_type = Option<String>, default = "payee")]
    loss_bearer: LossBearer,
    /// Seconds until the payee may spend what came through a gateway; 180 days at most.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 15_552_000)]
    available_after_s: i64,
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, PaymentTermsShape>>)]
    currencies: BTreeMap<Currency, PaymentTermsShape>,
    /// For every currency not named in `currencies`; not given, there is no other.
    other_currencies: Option<PaymentTermsShape>,
}

fn yes() -> bool {
    true
}

/// What holds in a currency, amounts in its minor units.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = PaymentTerms)]
pub(crate) struct PaymentTermsShape {
    #[schema(value_type = Option<i64>, minimum = 1)]
    min_amount: Option<Amount>,
    #[schema(value_type = Option<i64>, minimum = 1)]
    max_amount: Option<Amount>,
    fee: FeeShape,
    /// In the order in which they are tried; 10 at most.
    #[schema(value_type = Vec<String>)]
    gateway_accounts: Vec<GatewayAccountId>,
}

/// Rounded half to even, never above the amount.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = Fee)]
pub(crate) struct FeeShape {
    #[schema(minimum = 0)]
    fixed: i64,
    /// Hundredths of a per cent of the amount.
    #[schema(minimum = 0, maximum = 10_000)]
    basis_points: i64,
}

impl From<PaymentTermsShape> for PaymentTerms {
    fn from(shape: PaymentTermsShape) -> Self {
        let PaymentTermsShape { min_amount, max_amount, fee, gateway_accounts } = shape;
        let fee = FeeRate { fixed: fee.fixed, basis_points: fee.basis_points };
        Self { min_amount, max_amount, fee, gateway_accounts }
    }
}

impl From<&PaymentTerms> for PaymentTermsShape {
    fn from(terms: &PaymentTerms) -> Self {
        let PaymentTerms { min_amount, max_amount, fee, gateway_accounts } = terms.clone();
        let fee = FeeShape { fixed: fee.fixed, basis_points: fee.basis_points };
        Self { min_amount, max_amount, fee, gateway_accounts }
    }
}

fn terms(shapes: BTreeMap<Currency, PaymentTermsShape>) -> BTreeMap<Currency, PaymentTerms> {
    shapes.into_iter().map(|(currency, shape)| (currency, shape.into())).collect()
}

impl PaymentTypeRequest {
    pub fn into_new(self) -> Result<NewPaymentType, Problem> {
        check_type_name(&self.name)?;
        let settings = PaymentTypeSettings {
            via: self.via,
            capture: self.capture,
            fee_bearer: self.fee_bearer,
            fee_return: self.fee_return,
            loss_bearer: self.loss_bearer,
            available_after_s: self.available_after_s,
            currencies: terms(self.currencies),
            other_currencies: self.other_currencies.map(Into::into),
        };
        Ok(NewPaymentType { name: self.name, active: self.active, settings })
    }
}

fn check_type_name(name: &str) -> Result<(), Problem> {
    let is_word = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    match name.as_bytes() {
        [b'a'..=b'z', ..] if is_word && name.len() <= NAME_CHARS => Ok(()),
        _ => Err(Problem::invalid("name", "1 to 50 of a-z, 0-9 and _, the first a letter")),
    }
}

/// What is not given stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PaymentTypeChange, example = json!({"active": false}))]
pub(crate) struct PaymentTypePatch {
    active: Option<bool>,
    #[schema(value_type = Option<String>)]
    capture: Option<CaptureMode>,
    #[schema(value_type = Option<String>)]
    fee_bearer: Option<FeeBearer>,
    #[schema(value_type = Option<String>)]
    fee_return: Option<FeeReturn>,
    #[schema(value_type = Option<String>)]
    loss_bearer: Option<LossBearer>,
    #[schema(minimum = 0, maximum = 15_552_000)]
    available_after_s: Option<i64>,
    /// All of them: those not given are taken no more.
    #[schema(value_type = Option<BTreeMap<String, PaymentTermsShape>>)]
    currencies: Option<BTreeMap<Currency, PaymentTermsShape>>,
    /// null: there is no other.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<PaymentTermsShape>)]
    other_currencies: Option<Option<PaymentTermsShape>>,
}

impl From<PaymentTypePatch> for PaymentTypeChange {
    fn from(patch: PaymentTypePatch) -> Self {
        Self {
            active: patch.active,
            capture: patch.capture,
            fee_bearer: patch.fee_bearer,
            fee_return: patch.fee_return,
            loss_bearer: patch.loss_bearer,
            available_after_s: patch.available_after_s,
            currencies: patch.currencies.map(terms),
            other_currencies: patch.other_currencies.map(|others| others.map(Into::into)),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = PaymentType, example = json!({
    "id": "pty_01h455vb4pex5vsknk084sn02q", "object": "payment_type", "name": "wallet",
    "via": "wallet", "active": true, "capture": "automatic", "fee_bearer": "payee",
    "fee_return": "kept", "loss_bearer": "payee", "available_after_s": 0, "currencies": {},
    "other_currencies": {"min_amount": null, "max_amount": null,
        "fee": {"fixed": 0, "basis_points": 0}, "gateway_accounts": []},
    "created_at": "2026-01-31T09:30:00.000000Z", "updated_at": "2026-01-31T09:30:00.000000Z"
}))]
pub(crate) struct PaymentTypeShape<'a> {
    #[schema(value_type = String)]
    id: PaymentTypeId,
    object: &'static str,
    name: &'a str,
    #[schema(value_type = String)]
    via: PaymentVia,
    active: bool,
    #[schema(value_type = String)]
    capture: CaptureMode,
    #[schema(value_type = String)]
    fee_bearer: FeeBearer,
    #[schema(value_type = String)]
    fee_return: FeeReturn,
    #[schema(value_type = String)]
    loss_bearer: LossBearer,
    available_after_s: i64,
    #[schema(value_type = BTreeMap<String, PaymentTermsShape>)]
    currencies: BTreeMap<Currency, PaymentTermsShape>,
    other_currencies: Option<PaymentTermsShape>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl<'a> From<&'a PaymentType> for PaymentTypeShape<'a> {
    fn from(kind: &'a PaymentType) -> Self {
        let settings = &kind.settings;
        let shape = |(currency, terms): (&Currency, &PaymentTerms)| (*currency, terms.into());
        Self {
            id: kind.id,
            object: "payment_type",
            name: &kind.name,
            via: settings.via,
            active: kind.active,
            capture: settings.capture,
            fee_bearer: settings.fee_bearer,
            fee_return: settings.fee_return,
            loss_bearer: settings.loss_bearer,
            available_after_s: settings.available_after_s,
            currencies: settings.currencies.iter().map(shape).collect(),
            other_currencies: settings.other_currencies.as_ref().map(Into::into),
            created_at: kind.created_at,
            updated_at: kind.updated_at,
        }
    }
}

impl Shown for PaymentTypeShape<'_> {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "object",
        "name",
        "via",
        "active",
        "capture",
        "fee_bearer",
        "fee_return",
        "loss_bearer",
        "available_after_s",
        "currencies",
        "other_currencies",
        "created_at",
        "updated_at",
    ];
}

#[cfg(test)]
mod tests {
    use caudal_domain::TenantId;

    use super::*;
    use crate::shapes::tests::assert_fields;

    #[test]
    fn the_names_of_fields_are_those_shown() {
        assert_fields(&PaymentTypeShape::from(&PaymentType {
            id: PaymentTypeId(1),
            tenant: TenantId(1),
            name: "wallet".into(),
            active: true,
            settings: PaymentTypeSettings::new(PaymentVia::Wallet, Vec::new()),
            version: 1,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        }));
    }

    #[test]
    fn names_are_words_that_payments_can_say() {
        for good in ["card", "a", "sepa_2", &"a".repeat(50)] {
            assert!(check_type_name(good).is_ok(), "{good}");
        }
        for bad in ["", "Card", "2nd", "_x", "bank transfer", "é", &"a".repeat(51)] {
            assert!(check_type_name(bad).is_err(), "{bad}");
        }
    }
}
