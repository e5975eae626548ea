//! Refunds: a payment is given back, wholly or in part. The money leaves the payee in the commit
//! that makes the refund; what went through a gateway is a saga's from then on, and comes back when
//! the gateway refuses it.

pub(crate) mod made_there;
pub(crate) mod said;

use caudal_domain::{
    Chart, PaymentId, RefundId, Refusal, TenantId, Timestamp, Transfer,
    payment::{PaymentStatus, RefundEvent, RefundStatus},
};
use caudal_engine::{Command, Given};
use caudal_ledger::movements::refund;
use caudal_store::{
    payment_attempts, payments,
    refunds::{self, RefundRow},
    sagas, transfers,
};

use crate::{
    Asked, Caller, Done, Page, Reach, Service, ServiceError,
    asked::Window,
    id_range,
    payment_saga::{Operation, SagaData, Work, attempt_of},
    payments::{Payment, seen::refund_seen_by_payee, telling},
    transfers::accounts_of,
};

/// How often a refund is decided again when other processes give back of the same payment.
const ATTEMPTS: usize = 20;
/// What was never sent to the gateway is given back after a day.
const SEND_WITHIN_S: i64 = 86_400;

/// A refund as it is asked for.
#[derive(Clone, Debug)]
pub struct NewRefund {
    /// `None` gives back all that is left.
    pub amount: Option<i64>,
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct RefundFilter {
    pub status: Option<RefundStatus>,
    pub payment: Option<PaymentId>,
}

impl Service {
    pub async fn refund(
        &self,
        asked: Asked<'_>,
        payment: PaymentId,
        new: NewRefund,
    ) -> Result<Done<RefundRow>, ServiceError> {
        asked.caller.reach.require_tenant()?;
        // Each is decided on what the one before left.
        let turn = self.inner.refund_turns.of(&[payment.0].into()).await?;
        for _ in 0..ATTEMPTS {
            let Some(found) = self.find_payment(asked.caller, payment).await? else {
                return self.refuse_refund(asked, Refusal::PaymentNotFound).await;
            };
            match self.refund_of(asked, &found, &new).await {
                Err(ServiceError::Refused(Refusal::Conflict)) => {}
                Err(ServiceError::Refused(refusal)) => {
                    // Those behind it need not wait until that is kept.
                    drop(turn);
                    return self.refuse_refund(asked, refusal).await;
                }
                done => return done,
            }
        }
        Err(Refusal::Conflict.into())
    }

    pub(crate) async fn refuse_refund(
        &self,
        asked: Asked<'_>,
        refusal: Refusal,
    ) -> Result<Done<RefundRow>, ServiceError> {
        match self.first_told(asked, &refusal).await? {
            Some(kept) => self.refund_said(asked.caller.tenant, &kept).await,
            None => Err(refusal.into()),
        }
    }

    async fn refund_of(
        &self,
        asked: Asked<'_>,
        payment: &Payment,
        new: &NewRefund,
    ) -> Result<Done<RefundRow>, ServiceError> {
        let at = self.now();
        let (mut next, mut refund) = self.new_refund(payment, new, at)?;
        let transfer = self.moved_by(payment).await?;
        let fee_return = payment.data.fee_return;
        let chart = Chart { tenant: payment.row.tenant, currency: payment.row.currency };
        let movement = refund::refund(chart, transfer.id, Some(refund.amount), fee_return);
        let mut command = Command::new(movement);
        command.accounts = accounts_of(&transfer);
        command.receipt = Some(asked.receipt);
        let work = match payment.row.from {
            Some(_) => {
                refund.status = refund.status.next(RefundEvent::Confirmed)?;
                None
            }
            None => {
                let asked = refund::brings_back(&transfer, refund.amount, fee_return);
                self.check_part(&payment.row, asked).await?;
                Some(self.refund_work(&mut next, &refund, asked)?)
            }
        };
        command.context = Some(refund.id.to_string());
        command.attachments.push(payments::attachment(&next.to_row()?));
        command.steps.push(refunds::insert_with_transfer(&refund));
        if let Some(work) = &work {
            command.steps.push(sagas::insert(&work.saga));
            command.steps.push(payment_attempts::start(&attempt_of(work)?));
        }
        command.telling = Some(telling::of_refund((payment, &next), &refund)?);
        let tenant = asked.caller.tenant;
        let done = self.submit(tenant, command).await?;
        match (&done.value, work) {
            (Given::Kept(kept), _) => self.refund_said(tenant, kept).await,
            (Given::Transfer(transfer), None) => {
                refund.transfer = Some(transfer.id);
                Ok(done.map(|_| refund))
            }
            (Given::Transfer(transfer), Some(mut work)) => {
                refund.transfer = Some(transfer.id);
                work.refund = Some(refund);
                let value = self.refunded_so_far(work).await?;
                Ok(done.map(|_| value))
            }
            _ => Err(ServiceError::Broken("a refund gave something else".into())),
        }
    }

    /// What can be given back is what was captured, less refunds and open disputes.
    fn new_refund(
        &self,
        payment: &Payment,
        new: &NewRefund,
        at: Timestamp,
    ) -> Result<(Payment, RefundRow), ServiceError> {
        let row = &payment.row;
        if row.status != PaymentStatus::Succeeded {
            return Err(Refusal::PaymentState { status: row.status }.into());
        }
        let mut next = payment.next(at);
        let amount = new.amount.unwrap_or_else(|| row.amounts.refundable());
        next.row.amounts = row.amounts.refund(amount)?;
        let status = RefundStatus::first(RefundEvent::Asked).unwrap_or(RefundStatus::Pending);
        let refund = RefundRow {
            id: RefundId(self.next_id(at, row.id.bucket())),
            tenant: row.tenant,
            payment: row.id,
            status,
            amount,
            currency: row.currency,
            reason: new.reason.clone(),
            gateway_account: row.gateway_account,
            gateway_reference: None,
            transfer: None,
            failure: None,
            data: "{}".into(),
            created_at: at,
            updated_at: at,
            version: 1,
        };
        Ok((next, refund))
    }

    /// The transfer that moved the payment's money. What was given back of it changes with the
    /// payment's row, whose version goes along.
    async fn moved_by(&self, payment: &Payment) -> Result<Transfer, ServiceError> {
        let lost = || ServiceError::Broken(format!("{} moved nothing", payment.row.id));
        let id = payment.row.transfer.ok_or_else(lost)?;
        transfers::find(self.store(), payment.row.tenant, id).await?.ok_or_else(lost)
    }

    /// `amount` is asked of the gateway: just what the books give back to it, fee included.
    fn refund_work(
        &self,
        next: &mut Payment,
        refund: &RefundRow,
        amount: i64,
    ) -> Result<Work, ServiceError> {
        next.data.attempts += 1;
        let at = refund.created_at;
        let data = SagaData {
            operation: Operation::Refund,
            route: next.row.gateway_account.into_iter().collect(),
            place: 0,
            amount,
            principal: refund.amount,
            attempt: next.data.attempts,
            key: refund.id.to_string(),
            since: at,
            is_for_time: false,
            asked: 0,
            deadline: at.plus_seconds(SEND_WITHIN_S),
        };
        let mut work = self.new_work(next.clone(), data, at)?;
        work.saga.subject = refund.id.0;
        work.refund = Some(refund.clone());
        Ok(work)
    }

    /// Runs the saga, and tells what became of the refund so far.
    async fn refunded_so_far(&self, work: Work) -> Result<RefundRow, ServiceError> {
        let tenant = work.saga.tenant;
        let lost = || ServiceError::Broken(format!("{} is about no refund", work.saga.id));
        let id = work.refund.as_ref().map(|refund| refund.id).ok_or_else(lost)?;
        let ended = self.run_for_request(work).await.and_then(|work| work.refund);
        match ended.as_ref().map(said::first).transpose()?.flatten() {
            Some(first) => Ok(first),
            None => self.first_refund_answer(tenant, id).await,
        }
    }

    async fn refund_row(&self, tenant: TenantId, id: RefundId) -> Result<RefundRow, ServiceError> {
        let found = refunds::find(self.store(), tenant, id).await?;
        found.ok_or(ServiceError::NotFound("refund"))
    }

    /// What was said first to a key that was met again.
    pub(crate) async fn refund_said(
        &self,
        tenant: TenantId,
        kept: &str,
    ) -> Result<Done<RefundRow>, ServiceError> {
        let id = kept.parse().map_err(|_| ServiceError::from(Refusal::IdempotencyMismatch))?;
        let refund = self.refund_row(tenant, id).await?;
        let value = match refund.gateway_account {
            Some(_) => self.first_refund_answer(tenant, id).await?,
            // Between wallets it was done at once, and stays so.
            None => refund,
        };
        Ok(Done { value, replayed: true, position: Vec::new() })
    }

    pub async fn refund_by_id(
        &self,
        caller: &Caller,
        id: RefundId,
    ) -> Result<RefundRow, ServiceError> {
        let refund = self.refund_row(caller.tenant, id).await?;
        let found = self.find_payment(caller, refund.payment).await?;
        let payment = found.ok_or(ServiceError::NotFound("refund"))?;
        let is_whole = self.sees_payer(caller, &payment.row).await?;
        Ok(if is_whole { refund } else { refund_seen_by_payee(refund) })
    }

    /// Newest first; of one payment all there are.
    pub async fn list_refunds(
        &self,
        caller: &Caller,
        filter: &RefundFilter,
        window: &Window,
    ) -> Result<Page<RefundRow>, ServiceError> {
        let mut is_whole = true;
        if let Some(payment) = filter.payment {
            let found = self.find_payment(caller, payment).await?;
            let found = found.ok_or(ServiceError::NotFound("payment"))?;
            is_whole = self.sees_payer(caller, &found.row).await?;
        } else if caller.reach != Reach::Tenant {
            return Err(ServiceError::invalid("payment", "is needed: name one of your payments"));
        }
        let (from, before) = id_range(&window.created);
        let filter = refunds::Filter {
            tenant: caller.tenant,
            status: filter.status,
            payment: filter.payment,
            before: window.cursor.map_or(before, |cursor| cursor.min(before)),
            from,
            limit: window.rows(),
        };
        let mut rows = refunds::list(self.store(), &filter).await?;
        if !is_whole {
            rows = rows.into_iter().map(refund_seen_by_payee).collect();
        }
        Ok(window.page(rows, |refund| (refund.id.0, refund.created_at)))
    }
}
