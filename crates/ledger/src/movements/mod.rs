//! The ways money can move, one file each.

pub mod capture;
pub mod control;
pub mod post;
pub mod release;
pub mod reverse;

use caudal_domain::{
    AccountId, AccountStatus, Currency, Leg, Timestamp, TransferId, TransferKind, text::Metadata,
};

/// What a caller asks of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Movement {
    Post(NewTransfer),
    /// `amount: None` takes all that is left; `last` releases what remains after it.
    Capture {
        transfer: TransferId,
        amount: Option<i64>,
        last: bool,
    },
    Void {
        transfer: TransferId,
    },
    Expire {
        transfer: TransferId,
    },
    /// `amount: None` gives back all that is left.
    Reverse {
        transfer: TransferId,
        amount: Option<i64>,
    },
    SetStatus {
        account: AccountId,
        status: AccountStatus,
    },
    SetFloor {
        account: AccountId,
        floor: i64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTransfer {
    pub kind: TransferKind,
    pub currency: Currency,
    /// 1 ..= `MAX_LEGS`, each amount 1 ..= `MAX_AMOUNT`, from ≠ to.
    pub legs: Vec<Leg>,
    /// A hold until then instead of a posting at once.
    pub hold_until: Option<HoldUntil>,
    pub reference: Option<String>,
    pub metadata: Metadata,
}

/// When a hold ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldUntil {
    /// So long after the batch's time.
    Seconds(i64),
    At(Timestamp),
}
