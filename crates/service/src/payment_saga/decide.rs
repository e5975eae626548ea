//! What is written after a step: the payment's next state, money, the saga's next step. Pure: what
//! a gateway said, and the time, are handed in.
//!
//! A success is booked, a decline is final, or tried at the next account where another one may say
//! something else. What was not sent is tried elsewhere, or waits. What is unclear is never sent
//! again and never fails: it is asked after until somebody knows, the gateway or a person.

use caudal_domain::{
    Refusal, Timestamp,
    fee::{FeeBearer, share},
    payment::{PaymentEvent, PaymentStatus, RefundEvent, RefundStatus},
};
use caudal_gateway::Answer;
use caudal_store::{payment_attempts::Ended, refunds::RefundRow};

use super::{
    ACTION_WITHIN_S, Heard, Operation, PERSON_AFTER_S, RESEND_WITHIN_S, SagaData, Step,
    TRY_AGAIN_S, Work, ask_again, resolve::Found,
};
use crate::payments::{AUTHORIZED_FOR_S, Payment};

/// Money that moves with a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Money {
    /// From the gateway to the wallet.
    Captured { principal: i64, fee: i64 },
    /// What a refund had taken is given back.
    RefundFailed,
}

/// What becomes of the saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It goes on at once, under the same lease.
    Now(Step),
    At(Step, Timestamp),
    Finished(&'static str),
}

#[derive(Clone, Debug)]
pub(super) struct Decision {
    /// The next version, if there is one.
    pub payment: Option<Payment>,
    pub refund: Option<RefundRow>,
    pub money: Option<Money>,
    /// The call under way has ended so.
    pub ended: Option<Ended>,
    /// Another call is written down, as `data` has it.
    pub is_new_call: bool,
    pub data: SagaData,
    pub then: Then,
}

impl Decision {
    fn of(work: &Work, then: Then) -> Self {
        Self {
            payment: None,
            refund: None,
            money: None,
            ended: None,
            is_new_call: false,
            data: work.data.clone(),
            then,
        }
    }

    fn with(self, payment: Payment) -> Self {
        Self { payment: Some(payment), ..self }
    }
}

/// After a call or a question.
pub(super) fn after(work: &Work, heard: &Heard, at: Timestamp) -> Result<Decision, Refusal> {
    let decision = match heard {
        Heard::Said(answer) => of_answer(work, (answer, None), at)?,
        Heard::Stands { answer, captured } => of_answer(work, (answer, *captured), at)?,
        Heard::NotSent(_) if work.step == Step::Send => not_sent(work, at)?,
        Heard::NotTold if work.step == Step::Send => ask_first(work, at)?,
        Heard::NotSent(_) | Heard::NotTold => call_for_person(work, ask_later(work, at, false), at),
        Heard::Unclear(_) | Heard::NothingKnown => lost(work, at)?,
        Heard::Strange(_) => {
            let mut payment = work.payment.next(at);
            payment.data.needs_decision = true;
            ask_later(work, at, true).with(payment)
        }
    };
    Ok(decided(work, Decision { ended: ended(heard, at), ..decision }, at))
}

/// What has come to its end needs nobody any more.
fn decided(work: &Work, decision: Decision, at: Timestamp) -> Decision {
    let has_ended = matches!(decision.then, Then::Finished(_));
    if !has_ended || !work.payment.data.needs_decision {
        return decision;
    }
    let mut payment = decision.payment.clone().unwrap_or_else(|| work.payment.next(at));
    payment.data.needs_decision = false;
    decision.with(payment)
}

/// After a person has found out.
pub(super) fn resolved(work: &Work, found: &Found, at: Timestamp) -> Result<Decision, Refusal> {
    let finished = Decision::of(work, Then::Finished("resolved"));
    let decision = match (found, work.data.operation) {
        (Found::Moved { reference }, _) => {
            let answer = Answer::Succeeded { reference: reference.clone(), fee: None };
            of_answer(work, (&answer, None), at)?
        }
        (Found::NotMoved, Operation::Refund) => refund_failed(work, finished, ("resolved", at))?,
        (Found::NotMoved, Operation::Cancel) => {
            let answer = Answer::Canceled { reference: String::new() };
            of_cancel(work, (&answer, None), at)?
        }
        (Found::NotMoved, Operation::Charge | Operation::Capture) => {
            let mut payment = work.payment.on(PaymentEvent::Declined, at)?;
            payment.row.failure = Some("resolved".into());
            finished.with(payment)
        }
    };
    Ok(decided(work, decision, at))
}

/// What was heard leads nowhere from here: it has ended otherwise, or a person has to look.
pub(super) fn led_nowhere(work: &Work, at: Timestamp) -> Decision {
    let rests = match &work.refund {
        Some(refund) => refund.status != RefundStatus::Pending,
        None => {
            let status = work.payment.row.status;
            status.is_final() || status == PaymentStatus::RequiresCapture
        }
    };
    if rests {
        return Decision::of(work, Then::Finished("overtaken"));
    }
    let mut payment = work.payment.next(at);
    payment.data.needs_decision = true;
    ask_later(work, at, true).with(payment)
}

/// What was queued is due: it is sent now, or never.
pub(super) fn of_queued(work: &Work, at: Timestamp) -> Result<Decision, Refusal> {
    if at >= work.data.deadline {
        return timed_out(work, at);
    }
    let payment = match work.data.operation {
        Operation::Charge => work.payment.on(PaymentEvent::TakenUp, at)?,
        _ => work.payment.next(at),
    };
    Ok(call(work, payment, at))
}

/// A call is written down: another attempt of the payment, under the key of its account.
fn call(work: &Work, mut payment: Payment, at: Timestamp) -> Decision {
    let mut decision = Decision::of(work, Then::Now(Step::Send));
    payment.data.attempts += 1;
    payment.row.gateway_account = decision.data.account().or(payment.row.gateway_account);
    decision.data.attempt = payment.data.attempts;
    decision.data.since = at;
    decision.is_new_call = true;
    decision.with(payment)
}

/// The same at the next account of the route.
fn call_elsewhere(work: &Work, at: Timestamp) -> Decision {
    let place = work.data.place + 1;
    let key = super::accept::charge_key(work.payment.row.id, place);
    let data = SagaData { place, key, ..work.data.clone() };
    let mut payment = work.payment.next(at);
    payment.row.gateway_reference = None;
    call(&Work { data, ..work.clone() }, payment, at)
}

fn has_elsewhere(work: &Work) -> bool {
    work.data.operation == Operation::Charge && work.data.place + 1 < work.data.route.len()
}

fn not_sent(work: &Work, at: Timestamp) -> Result<Decision, Refusal> {
    if has_elsewhere(work) {
        return Ok(call_elsewhere(work, at));
    }
    let mut decision = Decision::of(work, Then::At(Step::Queued, at.plus_seconds(TRY_AGAIN_S)));
    if work.data.operation != Operation::Charge {
        return Ok(decision);
    }
    decision.data.place = 0;
    decision.data.key = super::accept::charge_key(work.payment.row.id, 0);
    let mut payment = work.payment.on(PaymentEvent::PutInQueue, at)?;
    payment.row.gateway_account = decision.data.account();
    Ok(decision.with(payment))
}

/// Its time ran out, and nothing of it was ever sent.
fn timed_out(work: &Work, at: Timestamp) -> Result<Decision, Refusal> {
    let decision = Decision::of(work, Then::Finished("timed_out"));
    Ok(match work.data.operation {
        Operation::Charge => {
            let mut payment = work.payment.on(PaymentEvent::TimedOut, at)?;
            payment.row.failure = Some("timed_out".into());
            decision.with(payment)
        }
        Operation::Capture => decision.with(work.payment.on(PaymentEvent::Authorized, at)?),
        Operation::Cancel => not_canceled(work, decision, at),
        Operation::Refund => refund_failed(work, decision, ("timed_out", at))?,
    })
}

/// It may have been heard: from now on it is only asked after.
fn lost(work: &Work, at: Timestamp) -> Result<Decision, Refusal> {
    let later = call_for_person(work, ask_later(work, at, true), at);
    Ok(match work.data.operation {
        Operation::Charge | Operation::Capture
            if work.payment.row.status == PaymentStatus::Processing =>
        {
            later.with(work.payment.on(PaymentEvent::LostFromSight, at)?)
        }
        _ => later,
    })
}

/// Whoever had it before may have made the call, and the gateway could not be asked: it is asked
/// again before anything else, for as long as the call could still be made.
fn ask_first(work: &Work, at: Timestamp) -> Result<Decision, Refusal> {
    if work.data.since.plus_seconds(RESEND_WITHIN_S) < at {
        return lost(work, at);
    }
    let later = ask_later(work, at, false);
    Ok(match later.then {
        Then::At(_, next) => Decision { then: Then::At(Step::Send, next), ..later },
        _ => later,
    })
}

fn ask_later(work: &Work, at: Timestamp, is_unclear: bool) -> Decision {
    let pause = ask_again(work.data.asked, is_unclear);
    let mut decision = Decision::of(work, Then::At(Step::Ask, at.plus_seconds(pause)));
    decision.data.asked += 1;
    decision
}

/// Asked in vain for a week, somebody has to find out.
fn call_for_person(work: &Work, later: Decision, at: Timestamp) -> Decision {
    let is_old = work.saga.created_at.plus_seconds(PERSON_AFTER_S) <= at;
    if !is_old || work.payment.data.needs_decision {
        return later;
    }
    let mut payment = work.payment.next(at);
    payment.data.needs_decision = true;
    later.with(payment)
}

fn of_answer(
    work: &Work,
    said: (&Answer, Option<i64>),
    at: Timestamp,
) -> Result<Decision, Refusal> {
    match work.data.operation {
        Operation::Charge => of_charge(work, said, at),
        Operation::Capture => of_capture(work, said, at),
        Operation::Cancel => of_cancel(work, said, at),
        Operation::Refund => of_refund(work, said.0, at),
    }
}

fn of_charge(
    work: &Work,
    (answer, captured): (&Answer, Option<i64>),
    at: Timestamp,
) -> Result<Decision, Refusal> {
    match answer {
        Answer::Succeeded { .. } => booked(work, (answer, captured), at),
        Answer::RequiresCapture { .. } => {
            let mut payment = named(on(&work.payment, PaymentEvent::Authorized, at)?, answer);
            payment.row.amounts.authorized = payment.row.amount;
            payment.data.capture_until = Some(at.plus_seconds(AUTHORIZED_FOR_S));
            Ok(Decision::of(work, Then::Finished("authorized")).with(payment))
        }
        Answer::RequiresAction { url, .. } => action_asked(work, (answer, url), at),
        Answer::Processing { .. } => {
            let payment = match work.payment.row.status {
                PaymentStatus::RequiresAction => work.payment.on(PaymentEvent::ActionDone, at)?,
                PaymentStatus::Queued => work.payment.on(PaymentEvent::TakenUp, at)?,
                _ => work.payment.next(at),
            };
            Ok(ask_later(work, at, false).with(named(payment, answer)))
        }
        Answer::Canceled { .. } => {
            let payment = named(work.payment.on(PaymentEvent::CalledOff, at)?, answer);
            Ok(Decision::of(work, Then::Finished("canceled")).with(payment))
        }
        Answer::Declined { retryable_elsewhere: true, .. }
            if has_elsewhere(work) && work.payment.row.status == PaymentStatus::Processing =>
        {
            Ok(call_elsewhere(work, at))
        }
        Answer::Declined { code, .. } => {
            let mut payment = named(on(&work.payment, PaymentEvent::Declined, at)?, answer);
            payment.row.failure = Some("card_declined".into());
            payment.data.decline_code = Some(code.name().to_owned());
            Ok(Decision::of(work, Then::Finished("declined")).with(payment))
        }
    }
}

fn action_asked(
    work: &Work,
    (answer, url): (&Answer, &str),
    at: Timestamp,
) -> Result<Decision, Refusal> {
    let later = ask_later(work, at, false);
    if work.payment.row.status == PaymentStatus::RequiresAction {
        let until = work.data.since.plus_seconds(ACTION_WITHIN_S);
        return Ok(if at < until { later } else { call_off(work, at) });
    }
    let mut payment = named(on(&work.payment, PaymentEvent::ActionAsked, at)?, answer);
    payment.data.next_action_url = Some(url.to_owned());
    Ok(later.with(payment))
}

/// Nobody came back: the payment is called off there, and then here.
fn call_off(work: &Work, at: Timestamp) -> Decision {
    let data = SagaData {
        operation: Operation::Cancel,
        is_for_time: true,
        key: super::accept::follow_key(&work.payment, Operation::Cancel),
        asked: 0,
        deadline: at.plus_seconds(ACTION_WITHIN_S),
        ..work.data.clone()
    };
    let mut payment = work.payment.next(at);
    payment.data.is_canceling = true;
    call(&Work { data, ..work.clone() }, payment, at)
}

fn of_capture(
    work: &Work,
    (answer, captured): (&Answer, Option<i64>),
    at: Timestamp,
) -> Result<Decision, Refusal> {
    match answer {
        Answer::Succeeded { .. } => booked(work, (answer, captured), at),
        // Nothing was taken.
        Answer::RequiresCapture { .. } | Answer::RequiresAction { .. } => {
            let payment = work.payment.on(PaymentEvent::Authorized, at)?;
            Ok(Decision::of(work, Then::Finished("not_captured")).with(payment))
        }
        Answer::Canceled { .. } => {
            let mut payment = work.payment.on(PaymentEvent::CalledOff, at)?;
            payment.row.amounts.authorized = 0;
            payment.data.capture_until = None;
            Ok(Decision::of(work, Then::Finished("canceled")).with(payment))
        }
        Answer::Processing { .. } => Ok(ask_later(work, at, false)),
        // A capture that is refused says nothing of the promise, unless that has ended.
        Answer::Declined { code, .. } if work.step == Step::Ask => {
            let mut payment = work.payment.on(PaymentEvent::Declined, at)?;
            payment.row.failure = Some("card_declined".into());
            payment.data.decline_code = Some(code.name().to_owned());
            Ok(Decision::of(work, Then::Finished("declined")).with(payment))
        }
        Answer::Declined { .. } => Ok(Decision::of(work, Then::Now(Step::Ask))),
    }
}

fn of_cancel(
    work: &Work,
    (answer, captured): (&Answer, Option<i64>),
    at: Timestamp,
) -> Result<Decision, Refusal> {
    match answer {
        Answer::Canceled { .. } => {
            let what = match work.data.is_for_time {
                true => PaymentEvent::TimedOut,
                false => PaymentEvent::CalledOff,
            };
            let mut payment = work.payment.on(what, at)?;
            payment.row.amounts.authorized = 0;
            payment.data.capture_until = None;
            payment.data.is_canceling = false;
            if payment.row.status == PaymentStatus::Failed {
                payment.row.failure = Some("timed_out".into());
            }
            Ok(Decision::of(work, Then::Finished("canceled")).with(payment))
        }
        // The money was taken before: so it is booked.
        Answer::Succeeded { .. } => booked(work, (answer, captured), at),
        Answer::Processing { .. } => Ok(ask_later(work, at, false)),
        Answer::Declined { .. } if work.step == Step::Send => {
            Ok(Decision::of(work, Then::Now(Step::Ask)))
        }
        Answer::Declined { code, .. }
            if work.payment.row.status == PaymentStatus::RequiresAction =>
        {
            let mut payment = work.payment.on(PaymentEvent::Declined, at)?;
            payment.row.failure = Some("card_declined".into());
            payment.data.decline_code = Some(code.name().to_owned());
            payment.data.is_canceling = false;
            Ok(Decision::of(work, Then::Finished("declined")).with(payment))
        }
        // Its time is up, and it can't be let go: nobody tries that again and again.
        Answer::RequiresCapture { .. } | Answer::Declined { .. }
            if work.data.is_for_time
                && work.payment.row.status == PaymentStatus::RequiresCapture =>
        {
            let mut payment = work.payment.next(at);
            payment.data.needs_decision = true;
            Ok(ask_later(work, at, true).with(payment))
        }
        Answer::RequiresCapture { .. }
        | Answer::RequiresAction { .. }
        | Answer::Declined { .. } => {
            Ok(not_canceled(work, Decision::of(work, Then::Finished("not_canceled")), at))
        }
    }
}

/// It stands as it stood: a promise waits for its capture. A payer may still confirm: it is asked
/// after as before, and the payer has as long again.
fn not_canceled(work: &Work, finished: Decision, at: Timestamp) -> Decision {
    let mut payment = work.payment.next(at);
    payment.data.is_canceling = false;
    if payment.row.status != PaymentStatus::RequiresAction {
        return finished.with(payment);
    }
    let mut asked = ask_later(work, at, false);
    asked.data.operation = Operation::Charge;
    asked.data.is_for_time = false;
    asked.data.since = at;
    asked.with(payment)
}

fn of_refund(work: &Work, answer: &Answer, at: Timestamp) -> Result<Decision, Refusal> {
    let declined = || Decision::of(work, Then::Finished("declined"));
    let mut decision = match answer {
        Answer::Succeeded { .. } => {
            let decision = Decision::of(work, Then::Finished("succeeded"));
            let refund = refund_on(work, (RefundEvent::Confirmed, answer), at)?;
            Decision { refund: Some(refund), ..decision }
        }
        Answer::Declined { code, .. } => refund_failed(work, declined(), (code.name(), at))?,
        Answer::Processing { .. } | Answer::RequiresAction { .. } => {
            let mut refund = refund_of(work)?.clone();
            refund.version += 1;
            refund.updated_at = at;
            Decision { refund: Some(refund), ..ask_later(work, at, false) }
        }
        Answer::Canceled { .. } | Answer::RequiresCapture { .. } => {
            refund_failed(work, declined(), ("canceled", at))?
        }
    };
    // Whatever became of it: settlement files know it by its gateway's name.
    if let (Some(refund), Some(reference)) = (&mut decision.refund, answer.reference()) {
        refund.gateway_reference = Some(reference.to_owned());
    }
    Ok(decision)
}

fn refund_of(work: &Work) -> Result<&RefundRow, Refusal> {
    work.refund.as_ref().ok_or(Refusal::Rejected)
}

fn refund_on(
    work: &Work,
    (what, answer): (RefundEvent, &Answer),
    at: Timestamp,
) -> Result<RefundRow, Refusal> {
    let mut refund = refund_of(work)?.clone();
    refund.status = refund.status.next(what)?;
    refund.gateway_reference = answer.reference().map(str::to_owned).or(refund.gateway_reference);
    refund.version += 1;
    refund.updated_at = at;
    Ok(refund)
}

/// The payee has the money again.
fn refund_failed(
    work: &Work,
    decision: Decision,
    (why, at): (&str, Timestamp),
) -> Result<Decision, Refusal> {
    let mut refund = refund_of(work)?.clone();
    let what = match refund.status {
        RefundStatus::Succeeded => RefundEvent::Bounced,
        _ => RefundEvent::Declined,
    };
    refund.status = refund.status.next(what)?;
    refund.failure = Some(why.to_owned());
    refund.version += 1;
    refund.updated_at = at;
    let mut payment = work.payment.next(at);
    payment.row.amounts = payment.row.amounts.refund_failed(refund.amount);
    let money = Some(Money::RefundFailed);
    Ok(Decision { refund: Some(refund), money, ..decision.with(payment) })
}

/// The gateway has the money: so has the wallet, with the state, in one commit.
fn booked(
    work: &Work,
    (answer, captured): (&Answer, Option<i64>),
    at: Timestamp,
) -> Result<Decision, Refusal> {
    let mut payment = named(on(&work.payment, PaymentEvent::Captured, at)?, answer);
    let (principal, fee) = match captured {
        Some(captured) if captured != work.data.amount => taken(work, captured),
        _ if payment.row.manual_capture => {
            (work.data.principal, payment.data.fee_rate.of(work.data.principal))
        }
        _ => (work.data.principal, payment.row.fee),
    };
    let row = &mut payment.row;
    row.fee = fee;
    row.amounts.authorized = row.amounts.authorized.max(principal);
    row.amounts.captured = principal;
    let wait = payment.data.available_after_s;
    row.available_at = (wait > 0).then(|| at.plus_seconds(wait));
    payment.data.capture_until = None;
    payment.data.is_canceling = false;
    payment.data.needs_decision = false;
    let money = Some(Money::Captured { principal, fee: row.fee });
    Ok(Decision { money, ..Decision::of(work, Then::Finished("succeeded")).with(payment) })
}

/// Principal and fee of another amount than was asked for: the same part of the fee, out of the
/// captured money where its payer bears it.
fn taken(work: &Work, captured: i64) -> (i64, i64) {
    let payment = &work.payment;
    let (full, whole) = match payment.row.manual_capture {
        true => (payment.row.amount, payment.data.fee_rate.of(payment.row.amount)),
        false => (work.data.principal, payment.row.fee),
    };
    let is_on_top = payment.data.fee_bearer == FeeBearer::Payer;
    let of = if is_on_top { full + whole } else { full };
    let captured = captured.min(of);
    let fee = share(whole, captured, of).min(captured);
    (if is_on_top { captured - fee } else { captured }, fee)
}

/// The payment after this has happened, and what must have happened before it.
fn on(payment: &Payment, what: PaymentEvent, at: Timestamp) -> Result<Payment, Refusal> {
    let before = match (payment.row.status, what) {
        (PaymentStatus::RequiresAction, PaymentEvent::Captured | PaymentEvent::Authorized) => {
            Some(PaymentEvent::ActionDone)
        }
        // It was said not to have been sent, and it was.
        (PaymentStatus::Queued, what) if what != PaymentEvent::CalledOff => {
            Some(PaymentEvent::TakenUp)
        }
        (PaymentStatus::RequiresCapture, PaymentEvent::Captured) => {
            Some(PaymentEvent::CaptureAsked)
        }
        _ => None,
    };
    let mut next = match before {
        Some(before) => payment.on(before, at)?.on(what, at)?,
        None => payment.on(what, at)?,
    };
    next.row.version = payment.row.version + 1;
    Ok(next)
}

fn named(mut payment: Payment, answer: &Answer) -> Payment {
    if let Some(reference) = answer.reference() {
        payment.row.gateway_reference = Some(reference.to_owned());
    }
    payment
}

/// How the call ended, for the list of attempts.
pub(super) fn ended(heard: &Heard, at: Timestamp) -> Option<Ended> {
    let answer = match heard {
        Heard::Said(answer) | Heard::Stands { answer, .. } => answer,
        Heard::NotSent(why) => return Some(failed("not_sent", why, at)),
        Heard::Unclear(why) => return Some(failed("unclear", why, at)),
        Heard::NothingKnown | Heard::NotTold | Heard::Strange(_) => return None,
    };
    let (outcome, decline_code) = match answer {
        Answer::Succeeded { .. } => ("succeeded", None),
        Answer::RequiresAction { .. } => ("requires_action", None),
        Answer::RequiresCapture { .. } => ("requires_capture", None),
        Answer::Processing { .. } => ("processing", None),
        Answer::Canceled { .. } => ("canceled", None),
        Answer::Declined { code, .. } => ("declined", Some(code.name().to_owned())),
    };
    let reference = answer.reference().map(str::to_owned);
    Some(Ended { at, outcome: outcome.into(), reference, decline_code, detail: None })
}

/// Characters of a reason that is kept.
const DETAIL_CHARS: usize = 200;

fn failed(outcome: &str, why: &str, at: Timestamp) -> Ended {
    let detail = Some(why.chars().take(DETAIL_CHARS).collect());
    Ended { at, outcome: outcome.into(), reference: None, decline_code: None, detail }
}

#[cfg(test)]
mod tests;
