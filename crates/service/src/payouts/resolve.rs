//! What a person has found out about a payout that nobody could tell of for a week.

use caudal_domain::{PayoutId, Refusal, payment::PayoutEvent};
use caudal_engine::Command;
use caudal_gateway::{Object, Query, Standing};
use caudal_store::sagas::{self, SagaRow};

use super::{
    PayoutRow, is_undecided, run,
    turn::{self, Turn},
};
use crate::{
    Asked, Done, Service, ServiceError,
    audit::Did,
    payment_saga::{Found, check_at_gateway},
    unit::broken,
};

impl Service {
    pub async fn resolve_payout(
        &self,
        asked: Asked<'_>,
        id: PayoutId,
        found: Found,
    ) -> Result<Done<PayoutRow>, ServiceError> {
        let Asked { caller, receipt } = asked;
        caller.reach.require_tenant()?;
        let (at, payout) = (self.now(), self.payout(caller, id).await?);
        let saga = self.unfinished(caller.tenant, id.0).await?;
        let (replayed, position) = match saga.filter(|_| is_undecided(&payout, at)) {
            Some(saga) => {
                if let Found::Moved { reference } = &found {
                    self.check_payouts_name(&payout, reference).await?;
                }
                let mut command = self.resolving_payout(&payout, saga, found)?;
                command.receipt = Some(receipt);
                let did = Did {
                    action: "payout.resolved",
                    object_kind: "payout",
                    object_id: id.to_string(),
                    fields: &["status"],
                };
                command.steps.push(self.audit(caller, did, at));
                let done = self.submit(caller.tenant, command).await?;
                (done.replayed, done.position)
            }
            None => {
                let refusal = Refusal::PayoutState { status: payout.status };
                let done: Done<PayoutId> = self.refuse(receipt, refusal).await?;
                (done.replayed, done.position)
            }
        };
        let value = self.payout(caller, id).await?;
        Ok(Done { value, replayed, position })
    }

    async fn check_payouts_name(
        &self,
        payout: &PayoutRow,
        reference: &str,
    ) -> Result<(), ServiceError> {
        let Some(account) = payout.gateway_account else { return Ok(()) };
        let Ok(gateway) = self.gateway(payout.tenant, account).await else { return Ok(()) };
        let query = Query::Reference { object: Object::Payout, reference: reference.to_owned() };
        let is_it = |found: &Standing| match found {
            Standing::Payout(standing) => run::is_told_of(payout, standing),
            _ => false,
        };
        check_at_gateway(gateway.as_ref(), query, is_it).await
    }

    /// What moved is asked after by its name from then on; what did not is the wallet's again.
    fn resolving_payout(
        &self,
        payout: &PayoutRow,
        mut saga: SagaRow,
        found: Found,
    ) -> Result<Command, ServiceError> {
        let at = self.now();
        saga.version += 1;
        let (turn, step) = match found {
            Found::Moved { reference } => {
                saga.step = run::ASK.into();
                saga.next_at = at;
                let turn = Turn { reference: Some(reference), ..Turn::of(PayoutEvent::Sent) };
                (turn, sagas::put_off(&saga))
            }
            Found::NotMoved => {
                let failure = Some("resolved".into());
                let turn = Turn { failure, ..Turn::of(PayoutEvent::Declined) };
                (turn, sagas::finish(&saga, "resolved", at))
            }
        };
        let mut commands = turn::written(payout, turn, at)?.commands;
        let mut command = commands.pop().ok_or(ServiceError::NotFound("payout"))?;
        command.attachments.push(sagas::attachment(&saga, step));
        command.context = Some(serde_json::to_string(&payout.id).map_err(broken)?);
        Ok(command)
    }
}
