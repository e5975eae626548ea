//! The settlement file: one line for each time money came or went, as a gateway sends it daily.
//!
//! CSV with a header (RFC 4180): `kind,reference,charge,key,amount,fee,currency,created_at`;
//! amounts in minor units, signed as the account's balance at the gateway changes, fees beside
//! them; a `fee` that belongs to no other line has one of its own. `key` is the idempotency key of
//! the charge or payout. The file of a day that is over ends with a `settlement` for each currency:
//! what the gateway pays to the owner's bank for the lines before it.

use std::collections::BTreeMap;

use caudal_domain::{Currency, Timestamp};

use super::books::Totals;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Charge,
    Refund,
    RefundFailed,
    Dispute,
    DisputeWon,
    Payout,
    PayoutReturned,
    Fee,
    /// To the owner's bank.
    Settlement,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Refund => "refund",
            Self::RefundFailed => "refund_failed",
            Self::Dispute => "dispute",
            Self::DisputeWon => "dispute_won",
            Self::Payout => "payout",
            Self::PayoutReturned => "payout_returned",
            Self::Fee => "fee",
            Self::Settlement => "settlement",
        }
    }
}

pub struct Line {
    pub account: String,
    pub side: Side,
    pub reference: String,
    pub charge: String,
    pub key: String,
    pub amount: i64,
    pub fee: i64,
    pub currency: Currency,
    pub at: Timestamp,
}

impl Line {
    pub fn add_to(&self, totals: &mut Totals) {
        match self.side {
            Side::Charge => {
                totals.charges += 1;
                totals.captured += self.amount;
            }
            Side::Refund | Side::RefundFailed => totals.refunded -= self.amount,
            Side::Dispute | Side::DisputeWon => totals.disputed -= self.amount,
            Side::Payout | Side::PayoutReturned => totals.paid_out -= self.amount,
            Side::Fee | Side::Settlement => {}
        }
        totals.fees += self.fee;
    }

    fn write(&self, csv: &mut String) {
        let at = self.at.to_string();
        let (amount, fee) = (self.amount.to_string(), self.fee.to_string());
        let fields = [
            self.side.name(),
            &self.reference,
            &self.charge,
            &self.key,
            &amount,
            &fee,
            self.currency.code(),
            &at,
        ];
        for (n, field) in fields.iter().enumerate() {
            if n > 0 {
                csv.push(',');
            }
            quote(field, csv);
        }
        csv.push_str("\r\n");
    }
}

/// Keys are whatever callers choose.
fn quote(field: &str, csv: &mut String) {
    if !field.contains(['"', ',', '\r', '\n']) {
        return csv.push_str(field);
    }
    csv.push('"');
    csv.push_str(&field.replace('"', "\"\""));
    csv.push('"');
}

/// What is paid to the bank for a day's lines, when the day is over.
pub fn closing<'a>(lines: impl Iterator<Item = &'a Line>, day: i64) -> Vec<Line> {
    let mut sums: BTreeMap<&str, Line> = BTreeMap::new();
    for line in lines {
        let code = line.currency.code();
        let at = Timestamp::from_micros((day + 1) * DAY_MICROS - 1);
        let date = at.date_time().date();
        let sum = sums.entry(code).or_insert_with(|| Line {
            account: line.account.clone(),
            side: Side::Settlement,
            reference: format!("sim_st_{date}_{code}"),
            charge: String::new(),
            key: String::new(),
            amount: 0,
            fee: 0,
            currency: line.currency,
            at,
        });
        sum.amount -= line.amount - line.fee;
    }
    sums.into_values().collect()
}

const DAY_MICROS: i64 = 86_400_000_000;

pub fn csv<'a>(lines: impl Iterator<Item = &'a Line>) -> String {
    let mut csv = "kind,reference,charge,key,amount,fee,currency,created_at\r\n".to_owned();
    for line in lines {
        line.write(&mut csv);
    }
    csv
}
