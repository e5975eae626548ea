//! Disputes: a payer's bank takes the money of a payment back, and perhaps gives it again. Opened
//! and decided by the gateway's word, which was just asked for ([`heed`]); answered by evidence, or
//! given up. State and money are one commit ([`money`]).

mod heed;
mod money;

use caudal_domain::{
    AccountId, Currency, DisputeId, PaymentId, Refusal, TenantId,
    event::kinds,
    payment::{DisputeEvent, DisputeStatus},
};
use caudal_engine::{Command, Job, Telling};
use caudal_gateway::{
    Answer, ConcedeRequest, DisputeStanding, DisputeState, EvidenceRequest, Gateway, GatewayFault,
    Object, Query, Standing,
};
pub use caudal_store::disputes::DisputeRow;
use caudal_store::{disputes, payments};
use serde::Serialize;

use self::{heed::next, money::DisputeData};
use crate::{
    Asked, Caller, Done, Page, Service, ServiceError,
    asked::Window,
    audit::Did,
    id_range,
    payments::{Payment, telling::PaymentChange},
    unit::broken,
};

/// How often evidence is written when the gateway's word comes between.
const TRIES: usize = 4;

#[derive(Serialize)]
struct DisputeTold {
    dispute_id: DisputeId,
    payment_id: PaymentId,
    /// The payee's, whose holder is told.
    wallet_id: AccountId,
    status: DisputeStatus,
    amount: i64,
    currency: Currency,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<PaymentChange>,
}

/// With what it changed of its payment, if anything.
fn telling(
    dispute: &DisputeRow,
    (before, after): (&Payment, &Payment),
) -> Result<Telling, ServiceError> {
    let data = DisputeTold {
        dispute_id: dispute.id,
        payment_id: dispute.payment,
        wallet_id: after.row.wallet,
        status: dispute.status,
        amount: dispute.amount,
        currency: dispute.currency,
        payment: PaymentChange::between(before, after),
    };
    let kind = match dispute.status {
        DisputeStatus::NeedsResponse => kinds::DISPUTE_OPENED,
        DisputeStatus::UnderReview => kinds::DISPUTE_ANSWERED,
        DisputeStatus::Won => kinds::DISPUTE_WON,
        DisputeStatus::Lost => kinds::DISPUTE_LOST,
    };
    Ok(Telling {
        kind,
        subject: dispute.id.to_string(),
        bucket: dispute.id.bucket(),
        data: serde_json::to_string(&data).map_err(broken)?,
    })
}

impl Service {
    /// Writes the turn with its money, and with what the command has already.
    async fn turn_dispute(
        &self,
        dispute: &DisputeRow,
        event: Option<DisputeEvent>,
        with: Command,
    ) -> Result<(DisputeRow, bool, crate::Position), ServiceError> {
        let at = self.now();
        let mut next = dispute.clone();
        if let Some(event) = event {
            next.status = dispute.status.next(event)?;
        }
        next.version += 1;
        next.updated_at = at;
        let found = payments::find(self.store(), dispute.tenant, dispute.payment).await?;
        let payment = Payment::read(found.ok_or(ServiceError::NotFound("payment"))?)?;
        let mut after = payment.clone();
        let mut command = match event {
            Some(DisputeEvent::Won) => {
                let (command, won) = self.won(dispute, &payment, at).await?;
                after = won;
                command
            }
            Some(DisputeEvent::Lost | DisputeEvent::Conceded) => {
                self.lost(&mut next, &payment).await?
            }
            Some(DisputeEvent::Opened | DisputeEvent::EvidenceSent) | None => Command::writing(),
        };
        let Command { receipt, context, steps, .. } = with;
        (command.receipt, command.context) = (receipt, context);
        command.steps.extend(steps);
        command.attachments.push(disputes::attachment(&next));
        if event.is_some() {
            command.telling = Some(telling(&next, (&payment, &after))?);
        }
        let (replayed, position) = self.run_one(dispute.tenant, command).await?;
        Ok((next, replayed, position))
    }

    async fn run_one(
        &self,
        tenant: TenantId,
        command: Command,
    ) -> Result<(bool, crate::Position), ServiceError> {
        let mut reply = self.run(Job::one(tenant, command)).await?;
        let first = reply.replies.pop();
        match first.as_ref().map(|reply| &reply.given) {
            Some(caudal_engine::Given::Refused(refusal)) => Err(refusal.clone().into()),
            Some(_) => Ok((first.is_some_and(|reply| reply.replayed), reply.position)),
            None => Err(ServiceError::Broken("the engine gave no reply".into())),
        }
    }

    /// Hands evidence to the gateway, once.
    pub async fn answer_dispute(
        &self,
        asked: Asked<'_>,
        id: DisputeId,
        text: String,
    ) -> Result<Done<DisputeRow>, ServiceError> {
        let Asked { caller, receipt } = asked;
        let dispute = self.dispute(caller, id).await?;
        if let Err(refusal) = dispute.status.next(DisputeEvent::EvidenceSent) {
            return self.dispute_refused(asked, (id, DisputeStatus::UnderReview), refusal).await;
        }
        let gateway = self.gateway(caller.tenant, dispute.gateway_account).await?;
        let key = format!("{id}-evidence");
        let reference = dispute.gateway_reference.clone();
        let said = EvidenceRequest { key, dispute: reference, text: text.clone() };
        match gateway.submit_evidence(&said).await {
            // With a name, it is the dispute that was lost by it.
            Ok(Answer::Declined { code, reference: None, .. }) => {
                let detail = format!("the gateway does not take it: {}", code.name());
                return Err(ServiceError::invalid("text", detail));
            }
            Ok(_) => {}
            // The same key: again is the same.
            Err(fault) => return Err(not_heard(&fault)),
        }
        let mut with = Command::writing();
        with.receipt = Some(receipt);
        with.context = Some(serde_json::to_string(&id).map_err(broken)?);
        with.steps.push(self.audit(caller, did(kinds::DISPUTE_ANSWERED, id), self.now()));
        self.keep((caller, id), (DisputeEvent::EvidenceSent, Some(text)), with).await
    }

    /// The gateway has taken it; it may have decided, and told so, before this is written.
    async fn keep(
        &self,
        (caller, id): (&Caller, DisputeId),
        (event, evidence): (DisputeEvent, Option<String>),
        with: Command,
    ) -> Result<Done<DisputeRow>, ServiceError> {
        for _ in 0..TRIES {
            let dispute = self.dispute(caller, id).await?;
            let event = dispute.status.next(event).is_ok().then_some(event);
            let evidence = evidence.clone().or_else(|| dispute.evidence.clone());
            let data = DisputeData::read(&dispute)?.conceding(false).to_text()?;
            let told = DisputeRow { evidence, data, ..dispute };
            match self.turn_dispute(&told, event, with.clone()).await {
                Err(ServiceError::Refused(Refusal::Conflict)) => {}
                turned => {
                    let (value, replayed, position) = turned?;
                    return Ok(Done { value, replayed, position });
                }
            }
        }
        Err(Refusal::Conflict.into())
    }

    /// The payee does not object: the gateway is told, and then it is lost here.
    pub async fn accept_dispute(
        &self,
        asked: Asked<'_>,
        id: DisputeId,
    ) -> Result<Done<DisputeRow>, ServiceError> {
        let Asked { caller, receipt } = asked;
        let dispute = self.dispute(caller, id).await?;
        let is_conceding = DisputeData::read(&dispute)?.is_conceding;
        let conceded = match dispute.status.next(DisputeEvent::Conceded) {
            Ok(_) => self.concede_at_gateway(dispute, is_conceding).await?,
            // Given up before, without an answer; the gateway has told it since.
            Err(_) if is_conceding && dispute.status == DisputeStatus::Lost => Ok(()),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = conceded {
            return self.dispute_refused(asked, (id, DisputeStatus::Lost), refusal).await;
        }
        let mut with = Command::writing();
        with.receipt = Some(receipt);
        with.context = Some(serde_json::to_string(&id).map_err(broken)?);
        with.steps.push(self.audit(caller, did("dispute.accepted", id), self.now()));
        self.keep((caller, id), (DisputeEvent::Conceded, None), with).await
    }

    /// Gives it up there, written down before, always under one key. Where the gateway does not
    /// take that, or is not heard, it is asked how the dispute stands: what it has decided before
    /// is heeded, and refuses unless it is lost all the same.
    async fn concede_at_gateway(
        &self,
        mut dispute: DisputeRow,
        is_begun: bool,
    ) -> Result<Result<(), Refusal>, ServiceError> {
        if !is_begun {
            dispute.data = DisputeData::read(&dispute)?.conceding(true).to_text()?;
            dispute = self.turn_dispute(&dispute, None, Command::writing()).await?.0;
        }
        let (tenant, account) = (dispute.tenant, dispute.gateway_account);
        let gateway = self.gateway(tenant, account).await?;
        let reference = dispute.gateway_reference.clone();
        let key = format!("{}-concede", dispute.id);
        let said = gateway.concede(&ConcedeRequest { key, dispute: reference.clone() }).await;
        // With a name, it is the dispute that is lost.
        if matches!(said, Ok(Answer::Declined { reference: Some(_), .. })) {
            return Ok(Ok(()));
        }
        let standing = standing_of(gateway.as_ref(), reference).await;
        match (&standing, said) {
            (Some(standing), _) if standing.state == DisputeState::Lost => Ok(Ok(())),
            (_, Err(fault)) => Err(not_heard(&fault)),
            (Some(standing), Ok(_)) if next(dispute.status, standing.state).is_some() => {
                self.heed_dispute(tenant, account, standing).await?;
                let found = disputes::find(self.store(), tenant, dispute.id).await?;
                let status = found.map_or(dispute.status, |found| found.status);
                Ok(Err(Refusal::DisputeState { status }))
            }
            (_, Ok(_)) => {
                let detail = "the gateway does not let this dispute be given up now";
                Err(ServiceError::Unavailable(detail.into()))
            }
        }
    }

    /// Refused, unless the same was done under this key: then it is said again.
    async fn dispute_refused(
        &self,
        asked: Asked<'_>,
        (id, then): (DisputeId, DisputeStatus),
        refusal: Refusal,
    ) -> Result<Done<DisputeRow>, ServiceError> {
        let done: Done<DisputeId> = self.refuse(asked.receipt, refusal).await?;
        let now = self.dispute(asked.caller, id).await?;
        Ok(done.map(|_| DisputeRow { status: then, ..now }))
    }

    pub async fn dispute(
        &self,
        caller: &Caller,
        id: DisputeId,
    ) -> Result<DisputeRow, ServiceError> {
        caller.reach.require_tenant()?;
        let found = disputes::find(self.store(), caller.tenant, id).await?;
        found.ok_or(ServiceError::NotFound("dispute"))
    }

    pub async fn list_disputes(
        &self,
        caller: &Caller,
        status: Option<DisputeStatus>,
        window: &Window,
    ) -> Result<Page<DisputeRow>, ServiceError> {
        caller.reach.require_tenant()?;
        let (from, before) = id_range(&window.created);
        let filter = disputes::Filter {
            tenant: caller.tenant,
            status,
            before: window.cursor.map_or(before, |cursor| cursor.min(before)),
            from,
            limit: window.rows(),
        };
        let rows = disputes::list(self.store(), &filter).await?;
        Ok(window.page(rows, |dispute| (dispute.id.0, dispute.created_at)))
    }
}

fn not_heard(fault: &GatewayFault) -> ServiceError {
    tracing::warn!(%fault, "a gateway was not heard about a dispute");
    ServiceError::Unavailable("the gateway was not heard; send it again".into())
}

/// `None`: the gateway tells nothing.
async fn standing_of(gateway: &dyn Gateway, reference: String) -> Option<DisputeStanding> {
    let query = Query::Reference { object: Object::Dispute, reference };
    match gateway.query(&query).await {
        Ok(Some(Standing::Dispute(standing))) => Some(standing),
        Ok(_) | Err(_) => None,
    }
}

fn did(action: &str, id: DisputeId) -> Did<'_> {
    Did { action, object_kind: "dispute", object_id: id.to_string(), fields: &["status"] }
}
