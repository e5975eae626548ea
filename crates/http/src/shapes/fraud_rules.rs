//! Fraud rules and their trials as they are asked for and shown.

use caudal_domain::{
    Amount, Currency, FraudAction, FraudRule, FraudRuleId, PaymentId, Timestamp, UserId,
    text::Metadata,
};
use caudal_service::{
    Span, Window,
    fraud_rules::{FraudRuleChange, MadeUp, NewFraudRule, Outcome, TrialOn, Tried},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{WalletId, check_metadata, check_name, payments::check_words, refuse_card_number};
use crate::{problem::Problem, query::Shown};

/// Past payments that a trial looks at, if it is not said otherwise, and at most.
const TRIAL: usize = 20;
const TRIAL_MOST: usize = 100;

#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewFraudRule, example = json!({
    "name": "large", "expression": "payment.amount_in(\"USD\") > 500000", "action": "review"
}))]
pub(crate) struct FraudRuleRequest {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// CEL over payment, wallet, user and velocity: true or false.
    #[schema(min_length = 1, max_length = 2000)]
    expression: String,
    /// `allow`, `review` or `block`.
    #[schema(value_type = String)]
    action: FraudAction,
    /// Rules of a lower one are asked first; 100, if not given.
    #[schema(minimum = 0, maximum = 1_000_000)]
    position: Option<i64>,
    /// True, if not given.
    active: Option<bool>,
}

impl FraudRuleRequest {
    pub fn into_new(self) -> Result<NewFraudRule, Problem> {
        let Self { name, expression, action, position, active } = self;
        check_name("name", &name)?;
        refuse_card_number("expression", &expression)?;
        let position = check_position(position.unwrap_or(FraudRule::POSITION))?;
        Ok(NewFraudRule { name, expression, action, position, active: active.unwrap_or(true) })
    }
}

fn check_position(position: i64) -> Result<i64, Problem> {
    match FraudRule::POSITIONS.contains(&position) {
        true => Ok(position),
        false => Err(Problem::invalid("position", "a number from 0 to 1000000")),
    }
}

/// What is not given stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FraudRuleChange, example = json!({"action": "block"}))]
pub(crate) struct FraudRulePatch {
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    #[schema(min_length = 1, max_length = 2000)]
    expression: Option<String>,
    #[schema(value_type = Option<String>)]
    action: Option<FraudAction>,
    #[schema(minimum = 0, maximum = 1_000_000)]
    position: Option<i64>,
    active: Option<bool>,
}

impl FraudRulePatch {
    pub fn into_change(self) -> Result<FraudRuleChange, Problem> {
        let Self { name, expression, action, position, active } = self;
        if let Some(name) = &name {
            check_name("name", name)?;
        }
        if let Some(expression) = &expression {
            refuse_card_number("expression", expression)?;
        }
        let position = position.map(check_position).transpose()?;
        Ok(FraudRuleChange { name, expression, action, position, active })
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = FraudRule, example = json!({
    "id": "frl_01h455vb4pex5vsknk084sn02q", "object": "fraud_rule", "name": "large",
    "expression": "payment.amount_in(\"USD\") > 500000", "action": "review", "position": 100,
    "active": true, "created_at": "2026-01-31T09:30:00.000000Z",
    "updated_at": "2026-01-31T09:30:00.000000Z"
}))]
pub(crate) struct FraudRuleShape<'a> {
    #[schema(value_type = String)]
    id: FraudRuleId,
    object: &'static str,
    name: &'a str,
    expression: &'a str,
    #[schema(value_type = String)]
    action: FraudAction,
    position: i64,
    active: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl<'a> From<&'a FraudRule> for FraudRuleShape<'a> {
    fn from(rule: &'a FraudRule) -> Self {
        let FraudRule { id, position, action, active, created_at, updated_at, .. } = *rule;
        Self {
            id,
            object: "fraud_rule",
            name: &rule.name,
            expression: &rule.expression,
            action,
            position,
            active,
            created_at,
            updated_at,
        }
    }
}

impl Shown for FraudRuleShape<'_> {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "object",
        "name",
        "expression",
        "action",
        "position",
        "active",
        "created_at",
        "updated_at",
    ];
}

/// A trial on one payment, made or made up, or on the newest of those that were made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewFraudRuleTrial, example = json!({
    "expression": "velocity.payer.count_1h > 5", "limit": 50
}))]
pub(crate) struct TrialRequest {
    #[schema(min_length = 1, max_length = 2000)]
    pub expression: String,
    payment_id: Option<String>,
    /// One that nobody made.
    payment: Option<MadeUpShape>,
    /// Payments that were made before are looked at; 20, if not given.
    #[schema(minimum = 1, maximum = 100)]
    limit: Option<usize>,
    /// The newest of those made before then.
    #[schema(value_type = Option<String>, format = DateTime)]
    created_before: Option<String>,
}

impl TrialRequest {
    /// The expression, and what it is tried on.
    pub fn into_trial(self) -> Result<(String, TrialOn), Problem> {
        refuse_card_number("expression", &self.expression)?;
        let is_of_many = self.limit.is_some() || self.created_before.is_some();
        let on = match (&self.payment_id, self.payment) {
            (Some(_), _) if is_of_many => {
                let detail = "either one payment or the newest of many";
                return Err(Problem::invalid("payment_id", detail));
            }
            (given, Some(_)) if is_of_many || given.is_some() => {
                let detail = "either one that is made up or those that were made";
                return Err(Problem::invalid("payment", detail));
            }
            (Some(id), _) => {
                let id = id.parse::<PaymentId>().map_err(|_| Problem::not_found("payment"))?;
                TrialOn::Payment(id)
            }
            (None, Some(payment)) => TrialOn::MadeUp(Box::new(payment.into_made_up()?)),
            (None, None) => Self::past(self.limit, self.created_before.as_deref())?,
        };
        Ok((self.expression, on))
    }

    fn past(limit: Option<usize>, before: Option<&str>) -> Result<TrialOn, Problem> {
        let limit = limit.unwrap_or(TRIAL);
        if !(1..=TRIAL_MOST).contains(&limit) {
            return Err(Problem::invalid("limit", "a number from 1 to 100"));
        }
        let before = before.map(|text| {
            let wrong = "not an RFC 3339 time such as 2026-01-31T09:30:00Z";
            Timestamp::parse(text).ok_or_else(|| Problem::invalid("created_before", wrong))
        });
        let created = Span { from: None, before: before.transpose()? };
        Ok(TrialOn::Past(Window { cursor: None, limit, created }))
    }
}

/// As much of a payment as rules look at. Wallets and user, where they are named, must be there;
/// what is not given is empty, and nothing was paid before.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MadeUpPayment, example = json!({
    "amount": 600000, "currency": "USD", "type": "card", "metadata": {"country": "PT"}
}))]
pub(crate) struct MadeUpShape {
    #[schema(value_type = i64, minimum = 1, maximum = 9007199254740991i64)]
    amount: Amount,
    #[schema(value_type = String)]
    currency: Currency,
    /// Empty, if not given.
    #[serde(rename = "type", default)]
    kind: String,
    #[schema(value_type = Option<String>)]
    from: Option<WalletId>,
    #[schema(value_type = Option<String>)]
    to: Option<WalletId>,
    /// The payer; the user of `from`, if not given.
    user_id: Option<String>,
    payment_method: Option<String>,
    description: Option<String>,
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    metadata: Option<Metadata>,
}

impl MadeUpShape {
    fn into_made_up(self) -> Result<MadeUp, Problem> {
        let texts = [
            ("payment.type", Some(&self.kind).filter(|kind| !kind.is_empty())),
            ("payment.payment_method", self.payment_method.as_ref()),
            ("payment.description", self.description.as_ref()),
        ];
        for (param, text) in texts {
            text.into_iter().try_for_each(|text| check_words(param, text))?;
        }
        let metadata = self.metadata.unwrap_or_default();
        check_metadata("payment.metadata", &metadata)?;
        let user = self.user_id.map(|id| id.parse::<UserId>());
        Ok(MadeUp {
            kind: self.kind,
            amount: self.amount,
            currency: self.currency,
            from: self.from.map(|wallet| wallet.0),
            to: self.to.map(|wallet| wallet.0),
            user: user.transpose().map_err(|_| Problem::not_found("user"))?,
            payment_method: self.payment_method,
            description: self.description,
            metadata,
        })
    }
}

/// What came of it, the newest payment first.
#[derive(Serialize, ToSchema)]
#[schema(as = FraudRuleTrial, example = json!({
    "object": "fraud_rule_trial", "tried": 2, "held": 1, "failed": 0, "payments": [
        {"payment_id": "pay_01h455vb4pex5vsknk084sn02q", "outcome": "holds", "detail": null}]
}))]
pub(crate) struct TrialShape {
    object: &'static str,
    tried: usize,
    held: usize,
    failed: usize,
    payments: Vec<TriedShape>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = TriedFraudRule)]
pub(crate) struct TriedShape {
    /// Null of one that is made up.
    #[schema(value_type = Option<String>)]
    payment_id: Option<PaymentId>,
    /// `holds`, `does_not_hold` or `failed`: then the payment would have gone to review.
    outcome: &'static str,
    /// Why it failed.
    detail: Option<String>,
}

impl From<&[Tried]> for TrialShape {
    fn from(tried: &[Tried]) -> Self {
        let payments: Vec<_> = tried.iter().map(TriedShape::from).collect();
        let of = |outcome| payments.iter().filter(|tried| tried.outcome == outcome).count();
        let (held, failed) = (of("holds"), of("failed"));
        Self { object: "fraud_rule_trial", tried: tried.len(), held, failed, payments }
    }
}

impl From<&Tried> for TriedShape {
    fn from(tried: &Tried) -> Self {
        let (outcome, detail) = match &tried.outcome {
            Outcome::Holds => ("holds", None),
            Outcome::DoesNot => ("does_not_hold", None),
            Outcome::Failed(why) => ("failed", Some(why.clone())),
        };
        Self { payment_id: tried.payment, outcome, detail }
    }
}
