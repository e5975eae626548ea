//! The end of waiting: what is pending may be spent.
//!
//! | asked | to: total | to: pending |
//! |---|---|---|
//! | pending x becomes available | | −x |
//!
//! Not before its time. What was given back meanwhile was taken from what is pending first.

use caudal_domain::{Refusal, TenantId, TransferId};

use crate::{
    book::{Book, Outcome, Posting},
    draft::Change,
};

pub(crate) fn decide(
    book: &mut Book,
    tenant: TenantId,
    id: TransferId,
) -> Result<Outcome, Refusal> {
    let mut transfer = book.owned_transfer(tenant, id)?;
    if transfer.available_at.is_none_or(|at| book.now() < at) {
        return Err(Refusal::TransferState { status: transfer.status });
    }
    let mut draft = book.draft();
    for leg in transfer.legs.iter_mut().filter(|leg| leg.pending > 0) {
        draft.enter(leg.to, id, Change { pending: -leg.pending, ..Change::default() })?;
        leg.pending = 0;
    }
    transfer.available_at = None;
    let accepted = draft.accept();
    accepted.accounts.into_iter().for_each(|account| book.write_account(account));
    book.write_transfer(transfer.clone());
    Ok(Outcome::Posting(Posting::of(transfer, accepted.entries)))
}
