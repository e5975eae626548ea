//! The ways money can move, one file each.
//!
//! The ledger knows few movements ([`Movement`]); the files `card`, `pay`, `refund`, `dispute`,
//! `payout`, `write_off`, `bank` and `exchange` are recipes made of them. Every file begins with
//! the entries it makes, as a table: a credit is positive.

pub mod available;
pub mod bank;
pub mod capture;
pub mod card;
pub mod control;
pub mod dispute;
pub mod exchange;
pub mod late;
pub mod limits;
pub mod pay;
pub mod payout;
pub mod post;
pub mod refund;
pub mod release;
pub mod reverse;
pub mod write_off;

use caudal_domain::{
    AccountId, AccountStatus, Currency, Leg, Timestamp, TransferId, TransferKind, text::Metadata,
};

pub use self::{
    late::StandIns,
    limits::Limit,
    reverse::{Part, Return},
};

/// What a caller asks of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Movement {
    Post(NewTransfer),
    /// `amount: None` takes all that is left; `last` releases what remains after it. `limits` are
    /// those of what may lie in its payees' wallets.
    Capture {
        transfer: TransferId,
        amount: Option<i64>,
        last: bool,
        limits: Vec<Limit>,
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
    /// A reversal with terms: a refund, a chargeback, what undoes them.
    Return(Box<Return>),
    /// What is pending may be spent, once its time has come.
    MakeAvailable {
        transfer: TransferId,
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
    /// 1 ..= `MAX_LEGS`, each amount 1 ..= `MAX_AMOUNT`, from ≠ to. A leg's `pending` is the part
    /// that its payee can't spend yet.
    pub legs: Vec<Leg>,
    /// A hold until then instead of a posting at once.
    pub hold_until: Option<HoldUntil>,
    pub reference: Option<String>,
    pub metadata: Metadata,
    /// What few transfers need; `None` is [`Terms::default`].
    pub terms: Option<Box<Terms>>,
}

/// What may be asked of a transfer besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    pub force: Force,
    /// When the legs' pending parts may be spent; needed if there are any.
    pub available: Option<HoldUntil>,
    pub stand_ins: StandIns,
    pub limits: Vec<Limit>,
}

/// Whether a floor or a freeze may be passed. What has happened outside can't be refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Force {
    #[default]
    Never,
    /// Only by the fees that the first leg's payee pays out of what that leg brought it.
    Fees,
    All,
}

/// When a hold ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldUntil {
    /// So long after the batch's time.
    Seconds(i64),
    At(Timestamp),
}

impl HoldUntil {
    pub(crate) fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Seconds(seconds) => now.plus_seconds(seconds),
            Self::At(at) => at,
        }
    }
}

impl NewTransfer {
    /// A plain posting of these legs.
    pub fn new(kind: TransferKind, currency: Currency, legs: Vec<Leg>) -> Self {
        Self {
            kind,
            currency,
            legs,
            hold_until: None,
            reference: None,
            metadata: Metadata::default(),
            terms: None,
        }
    }

    /// The same on these terms.
    pub fn on(mut self, terms: Terms) -> Self {
        self.terms = Some(Box::new(terms));
        self
    }
}

impl Movement {
    /// The accounts that the movement names. Those of the legs of a transfer that is there are
    /// not among them: legs never change, so whoever asks can read them beforehand.
    pub fn accounts(&self) -> impl Iterator<Item = AccountId> {
        let (legs, stand_ins, own): (&[Leg], _, _) = match self {
            Self::Post(new) => (&new.legs, new.terms.as_ref().map(|terms| terms.stand_ins), None),
            Self::Return(what) => (&[], Some(what.stand_ins), None),
            Self::SetStatus { account, .. } | Self::SetFloor { account, .. } => {
                (&[], None, Some(*account))
            }
            Self::Capture { .. }
            | Self::Void { .. }
            | Self::Expire { .. }
            | Self::Reverse { .. }
            | Self::MakeAvailable { .. } => (&[], None, None),
        };
        let stand_ins = stand_ins.into_iter().flat_map(|s| [s.credits, s.debits]).flatten();
        legs.iter().flat_map(|leg| [leg.from, leg.to]).chain(stand_ins).chain(own)
    }

    /// The transfers that are there already and that it reads or changes.
    pub fn transfers(&self) -> impl Iterator<Item = TransferId> {
        let (transfer, restored) = match self {
            Self::Post(_) | Self::SetStatus { .. } | Self::SetFloor { .. } => (None, None),
            Self::Return(what) => (Some(what.transfer), what.restores),
            Self::Capture { transfer, .. }
            | Self::Void { transfer }
            | Self::Expire { transfer }
            | Self::Reverse { transfer, .. }
            | Self::MakeAvailable { transfer } => (Some(*transfer), None),
        };
        transfer.into_iter().chain(restored)
    }
}
