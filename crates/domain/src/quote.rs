//! A quote: a rate that is promised for a while, and used for one exchange.

use serde::{Deserialize, Serialize};

use crate::{
    id::{QuoteId, TenantId, TransferId, UserId},
    money::Currency,
    rate::Rate,
    time::Timestamp,
};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    pub id: QuoteId,
    pub tenant: TenantId,
    /// Whom it was promised to, where that is a user.
    pub user: Option<UserId>,
    pub from: Currency,
    pub to: Currency,
    /// What one unit of `from` gives in `to`.
    pub rate: Rate,
    /// To be paid, in minor units of `from`.
    pub amount: i64,
    /// To be got for it, in minor units of `to`.
    pub credit: i64,
    pub expires_at: Timestamp,
    pub used: Option<UsedQuote>,
    pub created_at: Timestamp,
    /// Counts changes.
    pub version: i64,
}

/// What became of a quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedQuote {
    pub at: Timestamp,
    /// The rate on record when it was used: what the money was worth.
    pub market: Rate,
    /// The payer's transfer, in `from`, and the payee's, in `to`.
    pub transfers: [TransferId; 2],
}

impl Quote {
    /// Whether it may still be used, if it was not.
    pub fn is_open(&self, at: Timestamp) -> bool {
        at < self.expires_at
    }

    /// `open`, `used` or `expired`.
    pub fn status(&self, at: Timestamp) -> &'static str {
        match self.used {
            Some(_) => "used",
            None if self.is_open(at) => "open",
            None => "expired",
        }
    }
}
