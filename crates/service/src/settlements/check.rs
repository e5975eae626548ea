//! A gateway's settlement file against what is here: each line with its charge (or several, where
//! it sums them up), refund, dispute or payout, what of these the file leaves out (`left_out.rs`),
//! and each amount paid to the bank with the many lines it is made of.
//!
//! Reads only. Lines name things by the gateway's references, which are searched in all of the
//! tenant's accounts at gateways.

use std::collections::{BTreeMap, BTreeSet};

use caudal_domain::{
    Chart, Currency, GatewayAccountId, TenantId,
    fee::FeeBearer,
    payment::{DisputeStatus, PayoutStatus, RefundStatus},
};
use caudal_store::{
    disputes, gateway_accounts, payments, payouts, refunds, settlements, transfers,
};

use super::{Settlement, SettlementKind, SettlementLine};
use crate::{Service, ServiceError, payments::Payment};

/// Accounts at gateways that a tenant may have for this.
const ACCOUNTS_MOST: i64 = 1000;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct SettlementReport {
    pub lines: usize,
    /// Charges, refunds, disputes and payouts of the file that are the same here.
    pub matched: usize,
    /// Amounts paid to the bank, as they are to be booked, and whether they are.
    pub settlements: Vec<(Settlement, bool)>,
    pub differences: Vec<String>,
    /// Not in the file, and made or booked outside its time: in the file of a neighbouring day.
    pub open: Vec<String>,
}

/// What all lines of one kind say of one thing.
struct Told {
    first: i64,
    currency: Currency,
    amount: i64,
}

/// The same, as it is here.
struct Here {
    account: Option<GatewayAccountId>,
    currency: Currency,
    amount: i64,
}

/// A thing of the file: its kind and references, of which charges may have several.
type Named<'a> = (SettlementKind, Vec<&'a str>);

impl Service {
    /// `tolerance`: what amounts may differ by, in minor units.
    pub async fn check_settlement(
        &self,
        tenant: TenantId,
        lines: &[SettlementLine],
        tolerance: i64,
    ) -> Result<SettlementReport, ServiceError> {
        let mut report = SettlementReport { lines: lines.len(), ..SettlementReport::default() };
        let sums = check_sums(lines, tolerance, &mut report);
        let all = GatewayAccountId(u128::MAX);
        let accounts = gateway_accounts::list(self.store(), tenant, all, ACCOUNTS_MOST).await?;
        let accounts: Vec<_> = accounts.iter().map(|account| account.id).collect();
        let things = things(lines, &mut report.differences);
        let mut used = BTreeSet::new();
        for (named, told) in &things {
            let before = report.differences.len();
            let mut sum = None::<Here>;
            for reference in &named.1 {
                match self.here(tenant, &accounts, (named.0, reference)).await? {
                    Some(here) => {
                        used.extend(here.account);
                        let so_far = sum.get_or_insert(Here { amount: 0, ..here });
                        so_far.amount = so_far.amount.saturating_add(here.amount);
                        if so_far.currency != here.currency {
                            let (line, other) = (told.first, here.currency);
                            let text = format!("line {line}: {reference} is in {other} here");
                            report.differences.push(text);
                        }
                    }
                    None => report.differences.push(unknown(named.0, reference, told)),
                }
            }
            report.differences.extend(sum.and_then(|here| compare(named, told, &here, tolerance)));
            report.matched += usize::from(report.differences.len() == before);
        }
        let seen: BTreeSet<_> = things
            .keys()
            .flat_map(|(kind, references)| references.iter().map(|it| (*kind, *it)))
            .collect();
        let left_out = self.not_in_file(tenant, lines, (&seen, &used)).await?;
        report.differences.extend(left_out.differences);
        report.open = left_out.open;
        self.check_booked(tenant, sums, (&used, &mut report)).await?;
        Ok(report)
    }

    /// What is here of a thing, whichever account it came through.
    async fn here(
        &self,
        tenant: TenantId,
        accounts: &[GatewayAccountId],
        thing: (SettlementKind, &str),
    ) -> Result<Option<Here>, ServiceError> {
        for account in accounts {
            let found = self.here_at(tenant, *account, thing).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Amounts as the gateway's balance changes by them.
    async fn here_at(
        &self,
        tenant: TenantId,
        account: GatewayAccountId,
        (kind, reference): (SettlementKind, &str),
    ) -> Result<Option<Here>, ServiceError> {
        use SettlementKind as K;
        let db = self.store();
        let found = match kind {
            K::Charge => match payments::find_by_gateway(db, tenant, account, reference).await? {
                Some(row) => Some((row.currency, charged(&Payment::read(row)?))),
                None => None,
            },
            K::Refund | K::RefundFailed => {
                let row = refunds::find_by_gateway(db, tenant, account, reference).await?;
                let row = row.filter(|row| K::Refund == kind || row.status == RefundStatus::Failed);
                match row {
                    Some(row) => Some((row.currency, self.paid_back(&row).await?)),
                    None => None,
                }
            }
            K::Dispute | K::DisputeWon => {
                let row = disputes::find_by_gateway(db, tenant, account, reference).await?;
                row.filter(|row| K::Dispute == kind || row.status == DisputeStatus::Won)
                    .map(|row| (row.currency, row.amount))
            }
            K::Payout | K::PayoutReturned => {
                let row = payouts::find_by_gateway(db, tenant, account, reference).await?;
                row.filter(|row| K::Payout == kind || came_back(row.status))
                    .map(|row| (row.currency, row.amount))
            }
            K::Fee | K::Settlement => None,
        };
        let is_taken = matches!(kind, K::Refund | K::Dispute | K::Payout);
        let sign = if is_taken { -1 } else { 1 };
        Ok(found.map(|(currency, amount)| Here {
            account: Some(account),
            currency,
            amount: sign * amount,
        }))
    }

    /// What the gateway gave back for a refund: with it may go a fee that the payer had borne.
    async fn paid_back(&self, refund: &refunds::RefundRow) -> Result<i64, ServiceError> {
        let (Some(account), Some(id)) = (refund.gateway_account, refund.transfer) else {
            return Ok(refund.amount);
        };
        let chart = Chart { tenant: refund.tenant, currency: refund.currency };
        let owed = chart.receivable(account);
        let found = transfers::find(self.store(), refund.tenant, id).await?;
        let legs = found.into_iter().flat_map(|transfer| transfer.legs);
        Ok(legs.filter(|leg| leg.to == owed).map(|leg| leg.amount).sum())
    }

    /// What is booked under a settlement's reference is what the file says of it.
    async fn check_booked(
        &self,
        tenant: TenantId,
        sums: Vec<(i64, Settlement)>,
        (used, report): (&BTreeSet<GatewayAccountId>, &mut SettlementReport),
    ) -> Result<(), ServiceError> {
        let accounts: Vec<_> = used.iter().copied().collect();
        for (number, paid) in sums {
            let db = self.store();
            let found = settlements::of_reference(db, tenant, &accounts, &paid.reference).await?;
            let booked = found
                .into_iter()
                .find(|row| row.currency == paid.currency && row.transfer.is_some());
            if let Some(row) = &booked
                && (row.amount, row.fee) != (paid.amount, paid.fee)
            {
                let Settlement { reference, amount, fee, currency } = &paid;
                report.differences.push(format!(
                    "line {number}: settlement {reference} of {amount} {currency} less {fee}, but \
                     {} less {} are booked",
                    row.amount, row.fee
                ));
            }
            report.settlements.push((paid, booked.is_some()));
        }
        Ok(())
    }
}

/// What the payer paid: with a fee that they bear on top.
fn charged(payment: &Payment) -> i64 {
    let on_top = payment.data.fee_bearer == FeeBearer::Payer;
    payment.row.amounts.captured + if on_top { payment.row.fee } else { 0 }
}

fn came_back(status: PayoutStatus) -> bool {
    matches!(status, PayoutStatus::Returned | PayoutStatus::Failed)
}

fn unknown(kind: SettlementKind, reference: &str, told: &Told) -> String {
    let Told { first, currency, amount } = told;
    let (what, here) = words(kind);
    format!("line {first}: {what} {reference} of {amount} {currency} has no {here}")
}

/// The file's word for a kind, and ours.
pub(super) fn words(kind: SettlementKind) -> (&'static str, &'static str) {
    match kind {
        SettlementKind::Charge => ("charge", "payment"),
        SettlementKind::Refund => ("refund", "refund"),
        SettlementKind::RefundFailed => ("failed refund", "refund that failed"),
        SettlementKind::Dispute => ("dispute", "dispute"),
        SettlementKind::DisputeWon => ("won dispute", "dispute that was won"),
        SettlementKind::Payout => ("payout", "payout"),
        SettlementKind::PayoutReturned => ("returned payout", "payout that came back"),
        SettlementKind::Fee => ("fee", "fee"),
        SettlementKind::Settlement => ("settlement", "settlement"),
    }
}

/// The file's lines by what they are of. A charge stands in lines of one form only: else what sums
/// it up would hide that it is there twice.
fn things<'a>(
    lines: &'a [SettlementLine],
    differences: &mut Vec<String>,
) -> BTreeMap<Named<'a>, Told> {
    let mut things: BTreeMap<Named<'a>, Told> = BTreeMap::new();
    let mut charges: BTreeMap<&str, (i64, Vec<&str>)> = BTreeMap::new();
    for line in lines {
        let SettlementLine { number, kind, amount, currency, .. } = *line;
        let references = match kind {
            SettlementKind::Fee | SettlementKind::Settlement => continue,
            SettlementKind::Charge if !line.charge.is_empty() => {
                line.charge.split_whitespace().collect()
            }
            _ => vec![line.reference.as_str()],
        };
        if kind == SettlementKind::Charge {
            for (place, reference) in references.iter().enumerate() {
                if references[..place].contains(reference) {
                    let text = format!("line {number}: charge {reference} is in it twice");
                    differences.push(text);
                }
                let (first, before) =
                    charges.entry(reference).or_insert_with(|| (number, references.clone()));
                if *before != references {
                    let text = format!("line {number}: charge {reference} is in line {first} too");
                    differences.push(text);
                }
            }
        }
        let named = (kind, references);
        let text = named.1.join(" ");
        let told = things.entry(named).or_insert(Told { first: number, currency, amount: 0 });
        if told.currency != currency {
            differences.push(format!("line {number}: {text} is in {currency} here"));
        }
        told.amount = told.amount.saturating_add(amount);
    }
    things
}

fn compare((kind, references): &Named, told: &Told, here: &Here, tolerance: i64) -> Option<String> {
    let Told { first, currency, amount } = told;
    let is_near = amount.abs_diff(here.amount) <= tolerance.unsigned_abs();
    if is_near && *currency == here.currency {
        return None;
    }
    let (what, references) = (words(*kind).0, references.join(" "));
    let here = format!("{} {}", here.amount, here.currency);
    Some(format!("line {first}: {what} {references}: {amount} {currency} in the file, {here} here"))
}

/// What was paid to the bank is what the lines before it come to, fees taken off. Payouts to
/// holders are booked when they are made: a settlement is of what is left.
fn check_sums(
    lines: &[SettlementLine],
    tolerance: i64,
    report: &mut SettlementReport,
) -> Vec<(i64, Settlement)> {
    #[derive(Default)]
    struct Open {
        amount: i128,
        fee: i128,
        payouts: i128,
        count: usize,
    }
    let mut settled = Vec::new();
    let mut open: BTreeMap<Currency, Open> = BTreeMap::new();
    for line in lines {
        let (amount, fee) = (i128::from(line.amount), i128::from(line.fee));
        let sums = open.entry(line.currency).or_default();
        if line.kind != SettlementKind::Settlement {
            let is_payout =
                matches!(line.kind, SettlementKind::Payout | SettlementKind::PayoutReturned);
            *(if is_payout { &mut sums.payouts } else { &mut sums.amount }) += amount;
            sums.fee += fee;
            sums.count += 1;
            continue;
        }
        let Open { amount: owed, fee: kept, payouts, count } = std::mem::take(sums);
        let (paid, sum) = (fee - amount, owed - kept + payouts);
        let SettlementLine { number, currency, .. } = *line;
        let reference = line.reference.clone();
        if (paid - sum).abs() > i128::from(tolerance) {
            report.differences.push(format!(
                "line {number}: settlement {reference} of {paid} {currency}, but its {count} lines \
                 come to {sum}"
            ));
        }
        let (amount, fee) = (i64::try_from(owed).unwrap_or(0), i64::try_from(kept).unwrap_or(0));
        settled.push((number, Settlement { reference, amount, fee, currency }));
    }
    settled
}

#[cfg(test)]
mod tests {
    use caudal_domain::Timestamp;

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
    fn a_settlement_is_the_sum_of_the_lines_before_it() {
        use SettlementKind::{Charge, Fee, Payout, Refund, Settlement};
        for (paid, tolerance, differences) in
            [(-1410, 0, 0), (-1409, 0, 1), (-1409, 1, 0), (-1500, 0, 1)]
        {
            let lines = [
                line(2, Charge, 1000, 59),
                line(3, Charge, 500, 31),
                line(4, Settlement, paid, 0),
                line(5, Refund, -100, 0),
                line(6, Charge, 300, 0),
                line(7, Fee, 0, 15),
                line(8, Payout, -50, 0),
                line(9, Settlement, -135, 0),
            ];
            let mut report = SettlementReport::default();
            let paid_out = check_sums(&lines, tolerance, &mut report);
            assert_eq!(report.differences.len(), differences, "{paid} {tolerance}");
            let sums: Vec<_> = paid_out.iter().map(|(_, it)| (it.amount, it.fee)).collect();
            assert_eq!(sums, [(1500, 90), (200, 15)], "payouts are booked already");
        }
    }

    #[test]
    fn a_charge_stands_in_the_lines_of_one_form_only() {
        use SettlementKind::Charge;
        let of = |number, charge: &str| SettlementLine {
            charge: charge.into(),
            ..line(number, Charge, 10, 0)
        };
        let mut differences = Vec::new();
        let lines = [of(2, "a b"), of(3, "c"), of(4, "c"), of(5, "b")];
        let found = things(&lines, &mut differences);
        let amounts: Vec<_> = found.iter().map(|((_, it), told)| (it.len(), told.amount)).collect();
        assert_eq!(amounts, [(2, 10), (1, 10), (1, 20)]);
        assert_eq!(differences, ["line 5: charge b is in line 2 too"]);
    }
}
