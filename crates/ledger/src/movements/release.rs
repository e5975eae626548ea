//! The end of a hold without a capture: voided by its maker, or expired.
//!
//! | asked | from: total | from: held | to: total |
//! |---|---|---|---|
//! | void or expiry of a remaining r | | −r | |
//!
//! A hold that was captured in part before ends as captured.

use caudal_domain::{Refusal, TenantId, TransferId, TransferStatus};

use crate::{
    book::{Book, Outcome, Posting},
    draft::Change,
};

pub(crate) fn void(book: &mut Book, tenant: TenantId, id: TransferId) -> Result<Outcome, Refusal> {
    release(book, tenant, id, TransferStatus::Voided)
}

pub(crate) fn expire(
    book: &mut Book,
    tenant: TenantId,
    id: TransferId,
) -> Result<Outcome, Refusal> {
    let transfer = book.owned_transfer(tenant, id)?;
    match transfer.expires_at {
        Some(at) if book.now() >= at => release(book, tenant, id, TransferStatus::Expired),
        _ => Err(Refusal::TransferState { status: transfer.status }),
    }
}

fn release(
    book: &mut Book,
    tenant: TenantId,
    id: TransferId,
    end: TransferStatus,
) -> Result<Outcome, Refusal> {
    let mut transfer = book.owned_transfer(tenant, id)?;
    if transfer.status != TransferStatus::Held {
        return Err(Refusal::TransferState { status: transfer.status });
    }
    let mut draft = book.draft();
    for leg in &transfer.legs {
        let open = leg.amount - leg.captured;
        if open > 0 {
            draft.enter(leg.from, id, Change { held: -open, ..Change::default() })?;
        }
    }
    let accepted = draft.accept();
    transfer.status = match transfer.amount_captured {
        0 => end,
        _ => TransferStatus::Captured,
    };
    accepted.accounts.into_iter().for_each(|account| book.write_account(account));
    book.write_transfer(transfer.clone());
    Ok(Outcome::Posting(Posting::of(transfer, accepted.entries)))
}
