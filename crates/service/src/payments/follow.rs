//! What is done to a payment that is there: its promise is captured, or it is called off. For
//! staff, as it decides over the money of both sides.

use caudal_domain::{
    AccountKind, Chart, PaymentId, Refusal, Timestamp, TransferId,
    payment::{PaymentEvent, PaymentStatus},
};
use caudal_engine::{Command, Given, Job};
use caudal_ledger::{
    Movement,
    movements::{Force, Limit, Terms},
};
use caudal_store::{Answer, Receipt, UnitOfWork, UnitOutcome, payments};

use super::{Payment, said, telling, wallet};
use crate::{Asked, Caller, Done, ReceiptOf, Service, ServiceError, unit::kept_under};

/// How often it is decided again when something else came between.
const ATTEMPTS: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentFollow {
    /// `None` takes all that was authorized; what is not taken is let go.
    Capture {
        amount: Option<i64>,
    },
    Cancel,
}

enum Begun {
    Done(Done<Payment>),
    /// The payment as it will be, and what makes it so.
    Job(Payment, Job),
}

impl Service {
    pub async fn follow_payment(
        &self,
        asked: Asked<'_>,
        id: PaymentId,
        follow: PaymentFollow,
    ) -> Result<Done<Payment>, ServiceError> {
        asked.caller.reach.require_tenant()?;
        for _ in 0..ATTEMPTS {
            let Some(payment) = self.find_payment(asked.caller, id).await? else {
                return self.refuse_payment(asked, Refusal::PaymentNotFound).await;
            };
            match self.begin_follow(asked, &payment, follow).await {
                Ok(Begun::Done(done)) => return Ok(done),
                Ok(Begun::Job(next, job)) => {
                    match self.follow_in_wallets(asked, next, job).await {
                        Err(ServiceError::Refused(Refusal::Conflict)) => {}
                        // The engine has kept its refusal with the key.
                        done => return done,
                    }
                }
                Err(ServiceError::Refused(Refusal::Conflict)) => {}
                Err(ServiceError::Refused(refusal)) => {
                    return self.refuse_payment(asked, refusal).await;
                }
                Err(error) => return Err(error),
            }
        }
        Err(Refusal::Conflict.into())
    }

    async fn begin_follow(
        &self,
        asked: Asked<'_>,
        payment: &Payment,
        follow: PaymentFollow,
    ) -> Result<Begun, ServiceError> {
        let (at, row) = (self.now(), &payment.row);
        let (next, job) = match follow {
            _ if row.from.is_none() => {
                return self.follow_at_gateway(asked, payment, follow).await.map(Begun::Done);
            }
            PaymentFollow::Cancel if row.status == PaymentStatus::InReview => {
                return self.cancel_review(asked, payment).await.map(Begun::Done);
            }
            PaymentFollow::Capture { amount } => {
                let chart = Chart { tenant: row.tenant, currency: row.currency };
                let limits = self.limits_of_payees(chart, [row.wallet].into_iter()).await?;
                capture_of_hold(asked, payment, (amount, at), limits)?
            }
            PaymentFollow::Cancel => release_of_hold(asked, payment, at)?,
        };
        Ok(Begun::Job(next, job))
    }

    async fn follow_in_wallets(
        &self,
        asked: Asked<'_>,
        next: Payment,
        job: Job,
    ) -> Result<Done<Payment>, ServiceError> {
        let tenant = asked.caller.tenant;
        let mut reply = self.run(job).await?;
        if let Some((_, refusal)) = reply.refused_at.take() {
            return Err(match reply.replayed {
                true => ServiceError::RefusedBefore(refusal),
                false => refusal.into(),
            });
        }
        let position = std::mem::take(&mut reply.position);
        match reply.replies.pop().map(|reply| reply.given) {
            Some(Given::Kept(kept)) => self.said_of(tenant, &kept).await,
            Some(Given::Refused(refusal)) => Err(refusal.into()),
            Some(Given::Transfer(transfer)) => {
                let mut value = next;
                if value.row.status == PaymentStatus::Succeeded {
                    value.row.transfer = Some(transfer.id);
                }
                Ok(Done { value, replayed: false, position })
            }
            _ => Err(ServiceError::Broken("a payment gave something else".into())),
        }
    }

    /// Refuses, and keeps that with the key; what the key was told before goes first.
    pub(crate) async fn refuse_payment(
        &self,
        asked: Asked<'_>,
        refusal: Refusal,
    ) -> Result<Done<Payment>, ServiceError> {
        match self.first_told(asked, &refusal).await? {
            Some(kept) => said::unless_declined(self.said_of(asked.caller.tenant, &kept).await?),
            None => Err(refusal.into()),
        }
    }

    /// What was kept under the key before, if it was met; else the refusal is kept.
    pub(crate) async fn first_told(
        &self,
        asked: Asked<'_>,
        refusal: &Refusal,
    ) -> Result<Option<String>, ServiceError> {
        let ReceiptOf { key, fingerprint } = asked.receipt;
        let answer = Answer::Refused(refusal.clone());
        let kept = Some(Receipt { key, fingerprint, answer });
        let unit = UnitOfWork { at: self.now(), receipt: kept, ..UnitOfWork::default() };
        match self.commit(unit).await?.0 {
            UnitOutcome::Replayed(first) => kept_under(asked.receipt, first).map(Some),
            UnitOutcome::Done | UnitOutcome::Missed(_) => Ok(None),
        }
    }
}

/// The promise as it may be captured, and how much of it is to be.
pub(crate) fn capturable(
    payment: &Payment,
    (amount, at): (Option<i64>, Timestamp),
) -> Result<i64, Refusal> {
    let status = payment.row.status;
    status.next(PaymentEvent::CaptureAsked)?;
    if payment.data.is_canceling {
        return Err(Refusal::PaymentState { status });
    }
    if payment.data.capture_until.is_some_and(|until| until <= at) {
        // It is as good as let go: whoever sweeps comes in a second.
        return Err(Refusal::PaymentState { status: PaymentStatus::Canceled });
    }
    let amount = amount.unwrap_or_else(|| payment.row.amounts.capturable());
    payment.row.amounts.capture(amount)?;
    Ok(amount)
}

/// Lets the hold go and moves the money with its fee, all or none: a refund can then give back
/// either. The money was promised, so neither floor nor freeze of the payer stops it. The payment's
/// row goes with the first of the two: who comes late is told what became of the payment, not of
/// its hold.
fn capture_of_hold(
    asked: Asked<'_>,
    payment: &Payment,
    (amount, at): (Option<i64>, Timestamp),
    limits: Vec<Limit>,
) -> Result<(Payment, Job), ServiceError> {
    let amount = capturable(payment, (amount, at))?;
    let mut next = payment.on(PaymentEvent::CaptureAsked, at)?.on(PaymentEvent::Captured, at)?;
    next.row.version = payment.row.version + 1;
    next.row.amounts = payment.row.amounts.capture(amount)?;
    next.row.fee = payment.data.fee_rate.of(amount);
    next.data.capture_until = None;
    let mut let_go = void_of_hold(payment)?;
    let_go.context = Some(said::kept(&next)?);
    let_go.attachments.push(payments::attachment(&next.to_row()?));
    let mut movement = wallet::paid(&next, amount);
    let terms = movement.terms.take().map_or_else(Terms::default, |terms| *terms);
    let terms = Terms { force: Force::All, limits, ..terms };
    let mut paid = Command::new(Movement::Post(movement.on(terms)));
    paid.steps.push(payments::moved_by_transfer(next.row.tenant, next.row.id));
    paid.telling = Some(telling::of_change(payment, &next)?);
    Ok((next, job(asked, vec![let_go, paid])))
}

fn release_of_hold(
    asked: Asked<'_>,
    payment: &Payment,
    at: Timestamp,
) -> Result<(Payment, Job), ServiceError> {
    let next = called_off(payment, PaymentEvent::CalledOff, at)?;
    let mut command = release_command(payment, &next)?;
    command.context = Some(said::kept(&next)?);
    Ok((next, job(asked, vec![command])))
}

/// The payment without its promise.
pub(crate) fn called_off(
    payment: &Payment,
    what: PaymentEvent,
    at: Timestamp,
) -> Result<Payment, Refusal> {
    let mut next = payment.on(what, at)?;
    next.row.amounts.authorized = 0;
    next.data.capture_until = None;
    next.data.is_canceling = false;
    Ok(next)
}

/// Lets go what is held for the payment, which becomes `next`.
pub(crate) fn release_command(payment: &Payment, next: &Payment) -> Result<Command, ServiceError> {
    let mut command = void_of_hold(payment)?;
    command.attachments.push(payments::attachment(&next.to_row()?));
    command.telling = Some(telling::of_change(payment, next)?);
    Ok(command)
}

fn void_of_hold(payment: &Payment) -> Result<Command, ServiceError> {
    let row = &payment.row;
    let transfer: Option<TransferId> = row.transfer;
    let status = row.status;
    let transfer = transfer.ok_or(Refusal::PaymentState { status })?;
    let fees = Chart { tenant: row.tenant, currency: row.currency }.of(AccountKind::Fees);
    let mut command = Command::new(Movement::Void { transfer });
    command.accounts = row.from.into_iter().chain([row.wallet, fees]).collect();
    Ok(command)
}

fn job(asked: Asked<'_>, commands: Vec<Command>) -> Job {
    let caller: &Caller = asked.caller;
    let receipt = Some(asked.receipt);
    Job { tenant: caller.tenant, commands, atomic: true, dry_run: false, receipt }
}
