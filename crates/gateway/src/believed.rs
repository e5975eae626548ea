//! Whether an answer speaks of what was asked: the kind of thing, its sum, its name. If not,
//! something did happen, and nobody knows what: it is unclear, and asked after.

use crate::port::{
    Answer, CancelRequest, CaptureRequest, ChargeRequest, GatewayFault, PayoutRequest,
    RefundRequest, Standing, Unclear,
};

/// Bytes of a name that a gateway gives.
const REFERENCE_MOST: usize = 255;
const OF_ELSE: GatewayFault =
    GatewayFault::Unclear(Unclear::Nonsense("it speaks of something else than was asked"));

fn is_name(reference: &str) -> bool {
    (1..=REFERENCE_MOST).contains(&reference.len())
}

/// A key that came back must be the one that was sent.
fn is_key(told: Option<&str>, asked: &str) -> bool {
    told.is_none_or(|told| told == asked)
}

fn answer_if(is_ours: bool, reference: &str, answer: Answer) -> Result<Answer, GatewayFault> {
    match is_ours && is_name(reference) {
        true => Ok(answer),
        false => Err(OF_ELSE),
    }
}

pub(crate) fn charged(asked: &ChargeRequest, told: Standing) -> Result<Answer, GatewayFault> {
    let Standing::Charge(told) = told else { return Err(OF_ELSE) };
    let is_ours = (told.amount_minor, told.currency) == (asked.amount.minor(), asked.currency)
        && is_key(told.key.as_deref(), &asked.key);
    answer_if(is_ours, &told.reference, told.answer)
}

pub(crate) fn captured(asked: &CaptureRequest, told: Standing) -> Result<Answer, GatewayFault> {
    let Standing::Charge(told) = told else { return Err(OF_ELSE) };
    let is_taken = matches!(told.answer, Answer::Succeeded { .. });
    let is_ours = (told.reference.as_str(), told.currency)
        == (asked.reference.as_str(), asked.currency)
        && (!is_taken || told.captured_minor == asked.amount.minor());
    answer_if(is_ours, &told.reference, told.answer)
}

pub(crate) fn canceled(asked: &CancelRequest, told: Standing) -> Result<Answer, GatewayFault> {
    let Standing::Charge(told) = told else { return Err(OF_ELSE) };
    answer_if(told.reference == asked.reference, &told.reference, told.answer)
}

pub(crate) fn refunded(asked: &RefundRequest, told: Standing) -> Result<Answer, GatewayFault> {
    let Standing::Refund(told) = told else { return Err(OF_ELSE) };
    let is_ours = (told.amount_minor, told.currency) == (asked.amount.minor(), asked.currency)
        && told.charge.as_deref().is_none_or(|charge| charge == asked.charge)
        && is_key(told.key.as_deref(), &asked.key);
    answer_if(is_ours, &told.reference, told.answer)
}

pub(crate) fn paid_out(asked: &PayoutRequest, told: Standing) -> Result<Answer, GatewayFault> {
    let Standing::Payout(told) = told else { return Err(OF_ELSE) };
    let is_ours = (told.amount_minor, told.currency) == (asked.amount.minor(), asked.currency)
        && is_key(told.key.as_deref(), &asked.key);
    answer_if(is_ours, &told.reference, told.answer)
}

#[cfg(test)]
mod tests {
    use caudal_domain::{Amount, Currency};

    use super::*;
    use crate::port::{ChargeStanding, RefundStanding};

    fn refund() -> RefundRequest {
        RefundRequest {
            key: "k".into(),
            charge: "ch_1".into(),
            amount: Amount::new(500).expect("an amount"),
            currency: Currency::from_code("USD").expect("a code"),
        }
    }

    fn told(change: impl FnOnce(&mut RefundStanding)) -> Standing {
        let mut standing = RefundStanding {
            reference: "re_1".into(),
            key: Some("k".into()),
            charge: Some("ch_1".into()),
            amount_minor: 500,
            currency: Currency::from_code("USD").expect("a code"),
            answer: Answer::Succeeded { reference: "re_1".into(), fee: None },
        };
        change(&mut standing);
        Standing::Refund(standing)
    }

    #[test]
    fn only_what_was_asked_for_is_believed() {
        let jpy = Currency::from_code("JPY").expect("a code");
        let charge = ChargeStanding {
            reference: "re_1".into(),
            key: Some("k".into()),
            amount_minor: 500,
            captured_minor: 500,
            refunded_minor: None,
            currency: jpy,
            answer: Answer::Succeeded { reference: "re_1".into(), fee: None },
        };
        for (what, standing, is_believed) in [
            ("as asked", told(|_| {}), true),
            ("without a key", told(|it| it.key = None), true),
            ("another sum", told(|it| it.amount_minor = 1), false),
            ("another currency", told(|it| it.currency = jpy), false),
            ("another charge's", told(|it| it.charge = Some("ch_2".into())), false),
            ("another key's", told(|it| it.key = Some("other".into())), false),
            ("no name", told(|it| it.reference.clear()), false),
            ("a book for a name", told(|it| it.reference = "r".repeat(5000)), false),
            ("another kind", Standing::Charge(charge), false),
        ] {
            assert_eq!(refunded(&refund(), standing).is_ok(), is_believed, "{what}");
        }
    }
}
