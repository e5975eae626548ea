//! Payments from a wallet: the money, the payment and what is told of it are one commit. What the
//! payer has not got makes a payment that failed, in the same commit that refuses it.

use caudal_domain::{
    AccountId, Chart, Leg, Refusal, Timestamp, TransferKind,
    payment::{PaymentAmounts, PaymentEvent, PaymentStatus},
};
use caudal_engine::{Command, Given, Instead, Otherwise};
use caudal_ledger::{
    Movement, NewTransfer,
    movements::{
        HoldUntil,
        pay::{self, WalletPayment},
    },
};
use caudal_store::payments;

use super::{AUTHORIZED_FOR_S, Happened, Payment, PaymentData, counted, said, telling};
use crate::{Asked, Caller, Done, ReceiptOf, Service, ServiceError, velocity_turns::Counting};

impl Service {
    pub(super) async fn pay_from_wallet(
        &self,
        asked: Asked<'_>,
        payment: Payment,
        counting: Counting,
    ) -> Result<Done<Payment>, ServiceError> {
        let Asked { caller, receipt } = asked;
        let accepted = accepted(payment)?;
        let mut command = pay_command(&accepted, receipt)?;
        counting.go_with(&mut command);
        let done = self.submit_within_tiers(caller.tenant, command).await;
        drop(counting);
        self.paid_from_wallet(caller, accepted, done).await
    }

    /// What became of the command.
    pub(super) async fn paid_from_wallet(
        &self,
        caller: &Caller,
        mut payment: Payment,
        done: Result<Done<Given>, ServiceError>,
    ) -> Result<Done<Payment>, ServiceError> {
        let Done { value, replayed, position } = match done {
            Err(ServiceError::Refused(Refusal::InsufficientFunds { .. })) => {
                let failed = refused(payment);
                counted::changed(&failed, self.now());
                let declined = failed.declined(false);
                let lost = || ServiceError::Broken("a refused payment has not failed".into());
                return Err(ServiceError::Declined(Box::new(declined.ok_or_else(lost)?)));
            }
            done => done?,
        };
        match value {
            Given::Transfer(transfer) => {
                let is_paid = payment.row.status == PaymentStatus::Succeeded;
                payment.row.transfer = is_paid.then_some(transfer.id);
                counted::changed(&payment, self.now());
                Ok(Done { value: payment, replayed, position })
            }
            Given::Kept(kept) => said::unless_declined(self.said_of(caller.tenant, &kept).await?),
            _ => Err(ServiceError::Broken("a payment gave something else".into())),
        }
    }
}

/// The same of one that was made before and goes on now.
pub(super) fn accepted_at(payment: Payment, at: Timestamp) -> Result<Payment, Refusal> {
    let mut accepted = accepted(payment)?;
    let what = match accepted.row.manual_capture {
        true => PaymentEvent::Authorized,
        false => PaymentEvent::Captured,
    };
    if accepted.row.manual_capture {
        accepted.data.capture_until = Some(at.plus_seconds(AUTHORIZED_FOR_S));
    }
    accepted.data.history.push(Happened { what, status: accepted.row.status, at });
    Ok(accepted)
}

/// The payment as it is when its money has moved, or is held.
pub(super) fn accepted(mut payment: Payment) -> Result<Payment, Refusal> {
    let row = &mut payment.row;
    let (event, captured) = match row.manual_capture {
        true => (PaymentEvent::Authorized, 0),
        false => (PaymentEvent::Captured, row.amount),
    };
    row.status = row.status.next(event)?;
    row.amounts = PaymentAmounts { authorized: row.amount, captured, ..PaymentAmounts::default() };
    if row.manual_capture {
        payment.data.capture_until = Some(row.created_at.plus_seconds(AUTHORIZED_FOR_S));
    }
    Ok(payment)
}

/// The payment as it is when its payer has not got the money.
pub(super) fn refused(mut payment: Payment) -> Payment {
    payment.row.status = PaymentStatus::Failed;
    payment.row.amounts = PaymentAmounts::default();
    payment.row.failure = Some("insufficient_funds".into());
    payment.data = PaymentData { capture_until: None, ..payment.data };
    payment
}

pub(super) fn pay_command(payment: &Payment, receipt: ReceiptOf) -> Result<Command, ServiceError> {
    let mut command = Command::new(Movement::Post(movement_of(payment)));
    command.receipt = Some(receipt);
    command.steps.push(payments::insert_with_transfer(&payment.to_row()?));
    command.telling = Some(telling::of_new(payment)?);
    command.context = Some(payment.row.id.to_string());
    let payment = payment.clone();
    command.otherwise = Some(Otherwise::new(move || {
        let refused = refused(payment.clone());
        let made = || Ok((refused.to_row()?, telling::of_new(&refused)?));
        let (row, telling) = made().unwrap_or_else(never);
        Instead { steps: vec![payments::insert(&row)], telling }
    }));
    Ok(command)
}

/// A payment that could be written as paid can be written as refused.
pub(super) fn never<T>(error: ServiceError) -> T {
    unreachable!("plain data: {error}")
}

/// The money at once, or held with the fee that its payer bears.
pub(super) fn movement_of(payment: &Payment) -> NewTransfer {
    if !payment.row.manual_capture {
        return paid(payment, payment.row.amount);
    }
    let WalletPayment { payer, payee, amount, .. } = wallet_payment(payment, payment.row.amount);
    let chart = chart_of(payment);
    let full = pay::pay(chart, &wallet_payment(payment, amount));
    let legs: Vec<Leg> = full.legs.into_iter().filter(|leg| leg.from == payer).collect();
    let hold_until = Some(HoldUntil::Seconds(AUTHORIZED_FOR_S));
    let mut held = NewTransfer::new(TransferKind::Payment, chart.currency, legs);
    debug_assert!(held.legs.first().is_some_and(|leg| leg.to == payee), "the payment comes first");
    held.hold_until = hold_until;
    held
}

/// The transfer of `amount` of the payment and the payment's fee.
pub(super) fn paid(payment: &Payment, amount: i64) -> NewTransfer {
    pay::pay(chart_of(payment), &wallet_payment(payment, amount))
}

fn chart_of(payment: &Payment) -> Chart {
    Chart { tenant: payment.row.tenant, currency: payment.row.currency }
}

fn wallet_payment(payment: &Payment, amount: i64) -> WalletPayment {
    let row = &payment.row;
    WalletPayment {
        payer: row.from.unwrap_or(AccountId(0)),
        payee: row.wallet,
        amount,
        fee: row.fee,
        bearer: payment.data.fee_bearer,
    }
}
