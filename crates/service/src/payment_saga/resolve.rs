//! What a person has found out, where nobody else could for a week: the payment, or its refund,
//! ends as they say, with their name in the audit.

use caudal_domain::{PaymentId, RefundId, Refusal};
use caudal_engine::{Command, Given};
use caudal_gateway::{Gateway, Object, Query, Standing};
use caudal_store::{payments, refunds::RefundRow};

use super::{Work, decide, heed};
use crate::{
    Asked, Done, Service, ServiceError,
    audit::Did,
    payments::{Payment, counted, review::not_own, said},
};

/// Whether the money moved at the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Moved {
        /// The gateway's name for it.
        reference: String,
    },
    NotMoved,
}

/// How often it is decided again when the saga asked meanwhile.
const TRIES: usize = 4;

/// A name that somebody typed is held against what the gateway has under it, where the gateway can
/// be asked.
pub(crate) async fn check_at_gateway(
    gateway: &dyn Gateway,
    name: Query,
    is_it: impl Fn(&Standing) -> bool,
) -> Result<(), ServiceError> {
    let why = match gateway.query(&name).await {
        Err(_) => return Ok(()),
        Ok(Some(standing)) if is_it(&standing) => return Ok(()),
        Ok(Some(_)) => "is the name of something else at the gateway",
        Ok(None) => "is not known to the gateway",
    };
    Err(ServiceError::invalid("gateway_reference", why))
}

impl Service {
    /// Ends a payment that waits for a decision.
    pub async fn resolve_payment(
        &self,
        asked: Asked<'_>,
        id: PaymentId,
        found: Found,
    ) -> Result<Done<Payment>, ServiceError> {
        for _ in 0..TRIES {
            match self.resolve_payment_once(asked, id, &found).await {
                Err(ServiceError::Refused(Refusal::Conflict)) => {}
                done => return done,
            }
        }
        Err(Refusal::Conflict.into())
    }

    async fn resolve_payment_once(
        &self,
        asked: Asked<'_>,
        id: PaymentId,
        found: &Found,
    ) -> Result<Done<Payment>, ServiceError> {
        asked.caller.reach.require_tenant()?;
        let Some(payment) = self.find_payment(asked.caller, id).await? else {
            return self.refuse_payment(asked, Refusal::PaymentNotFound).await;
        };
        not_own(asked.caller, &payment)?;
        let status = payment.row.status;
        let Some(work) = self.undecided(&payment, id.0).await? else {
            if *found == Found::NotMoved && payment.data.is_contradicted {
                return self.put_aside(asked, &payment).await;
            }
            return self.refuse_payment(asked, Refusal::PaymentState { status }).await;
        };
        let did = did("payment", id.to_string());
        let (after, mut command) = self.resolving(asked, (&work, found), did).await?;
        command.context = Some(said::kept(&after.payment)?);
        let done = self.submit(asked.caller.tenant, command).await?;
        match &done.value {
            Given::Kept(kept) => self.said_of(asked.caller.tenant, kept).await,
            given => {
                let mut payment = after.payment;
                if let Given::Transfer(transfer) = given {
                    payment.row.transfer = Some(transfer.id);
                }
                counted::changed(&payment, payment.row.updated_at);
                Ok(done.map(|_| payment))
            }
        }
    }

    /// What the gateway had moved beside our books was set right there.
    async fn put_aside(
        &self,
        asked: Asked<'_>,
        payment: &Payment,
    ) -> Result<Done<Payment>, ServiceError> {
        let at = self.now();
        let mut next = payment.next(at);
        next.data.is_contradicted = false;
        let mut command = Command::writing();
        command.receipt = Some(asked.receipt);
        command.context = Some(said::kept(&next)?);
        command.attachments.push(payments::attachment(&next.to_row()?));
        let did = did("payment", next.row.id.to_string());
        command.steps.push(self.audit(asked.caller, did, at));
        let done = self.submit(asked.caller.tenant, command).await?;
        match &done.value {
            Given::Kept(kept) => self.said_of(asked.caller.tenant, kept).await,
            _ => Ok(done.map(|_| next)),
        }
    }

    /// Ends a refund that waits for a decision.
    pub async fn resolve_refund(
        &self,
        asked: Asked<'_>,
        id: RefundId,
        found: Found,
    ) -> Result<Done<RefundRow>, ServiceError> {
        for _ in 0..TRIES {
            match self.resolve_refund_once(asked, id, &found).await {
                Err(ServiceError::Refused(Refusal::Conflict)) => {}
                done => return done,
            }
        }
        Err(Refusal::Conflict.into())
    }

    async fn resolve_refund_once(
        &self,
        asked: Asked<'_>,
        id: RefundId,
        found: &Found,
    ) -> Result<Done<RefundRow>, ServiceError> {
        let refund = self.refund_by_id(asked.caller, id).await?;
        let status = refund.status;
        let payment = self.find_payment(asked.caller, refund.payment).await?;
        let payment = payment.ok_or(ServiceError::NotFound("payment"))?;
        not_own(asked.caller, &payment)?;
        let Some(work) = self.undecided(&payment, id.0).await? else {
            return self.refuse_refund(asked, Refusal::RefundState { status }).await;
        };
        let did = did("refund", id.to_string());
        let (after, mut command) = self.resolving(asked, (&work, found), did).await?;
        command.context = Some(id.to_string());
        let done = self.submit(asked.caller.tenant, command).await?;
        match &done.value {
            Given::Kept(kept) => self.refund_said(asked.caller.tenant, kept).await,
            _ => Ok(done.map(|_| after.refund.unwrap_or(refund))),
        }
    }

    /// The saga that asks about the payment, or its refund, and has called for a person.
    async fn undecided(
        &self,
        payment: &Payment,
        subject: u128,
    ) -> Result<Option<Work>, ServiceError> {
        if !payment.data.needs_decision {
            return Ok(None);
        }
        match self.unfinished(payment.row.tenant, subject).await? {
            Some(saga) => self.work_of(saga).await.map(Some),
            None => Ok(None),
        }
    }

    async fn check_name(&self, work: &Work, reference: &str) -> Result<(), ServiceError> {
        let (object, known) = match &work.refund {
            Some(refund) => (Object::Refund, &refund.gateway_reference),
            None => (Object::Charge, &work.payment.row.gateway_reference),
        };
        if let Some(known) = known.as_deref().filter(|known| *known != reference) {
            let why = format!("is not what the gateway calls it: {known}");
            return Err(ServiceError::invalid("gateway_reference", why));
        }
        let Ok(gateway) = self.gateway_of(work).await else { return Ok(()) };
        let query = Query::Reference { object, reference: reference.to_owned() };
        check_at_gateway(gateway.as_ref(), query, |found| !heed::is_of_another(work, found)).await
    }

    async fn resolving(
        &self,
        asked: Asked<'_>,
        (work, found): (&Work, &Found),
        did: Did<'_>,
    ) -> Result<(Work, Command), ServiceError> {
        let at = self.now();
        if let Found::Moved { reference } = found {
            self.check_name(work, reference).await?;
        }
        let decision = decide::resolved(work, found, at)?;
        let (after, mut command) = self.prepared(work, &decision).await?;
        command.receipt = Some(asked.receipt);
        command.steps.push(self.audit(asked.caller, did, at));
        Ok((after, command))
    }
}

fn did(object_kind: &'static str, object_id: String) -> Did<'static> {
    let action = if object_kind == "refund" { "refund.resolved" } else { "payment.resolved" };
    Did { action, object_kind, object_id, fields: &["status"] }
}
