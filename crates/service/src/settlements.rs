//! A gateway's settlement file against the payments made through it: each charge with its payment,
//! and each amount paid to the bank with the many lines it is made of.
//!
//! Reads only. A line names its charge by the gateway's reference; the payment that has this
//! reference is searched in all of the tenant's accounts at gateways.

use std::collections::{BTreeMap, BTreeSet};

use caudal_domain::{
    Currency, GatewayAccountId, MAX_AMOUNT, PaymentId, TenantId, Timestamp, id::lowest_at,
    text::LineNumbers,
};
use caudal_store::{
    gateway_accounts,
    payments::{self, PaymentRow},
};

use crate::{Service, ServiceError};

/// Accounts at gateways that a tenant may have for this.
const ACCOUNTS_MOST: i64 = 1000;
const PAGE: i64 = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettlementKind {
    Charge,
    Refund,
    RefundFailed,
    Dispute,
    DisputeWon,
    /// To a holder's bank, through the gateway.
    Payout,
    PayoutReturned,
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

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct SettlementReport {
    pub lines: usize,
    /// Charges with their payments.
    pub matched: usize,
    /// Amounts paid to the bank, with the lines they are made of.
    pub settlements: usize,
    pub differences: Vec<String>,
}

/// What the file says of one charge.
#[derive(Debug)]
struct Told {
    first: i64,
    currency: Currency,
    captured: i64,
    refunded: i64,
    disputed: i64,
}

impl Service {
    /// `tolerance`: what amounts may differ by, in minor units.
    pub async fn check_settlement(
        &self,
        tenant: TenantId,
        lines: &[SettlementLine],
        tolerance: i64,
    ) -> Result<SettlementReport, ServiceError> {
        let mut report = SettlementReport { lines: lines.len(), ..SettlementReport::default() };
        check_sums(lines, tolerance, &mut report);
        let all = GatewayAccountId(u128::MAX);
        let accounts = gateway_accounts::list(self.store(), tenant, all, ACCOUNTS_MOST).await?;
        let accounts: Vec<_> = accounts.iter().map(|account| account.id).collect();
        let (mut seen, mut used) = (BTreeSet::new(), BTreeSet::new());
        for (charge, told) in charges(lines, &mut report.differences) {
            match self.payment_of(tenant, &accounts, charge).await? {
                Some(payment) => {
                    seen.insert(payment.id);
                    used.extend(payment.gateway_account);
                    let found = compare(charge, &told, &payment, tolerance);
                    report.matched += usize::from(found.is_empty());
                    report.differences.extend(found);
                }
                None => {
                    let Told { first, captured, currency, .. } = told;
                    let line = format!("line {first}: charge {charge}");
                    let text = format!("{line} of {captured} {currency} has no payment");
                    report.differences.push(text);
                }
            }
        }
        let missing = self.not_in_file(tenant, lines, (&seen, &used)).await?;
        report.differences.extend(missing);
        Ok(report)
    }

    async fn payment_of(
        &self,
        tenant: TenantId,
        accounts: &[GatewayAccountId],
        charge: &str,
    ) -> Result<Option<PaymentRow>, ServiceError> {
        for account in accounts {
            let found = payments::find_by_gateway(self.store(), tenant, *account, charge).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Payments that took money through an account of the file, within its time, and are not in it.
    async fn not_in_file(
        &self,
        tenant: TenantId,
        lines: &[SettlementLine],
        (seen, used): (&BTreeSet<PaymentId>, &BTreeSet<GatewayAccountId>),
    ) -> Result<Vec<String>, ServiceError> {
        let times = || lines.iter().map(|line| line.at);
        let (Some(first), Some(last)) = (times().min(), times().max()) else {
            return Ok(Vec::new());
        };
        let mut missing = Vec::new();
        let mut before = lowest_at(last.plus_seconds(1));
        loop {
            let filter = payments::Filter {
                tenant,
                status: None,
                kind: None,
                wallet: None,
                payer: None,
                user: None,
                reference: None,
                before,
                from: lowest_at(first),
                limit: PAGE,
            };
            let page = payments::list(self.store(), &filter).await?;
            let Some(oldest) = page.last() else { return Ok(missing) };
            before = oldest.id.0;
            let is_missing = |row: &&PaymentRow| {
                row.gateway_account.is_some_and(|account| used.contains(&account))
                    && row.amounts.captured > 0
                    && !seen.contains(&row.id)
            };
            missing.extend(page.iter().filter(is_missing).map(|row| {
                let reference = row.gateway_reference.as_deref().unwrap_or("?");
                let (captured, currency) = (row.amounts.captured, row.currency);
                format!("{} ({reference}) of {captured} {currency} is not in the file", row.id)
            }));
        }
    }
}

/// The file's lines by charge.
fn charges<'a>(
    lines: &'a [SettlementLine],
    differences: &mut Vec<String>,
) -> BTreeMap<&'a str, Told> {
    let mut charges: BTreeMap<&str, Told> = BTreeMap::new();
    for line in lines {
        use SettlementKind::{Charge, Dispute, DisputeWon, Refund, RefundFailed};
        let is_of_charge =
            matches!(line.kind, Charge | Refund | RefundFailed | Dispute | DisputeWon);
        if !is_of_charge {
            continue;
        }
        let charge = if line.charge.is_empty() { &line.reference } else { &line.charge };
        let told = charges.entry(charge).or_insert(Told {
            first: line.number,
            currency: line.currency,
            captured: 0,
            refunded: 0,
            disputed: 0,
        });
        if told.currency != line.currency {
            let (number, currency) = (line.number, line.currency);
            differences.push(format!("line {number}: {charge} is in {currency} here"));
        }
        match line.kind {
            Charge => told.captured = told.captured.saturating_add(line.amount),
            Refund | RefundFailed => told.refunded = told.refunded.saturating_sub(line.amount),
            _ => told.disputed = told.disputed.saturating_sub(line.amount),
        }
    }
    charges
}

fn compare(charge: &str, told: &Told, payment: &PaymentRow, tolerance: i64) -> Vec<String> {
    let mut found = Vec::new();
    let at = format!("line {}: charge {charge}, {}", told.first, payment.id);
    if told.currency != payment.currency {
        found.push(format!("{at}: {} in the file, {} here", told.currency, payment.currency));
    }
    let amounts = payment.amounts;
    for (what, told, here) in [
        ("captured", told.captured, amounts.captured),
        ("refunded", told.refunded, amounts.refunded),
        ("disputed", told.disputed, amounts.disputed),
    ] {
        if told.abs_diff(here) > tolerance.unsigned_abs() {
            found.push(format!("{at}: {what} {told} in the file, {here} here"));
        }
    }
    found
}

/// What was paid to the bank is what the lines before it come to, fees taken off.
fn check_sums(lines: &[SettlementLine], tolerance: i64, report: &mut SettlementReport) {
    let mut open: BTreeMap<Currency, (i128, usize)> = BTreeMap::new();
    for line in lines {
        let (sum, count) = open.entry(line.currency).or_default();
        if line.kind != SettlementKind::Settlement {
            *sum += i128::from(line.amount) - i128::from(line.fee);
            *count += 1;
            continue;
        }
        report.settlements += 1;
        let paid = i128::from(line.fee) - i128::from(line.amount);
        let (number, currency) = (line.number, line.currency);
        if (paid - *sum).abs() > i128::from(tolerance) {
            let reference = &line.reference;
            report.differences.push(format!(
                "line {number}: settlement {reference} of {paid} {currency}, but its {count} lines \
                 come to {sum}"
            ));
        }
        (*sum, *count) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: i64, kind: SettlementKind, amount: i64, fee: i64) -> SettlementLine {
        SettlementLine {
            number,
            kind,
            reference: format!("r{number}"),
            charge: String::new(),
            amount,
            fee,
            currency: Currency::USD,
            at: Timestamp::default(),
        }
    }

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
    }

    #[test]
    fn a_settlement_is_the_sum_of_the_lines_before_it() {
        use SettlementKind::{Charge, Refund, Settlement};
        for (paid, tolerance, differences) in
            [(-1410, 0, 0), (-1409, 0, 1), (-1409, 1, 0), (-1500, 0, 1)]
        {
            let lines = [
                line(2, Charge, 1000, 59),
                line(3, Charge, 500, 31),
                line(4, Settlement, paid, 0),
                line(5, Refund, -100, 0),
                line(6, Charge, 300, 0),
                line(7, Settlement, -200, 0),
            ];
            let mut report = SettlementReport::default();
            check_sums(&lines, tolerance, &mut report);
            assert_eq!(report.differences.len(), differences, "{paid} {tolerance}");
            assert_eq!(report.settlements, 2);
        }
    }
}
