//! What Stripe's JSON says, as far as it is read, and what it means at the port.
//!
//! A status that is not known here is no answer: it is taken as unclear rather than guessed at.

use std::collections::HashMap;

use caudal_domain::{Currency, Timestamp};
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    errors::{self, DeclineCode, decline},
    port::{
        Answer, ChargeStanding, DisputeStanding, DisputeState, Fee, GatewayFault, PayoutStanding,
        RefundStanding, Standing, Unclear,
    },
    quirks::STRIPE,
};

type Metadata = HashMap<String, String>;

/// What can be found again by our key.
pub trait Keyed {
    fn id(&self) -> &str;
    fn key(&self) -> Option<&str>;
}

macro_rules! keyed {
    ($($type:ident),*) => {$(
        impl Keyed for $type {
            fn id(&self) -> &str {
                &self.id
            }
            fn key(&self) -> Option<&str> {
                self.metadata.get(super::KEY_FIELD).map(String::as_str)
            }
        }
    )*};
}

keyed!(Intent, Refund, Payout);

/// A page of a list.
#[derive(Deserialize)]
pub struct Listed<T> {
    pub data: Vec<T>,
    #[serde(default)]
    pub has_more: bool,
}

#[derive(Deserialize)]
pub struct Intent {
    id: String,
    status: String,
    amount: i64,
    #[serde(default)]
    amount_received: i64,
    currency: String,
    #[serde(default)]
    metadata: Metadata,
    next_action: Option<NextAction>,
    last_payment_error: Option<Failure>,
    latest_charge: Option<Expandable<LatestCharge>>,
}

#[derive(Deserialize)]
struct NextAction {
    redirect_to_url: Option<RedirectToUrl>,
}

#[derive(Deserialize)]
struct RedirectToUrl {
    url: Option<String>,
}

/// An id, or the thing itself where it was asked for.
#[derive(Deserialize)]
#[serde(untagged)]
enum Expandable<T> {
    Whole(T),
    Id(IgnoredAny),
}

impl<T> Expandable<T> {
    fn whole(&self) -> Option<&T> {
        match self {
            Self::Whole(thing) => Some(thing),
            Self::Id(_) => None,
        }
    }
}

#[derive(Deserialize)]
struct LatestCharge {
    amount_refunded: Option<i64>,
    balance_transaction: Option<Expandable<BalanceTransaction>>,
}

#[derive(Deserialize)]
struct BalanceTransaction {
    fee: i64,
    currency: String,
}

/// An error, or why an intent's last try failed.
#[derive(Deserialize)]
pub struct Failure {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    decline_code: Option<String>,
    payment_intent: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

#[derive(Deserialize)]
pub struct Problem {
    pub error: Failure,
}

impl Failure {
    /// What a status other than 2xx means.
    pub fn answer(&self, status: u16) -> Answer {
        let reference = self.payment_intent.as_ref().map(|intent| intent.id.clone());
        let code = match (status, self.most_telling()) {
            (401 | 403, _) => "account_invalid",
            (404, None) => "resource_missing",
            (_, code) => code.unwrap_or(""),
        };
        match declined(code, reference) {
            // Only a bank declines for reasons that nobody knows; it does so with 402.
            Answer::Declined { code: DeclineCode::Other, reference, .. } if status != 402 => {
                let (code, retryable_elsewhere) = (DeclineCode::InvalidRequest, false);
                Answer::Declined { code, retryable_elsewhere, reference }
            }
            answer => answer,
        }
    }

    /// The bank's word before Stripe's.
    fn most_telling(&self) -> Option<&str> {
        self.decline_code.as_deref().or(self.code.as_deref())
    }
}

fn declined(code: &str, reference: Option<String>) -> Answer {
    let found = decline(errors::STRIPE, code);
    let (code, retryable_elsewhere) = (found.code, found.retryable_elsewhere);
    Answer::Declined { code, retryable_elsewhere, reference }
}

fn nonsense(what: &'static str) -> GatewayFault {
    GatewayFault::Unclear(Unclear::Nonsense(what))
}

/// Stripe writes codes in lower case.
fn currency(code: &str) -> Result<Currency, GatewayFault> {
    Currency::from_code(&code.to_ascii_uppercase()).ok_or(nonsense("an unknown currency"))
}

fn minor(units: i64, currency: Currency) -> Result<i64, GatewayFault> {
    STRIPE.to_us(units, currency).ok_or(nonsense("an amount that its currency does not have"))
}

impl Intent {
    pub fn answer(&self) -> Result<Answer, GatewayFault> {
        let reference = self.id.clone();
        Ok(match self.status.as_str() {
            "succeeded" => Answer::Succeeded { reference, fee: self.fee()? },
            "requires_capture" => Answer::RequiresCapture { reference },
            "processing" => Answer::Processing { reference },
            "canceled" => Answer::Canceled { reference },
            "requires_action" => {
                let action = self.next_action.as_ref().and_then(|a| a.redirect_to_url.as_ref());
                let url = action.and_then(|to| to.url.clone());
                let url = url.ok_or(nonsense("an action that is no redirect"))?;
                Answer::RequiresAction { reference, url }
            }
            "requires_payment_method" => {
                let code = self.last_payment_error.as_ref().and_then(Failure::most_telling);
                declined(code.unwrap_or("generic_decline"), Some(reference))
            }
            _ => return Err(nonsense("an unknown status of a payment intent")),
        })
    }

    fn latest_charge(&self) -> Option<&LatestCharge> {
        self.latest_charge.as_ref().and_then(Expandable::whole)
    }

    fn fee(&self) -> Result<Option<Fee>, GatewayFault> {
        let booked = self.latest_charge().and_then(|charge| charge.balance_transaction.as_ref());
        let Some(booked) = booked.and_then(Expandable::whole) else { return Ok(None) };
        let currency = currency(&booked.currency)?;
        // A fee has fractions that amounts must not have; such a one comes with the settlement.
        Ok(STRIPE.to_us(booked.fee, currency).map(|amount_minor| Fee { amount_minor, currency }))
    }

    pub fn standing(self) -> Result<Standing, GatewayFault> {
        let currency = currency(&self.currency)?;
        let refunded = self.latest_charge().and_then(|charge| charge.amount_refunded);
        Ok(Standing::Charge(ChargeStanding {
            answer: self.answer()?,
            key: self.key().map(str::to_owned),
            amount_minor: minor(self.amount, currency)?,
            captured_minor: minor(self.amount_received, currency)?,
            refunded_minor: refunded.map(|units| minor(units, currency)).transpose()?,
            currency,
            reference: self.id,
        }))
    }
}

#[derive(Deserialize)]
pub struct Refund {
    id: String,
    status: Option<String>,
    amount: i64,
    currency: String,
    payment_intent: Option<String>,
    failure_reason: Option<String>,
    #[serde(default)]
    metadata: Metadata,
}

impl Refund {
    pub fn answer(&self) -> Result<Answer, GatewayFault> {
        let reference = self.id.clone();
        Ok(match self.status.as_deref() {
            Some("succeeded") => Answer::Succeeded { reference, fee: None },
            Some("pending" | "requires_action") => Answer::Processing { reference },
            Some("canceled") => Answer::Canceled { reference },
            Some("failed") => {
                declined(self.failure_reason.as_deref().unwrap_or(""), Some(reference))
            }
            _ => return Err(nonsense("an unknown status of a refund")),
        })
    }

    pub fn standing(self) -> Result<Standing, GatewayFault> {
        let currency = currency(&self.currency)?;
        Ok(Standing::Refund(RefundStanding {
            answer: self.answer()?,
            key: self.key().map(str::to_owned),
            charge: self.payment_intent,
            amount_minor: minor(self.amount, currency)?,
            currency,
            reference: self.id,
        }))
    }
}

#[derive(Deserialize)]
pub struct Payout {
    id: String,
    status: String,
    amount: i64,
    currency: String,
    failure_code: Option<String>,
    // The API says null where there is none.
    #[serde(default, deserialize_with = "or_none")]
    metadata: Metadata,
}

fn or_none<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Metadata, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Payout {
    pub fn answer(&self) -> Result<Answer, GatewayFault> {
        let reference = self.id.clone();
        Ok(match self.status.as_str() {
            "paid" => Answer::Succeeded { reference, fee: None },
            "pending" | "in_transit" => Answer::Processing { reference },
            "canceled" => Answer::Canceled { reference },
            "failed" => declined(self.failure_code.as_deref().unwrap_or(""), Some(reference)),
            _ => return Err(nonsense("an unknown status of a payout")),
        })
    }

    pub fn standing(self) -> Result<Standing, GatewayFault> {
        let currency = currency(&self.currency)?;
        Ok(Standing::Payout(PayoutStanding {
            answer: self.answer()?,
            key: self.key().map(str::to_owned),
            amount_minor: minor(self.amount, currency)?,
            currency,
            reference: self.id,
        }))
    }
}

#[derive(Deserialize)]
pub struct Dispute {
    id: String,
    status: String,
    amount: i64,
    currency: String,
    payment_intent: Option<String>,
    #[serde(default)]
    reason: String,
    evidence_details: Option<EvidenceDetails>,
}

#[derive(Deserialize)]
struct EvidenceDetails {
    due_by: Option<i64>,
}

impl Dispute {
    pub fn answer(&self) -> Answer {
        let reference = self.id.clone();
        match self.status.as_str() {
            "won" => Answer::Succeeded { reference, fee: None },
            "lost" => declined("", Some(reference)),
            _ => Answer::Processing { reference },
        }
    }

    fn state(&self) -> Result<DisputeState, GatewayFault> {
        Ok(match self.status.as_str() {
            "warning_needs_response" | "warning_under_review" => DisputeState::Inquiry,
            "warning_closed" | "prevented" => DisputeState::Closed,
            "needs_response" => DisputeState::Open,
            "under_review" => DisputeState::UnderReview,
            "won" => DisputeState::Won,
            "lost" => DisputeState::Lost,
            _ => return Err(nonsense("an unknown status of a dispute")),
        })
    }

    pub fn standing(self) -> Result<Standing, GatewayFault> {
        let currency = currency(&self.currency)?;
        let due_s = self.evidence_details.as_ref().and_then(|details| details.due_by);
        Ok(Standing::Dispute(DisputeStanding {
            state: self.state()?,
            charge: self.payment_intent,
            amount_minor: minor(self.amount, currency)?,
            currency,
            reason: self.reason,
            evidence_due_at: due_s.map(|due_s| Timestamp::from_micros(0).plus_seconds(due_s)),
            reference: self.id,
        }))
    }
}
