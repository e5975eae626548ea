//! What holds of every decision: each thing that can be heard, of each call, in each state in which
//! that call can be under way.

use caudal_domain::{
    BusinessDay, Currency, GatewayAccountId, PaymentId, RefundId, TenantId, payment::PaymentAmounts,
};
use caudal_gateway::DeclineCode;
use caudal_store::{payments::PaymentRow, sagas::SagaRow};

use super::*;
use crate::payments::PaymentData;

const AT: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

/// The states of a payment in which the call can be under way.
fn states(operation: Operation) -> &'static [PaymentStatus] {
    use PaymentStatus::{Processing, RequiresAction, RequiresCapture, Unknown};
    match operation {
        Operation::Charge => &[Processing, Unknown, RequiresAction],
        Operation::Capture => &[Processing, Unknown],
        Operation::Cancel => &[RequiresCapture, RequiresAction],
        Operation::Refund => &[PaymentStatus::Succeeded],
    }
}

fn answers() -> Vec<Answer> {
    let reference = || "ch_1".to_owned();
    let declined = |retryable_elsewhere| Answer::Declined {
        code: DeclineCode::DoNotHonor,
        retryable_elsewhere,
        reference: Some(reference()),
    };
    vec![
        Answer::Succeeded { reference: reference(), fee: None },
        Answer::RequiresAction { reference: reference(), url: "https://bank.example".into() },
        Answer::RequiresCapture { reference: reference() },
        Answer::Processing { reference: reference() },
        Answer::Canceled { reference: reference() },
        declined(false),
        declined(true),
    ]
}

/// With whether it decides for good.
fn heard() -> Vec<Heard> {
    let said = answers().into_iter().map(Heard::Said);
    let stands = answers().into_iter().map(|answer| Heard::Stands { answer, captured: None });
    let rest = [
        Heard::NothingKnown,
        Heard::NotSent("refused".into()),
        Heard::Unclear("no answer".into()),
        Heard::NotTold,
        Heard::Strange("another amount".into()),
    ];
    said.chain(stands).chain(rest).collect()
}

fn payment(status: PaymentStatus, is_manual: bool) -> Payment {
    let row = PaymentRow {
        id: PaymentId(7 << 64),
        tenant: TenantId(1),
        status,
        kind: "card".into(),
        amount: 1000,
        currency: Currency::from_code("USD").expect("a code"),
        amounts: PaymentAmounts::default(),
        fee: 30,
        wallet: caudal_domain::AccountId(3),
        from: None,
        user: None,
        payment_method: Some("pm_1".into()),
        manual_capture: is_manual,
        gateway_account: Some(GatewayAccountId(5)),
        gateway_reference: Some("ch_1".into()),
        transfer: None,
        failure: None,
        reference: None,
        description: None,
        metadata: Default::default(),
        data: String::new(),
        available_at: None,
        created_at: AT,
        updated_at: AT,
        version: 1,
        business_day: BusinessDay(AT.days()),
    };
    Payment { row, data: PaymentData { attempts: 1, ..PaymentData::default() } }
}

fn refund() -> RefundRow {
    RefundRow {
        id: RefundId(11 << 64),
        tenant: TenantId(1),
        payment: PaymentId(7 << 64),
        status: RefundStatus::Pending,
        amount: 1000,
        currency: Currency::from_code("USD").expect("a code"),
        reason: None,
        gateway_account: Some(GatewayAccountId(5)),
        gateway_reference: None,
        transfer: None,
        failure: None,
        data: String::new(),
        created_at: AT,
        updated_at: AT,
        version: 1,
    }
}

fn work(operation: Operation, status: PaymentStatus, (step, is_for_time): (Step, bool)) -> Work {
    let is_manual = status == PaymentStatus::RequiresCapture || operation == Operation::Capture;
    let mut payment = payment(status, is_manual);
    payment.data.is_canceling = operation == Operation::Cancel;
    let data = SagaData {
        operation,
        route: vec![GatewayAccountId(5), GatewayAccountId(6)],
        place: 0,
        amount: 1000,
        principal: 1000,
        attempt: 1,
        key: "pay_1-1".into(),
        since: AT,
        is_for_time,
        asked: 0,
        deadline: AT.plus_seconds(3600),
    };
    let saga =
        super::super::commit::saga_of(&data, (caudal_domain::SagaId(9), TenantId(1)), (7, 8), AT);
    let saga: SagaRow = saga.expect("JSON");
    let refund = (operation == Operation::Refund).then(refund);
    Work { saga, data, step, payment, refund, is_waited_for: false, is_taken_over: false }
}

/// Everything that can be heard of every call, at once and long after; and what is done with what
/// was never sent.
fn each(mut check: impl FnMut(&str, (&Work, Option<&Heard>), &Decision)) {
    for operation in [Operation::Charge, Operation::Capture, Operation::Cancel, Operation::Refund] {
        for (status, step, is_for_time) in under_way(operation) {
            let heard: Vec<_> = match step {
                // What a gateway tells by itself; else its time comes.
                Step::Queued => {
                    let stands =
                        heard().into_iter().filter(|it| matches!(it, Heard::Stands { .. }));
                    stands.map(Some).chain([None]).collect()
                }
                Step::Send | Step::Ask => heard().into_iter().map(Some).collect(),
            };
            for (heard, days) in heard.iter().flat_map(|it| [0, 2, 8].map(|days| (it, days))) {
                let work = work(operation, status, (step, is_for_time));
                let at = AT.plus_seconds(days * 86_400);
                let decided = match heard {
                    Some(heard) => after(&work, heard, at),
                    None => of_queued(&work, at),
                };
                let decision = decided.unwrap_or_else(|_| led_nowhere(&work, at));
                let what = format!("{operation:?} {status:?} {step:?} {heard:?} {days} d");
                check(&what, (&work, heard.as_ref()), &decision);
            }
        }
    }
}

/// States, steps, and whether it is for time. What is sent has not been answered yet.
fn under_way(operation: Operation) -> Vec<(PaymentStatus, Step, bool)> {
    let mut ways = Vec::new();
    for status in states(operation) {
        ways.push((*status, Step::Ask, false));
        if operation == Operation::Cancel {
            let steps = [Step::Send, Step::Queued, Step::Ask];
            ways.extend(steps.map(|step| (*status, step, true)));
        }
        let is_charged = matches!(operation, Operation::Charge | Operation::Capture);
        if !is_charged || *status == PaymentStatus::Processing {
            let queued =
                if operation == Operation::Charge { PaymentStatus::Queued } else { *status };
            ways.extend([(*status, Step::Send, false), (queued, Step::Queued, false)]);
        }
    }
    ways
}

fn status_after(work: &Work, decision: &Decision) -> PaymentStatus {
    decision.payment.as_ref().unwrap_or(&work.payment).row.status
}

/// `None`: it is about no refund.
fn refund_after(work: &Work, decision: &Decision) -> Option<RefundStatus> {
    decision.refund.as_ref().or(work.refund.as_ref()).map(|refund| refund.status)
}

#[test]
fn nothing_is_left_alone_before_it_has_ended() {
    each(|what, (work, _), decision| {
        let status = status_after(work, decision);
        let rests = match refund_after(work, decision) {
            Some(refund) => refund != RefundStatus::Pending,
            None => status.is_final() || status == PaymentStatus::RequiresCapture,
        };
        let goes_on = !matches!(decision.then, Then::Finished(_));
        assert!(rests || goes_on, "{what}: {status:?}, and nobody is at work on it");
        let after = decision.payment.as_ref().unwrap_or(&work.payment);
        assert!(goes_on || !after.data.is_canceling, "{what}: is called off by nobody");
    });
}

#[test]
fn money_moves_with_what_becomes_of_it() {
    each(|what, (work, _), decision| {
        let wanted = match refund_after(work, decision) {
            Some(refund) => refund == RefundStatus::Failed,
            None => status_after(work, decision) == PaymentStatus::Succeeded,
        };
        assert_eq!(decision.money.is_some(), wanted, "{what}");
    });
}

#[test]
fn what_may_have_been_heard_is_never_sent_again() {
    each(|what, (work, heard), decision| {
        let is_unclear =
            matches!(heard, Some(Heard::Unclear(_) | Heard::NothingKnown | Heard::Strange(_)));
        if is_unclear || work.payment.row.status == PaymentStatus::Unknown {
            let is_sent = match decision.then {
                Then::Now(step) => step != Step::Ask,
                Then::At(step, _) => step == Step::Queued,
                Then::Finished(_) => false,
            };
            assert!(!is_sent, "{what}: {:?}", decision.then);
        }
        if is_unclear {
            assert_eq!(decision.money, None, "{what}");
            let has_ended = status_after(work, decision).is_final();
            assert!(work.refund.is_some() || !has_ended, "{what}");
        }
    });
}

#[test]
fn who_confirms_while_time_runs_out_is_asked_after_as_before() {
    let work = work(Operation::Cancel, PaymentStatus::RequiresAction, (Step::Ask, true));
    let promised = Heard::Said(Answer::RequiresCapture { reference: "ch_1".into() });
    let decision = after(&work, &promised, AT).expect("a decision");
    assert_eq!(decision.data.operation, Operation::Charge);
    let payment = decision.payment.expect("the next version");
    assert!(!payment.data.needs_decision && !payment.data.is_canceling);
}
