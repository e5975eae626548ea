//! What gateways tell by themselves: a standing, asked of the gateway again when a webhook came.
//! It ends the saga that waits for it, or tells of what happened there without us.

use caudal_domain::{
    GatewayAccountId, PaymentId, RefundId, Refusal, TenantId,
    fee::FeeBearer,
    payment::{PaymentStatus, RefundStatus},
};
use caudal_engine::Command;
use caudal_gateway::{Answer, ChargeStanding, RefundStanding, Standing};
use caudal_store::{
    UnitOfWork, payments,
    refunds::{self, RefundRow},
    sagas::{self, SagaRow},
};

use super::{Heard, Operation, SagaData, Step, Work, accept::fee_on_top, call, decide::Then};
use crate::{
    Service, ServiceError,
    payments::{Payment, telling},
};

/// What a gateway was asked this long ago may have changed here since.
pub(crate) const OLD_NEWS_S: i64 = 10;
/// Sagas of one payment or refund that are looked at.
const SAGAS_OF_ONE: i64 = 10;

impl Service {
    /// Heeds a standing that was just fetched from the gateway. What is not known is not found: it
    /// may be told before it is written here. Where another is at work it is a conflict, to be
    /// heeded again: they may have asked just before.
    pub async fn heed_gateway(
        &self,
        tenant: TenantId,
        account: GatewayAccountId,
        standing: &Standing,
    ) -> Result<(), ServiceError> {
        let work = match standing {
            Standing::Charge(charge) => self.charged(tenant, account, charge).await?,
            Standing::Refund(refund) => self.refunded(tenant, account, refund).await?,
            Standing::Dispute(_) | Standing::Payout(_) => None,
        };
        let Some(work) = work else { return Ok(()) };
        let heard = call::heard(&work, standing);
        if let Heard::Stands { answer, .. } = &heard
            && !call::is_of_call(&work, answer)
        {
            // Told before what was asked of it last was heard there.
            return Ok(());
        }
        match self.settle(work, Some(&heard)).await? {
            // A worker makes the call: the saga may have been put off for hours.
            (work, Some(Then::Now(Step::Send))) => self.wake_saga(&work.saga).await,
            (_, Some(_)) => Ok(()),
            // Another wrote first; what is left to do is seen the next time.
            (_, None) => Err(Refusal::Conflict.into()),
        }
    }

    async fn wake_saga(&self, saga: &SagaRow) -> Result<(), ServiceError> {
        let at = self.now();
        let steps = vec![sagas::wake(saga.tenant, saga.subject, at)];
        self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await.map(drop)
    }

    /// The work that the charge concerns, if something is left to do.
    async fn charged(
        &self,
        tenant: TenantId,
        account: GatewayAccountId,
        charge: &ChargeStanding,
    ) -> Result<Option<Work>, ServiceError> {
        let found = self.payment_of_charge(tenant, account, charge).await?;
        let payment = found.ok_or(ServiceError::NotFound("payment"))?;
        let has_taken = matches!(charge.answer, Answer::Succeeded { .. });
        if payment.row.gateway_account != Some(account) || has_ended_without_money(&payment) {
            let is_given_back = charge.refunded_minor >= Some(charge.captured_minor);
            if has_taken && !is_given_back {
                self.contradict(payment, (account, said_of(charge))).await?;
            }
            return Ok(None);
        }
        if payment.row.status == PaymentStatus::Succeeded && is_booked_otherwise(&payment, charge) {
            self.contradict(payment, (account, said_of(charge))).await?;
            return Ok(None);
        }
        if let Some(saga) = self.unfinished(tenant, payment.row.id.0).await? {
            self.require_at_rest(&saga)?;
            return Work::read(saga, payment, None).map(Some);
        }
        let is_new = payment.row.status == PaymentStatus::RequiresCapture
            && (has_taken || matches!(charge.answer, Answer::Canceled { .. }));
        match is_new {
            true => self.uncalled(payment, account).map(Some),
            false => Ok(None),
        }
    }

    /// The gateway has moved money that these books don't have: a person sets it right there. It
    /// was asked before we looked here: what has just changed here is asked after once more.
    async fn contradict(
        &self,
        payment: Payment,
        (account, said): (GatewayAccountId, String),
    ) -> Result<(), ServiceError> {
        let (id, tenant, at) = (payment.row.id, payment.row.tenant, self.now());
        if payment.data.contradictions.contains(&said) {
            return Ok(());
        }
        if at < payment.row.updated_at.plus_seconds(OLD_NEWS_S) {
            return Err(Refusal::Conflict.into());
        }
        tracing::error!(payment = %id, %account, said, "the gateway moved money beside the books");
        let mut next = payment.next(at);
        next.data.is_contradicted = true;
        next.data.contradictions.push(said);
        let mut command = Command::writing();
        command.attachments.push(payments::attachment(&next.to_row()?));
        command.telling = Some(telling::of_need(&payment, &next)?);
        self.submit(tenant, command).await.map(drop)
    }

    /// By the gateway's name for it, else by our key, which begins with our name for it.
    async fn payment_of_charge(
        &self,
        tenant: TenantId,
        account: GatewayAccountId,
        charge: &ChargeStanding,
    ) -> Result<Option<Payment>, ServiceError> {
        let (db, reference) = (self.store(), charge.reference.as_str());
        let mut found = payments::find_by_gateway(db, tenant, account, reference).await?;
        if found.is_none()
            && let Some(id) = id_of::<PaymentId>(charge.key.as_deref())
        {
            found = payments::find(db, tenant, id).await?;
        }
        found.map(Payment::read).transpose()
    }

    async fn refunded(
        &self,
        tenant: TenantId,
        account: GatewayAccountId,
        standing: &RefundStanding,
    ) -> Result<Option<Work>, ServiceError> {
        let (db, reference) = (self.store(), standing.reference.as_str());
        let mut found = refunds::find_by_gateway(db, tenant, account, reference).await?;
        if found.is_none()
            && let Some(id) = id_of::<RefundId>(standing.key.as_deref())
        {
            found = refunds::find(db, tenant, id).await?;
        }
        let Some(refund) = found else {
            return self.refund_of_others((tenant, account), standing).await;
        };
        let payment = self.payment_of_refund(&refund).await?;
        if payment.row.gateway_account != Some(account) {
            return Ok(None);
        }
        if let Some(saga) = self.unfinished(tenant, refund.id.0).await? {
            self.require_at_rest(&saga)?;
            return self.work_of(saga).await.map(Some);
        }
        if refund.status == RefundStatus::Failed
            && matches!(standing.answer, Answer::Succeeded { .. })
        {
            self.contradict(payment, (account, format!("{reference} was made"))).await?;
            return Ok(None);
        }
        let has_bounced = refund.status == RefundStatus::Succeeded
            && matches!(standing.answer, Answer::Declined { .. } | Answer::Canceled { .. });
        if !has_bounced {
            return Ok(None);
        }
        let mut work = self.uncalled(payment, account)?;
        work.data.operation = Operation::Refund;
        work.data.amount = standing.amount_minor;
        work.refund = Some(refund);
        Ok(Some(work))
    }

    /// Made at the gateway's own pages. Of one under way there is more news to come.
    async fn refund_of_others(
        &self,
        (tenant, account): (TenantId, GatewayAccountId),
        standing: &RefundStanding,
    ) -> Result<Option<Work>, ServiceError> {
        let charge = standing.charge.as_deref().unwrap_or_default();
        let find = async || {
            let found = payments::find_by_gateway(self.store(), tenant, account, charge).await?;
            Payment::read(found.ok_or(ServiceError::NotFound("refund"))?)
        };
        let id = find().await?.row.id;
        let _turn = self.inner.refund_turns.of(&[id.0].into()).await?;
        let payment = find().await?;
        let said = format!("{} was made there", standing.reference);
        let is_made = matches!(standing.answer, Answer::Succeeded { .. });
        // What had failed here is given back there; and a person may have set it right by hand.
        let is_over =
            has_ended_without_money(&payment) || payment.data.contradictions.contains(&said);
        if is_made && !is_over && !self.book_refund_made_there(&payment, standing).await? {
            self.contradict(payment, (account, said)).await?;
        }
        Ok(None)
    }

    async fn payment_of_refund(&self, refund: &RefundRow) -> Result<Payment, ServiceError> {
        let found = payments::find(self.store(), refund.tenant, refund.payment).await?;
        Payment::read(found.ok_or(ServiceError::NotFound("payment"))?)
    }

    /// Whoever has its lease may have asked before the gateway told.
    pub(crate) fn require_at_rest(&self, saga: &SagaRow) -> Result<(), ServiceError> {
        let is_leased = saga.lease_until.is_some_and(|until| until > self.now());
        match saga.holder.is_some() && is_leased {
            true => Err(Refusal::Conflict.into()),
            false => Ok(()),
        }
    }

    pub(crate) async fn unfinished(
        &self,
        tenant: TenantId,
        subject: u128,
    ) -> Result<Option<SagaRow>, ServiceError> {
        let sagas = sagas::of_subject(self.store(), tenant, subject, SAGAS_OF_ONE).await?;
        Ok(sagas.into_iter().find(|saga| saga.finished_at.is_none()))
    }

    /// Work of which we asked nothing: it has no saga of its own.
    fn uncalled(&self, payment: Payment, account: GatewayAccountId) -> Result<Work, ServiceError> {
        let (at, id) = (self.now(), payment.row.id);
        let data = SagaData {
            operation: Operation::Capture,
            route: vec![account],
            place: 0,
            amount: payment.row.amount + fee_on_top(&payment, payment.row.amount),
            principal: payment.row.amount,
            attempt: 0,
            key: id.to_string(),
            since: payment.row.created_at,
            is_for_time: false,
            asked: 0,
            deadline: at,
        };
        let mut work = self.new_work(payment, data, at)?;
        work.saga.version = 0;
        Ok(work)
    }
}

/// Whether the gateway has taken nothing, or another amount than is booked, with the fee that its
/// payer bears.
fn is_booked_otherwise(payment: &Payment, charge: &ChargeStanding) -> bool {
    let on_top = if payment.data.fee_bearer == FeeBearer::Payer { payment.row.fee } else { 0 };
    match charge.answer {
        Answer::Declined { .. } | Answer::Canceled { .. } => true,
        Answer::Succeeded { .. } => charge.captured_minor != payment.row.amounts.captured + on_top,
        _ => false,
    }
}

/// By which the same news is known again.
fn said_of(charge: &ChargeStanding) -> String {
    let how = match charge.answer {
        Answer::Declined { .. } => "declined",
        Answer::Canceled { .. } => "canceled",
        _ => "taken",
    };
    format!("{} {how}: {}", charge.reference, charge.captured_minor)
}

fn has_ended_without_money(payment: &Payment) -> bool {
    matches!(
        payment.row.status,
        PaymentStatus::Failed | PaymentStatus::Canceled | PaymentStatus::Blocked
    )
}

/// Our id at the beginning of a key of ours.
fn id_of<T: std::str::FromStr>(key: Option<&str>) -> Option<T> {
    key?.split('-').next()?.parse().ok()
}

/// Whether it is another amount or currency, or bears the key of something else.
pub(super) fn is_of_another(work: &Work, standing: &Standing) -> bool {
    let (key, ours) = match (standing, &work.refund) {
        (Standing::Charge(charge), None) => {
            (charge.key.as_deref(), work.payment.row.id.to_string())
        }
        (Standing::Refund(told), Some(refund)) => (told.key.as_deref(), refund.id.to_string()),
        _ => return true,
    };
    let is_of_other_charge = match standing {
        Standing::Refund(told) => {
            told.charge.is_some() && told.charge != work.payment.row.gateway_reference
        }
        _ => false,
    };
    let is_others =
        is_of_other_charge || key.is_some_and(|key| key.split('-').next() != Some(ours.as_str()));
    is_others || matches!(call::heard(work, standing), Heard::Strange(_))
}
