//! Many payments in one request, each with its own key and its own fate.

use caudal_domain::Amount;
use futures::{StreamExt, stream};

use super::{NewPayment, Payment};
use crate::{Asked, Caller, Done, ReceiptOf, Service, ServiceError, limits::LimitClass};

/// Payments of a batch that are made at once: the engine commits them together.
const AT_ONCE: usize = 64;

impl Service {
    /// In order. Of a user's batch each item counts, and all their amounts together: else a batch
    /// would be the way around limit and step-up.
    pub async fn pay_batch(
        &self,
        caller: &Caller,
        items: Vec<(NewPayment, ReceiptOf)>,
    ) -> Result<Vec<Result<Done<Payment>, ServiceError>>, ServiceError> {
        let amounts = items.iter().map(|(new, _)| new.amount).map(Amount::minor);
        self.require_step_up_for(caller, amounts.fold(0, i64::saturating_add))?;
        self.check_limit_of_items(caller, LimitClass::Transfer, items.len())?;
        let paid = stream::iter(items)
            .map(|(new, receipt)| self.pay(Asked { caller, receipt }, new))
            .buffered(AT_ONCE);
        Ok(paid.collect().await)
    }
}
