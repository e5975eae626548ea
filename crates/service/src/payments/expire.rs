//! Ends promises that nobody captured in time.

use caudal_domain::{
    Refusal,
    payment::{PaymentEvent, PaymentStatus},
};
use caudal_engine::Job;
use caudal_store::payments;

use super::{
    AUTHORIZED_FOR_S, Payment,
    follow::{called_off, release_command},
};
use crate::{Service, ServiceError, sweep::SWEEP_MOST};

impl Service {
    /// Ends up to [`SWEEP_MOST`] promises; how many. Call again at once when that many.
    pub async fn expire_promises(&self) -> Result<usize, ServiceError> {
        let now = self.now();
        let status = PaymentStatus::RequiresCapture;
        let made_before = now.plus_seconds(-AUTHORIZED_FOR_S);
        let due = payments::waiting(self.store(), status, made_before, SWEEP_MOST).await?;
        let mut ended = 0;
        for row in due {
            let payment = Payment::read(row)?;
            if payment.data.is_canceling {
                continue;
            }
            match self.expire_promise(&payment).await {
                Ok(()) => ended += 1,
                // Captured or called off between the look and the batch.
                Err(ServiceError::Refused(Refusal::Conflict)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ended)
    }

    async fn expire_promise(&self, payment: &Payment) -> Result<(), ServiceError> {
        if payment.row.from.is_none() {
            return self.call_off_promise(payment).await;
        }
        let next = called_off(payment, PaymentEvent::TimedOut, self.now())?;
        let command = release_command(payment, &next)?;
        let reply = self.run(Job::one(payment.row.tenant, command)).await?;
        match reply.replies.into_iter().next().map(|reply| reply.given) {
            Some(caudal_engine::Given::Refused(refusal)) => Err(refusal.into()),
            _ => Ok(()),
        }
    }
}
