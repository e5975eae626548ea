//! Many payments in one request, each with its own key and its own fate.

use std::collections::{BTreeMap, HashMap};

use caudal_domain::Amount;
use futures::{StreamExt, stream};

use super::{NewPayment, Payment};
use crate::{Asked, Caller, Done, ReceiptOf, Service, ServiceError, limits::LimitClass};

/// Payers of a batch that pay at once: the engine commits them together.
const AT_ONCE: usize = 64;

impl Service {
    /// The answers in order, and what one wallet pays in that order too. Of a user's batch each
    /// item counts, and all their amounts together: else a batch would be the way around limit and
    /// step-up.
    pub async fn pay_batch(
        &self,
        caller: &Caller,
        items: Vec<(NewPayment, ReceiptOf)>,
    ) -> Result<Vec<Result<Done<Payment>, ServiceError>>, ServiceError> {
        let amounts = items.iter().map(|(new, _)| new.amount).map(Amount::minor);
        self.require_step_up_for(caller, amounts.fold(0, i64::saturating_add))?;
        self.check_limit_of_items(caller, LimitClass::Transfer, items.len())?;
        let chains = stream::iter(chains(items)).map(|chain| async move {
            let mut paid = Vec::with_capacity(chain.len());
            for (place, (new, receipt)) in chain {
                paid.push((place, self.pay(Asked { caller, receipt }, new).await));
            }
            paid
        });
        let paid: Vec<_> = chains.buffer_unordered(AT_ONCE).collect().await;
        let by_place: BTreeMap<_, _> = paid.into_iter().flatten().collect();
        Ok(by_place.into_values().collect())
    }
}

/// An item and its place in the request.
type Placed<T> = (usize, T);

/// What has the same payer goes one after the other, all else at once.
fn chains<T>(items: Vec<(NewPayment, T)>) -> Vec<Vec<Placed<(NewPayment, T)>>> {
    let mut chains: Vec<Vec<Placed<_>>> = Vec::new();
    let mut of_payer = HashMap::new();
    for (place, item) in items.into_iter().enumerate() {
        let next = chains.len();
        let chain = item.0.from.map_or(next, |payer| *of_payer.entry(payer).or_insert(next));
        match chains.get_mut(chain) {
            Some(chain) => chain.push((place, item)),
            None => chains.push(vec![(place, item)]),
        }
    }
    chains
}
