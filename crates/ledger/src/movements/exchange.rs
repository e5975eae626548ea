//! An exchange: money of one currency for money of another, as two transfers of one commit.
//!
//! | asked | payer (A): total | `fx` (A) | `fx` (B) | payee (B): total | `fx_result` (B) |
//! |---|---|---|---|---|---|
//! | x of A for y of B, worth z of B | −x | +x | −z | +y | +(z − y) |
//!
//! y is x at the customer's rate, rounded down; z is x at the market's rate, to the nearest. Each
//! currency sums to zero by itself. A y of zero is refused. The two are commands of one all-or-none
//! job; the rate goes on record with them.

use caudal_domain::{AccountId, AccountKind, Chart, Leg, Refusal, TransferKind, rate::Rate};

use super::NewTransfer;

/// Money that changes its currency on the way.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    pub payer: (AccountId, Chart),
    pub payee: (AccountId, Chart),
    /// Of the payer's currency.
    pub amount: i64,
    /// What the customer gets.
    pub rate: Rate,
    /// What it is worth.
    pub market: Rate,
}

impl Exchange {
    /// What the payee gets, in its minor units.
    pub fn credit(&self) -> Result<i64, Refusal> {
        let (from, to) = (self.payer.1.currency, self.payee.1.currency);
        match self.rate.down(self.amount, from, to) {
            Some(0) => Err(Refusal::ExchangeTooSmall),
            Some(credit) => Ok(credit),
            None => Err(Refusal::BalanceLimit { account: self.payee.0 }),
        }
    }

    /// The payer's transfer, then the payee's.
    pub fn transfers(&self) -> Result<[NewTransfer; 2], Refusal> {
        let ((payer, a), (payee, b)) = (self.payer, self.payee);
        let credit = self.credit()?;
        let worth = self.market.nearest(self.amount, a.currency, b.currency);
        let worth = worth.ok_or(Refusal::BalanceLimit { account: payee })?;
        let (fx, result) = (b.of(AccountKind::Fx), b.of(AccountKind::FxResult));
        let mut legs = vec![Leg::new(fx, payee, credit)];
        match worth - credit {
            0 => {}
            gain @ 1.. => legs.push(Leg::new(fx, result, gain)),
            loss => legs.push(Leg::new(result, fx, -loss)),
        }
        let paid = vec![Leg::new(payer, a.of(AccountKind::Fx), self.amount)];
        Ok([
            NewTransfer::new(TransferKind::Exchange, a.currency, paid),
            NewTransfer::new(TransferKind::Exchange, b.currency, legs),
        ])
    }
}
