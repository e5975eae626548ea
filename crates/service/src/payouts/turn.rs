//! One turn of a payout: its next state, the money that goes with it, what is told of it, and the
//! step of its saga, in one commit.
//!
//! | event | money |
//! |---|---|
//! | `sent` | what is held goes in transit |
//! | `settled` | from in transit to the bank |
//! | `returned` | from in transit to the wallet; after it settled, from the bank first |
//! | `declined`, `called_off` | what is held is let go |
//! | `lost_from_sight` | none: the hold stays |

use caudal_domain::{
    AccountKind, Chart, Refusal, Timestamp, TransferId,
    payment::{PayoutEvent, PayoutStatus},
};
use caudal_engine::{Command, Job};
use caudal_ledger::{
    Movement,
    movements::{bank, payout},
};
use caudal_store::{
    payouts,
    sagas::{self, SagaRow},
};

use super::{PayoutRow, telling};
use crate::{Service, ServiceError, payment_saga::Point};

/// What has happened to a payout.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub event: PayoutEvent,
    /// Why it failed or came back: a code.
    pub failure: Option<String>,
    /// The gateway's name for it, where it told one.
    pub reference: Option<String>,
}

impl Turn {
    pub fn of(event: PayoutEvent) -> Self {
        Self { event, failure: None, reference: None }
    }
}

/// A turn as it is to be written.
pub(super) struct Written {
    /// At least one; what belongs to the payout goes with the last.
    pub commands: Vec<Command>,
    pub next: PayoutRow,
}

pub(super) fn written(
    payout: &PayoutRow,
    turn: Turn,
    at: Timestamp,
) -> Result<Written, ServiceError> {
    let chart = Chart { tenant: payout.tenant, currency: payout.currency };
    let lost = || ServiceError::Broken(format!("{} has no transfer", payout.id));
    let transfer = payout.transfer.ok_or_else(lost)?;
    let mut next = payout.clone();
    next.status = payout.status.next(turn.event)?;
    next.failure = turn.failure.or(next.failure);
    next.gateway_reference = turn.reference.or(next.gateway_reference);
    next.version += 1;
    next.updated_at = at;
    let mut commands = commands(payout, (chart, transfer), turn.event);
    if let Some(last) = commands.last_mut() {
        last.attachments.push(payouts::attachment(&next));
        last.telling = Some(telling(&next)?);
    }
    Ok(Written { commands, next })
}

impl Service {
    /// Writes it. `None`: another was first, or another worker has the saga.
    pub(super) async fn turn_payout(
        &self,
        payout: &PayoutRow,
        saga: Option<&mut SagaRow>,
        turn: Turn,
    ) -> Result<Option<PayoutRow>, ServiceError> {
        let Written { mut commands, next } = written(payout, turn, self.now())?;
        let Some(last) = commands.last_mut() else { return Ok(None) };
        let is_of_saga = saga.is_some();
        if let Some(saga) = saga {
            saga.version += 1;
            last.attachments.push(sagas::attachment(saga, sagas::advance(saga)));
        }
        let atomic = commands.len() > 1;
        let job = Job { tenant: payout.tenant, commands, atomic, dry_run: false, receipt: None };
        let reply = self.run(job).await?;
        let given = reply.replies.into_iter().map(|reply| reply.given);
        let refused = given.filter_map(|given| match given {
            caudal_engine::Given::Refused(refusal) => Some(refusal),
            _ => None,
        });
        match refused.chain(reply.refused_at.map(|(_, refusal)| refusal)).next() {
            None => {
                if is_of_saga {
                    self.pass(Point::Booked).await?;
                }
                Ok(Some(next))
            }
            Some(Refusal::Conflict) => Ok(None),
            Some(other) => Err(other.into()),
        }
    }
}

fn commands(
    payout: &PayoutRow,
    (chart, transfer): (Chart, TransferId),
    event: PayoutEvent,
) -> Vec<Command> {
    let accounts = vec![payout.wallet, chart.of(AccountKind::PayoutInTransit)];
    let of = |movement| Command { accounts: accounts.clone(), ..Command::new(movement) };
    let post = |new| Command::new(Movement::Post(new));
    match event {
        PayoutEvent::Asked | PayoutEvent::LostFromSight => vec![Command::writing()],
        PayoutEvent::Sent => vec![of(payout::sent(transfer))],
        PayoutEvent::Settled => vec![post(payout::settled(chart, payout.amount))],
        PayoutEvent::Declined | PayoutEvent::CalledOff => vec![of(Movement::Void { transfer })],
        PayoutEvent::Returned if payout.status == PayoutStatus::Paid => vec![
            post(bank::payout_came_back(chart, payout.amount)),
            of(payout::returned(chart, transfer)),
        ],
        PayoutEvent::Returned => vec![of(payout::returned(chart, transfer))],
    }
}
