//! Step after step, until the saga rests: at once in the process that accepted it, so that a
//! payment is answered within its request; in a worker, what was left.

use std::pin::pin;

use caudal_domain::{PaymentId, RefundId, Refusal};
use caudal_engine::{Command, Job};
use caudal_store::{
    UnitOfWork, payment_attempts, payments, refunds,
    sagas::{self, Lease, SagaRow},
};
use futures::{FutureExt, StreamExt, select_biased, stream};
use tokio::{sync::oneshot, time::timeout};

use super::{
    ANSWER_WITHIN, Heard, LEASE_S, Operation, Point, Step, Work,
    commit::Written,
    decide::{self, Decision, Then},
};
use crate::{Service, ServiceError, payments::Payment};

/// Sagas that a worker takes at once, and works on at once.
pub const SAGAS_MOST: i64 = 100;
const AT_ONCE: usize = 32;
/// Steps of one run: accounts tried, questions, and then some.
const STEPS_MOST: usize = 50;
/// How often a decision is made again when the payment was labelled meanwhile.
const TRIES: usize = 4;

impl Service {
    /// Runs the saga in a task of its own, which goes on when nobody waits any more. `None`: it
    /// does not rest yet.
    pub(crate) async fn run_for_request(&self, mut work: Work) -> Option<Work> {
        work.is_waited_for = true;
        work.is_taken_over = false;
        let (service, (sender, receiver)) = (self.clone(), oneshot::channel());
        tokio::spawn(async move {
            let ended = service.run_in_pool(work).await;
            // Whoever asked may be gone.
            let _ = sender.send(ended);
        });
        match timeout(ANSWER_WITHIN, receiver).await {
            Ok(Ok(Ok(work))) => Some(work),
            Ok(Ok(Err(error))) => {
                tracing::warn!(%error, "a payment was left to the workers");
                None
            }
            _ => None,
        }
    }

    /// A gateway that refuses calls keeps no workers busy, nor those who wait for one: payments go
    /// on at other gateways, and are queued at this one.
    async fn run_in_pool(&self, work: Work) -> Result<Work, ServiceError> {
        let Ok(gateway) = self.gateway_of(&work).await else {
            return self.run_in_time(work).await;
        };
        let mut refuses = pin!(gateway.refuses().fuse());
        let worker = select_biased! {
            worker = self.inner.payments_pool.worker().fuse() => worker,
            () = refuses => None,
        };
        let mut run = pin!(self.run_in_time(work).fuse());
        select_biased! {
            ended = run => return ended,
            () = refuses => drop(worker),
        }
        run.await
    }

    /// Its lease may have ended in the line: then a worker has it, or will.
    async fn run_in_time(&self, work: Work) -> Result<Work, ServiceError> {
        if work.saga.lease_until.is_some_and(|until| until <= self.now()) {
            return Err(ServiceError::Unavailable("its turn came after its lease".into()));
        }
        self.run_saga(work).await
    }

    async fn run_saga(&self, mut work: Work) -> Result<Work, ServiceError> {
        self.pass(Point::Accepted).await?;
        for _ in 0..STEPS_MOST {
            let heard = match work.step {
                Step::Queued => None,
                Step::Send | Step::Ask => {
                    let heard = self.act(&work).await;
                    self.pass(Point::Called).await?;
                    Some(heard)
                }
            };
            let (after, then) = self.settle(work, heard.as_ref()).await?;
            self.pass(Point::Booked).await?;
            match then {
                Some(Then::Now(_)) => work = after,
                _ => return Ok(after),
            }
        }
        Err(ServiceError::Broken(format!("{} comes to no rest", work.saga.id)))
    }

    /// Writes what follows from what was heard. `None`: another has taken the saga over, or ended
    /// it; the work is as it stands then.
    pub(super) async fn settle(
        &self,
        mut work: Work,
        heard: Option<&Heard>,
    ) -> Result<(Work, Option<Then>), ServiceError> {
        if let Some(Heard::Strange(why)) = heard {
            let payment = work.payment.row.id;
            tracing::error!(%payment, why, "a gateway's word can't be booked");
        }
        for _ in 0..TRIES {
            let decision = self.decide(&work, heard);
            let then = decision.then;
            if let Written::Done(after) = self.write(&work, decision).await? {
                return Ok((*after, Some(then)));
            }
            let Some(fresh) = self.still_ours(&work).await? else {
                self.note_end(&work, heard).await?;
                return Ok((self.reloaded(work).await?, None));
            };
            work = fresh;
        }
        Err(Refusal::Conflict.into())
    }

    fn decide(&self, work: &Work, heard: Option<&Heard>) -> Decision {
        let at = self.now();
        let decided = match heard {
            Some(heard) => decide::after(work, heard, at),
            None => decide::of_queued(work, at),
        };
        // What its table refuses has ended otherwise, and there is nothing left to do; or else it
        // can't be, and a person has to look.
        decided.unwrap_or_else(|_| decide::led_nowhere(work, at))
    }

    /// The work as it stands, if its lease is the one it was.
    async fn still_ours(&self, work: &Work) -> Result<Option<Work>, ServiceError> {
        if !work.has_saga() {
            return Ok(None);
        }
        let (tenant, id) = (work.saga.tenant, work.saga.id);
        let found = sagas::find(self.store(), tenant, id).await?;
        let is_ours = |saga: &SagaRow| {
            saga.token == work.saga.token
                && saga.finished_at.is_none()
                && saga.version == work.saga.version
        };
        let Some(saga) = found.filter(is_ours) else { return Ok(None) };
        let fresh = self.reloaded(work.clone()).await?;
        Ok(Some(Work { saga, ..fresh }))
    }

    async fn reloaded(&self, work: Work) -> Result<Work, ServiceError> {
        let (tenant, id) = (work.saga.tenant, work.payment.row.id);
        let payment = self.payment_of_saga(&work.saga, id).await?;
        let refund = match &work.refund {
            Some(refund) => refunds::find(self.store(), tenant, refund.id).await?,
            None => None,
        };
        Ok(Work { payment, refund, ..work })
    }

    async fn payment_of_saga(
        &self,
        saga: &SagaRow,
        id: PaymentId,
    ) -> Result<Payment, ServiceError> {
        let found = payments::find(self.store(), saga.tenant, id).await?;
        let lost = || ServiceError::Broken(format!("{} is about no payment", saga.id));
        Payment::read(found.ok_or_else(lost)?)
    }

    /// Another was first, but the call was made: that is kept.
    async fn note_end(&self, work: &Work, heard: Option<&Heard>) -> Result<(), ServiceError> {
        let ended = heard.and_then(|heard| decide::ended(heard, self.now()));
        let Some(ended) = ended else { return Ok(()) };
        let mut command = Command::writing();
        let id = (work.payment.row.id, work.data.attempt);
        command.steps.push(payment_attempts::end(work.saga.tenant, id, &ended).or_none());
        self.run(Job::one(work.saga.tenant, command)).await.map(drop)
    }

    /// Takes what is due and works on it; how many there were. Call again at once when it was
    /// [`SAGAS_MOST`].
    pub async fn work_on_sagas(&self) -> Result<usize, ServiceError> {
        let now = self.now();
        let due = sagas::due(self.store(), now, SAGAS_MOST).await?;
        if due.is_empty() {
            return Ok(0);
        }
        let holder = self.scattered_id(now);
        let lease = Lease { holder, now, until: now.plus_seconds(LEASE_S) };
        let steps = sagas::lease(&due, &lease);
        self.commit(UnitOfWork { at: now, steps, ..UnitOfWork::default() }).await?;
        let held = sagas::held(self.store(), holder).await?;
        stream::iter(held).for_each_concurrent(AT_ONCE, |saga| self.work_on_saga(saga)).await;
        Ok(due.len())
    }

    async fn work_on_saga(&self, saga: SagaRow) {
        let id = saga.id;
        let worked = async {
            let work = self.work_of(saga).await?;
            self.run_saga(work).await.map(drop)
        };
        if let Err(error) = worked.await {
            tracing::warn!(saga = %id, %error, "a saga is left to its next lease");
        }
    }

    /// A saga with what it is about.
    pub(super) async fn work_of(&self, saga: SagaRow) -> Result<Work, ServiceError> {
        if saga.kind != Operation::Refund.name() {
            let payment = self.payment_of_saga(&saga, PaymentId(saga.subject)).await?;
            return Work::read(saga, payment, None);
        }
        let found = refunds::find(self.store(), saga.tenant, RefundId(saga.subject)).await?;
        let lost = || ServiceError::Broken(format!("{} is about no refund", saga.id));
        let refund = found.ok_or_else(lost)?;
        let payment = self.payment_of_saga(&saga, refund.payment).await?;
        Work::read(saga, payment, Some(refund))
    }
}
