//! Heeds what a gateway says of a dispute: the first word opens it, whatever the payment has come
//! to by then; the others turn it.

use caudal_domain::{
    Chart, Currency, DisputeId, GatewayAccountId, PaymentId, Refusal, TenantId,
    event::kinds,
    payment::{DisputeEvent, DisputeStatus},
};
use caudal_engine::Command;
use caudal_gateway::{DisputeStanding, DisputeState};
use caudal_store::{UnitOfWork, disputes, payments, transfers};
use serde::Serialize;

use super::{DisputeRow, telling};
use crate::{
    Service, ServiceError, payment_saga::OLD_NEWS_S, payments::Payment, transfers::accounts_of,
    unit::Subject,
};

/// How often it is decided again when others write of the payment or the dispute meanwhile.
const TRIES: usize = 20;

/// What can't be booked, so that a person has to look.
#[derive(Serialize)]
struct Unbooked<'a> {
    payment_id: PaymentId,
    gateway_account_id: GatewayAccountId,
    gateway_reference: &'a str,
    amount: i64,
    currency: Currency,
    reason: &'static str,
}

impl Service {
    /// Heeds a standing that was just fetched from the gateway.
    pub(crate) async fn heed_dispute(
        &self,
        tenant: TenantId,
        account: GatewayAccountId,
        standing: &DisputeStanding,
    ) -> Result<(), ServiceError> {
        if matches!(standing.state, DisputeState::Inquiry | DisputeState::Closed) {
            return Ok(());
        }
        for _ in 0..TRIES {
            match self.heed_once((tenant, account), standing).await {
                Err(ServiceError::Refused(Refusal::Conflict)) => {}
                heeded => return heeded,
            }
        }
        Err(Refusal::Conflict.into())
    }

    async fn heed_once(
        &self,
        (tenant, account): (TenantId, GatewayAccountId),
        standing: &DisputeStanding,
    ) -> Result<(), ServiceError> {
        let (db, reference) = (self.store(), standing.reference.as_str());
        let charge = standing.charge.as_deref().unwrap_or_default();
        // The payment first: whoever opens the dispute after we have looked for it writes the
        // payment too, and then ours is refused as a conflict.
        let payment = payments::find_by_gateway(db, tenant, account, charge).await?;
        let mut dispute = match disputes::find_by_gateway(db, tenant, account, reference).await? {
            Some(dispute) if is_taken_again(&dispute, standing) => {
                if self.now() < dispute.updated_at.plus_seconds(OLD_NEWS_S) {
                    // Asked before it was won.
                    return Err(ServiceError::InFlight);
                }
                let payment = Payment::read(payment.ok_or(ServiceError::NotFound("payment"))?)?;
                return self.tell_unbooked((&payment, account), standing, "taken_again").await;
            }
            Some(dispute) => dispute,
            None => {
                let payment = Payment::read(payment.ok_or(ServiceError::NotFound("payment"))?)?;
                if let Some(why) = why_unbooked(&payment, standing) {
                    return self.tell_unbooked((&payment, account), standing, why).await;
                }
                self.open_dispute((&payment, account), standing).await?
            }
        };
        while let Some(event) = next(dispute.status, standing.state) {
            dispute = self.turn_dispute(&dispute, Some(event), Command::writing()).await?.0;
        }
        Ok(())
    }

    async fn open_dispute(
        &self,
        (payment, account): (&Payment, GatewayAccountId),
        standing: &DisputeStanding,
    ) -> Result<DisputeRow, ServiceError> {
        let row = &payment.row;
        // Not booked yet: it is heeded again in a moment.
        let id = row.transfer.ok_or(ServiceError::NotFound("payment"))?;
        let found = transfers::find(self.store(), row.tenant, id).await?;
        let transfer = found.ok_or(ServiceError::NotFound("payment"))?;
        let at = self.now();
        let mut after = payment.next(at);
        after.row.amounts = row.amounts.dispute(standing.amount_minor);
        let payee = after.row.amounts.disputed - row.amounts.disputed;
        let chart = Chart { tenant: row.tenant, currency: row.currency };
        let (movement, data) = self.taken(chart, &transfer, (standing.amount_minor, payee)).await?;
        let dispute = DisputeRow {
            id: DisputeId(self.next_id(at, row.id.bucket())),
            tenant: row.tenant,
            payment: row.id,
            status: DisputeStatus::NeedsResponse,
            amount: standing.amount_minor,
            currency: row.currency,
            reason: Some(standing.reason.clone()).filter(|reason| !reason.is_empty()),
            gateway_account: account,
            gateway_reference: standing.reference.clone(),
            transfer: None,
            evidence: None,
            evidence_due_at: standing.evidence_due_at,
            data: data.to_text()?,
            created_at: at,
            updated_at: at,
            version: 1,
        };
        let mut command = Command::new(movement);
        command.accounts = accounts_of(&transfer);
        command.steps.push(disputes::insert_with_transfer(&dispute));
        command.attachments.push(payments::attachment(&after.to_row()?));
        command.telling = Some(telling(&dispute, (payment, &after))?);
        self.run_one(row.tenant, command).await?;
        let found = disputes::find(self.store(), row.tenant, dispute.id).await?;
        found.ok_or_else(|| ServiceError::Broken(format!("{} is not there", dispute.id)))
    }

    async fn tell_unbooked(
        &self,
        (payment, account): (&Payment, GatewayAccountId),
        standing: &DisputeStanding,
        reason: &'static str,
    ) -> Result<(), ServiceError> {
        let (row, at) = (&payment.row, self.now());
        tracing::warn!(payment = %row.id, %account, reason, "a dispute can't be booked");
        let kind = kinds::DISPUTE_NEEDS_DECISION;
        let subject = Subject { kind, tenant: row.tenant, id: row.id.0, text: &row.id, at };
        let data = Unbooked {
            payment_id: row.id,
            gateway_account_id: account,
            gateway_reference: &standing.reference,
            amount: standing.amount_minor,
            currency: standing.currency,
            reason,
        };
        let events = vec![self.event(&subject, &data)?];
        self.commit(UnitOfWork { at, events, ..UnitOfWork::default() }).await?;
        Ok(())
    }
}

fn why_unbooked(payment: &Payment, standing: &DisputeStanding) -> Option<&'static str> {
    match standing {
        _ if standing.currency != payment.row.currency => Some("other_currency"),
        _ if standing.amount_minor <= 0 => Some("no_amount"),
        _ => None,
    }
}

/// What was won, and given back to the payee, is open or lost after all.
fn is_taken_again(dispute: &DisputeRow, standing: &DisputeStanding) -> bool {
    let is_won = matches!(standing.state, DisputeState::Won);
    dispute.status == DisputeStatus::Won && !is_won
}

/// What has happened, where the gateway is further than we are. Also what was given up may be won.
pub(super) fn next(status: DisputeStatus, state: DisputeState) -> Option<DisputeEvent> {
    let is_open = matches!(status, DisputeStatus::NeedsResponse | DisputeStatus::UnderReview);
    match state {
        DisputeState::UnderReview if status == DisputeStatus::NeedsResponse => {
            Some(DisputeEvent::EvidenceSent)
        }
        DisputeState::Won if status != DisputeStatus::Won => Some(DisputeEvent::Won),
        DisputeState::Lost if is_open => Some(DisputeEvent::Lost),
        _ => None,
    }
}
