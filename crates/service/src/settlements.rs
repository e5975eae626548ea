//! What gateways settle: their files as they are read, held against what is here (`check`), and
//! what they pay to the bank, which is booked once.

mod check;
mod left_out;

use caudal_domain::{
    Currency, GatewayAccountId, MAX_AMOUNT, Refusal, Timestamp, Transfer, text::LineNumbers,
};
use caudal_engine::Command;
use caudal_ledger::{Movement, movements::card};
use caudal_store::{
    UnitOfWork, gateway_accounts,
    settlements::{self, SettlementRow},
};

pub use self::check::SettlementReport;
use crate::{Asked, Caller, Done, Service, ServiceError, audit::Did};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SettlementKind {
    Charge,
    Refund,
    RefundFailed,
    Dispute,
    DisputeWon,
    /// To a holder's bank, through the gateway.
    Payout,
    PayoutReturned,
    /// What the gateway takes besides: for a dispute, for a month.
    Fee,
    /// To the tenant's bank: the sum of all lines of its currency since the one before.
    Settlement,
}

impl SettlementKind {
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "charge" => Self::Charge,
            "refund" => Self::Refund,
            "refund_failed" => Self::RefundFailed,
            "dispute" => Self::Dispute,
            "dispute_won" => Self::DisputeWon,
            "payout" => Self::Payout,
            "payout_returned" => Self::PayoutReturned,
            "fee" => Self::Fee,
            "settlement" => Self::Settlement,
            _ => return None,
        })
    }
}

/// A line of the file. Amounts are in minor units, signed as the tenant's balance at the gateway
/// changes; the fee is taken off besides.
#[derive(Clone, Debug)]
pub struct SettlementLine {
    /// As people count lines of the file.
    pub number: i64,
    pub kind: SettlementKind,
    pub reference: String,
    /// Of a line that sums several charges up, all of them with blanks between.
    pub charge: String,
    pub amount: i64,
    pub fee: i64,
    pub currency: Currency,
    pub at: Timestamp,
}

/// Reads a file: CSV with the header `kind,reference,charge,key,amount,fee,currency,created_at`.
/// The error names the line.
pub fn read_settlement(text: &str) -> Result<Vec<SettlementLine>, String> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| error.to_string())?;
    if header.iter().ne(COLUMNS) {
        return Err(format!("line 1: the header is not {}", COLUMNS.join(",")));
    }
    let mut lines = Vec::new();
    let mut numbers = LineNumbers::new(text.as_bytes());
    for record in reader.records() {
        let position = match &record {
            Ok(record) => record.position(),
            Err(error) => error.position(),
        };
        let number = numbers.of(position.map_or(0, csv::Position::byte));
        let line = record.ok().and_then(|record| read_line(number, &record));
        lines.push(line.ok_or_else(|| format!("line {number} can't be read"))?);
    }
    if lines.is_empty() {
        return Err("it has no line, so it names no day: nothing can be held against it".into());
    }
    Ok(lines)
}

const COLUMNS: [&str; 8] =
    ["kind", "reference", "charge", "key", "amount", "fee", "currency", "created_at"];

fn read_line(number: i64, record: &csv::StringRecord) -> Option<SettlementLine> {
    let amount = |place: usize| {
        let amount: i64 = record.get(place)?.parse().ok()?;
        (-MAX_AMOUNT..=MAX_AMOUNT).contains(&amount).then_some(amount)
    };
    Some(SettlementLine {
        number,
        kind: SettlementKind::from_name(record.get(0)?)?,
        reference: record.get(1)?.to_owned(),
        charge: record.get(2)?.to_owned(),
        amount: amount(4)?,
        fee: amount(5)?,
        currency: Currency::from_code(record.get(6)?)?,
        at: Timestamp::parse(record.get(7)?)?,
    })
}

/// What a gateway paid to the tenant's bank, as its file or the bank's statement says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The gateway's name of it.
    pub reference: String,
    /// What was taken less what was given back, in minor units: what the gateway owed for.
    pub amount: i64,
    /// The part of it that the gateway kept.
    pub fee: i64,
    pub currency: Currency,
}

impl Service {
    /// Money from the gateway to the bank, once for each reference: told again, whatever the key,
    /// it gives the first transfer; told with other amounts it is refused.
    pub async fn book_settlement(
        &self,
        asked: Asked<'_>,
        (account, what): (GatewayAccountId, Settlement),
    ) -> Result<Done<Transfer>, ServiceError> {
        let Asked { caller, receipt } = asked;
        caller.reach.require_tenant()?;
        self.require_step_up(caller)?;
        if what.amount == 0 && what.fee == 0 {
            return Err(ServiceError::invalid("amount", "moves nothing"));
        }
        let found = gateway_accounts::find(self.store(), caller.tenant, account).await?;
        found.ok_or(ServiceError::NotFound("gateway_account"))?;
        let chart = self.chart(caller.tenant, what.currency, Some(account)).await?;
        let row = self.settlement_row(caller, (account, &what)).await?;
        let mut new = card::settlement(chart, account, what.amount, what.fee);
        new.reference = Some(what.reference.clone());
        let mut command = Command::new(Movement::Post(new));
        command.receipt = Some(receipt);
        // Of version 1 while it is not booked: later ones are refused as stale.
        let row = SettlementRow { amount: what.amount, fee: what.fee, version: 1, ..row };
        command.attachments.push(settlements::booked(&row));
        let object_id = account.to_string();
        let (action, object_kind) = ("gateway.settled", "gateway_account");
        let did = Did { action, object_kind, object_id, fields: &["balance"] };
        command.steps.push(self.audit(caller, did, self.now()));
        match self.submit_transfer(caller, command).await {
            Err(ServiceError::Refused(Refusal::Conflict)) => {
                let row = self.settlement_row(caller, (account, &what)).await?;
                let is_same = (row.amount, row.fee) == (what.amount, what.fee);
                match row.transfer {
                    Some(id) if is_same => {
                        let value = self.transfer(caller, id).await?.as_created();
                        Ok(Done { value, replayed: true, position: Vec::new() })
                    }
                    Some(_) => self.refuse(receipt, Refusal::SettlementBooked).await,
                    None => Err(Refusal::Conflict.into()),
                }
            }
            result => result,
        }
    }

    /// The row of what goes by this reference, made if there is none.
    async fn settlement_row(
        &self,
        caller: &Caller,
        (account, what): (GatewayAccountId, &Settlement),
    ) -> Result<SettlementRow, ServiceError> {
        let find = async || {
            let (db, reference) = (self.store(), &what.reference);
            let found = settlements::of_reference(db, caller.tenant, &[account], reference).await?;
            Ok::<_, ServiceError>(found.into_iter().find(|row| row.currency == what.currency))
        };
        if let Some(found) = find().await? {
            return Ok(found);
        }
        let at = self.now();
        let row = SettlementRow {
            id: self.scattered_id(at),
            tenant: caller.tenant,
            gateway_account: account,
            reference: what.reference.clone(),
            currency: what.currency,
            amount: what.amount,
            fee: what.fee,
            transfer: None,
            created_at: at,
            version: 1,
        };
        let steps = vec![settlements::insert(&row)];
        self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await?;
        // Another may have made it at the same time.
        find().await?.ok_or_else(|| ServiceError::Broken("a settlement is not there".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_its_first_bad_line_is_named() {
        let header = "kind,reference,charge,key,amount,fee,currency,created_at\r\n";
        let good = "charge,ch_1,ch_1,\"a, b\",1000,59,USD,2026-01-31T09:30:00Z\r\n";
        let lines = read_settlement(&format!("{header}{good}{good}")).expect("a file");
        assert_eq!((lines.len(), lines[1].number, lines[1].amount), (2, 3, 1000));
        for (bad, why) in [
            ("charge,ch_1,ch_1,k,ten,0,USD,2026-01-31T09:30:00Z\n", "line 3"),
            ("gift,ch_1,ch_1,k,10,0,USD,2026-01-31T09:30:00Z\n", "line 3"),
            ("charge,ch_1,ch_1,k,10,0,usd,2026-01-31T09:30:00Z\n", "line 3"),
            ("charge,ch_1,ch_1,k,10,0,USD,yesterday\n", "line 3"),
            ("charge,ch_1\n", "line 3"),
        ] {
            let error = read_settlement(&format!("{header}{good}{bad}")).expect_err(bad);
            assert!(error.contains(why), "{error}");
        }
        assert!(read_settlement(good).expect_err("no header").contains("line 1"));
        assert!(read_settlement(header).expect_err("no line").contains("no line"));
    }
}
