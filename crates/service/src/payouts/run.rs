//! What happens to payouts at the gateway: asked for once, then asked after until it is known.
//!
//! | step | what is known | done |
//! |---|---|---|
//! | `send` | nothing was sent, or nobody knows | where it may have been: asked after; then sent |
//! | `ask` | the gateway has it, or may have it | it is asked, never told again |
//!
//! It is sent under one key, however often. A payout whose answer was unclear is `unknown`,
//! and stays so until the gateway tells.

use caudal_domain::{
    Amount, Fingerprint, GatewayAccountId, PayoutId, ReceiptKey, TenantId, Timestamp,
    event::kinds,
    payment::{PayoutEvent, PayoutStatus},
};
use caudal_engine::Command;
use caudal_gateway::{
    Answer, Gateway, GatewayFault, Object, PayoutRequest, PayoutStanding, Query, Standing,
};
use caudal_store::{
    UnitOfWork, UnitOutcome, payouts,
    sagas::{self, Lease, SagaRow},
};
use futures::{StreamExt, stream};

use super::{PayoutRow, SagaData, is_undecided, telling_as, turn::Turn};
use crate::{
    ReceiptOf, Service, ServiceError,
    payment_saga::{OLD_NEWS_S, Point},
    unit::broken,
};

pub(super) const SEND: &str = "send";
pub(super) const ASK: &str = "ask";

/// Taken by a worker at once, and worked on at once.
pub const PAYOUTS_MOST: i64 = 100;
const AT_ONCE: usize = 16;
/// A call and a question take 3 s each, twice.
const LEASE_S: i64 = 60;
/// Between tries of what was not sent, and how long it is tried.
const TRY_AGAIN_S: i64 = 30;
const TRIED_FOR_S: i64 = 86_400;
/// Gateways keep keys for 24 h; nothing is sent again near the end of that.
const RESEND_WITHIN_S: i64 = 23 * 3600;
/// Before each further question: what is on its way, and what nobody knows.
const SLOW_S: [i64; 6] = [10, 30, 120, 600, 3_600, 21_600];
const UNCLEAR_S: [i64; 3] = [300, 3_600, 86_400];

/// What came of a call or a question.
enum Heard {
    Said(Answer),
    NothingKnown,
    NotSent,
    Unclear,
    /// Asked, it said nothing, or spoke of something else.
    NotTold,
}

impl Service {
    /// Works on payouts that are due, of all tenants; how many there were.
    pub async fn work_on_payouts(&self) -> Result<usize, ServiceError> {
        let now = self.now();
        let due = sagas::due_payouts(self.store(), now, PAYOUTS_MOST).await?;
        if due.is_empty() {
            return Ok(0);
        }
        let holder = self.scattered_id(now);
        let lease = Lease { holder, now, until: now.plus_seconds(LEASE_S) };
        let steps = sagas::lease(&due, &lease);
        self.commit(UnitOfWork { at: now, steps, ..UnitOfWork::default() }).await?;
        let held = sagas::held(self.store(), holder).await?;
        stream::iter(held)
            .for_each_concurrent(AT_ONCE, async |saga| {
                let id = saga.id;
                if let Err(error) = self.work_on_payout(saga).await {
                    tracing::warn!(saga = %id, %error, "a payout is left to its next lease");
                }
            })
            .await;
        Ok(due.len())
    }

    async fn work_on_payout(&self, mut saga: SagaRow) -> Result<(), ServiceError> {
        self.pass(Point::Accepted).await?;
        let mut data: SagaData = serde_json::from_str(&saga.data).map_err(broken)?;
        let found = payouts::find(self.store(), saga.tenant, PayoutId(saga.subject)).await?;
        let lost = || ServiceError::Broken(format!("{} is about no payout", saga.id));
        let payout = found.ok_or_else(lost)?;
        let account = payout.gateway_account.ok_or_else(lost)?;
        if payout.status.is_final() || payout.status == PayoutStatus::Paid {
            // Only that was not written with its saga.
            return self.finish_payout(saga, payout.status.name()).await;
        }
        // Who had it before may have made the call.
        data.is_sent |= saga.attempts > 1;
        let heard = match self.gateway(saga.tenant, account).await {
            Ok(gateway) if payout.status == PayoutStatus::Pending && saga.step == SEND => {
                self.send_payout(gateway.as_ref(), &payout, data).await
            }
            Ok(gateway) => ask(gateway.as_ref(), &payout, data.since).await,
            Err(error) => {
                tracing::error!(payout = %payout.id, %error, "its account can't be opened");
                if data.is_sent || saga.step != SEND { Heard::NotTold } else { Heard::NotSent }
            }
        };
        self.pass(Point::Called).await?;
        let payout = match heard {
            Heard::Said(answer) => self.follow_answer(payout, Some(&mut saga), &answer).await?,
            Heard::NotSent if data.is_sent => self.lose(payout, &mut saga).await?,
            Heard::NotSent if data.since.plus_seconds(TRIED_FOR_S) < self.now() => {
                let failure = Some("gateway_unavailable".into());
                let turn = Turn { failure, ..Turn::of(PayoutEvent::Declined) };
                self.turn_payout(&payout, Some(&mut saga), turn).await?
            }
            Heard::NotSent => {
                saga.attempts = 0;
                return self.put_payout_off(saga, data, (SEND, TRY_AGAIN_S)).await;
            }
            Heard::NotTold if saga.step == SEND && self.is_young(data) => {
                return self.put_payout_off(saga, data, (SEND, TRY_AGAIN_S)).await;
            }
            Heard::NotTold if saga.step == SEND => self.lose(payout, &mut saga).await?,
            Heard::Unclear => self.lose(payout, &mut saga).await?,
            Heard::NothingKnown | Heard::NotTold => Some(payout),
        };
        // Another was first: its commit tells what is next.
        let Some(payout) = payout else { return Ok(()) };
        data.is_sent = true;
        let pauses: &[i64] = match payout.status {
            PayoutStatus::InTransit => &SLOW_S,
            PayoutStatus::Pending | PayoutStatus::Unknown => &UNCLEAR_S,
            _ => return self.finish_payout(saga, payout.status.name()).await,
        };
        let pause = pauses.get(data.asked).or(pauses.last()).copied().unwrap_or(TRIED_FOR_S);
        data.asked += 1;
        if is_undecided(&payout, self.now()) && !data.has_called {
            self.call_for_person(&payout).await?;
            data.has_called = true;
        }
        self.put_payout_off(saga, data, (ASK, pause)).await
    }

    /// Of each status once while receipts are kept, however often the gateway says it.
    async fn call_for_person(&self, payout: &PayoutRow) -> Result<(), ServiceError> {
        let mut command = Command::writing();
        let key = format!("a person is called: {}", payout.status.name());
        command.receipt = Some(ReceiptOf {
            key: ReceiptKey::new(payout.tenant, payout.id.0, &key),
            fingerprint: Fingerprint::of(&[]),
        });
        command.context = Some(payout.id.to_string());
        command.telling = Some(telling_as(kinds::PAYOUT_NEEDS_DECISION, payout)?);
        self.submit(payout.tenant, command).await.map(drop)
    }

    /// Nobody knows what became of it.
    async fn lose(
        &self,
        payout: PayoutRow,
        saga: &mut SagaRow,
    ) -> Result<Option<PayoutRow>, ServiceError> {
        match payout.status {
            PayoutStatus::Pending => {
                self.turn_payout(&payout, Some(saga), Turn::of(PayoutEvent::LostFromSight)).await
            }
            _ => Ok(Some(payout)),
        }
    }

    async fn send_payout(
        &self,
        gateway: &dyn Gateway,
        payout: &PayoutRow,
        data: SagaData,
    ) -> Heard {
        if data.is_sent {
            match ask(gateway, payout, data.since).await {
                Heard::NothingKnown => {}
                heard => return heard,
            }
            if !self.is_young(data) {
                return Heard::Unclear;
            }
        }
        let Some(amount) = Amount::new(payout.amount) else { return Heard::NotSent };
        let request = PayoutRequest {
            key: payout.id.to_string(),
            amount,
            currency: payout.currency,
            destination: payout.destination.clone(),
        };
        match gateway.payout(&request).await {
            // Refused before the key was looked at, it says nothing of what may have been sent.
            Ok(Answer::Declined { reference: None, .. }) if data.is_sent => Heard::Unclear,
            Ok(answer) => Heard::Said(answer),
            Err(GatewayFault::NotSent(_)) => Heard::NotSent,
            Err(GatewayFault::Unclear(_)) => Heard::Unclear,
        }
    }

    /// Whether it may be sent again.
    fn is_young(&self, data: SagaData) -> bool {
        self.now() <= data.since.plus_seconds(RESEND_WITHIN_S)
    }

    /// Turn after turn, until the payout is as the gateway has it.
    async fn follow_answer(
        &self,
        mut payout: PayoutRow,
        mut saga: Option<&mut SagaRow>,
        answer: &Answer,
    ) -> Result<Option<PayoutRow>, ServiceError> {
        while let Some(event) = next(payout.status, answer) {
            let failure = match answer {
                Answer::Declined { code, .. } => Some(code.name().to_owned()),
                Answer::Canceled { .. } => Some("canceled".to_owned()),
                _ => None,
            };
            let turn = Turn { event, failure, reference: answer.reference().map(str::to_owned) };
            match self.turn_payout(&payout, saga.as_deref_mut(), turn).await? {
                Some(after) => payout = after,
                None => return Ok(None),
            }
        }
        Ok(Some(payout))
    }

    async fn put_payout_off(
        &self,
        mut saga: SagaRow,
        data: SagaData,
        (step, pause_s): (&str, i64),
    ) -> Result<(), ServiceError> {
        let at = self.now();
        saga.step = step.into();
        saga.data = serde_json::to_string(&data).map_err(broken)?;
        saga.next_at = at.plus_seconds(pause_s);
        saga.version += 1;
        let steps = vec![sagas::put_off(&saga)];
        self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await.map(drop)
    }

    async fn finish_payout(&self, mut saga: SagaRow, outcome: &str) -> Result<(), ServiceError> {
        let at = self.now();
        saga.version += 1;
        let steps = vec![sagas::finish(&saga, outcome, at)];
        self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await.map(drop)
    }

    /// Heeds a standing that was just fetched from the gateway. Where a saga waits, it is woken and
    /// asks for itself; what comes after its end (a return) is written here. Where another is at
    /// work it is a conflict, to be heeded again: they may have asked just before.
    pub(crate) async fn heed_payout(
        &self,
        tenant: TenantId,
        account: GatewayAccountId,
        standing: &PayoutStanding,
    ) -> Result<(), ServiceError> {
        let (db, reference) = (self.store(), standing.reference.as_str());
        let mut found = payouts::find_by_gateway(db, tenant, account, reference).await?;
        if found.is_none()
            && let Some(id) = standing.key.as_deref().and_then(|key| key.parse().ok())
        {
            found = payouts::find(db, tenant, id).await?;
            found = found.filter(|payout| payout.gateway_account == Some(account));
        }
        let payout = found.ok_or(ServiceError::NotFound("payout"))?;
        if !is_same(&payout, standing) {
            return self.call_for_person(&payout).await;
        }
        if matches!(payout.status, PayoutStatus::Paid) {
            let followed = self.follow_answer(payout, None, &standing.answer).await?;
            return match followed {
                Some(_) => Ok(()),
                None => Err(caudal_domain::Refusal::Conflict.into()),
            };
        }
        if payout.status.is_final() {
            let is_new = self.now() < payout.updated_at.plus_seconds(OLD_NEWS_S);
            return match standing.answer {
                // Asked before it came to that.
                Answer::Succeeded { .. } | Answer::Processing { .. } if is_new => {
                    Err(caudal_domain::Refusal::Conflict.into())
                }
                Answer::Succeeded { .. } | Answer::Processing { .. } => {
                    tracing::error!(payout = %payout.id, "the gateway pays what was given up");
                    self.call_for_person(&payout).await
                }
                _ => Ok(()),
            };
        }
        if let Some(saga) = self.unfinished(tenant, payout.id.0).await? {
            self.require_at_rest(&saga)?;
        }
        let at = self.now();
        let mut steps = vec![sagas::wake(tenant, payout.id.0, at)];
        if payout.gateway_reference.as_deref() != Some(reference) {
            // Its name is what the gateway says, whoever said otherwise.
            let name = Some(reference.to_owned());
            let (version, updated_at) = (payout.version + 1, at);
            let named = PayoutRow { gateway_reference: name, version, updated_at, ..payout };
            steps.push(payouts::update(&named));
        }
        match self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await?.0 {
            UnitOutcome::Missed(_) => Err(caudal_domain::Refusal::Conflict.into()),
            _ => Ok(()),
        }
    }
}

/// What has happened, where the gateway's answer is further than we are.
fn next(status: PayoutStatus, answer: &Answer) -> Option<PayoutEvent> {
    let is_open = matches!(status, PayoutStatus::Pending | PayoutStatus::Unknown);
    match answer {
        Answer::Succeeded { .. } | Answer::Processing { .. } if is_open => Some(PayoutEvent::Sent),
        Answer::Succeeded { .. } if status == PayoutStatus::InTransit => Some(PayoutEvent::Settled),
        Answer::Declined { .. } | Answer::Canceled { .. } if is_open => Some(PayoutEvent::Declined),
        Answer::Declined { .. } | Answer::Canceled { .. }
            if matches!(status, PayoutStatus::InTransit | PayoutStatus::Paid) =>
        {
            Some(PayoutEvent::Returned)
        }
        _ => None,
    }
}

async fn ask(gateway: &dyn Gateway, payout: &PayoutRow, since: Timestamp) -> Heard {
    let object = Object::Payout;
    let query = match &payout.gateway_reference {
        Some(reference) => Query::Reference { object, reference: reference.clone() },
        None => Query::Key { object, key: payout.id.to_string(), charge: None, since },
    };
    match gateway.query(&query).await {
        Ok(Some(Standing::Payout(standing))) if is_same(payout, &standing) => {
            Heard::Said(standing.answer)
        }
        Ok(None) => Heard::NothingKnown,
        Ok(Some(_)) | Err(_) => Heard::NotTold,
    }
}

/// Whether amount and currency are ours; else a person has to look.
fn is_same(payout: &PayoutRow, standing: &PayoutStanding) -> bool {
    let is_same = (standing.amount_minor, standing.currency) == (payout.amount, payout.currency);
    if !is_same {
        tracing::error!(payout = %payout.id, "the gateway speaks of another amount");
    }
    is_same
}

/// Whether it is of this payout, as far as that can be told.
pub(super) fn is_told_of(payout: &PayoutRow, standing: &PayoutStanding) -> bool {
    let is_ours = standing.key.as_ref().is_none_or(|key| *key == payout.id.to_string());
    is_ours && is_same(payout, standing)
}
