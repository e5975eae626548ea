//! One call to a gateway, or one question.

use std::sync::Arc;

use caudal_domain::{Amount, MAX_AMOUNT, Timestamp};
use caudal_gateway::{
    Answer, CancelRequest, CaptureMode, CaptureRequest, ChargeRequest, Gateway, GatewayFault,
    Object, Query, RefundRequest, Standing,
};

use super::{Heard, Operation, RESEND_WITHIN_S, SagaData, Step, Work};
use crate::{Service, ServiceError};

impl Service {
    /// Does what the step is. An account that can't be opened is one that is not heard, so that
    /// deadlines hold for it.
    pub(super) async fn act(&self, work: &Work) -> Heard {
        let gateway = match self.gateway_of(work).await {
            Ok(gateway) => gateway,
            Err(error) if work.step == Step::Ask || work.is_taken_over => {
                tracing::error!(saga = %work.saga.id, %error, "its account can't be opened");
                return Heard::NotTold;
            }
            Err(error) => return Heard::NotSent(error.to_string()),
        };
        if work.step == Step::Ask {
            return ask(work, &gateway).await;
        }
        if work.is_taken_over {
            // Made or not, nobody knows: the gateway first.
            match ask(work, &gateway).await {
                Heard::NothingKnown => {}
                Heard::Stands { answer, .. } if !is_of_call(work, &answer) => {}
                heard => return heard,
            }
            if work.data.since.plus_seconds(RESEND_WITHIN_S) < self.now() {
                return Heard::Unclear("too long ago to be asked for again".into());
            }
        }
        send(work, &gateway).await
    }

    /// The gateway that is the work's turn.
    pub(super) async fn gateway_of(&self, work: &Work) -> Result<Arc<dyn Gateway>, ServiceError> {
        let lost = || ServiceError::Broken("its saga has no account left".into());
        let account = work.data.account().ok_or_else(lost)?;
        self.gateway(work.payment.row.tenant, account).await
    }
}

/// Whether the standing tells what became of the call: a charge that could be captured before is
/// still as it was when the capture was not heard.
pub(super) fn is_of_call(work: &Work, answer: &Answer) -> bool {
    let is_open = matches!(answer, Answer::RequiresCapture { .. } | Answer::RequiresAction { .. });
    match work.data.operation {
        Operation::Charge | Operation::Refund => true,
        Operation::Capture | Operation::Cancel => !is_open,
    }
}

async fn send(work: &Work, gateway: &Arc<dyn Gateway>) -> Heard {
    let SagaData { operation, amount, key, .. } = &work.data;
    let Some(amount) = Amount::new((*amount).min(MAX_AMOUNT)) else {
        return Heard::NotSent("the amount is out of range".into());
    };
    let row = &work.payment.row;
    let (key, currency) = (key.clone(), row.currency);
    let reference = row.gateway_reference.clone().unwrap_or_default();
    let said = match operation {
        Operation::Charge => {
            let charge = ChargeRequest {
                key,
                amount,
                currency,
                payment_method: row.payment_method.clone().unwrap_or_default(),
                capture: match row.manual_capture {
                    true => CaptureMode::Manual,
                    false => CaptureMode::Automatic,
                },
                description: row.description.clone(),
                return_url: work.payment.data.return_url.clone(),
                metadata: vec![("payment_id".into(), row.id.to_string())],
            };
            gateway.charge(&charge).await
        }
        Operation::Capture => {
            gateway.capture(&CaptureRequest { key, reference, amount, currency }).await
        }
        Operation::Cancel => gateway.cancel(&CancelRequest { key, reference }).await,
        Operation::Refund => {
            let refund = RefundRequest { key, charge: reference, amount, currency };
            gateway.refund(&refund).await
        }
    };
    match said {
        // Refused before the key was looked at, it says nothing of the call that may have been
        // made.
        Ok(Answer::Declined { reference: None, code, .. }) if work.is_taken_over => {
            Heard::Unclear(format!("asked for again, it was refused: {}", code.name()))
        }
        Ok(answer) => Heard::Said(answer),
        // What may have been sent before is not unsent by this.
        Err(GatewayFault::NotSent(why)) if work.is_taken_over => Heard::Unclear(why.to_string()),
        Err(GatewayFault::NotSent(why)) => Heard::NotSent(why.to_string()),
        Err(GatewayFault::Unclear(why)) => Heard::Unclear(why.to_string()),
    }
}

async fn ask(work: &Work, gateway: &Arc<dyn Gateway>) -> Heard {
    match gateway.query(&question(work)).await {
        Ok(None) => Heard::NothingKnown,
        Ok(Some(standing)) => heard(work, &standing),
        Err(_) => Heard::NotTold,
    }
}

fn question(work: &Work) -> Query {
    let row = &work.payment.row;
    let (object, reference) = match (&work.data.operation, &work.refund) {
        (Operation::Refund, Some(refund)) => (Object::Refund, &refund.gateway_reference),
        _ => (Object::Charge, &row.gateway_reference),
    };
    match reference {
        Some(reference) => Query::Reference { object, reference: reference.clone() },
        None => {
            let since: Timestamp = work.data.since;
            let charge = row.gateway_reference.clone().filter(|_| object == Object::Refund);
            Query::Key { object, key: work.data.key.clone(), charge, since }
        }
    }
}

/// What a standing tells of the work; amounts and currency must be ours.
pub(super) fn heard(work: &Work, standing: &Standing) -> Heard {
    let row = &work.payment.row;
    let strange =
        |said: (i64, _)| Heard::Strange(format!("the gateway speaks of {} {}", said.0, said.1));
    match standing {
        Standing::Charge(charge) => {
            let whole = match work.data.operation {
                Operation::Charge => work.data.amount,
                _ => charge.amount_minor,
            };
            match (charge.amount_minor, charge.currency) == (whole, row.currency) {
                true => Heard::of_charge(charge),
                false => strange((charge.amount_minor, charge.currency)),
            }
        }
        Standing::Refund(refund) => {
            match (refund.amount_minor, refund.currency) == (work.data.amount, row.currency) {
                true => Heard::Stands { answer: refund.answer.clone(), captured: None },
                false => strange((refund.amount_minor, refund.currency)),
            }
        }
        Standing::Dispute(_) | Standing::Payout(_) => {
            Heard::Strange("the gateway speaks of something else".into())
        }
    }
}
