//! Payments through gateways: steps outside, written down before they are done.
//!
//! A saga is about one call that has to come to an end: a charge, a capture, a cancellation, a
//! refund. Its row says which step is next; whoever works on it holds its lease, and writes state,
//! money and step in one commit that a later lease refuses ([`commit`]). What a gateway said
//! becomes what is written in [`decide`], which asks nobody.
//!
//! | step | what is known | done |
//! |---|---|---|
//! | `send` | a call was written down | made; taken over: asked after first, then under its key |
//! | `queued` | nothing was sent | a call is written down, then made; not after the deadline |
//! | `ask` | the gateway has it, or may have it | it is asked, never told again |
//!
//! Reading order: this file (what a saga knows), [`accept`] (the first commit), [`run`] (step after
//! step), [`call`], [`decide`], [`commit`], [`heed`] (what gateways tell by themselves),
//! [`resolve`] (what a person has found out).

mod accept;
mod call;
mod commit;
mod decide;
mod heed;
mod pool;
mod resolve;
mod run;
mod seam;

use std::time::Duration;

use caudal_domain::{GatewayAccountId, Timestamp};
use caudal_gateway::{Answer, ChargeStanding};
use caudal_store::{refunds::RefundRow, sagas::SagaRow};
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    commit::attempt_of, heed::OLD_NEWS_S, pool::Pool, resolve::check_at_gateway, seam::Seam,
};
pub use self::{pool::PoolSettings, resolve::Found, run::SAGAS_MOST, seam::Point};
use crate::{ServiceError, payments::Payment, unit::broken};

/// How long whoever asked for a payment waits for what becomes of it.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A step's calls take 3 s each; ten accounts may be tried, and then some.
pub(crate) const LEASE_S: i64 = 60;
/// What was never sent waits so long for its gateway; then it fails.
const QUEUED_FOR_S: i64 = 3600;
/// A payer has so long to do what was asked of them.
const ACTION_WITHIN_S: i64 = 86_400;
/// Nobody knows for so long: a person has to find out.
pub(crate) const PERSON_AFTER_S: i64 = 7 * 86_400;
/// Gateways keep keys for 24 h; a call is not made again near the end of that.
const RESEND_WITHIN_S: i64 = 23 * 3600;
/// Pauses between tries of what was not sent.
const TRY_AGAIN_S: i64 = 5;

/// What is asked of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    Charge,
    Capture,
    Cancel,
    Refund,
}

impl Operation {
    pub fn name(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Capture => "capture",
            Self::Cancel => "cancel",
            Self::Refund => "refund",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Send,
    Queued,
    Ask,
}

impl Step {
    pub fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Queued => "queued",
            Self::Ask => "ask",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Send, Self::Queued, Self::Ask].into_iter().find(|step| step.name() == name)
    }
}

/// What a saga remembers, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SagaData {
    pub operation: Operation,
    /// Accounts that may be tried, in order; one for all but charges.
    pub route: Vec<GatewayAccountId>,
    pub place: usize,
    /// What the gateway is asked for, in minor units; with a fee that its payer bears.
    pub amount: i64,
    /// Of the payment, without that fee.
    pub principal: i64,
    /// The call under way among the payment's attempts.
    pub attempt: i64,
    /// Our idempotency key at the gateway, one for each account that is tried.
    pub key: String,
    /// When it was written down that the call is made under this key.
    pub since: Timestamp,
    /// It is called off because its payer's time ran out.
    #[serde(default)]
    pub is_for_time: bool,
    /// Questions asked so far.
    #[serde(default)]
    pub asked: usize,
    /// What was not sent until then is not sent any more.
    pub deadline: Timestamp,
}

impl SagaData {
    pub fn account(&self) -> Option<GatewayAccountId> {
        self.route.get(self.place).copied()
    }
}

/// A saga with what it is about.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub saga: SagaRow,
    pub data: SagaData,
    pub step: Step,
    pub payment: Payment,
    pub refund: Option<RefundRow>,
    /// Whoever asked for it is waiting for what becomes of it.
    pub is_waited_for: bool,
    /// Another has worked on it before: its last call may have been made.
    pub is_taken_over: bool,
}

impl Work {
    /// What a gateway does without us has none.
    pub fn has_saga(&self) -> bool {
        self.saga.version > 0
    }

    pub fn read(
        saga: SagaRow,
        payment: Payment,
        refund: Option<RefundRow>,
    ) -> Result<Self, ServiceError> {
        let data = serde_json::from_str(&saga.data).map_err(broken)?;
        let lost = || ServiceError::Broken(format!("{} has no such step: {}", saga.id, saga.step));
        let step = Step::from_name(&saga.step).ok_or_else(lost)?;
        Ok(Self { saga, data, step, payment, refund, is_waited_for: false, is_taken_over: true })
    }
}

/// What came of a step outside.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    /// The gateway has said so to a call.
    Said(Answer),
    /// So it stands there.
    Stands { answer: Answer, captured: Option<i64> },
    /// Asked, it knows nothing of it: which says nothing.
    NothingKnown,
    /// The call was not made.
    NotSent(String),
    /// The call may have been heard.
    Unclear(String),
    /// Asked, it could not be reached.
    NotTold,
    /// It speaks of another amount or currency than ours.
    Strange(String),
}

impl Heard {
    pub fn of_charge(standing: &ChargeStanding) -> Self {
        let captured = Some(standing.captured_minor).filter(|captured| *captured > 0);
        Self::Stands { answer: standing.answer.clone(), captured }
    }
}

/// When a gateway that has it is asked next, after so many questions.
fn ask_again(asked: usize, is_unclear: bool) -> i64 {
    // Unclear answers: five minutes, an hour, a day …; what is just slow is asked more often.
    const UNCLEAR_S: [i64; 3] = [300, 3600, 86_400];
    const SLOW_S: [i64; 6] = [10, 30, 120, 600, 3600, 21_600];
    let pauses: &[i64] = if is_unclear { &UNCLEAR_S } else { &SLOW_S };
    pauses.get(asked).or(pauses.last()).copied().unwrap_or(3600)
}
