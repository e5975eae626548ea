//! A transfer (one or more legs, each money from one account to another) and its entries.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    id::{AccountId, TenantId, TransferId},
    money::Currency,
    text::Metadata,
    time::Timestamp,
};

/// What the transfer was asked as. The numbers are stored; never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum TransferKind {
    Transfer = 0,
    Fund = 1,
    Withdrawal = 2,
    Reversal = 3,
    /// For a payment: from a payer's wallet, or from a gateway.
    Payment = 4,
    /// Gives a payment back, wholly or in part.
    Refund = 5,
    /// Money of a payment that its payer's bank has taken back.
    Chargeback = 6,
    /// To a holder's bank.
    Payout = 7,
    /// The bank has confirmed payouts.
    PayoutSettled = 8,
    /// What a gateway owed has come to the bank.
    GatewaySettlement = 9,
    /// The tenant bears what a wallet owes.
    WriteOff = 10,
    /// The tenant bears a dispute that was lost.
    DisputeLost = 11,
    /// From the bank to the treasury.
    BankIn = 12,
    /// From the treasury to the bank.
    BankOut = 13,
    /// One currency's side of an exchange.
    Exchange = 14,
    /// A charge besides payments.
    Fee = 15,
    /// From the unapplied money to whom it belongs.
    Applied = 16,
}

impl TransferKind {
    pub const ALL: [Self; 17] = [
        Self::Transfer,
        Self::Fund,
        Self::Withdrawal,
        Self::Reversal,
        Self::Payment,
        Self::Refund,
        Self::Chargeback,
        Self::Payout,
        Self::PayoutSettled,
        Self::GatewaySettlement,
        Self::WriteOff,
        Self::DisputeLost,
        Self::BankIn,
        Self::BankOut,
        Self::Exchange,
        Self::Fee,
        Self::Applied,
    ];

    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as i16 == code)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
            Self::Fund => "fund",
            Self::Withdrawal => "withdrawal",
            Self::Reversal => "reversal",
            Self::Payment => "payment",
            Self::Refund => "refund",
            Self::Chargeback => "chargeback",
            Self::Payout => "payout",
            Self::PayoutSettled => "payout_settled",
            Self::GatewaySettlement => "gateway_settlement",
            Self::WriteOff => "write_off",
            Self::DisputeLost => "dispute_lost",
            Self::BankIn => "bank_in",
            Self::BankOut => "bank_out",
            Self::Exchange => "exchange",
            Self::Fee => "fee",
            Self::Applied => "applied",
        }
    }

    /// Whether it can be captured, voided and reversed by itself. What belongs to something else
    /// (a payment, an exchange) changes with it.
    pub fn is_changed_by_itself(self) -> bool {
        matches!(self, Self::Transfer | Self::Fund | Self::Withdrawal | Self::Reversal)
    }

    /// Gives back another transfer, and can itself be undone: the gateway refused the refund, the
    /// dispute was won.
    pub fn is_undoable_return(self) -> bool {
        matches!(self, Self::Refund | Self::Chargeback)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum TransferStatus {
    Posted = 0,
    Held = 1,
    Captured = 2,
    Voided = 3,
    Expired = 4,
    PartiallyReversed = 5,
    Reversed = 6,
}

impl TransferStatus {
    pub const ALL: [Self; 7] = [
        Self::Posted,
        Self::Held,
        Self::Captured,
        Self::Voided,
        Self::Expired,
        Self::PartiallyReversed,
        Self::Reversed,
    ];

    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status as i16 == code)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::Held => "held",
            Self::Captured => "captured",
            Self::Voided => "voided",
            Self::Expired => "expired",
            Self::PartiallyReversed => "partially_reversed",
            Self::Reversed => "reversed",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

impl fmt::Display for TransferStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Money from one account to another. Accounts and `amount` never change afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    pub from: AccountId,
    pub to: AccountId,
    pub amount: i64,
    /// Part of a held leg that was captured.
    pub captured: i64,
    /// Part that later reversals gave back.
    pub reversed: i64,
    /// Part of what the payee got that is not there to spend yet.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pending: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(amount: &i64) -> bool {
    *amount == 0
}

impl Leg {
    pub fn new(from: AccountId, to: AccountId, amount: i64) -> Self {
        Self { from, to, amount, captured: 0, reversed: 0, pending: 0 }
    }
}

/// The most legs one transfer has.
pub const MAX_LEGS: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    pub id: TransferId,
    pub tenant: TenantId,
    pub kind: TransferKind,
    pub status: TransferStatus,
    pub currency: Currency,
    /// One at least.
    pub legs: Vec<Leg>,
    /// Sum of the legs.
    pub amount: i64,
    pub amount_captured: i64,
    pub amount_reversed: i64,
    /// Asked as a hold first.
    pub hold: bool,
    pub expires_at: Option<Timestamp>,
    /// When what is pending on its legs may be spent; `None` when nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_at: Option<Timestamp>,
    pub reference: Option<String>,
    pub metadata: Metadata,
    /// The transfer that this one gives back, wholly or in part.
    pub reverses: Option<TransferId>,
    pub created_at: Timestamp,
}

impl Transfer {
    /// What an open hold still keeps.
    pub fn remaining_hold(&self) -> i64 {
        match self.status {
            TransferStatus::Held => self.amount - self.amount_captured,
            _ => 0,
        }
    }

    /// What is not there to spend yet.
    pub fn pending(&self) -> i64 {
        self.legs.iter().map(|leg| leg.pending).sum()
    }

    /// What has moved so far.
    pub fn moved(&self) -> i64 {
        if self.hold { self.amount_captured } else { self.amount }
    }

    /// The transfer as its maker first saw it: what a replay of the creation repeats. What is
    /// pending is left out: it passes by itself.
    pub fn as_created(mut self) -> Self {
        self.status = if self.hold { TransferStatus::Held } else { TransferStatus::Posted };
        self.amount_captured = 0;
        self.amount_reversed = 0;
        self.available_at = None;
        for leg in &mut self.legs {
            leg.captured = 0;
            leg.reversed = 0;
            leg.pending = 0;
        }
        self
    }
}

/// One account's side of a leg, or a change of what is held on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub account: AccountId,
    /// 1, 2, 3, … per account, without a gap.
    pub version: i64,
    pub transfer: TransferId,
    /// Signed: a credit is positive; 0 when only the hold changed.
    pub amount: i64,
    pub balance_after: i64,
    pub held_after: i64,
    pub pending_after: i64,
    pub created_at: Timestamp,
}
