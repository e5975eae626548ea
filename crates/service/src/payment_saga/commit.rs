//! A decision is written: payment, refund, saga, attempts, money and event in one commit. What
//! another has written meanwhile makes it stale, and then nothing of it is written.

use caudal_domain::{Chart, Refusal, SagaId, Timestamp, payment::PaymentStatus};
use caudal_engine::{Command, Given, Job};
use caudal_ledger::{
    Movement,
    movements::{
        HoldUntil,
        card::{self, CardCapture},
        refund,
    },
};
use caudal_store::{
    payment_attempts::{self, AttemptRow},
    payments, refunds,
    sagas::{self, SagaRow},
    transfers,
};

use super::{
    Step, Work,
    decide::{Decision, Money, Then},
};
use crate::{
    Service, ServiceError,
    payments::{
        Payment, counted,
        telling::{self, Standing},
    },
    refunds::said,
    transfers::accounts_of,
    unit::broken,
};

/// What became of a decision.
pub(super) enum Written {
    /// The work as it stands now.
    Done(Box<Work>),
    /// Another was first; nothing was written.
    Stale,
}

impl Service {
    pub(super) async fn write(
        &self,
        work: &Work,
        decision: Decision,
    ) -> Result<Written, ServiceError> {
        let (mut after, command) = self.prepared(work, &decision).await?;
        let reply = self.run(Job::one(work.saga.tenant, command)).await?;
        let given = reply.replies.into_iter().next().map(|reply| reply.given);
        let is_new = work.payment.row.status != after.payment.row.status;
        if is_new && matches!(given, Some(Given::Transfer(_) | Given::Done)) {
            counted::changed(&after.payment, self.now());
        }
        match given {
            Some(Given::Transfer(transfer)) => {
                if matches!(decision.money, Some(Money::Captured { .. })) {
                    after.payment.row.transfer = Some(transfer.id);
                }
                Ok(Written::Done(Box::new(after)))
            }
            Some(Given::Done) => Ok(Written::Done(Box::new(after))),
            Some(Given::Refused(Refusal::Conflict)) => Ok(Written::Stale),
            Some(Given::Refused(refusal)) => Err(refusal.into()),
            _ => Err(ServiceError::Broken("a saga gave something else".into())),
        }
    }

    /// The work as it will stand, and the command that makes it so.
    pub(super) async fn prepared(
        &self,
        work: &Work,
        decision: &Decision,
    ) -> Result<(Work, Command), ServiceError> {
        let mut after = work.clone();
        after.is_taken_over = false;
        after.data = decision.data.clone();
        if let Some(payment) = &decision.payment {
            after.payment = payment.clone();
        }
        after.refund = decision.refund.clone().or(after.refund);
        self.note_answer((work, &mut after), decision)?;
        let mut command = self.command_of(work, &after, decision).await?;
        if work.has_saga() {
            let attachment = saga_attachment(&mut after, decision.then, self.now())?;
            command.attachments.push(attachment);
        }
        Ok((after, command))
    }

    /// What is answered to whoever waits, kept for when they ask again.
    fn note_answer(
        &self,
        (work, after): (&Work, &mut Work),
        decision: &Decision,
    ) -> Result<(), ServiceError> {
        if !after.is_waited_for {
            return Ok(());
        }
        if let Some(refund) = &mut after.refund {
            return match decision.refund {
                Some(_) => said::note(refund),
                None => Ok(()),
            };
        }
        let rests = after.payment.row.status != PaymentStatus::Processing;
        if rests && decision.payment.is_some() {
            let answer = after.payment.snapshot();
            let name = work.data.operation.name().to_owned();
            after.payment.data.answered.entry(name).or_insert(answer);
        }
        Ok(())
    }

    async fn command_of(
        &self,
        work: &Work,
        after: &Work,
        decision: &Decision,
    ) -> Result<Command, ServiceError> {
        let mut command = match decision.money {
            None => Command::writing(),
            Some(Money::Captured { principal, fee }) => {
                captured(work, &after.payment, (principal, fee))
            }
            Some(Money::RefundFailed) => self.given_back(work).await?,
        };
        if decision.payment.is_some() {
            let row = after.payment.to_row()?;
            command.attachments.push(match decision.money {
                Some(Money::Captured { .. }) => payments::attachment_with_transfer(&row),
                _ => payments::attachment(&row),
            });
        }
        if let Some(refund) = after.refund.as_ref().filter(|_| decision.refund.is_some()) {
            command.attachments.push(refunds::attachment(refund));
        }
        command.telling = told(work, after)?;
        let id = (work.payment.row.id, work.data.attempt);
        let ended = decision.ended.as_ref();
        // Whoever heard of it first has written how it ended.
        let end = ended.map(|it| payment_attempts::end(work.saga.tenant, id, it).or_none());
        command.steps.extend(end);
        if decision.is_new_call {
            command.steps.push(payment_attempts::start(&attempt_of(after)?));
        }
        Ok(command)
    }

    async fn given_back(&self, work: &Work) -> Result<Command, ServiceError> {
        let lost = || ServiceError::Broken(format!("{}: a refund without money", work.saga.id));
        let id = work.refund.as_ref().and_then(|refund| refund.transfer).ok_or_else(lost)?;
        let found = transfers::find(self.store(), work.saga.tenant, id).await?;
        let transfer = found.ok_or_else(lost)?;
        let mut command = Command::new(refund::failed(chart(&work.payment), &transfer));
        command.accounts = accounts_of(&transfer);
        Ok(command)
    }
}

pub(crate) fn chart(payment: &Payment) -> Chart {
    Chart { tenant: payment.row.tenant, currency: payment.row.currency }
}

/// The gateway's money to the wallet; what a closed one can't take waits unapplied.
fn captured(work: &Work, payment: &Payment, (principal, fee): (i64, i64)) -> Command {
    let wait = payment.data.available_after_s;
    let account = payment.row.gateway_account.or(work.data.account());
    let gateway = account.unwrap_or(caudal_domain::GatewayAccountId(0));
    let card = CardCapture {
        gateway,
        wallet: payment.row.wallet,
        amount: principal,
        fee,
        bearer: payment.data.fee_bearer,
        available: (wait > 0).then_some(HoldUntil::Seconds(wait)),
    };
    Command::new(Movement::Post(card::capture(chart(payment), &card)))
}

fn saga_attachment(
    after: &mut Work,
    then: Then,
    at: Timestamp,
) -> Result<caudal_store::Attachment, ServiceError> {
    let saga: &mut SagaRow = &mut after.saga;
    saga.version += 1;
    saga.data = serde_json::to_string(&after.data).map_err(broken)?;
    let (step, write) = match then {
        Then::Now(step) => {
            saga.step = step.name().to_owned();
            (step, sagas::advance(saga))
        }
        Then::At(step, next) => {
            saga.step = step.name().to_owned();
            saga.next_at = next;
            (step, sagas::put_off(saga))
        }
        Then::Finished(outcome) => {
            saga.outcome = Some(outcome.to_owned());
            saga.finished_at = Some(at);
            (after.step, sagas::finish(saga, outcome, at))
        }
    };
    after.step = step;
    Ok(sagas::attachment(saga, write))
}

/// The call that the work's data has written down.
pub(crate) fn attempt_of(work: &Work) -> Result<AttemptRow, ServiceError> {
    let lost = || ServiceError::Broken("a call without an account".into());
    Ok(AttemptRow {
        payment: work.payment.row.id,
        number: work.data.attempt,
        tenant: work.saga.tenant,
        gateway_account: work.data.account().ok_or_else(lost)?,
        operation: work.data.operation.name().to_owned(),
        key: work.data.key.clone(),
        started_at: work.data.since,
        ended: None,
    })
}

/// A new saga, leased by the process that accepted what it is about.
pub(super) fn saga_of(
    work: &super::SagaData,
    (id, tenant): (SagaId, caudal_domain::TenantId),
    (subject, holder): (u128, u128),
    at: Timestamp,
) -> Result<SagaRow, ServiceError> {
    let until = at.plus_seconds(super::LEASE_S);
    Ok(SagaRow {
        id,
        tenant,
        kind: work.operation.name().to_owned(),
        subject,
        step: Step::Send.name().to_owned(),
        data: serde_json::to_string(work).map_err(broken)?,
        attempts: 1,
        next_at: until,
        lease_until: Some(until),
        holder: Some(holder),
        token: 1,
        outcome: None,
        finished_at: None,
        created_at: at,
        version: 1,
    })
}

/// What the world is told: of the refund that changed, else of the payment that did.
fn told(work: &Work, after: &Work) -> Result<Option<caudal_engine::Telling>, ServiceError> {
    if let (Some(before), Some(refund)) = (&work.refund, &after.refund)
        && before.status != refund.status
    {
        return telling::of_refund((&work.payment, &after.payment), refund).map(Some);
    }
    if after.payment.data.needs_decision && !work.payment.data.needs_decision {
        return telling::of_need(&work.payment, &after.payment).map(Some);
    }
    if Standing::of(&work.payment) == Standing::of(&after.payment) {
        return Ok(None);
    }
    telling::of_change(&work.payment, &after.payment).map(Some)
}
