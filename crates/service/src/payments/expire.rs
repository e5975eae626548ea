//! Ends promises that nobody captured in time.

use caudal_domain::{Refusal, Timestamp, id::lowest_at, payment::PaymentEvent};
use caudal_engine::Job;
use caudal_store::payments::{self, PaymentRow};

use super::{
    AUTHORIZED_FOR_S, Payment,
    follow::{called_off, release_command},
};
use crate::{Service, ServiceError, sweep::SWEEP_MOST};

impl Service {
    /// Ends all promises whose time is over; how many.
    pub async fn expire_promises(&self) -> Result<usize, ServiceError> {
        let now = self.now();
        // Promised when it was made or later: among these are few whose time is not over. Ids tell
        // the millisecond, and that of this moment counts.
        let made_by = now.plus_seconds(-AUTHORIZED_FOR_S).micros() + 1000;
        let before = lowest_at(Timestamp::from_micros(made_by));
        let (mut after, mut ended) = (0, 0);
        loop {
            let page = payments::promised(self.store(), (after, before), SWEEP_MOST).await?;
            let Some(last) = page.last() else { return Ok(ended) };
            after = last.id.0;
            for row in page {
                ended += usize::from(self.is_expired(row, now).await);
            }
        }
    }

    /// False: not over yet, captured or called off between the look and the batch, or to be tried
    /// again.
    async fn is_expired(&self, row: PaymentRow, now: Timestamp) -> bool {
        let id = row.id;
        match self.expire_promise(row, now).await {
            Ok(is_ended) => is_ended,
            Err(ServiceError::Refused(Refusal::Conflict)) => false,
            Err(error) => {
                tracing::warn!(payment = %id, %error, "a promise was not ended; trying again");
                false
            }
        }
    }

    async fn expire_promise(&self, row: PaymentRow, now: Timestamp) -> Result<bool, ServiceError> {
        let payment = &Payment::read(row)?;
        let is_over = payment.data.capture_until.is_none_or(|until| until <= now);
        if !is_over || payment.data.is_canceling {
            return Ok(false);
        }
        if payment.row.from.is_none() {
            return self.call_off_promise(payment).await.map(|()| true);
        }
        let next = called_off(payment, PaymentEvent::TimedOut, self.now())?;
        let command = release_command(payment, &next)?;
        let reply = self.run(Job::one(payment.row.tenant, command)).await?;
        match reply.replies.into_iter().next().map(|reply| reply.given) {
            Some(caudal_engine::Given::Refused(refusal)) => Err(refusal.into()),
            _ => Ok(true),
        }
    }
}
