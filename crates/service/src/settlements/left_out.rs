//! What is here and not in a settlement file: all that was made and booked within the file's time,
//! through its accounts, must be in it. What was only made, or only booked, within it may be in the
//! neighbour's: it is open, and a difference once the file holds both days.

use std::collections::BTreeSet;

use caudal_domain::{
    Currency, GatewayAccountId, TenantId, Timestamp,
    id::lowest_at,
    payment::{DisputeStatus, PayoutStatus, RefundStatus},
};
use caudal_store::{disputes, payments, payouts, refunds};

use super::{SettlementKind, SettlementLine, check::words};
use crate::{Service, ServiceError, payments::AUTHORIZED_FOR_S, refunds::made_there::REASON};

const PAGE: i64 = 1000;
/// So long after it went something may come back: a dispute that is won, a returned payout.
const COMES_BACK_S: i64 = 180 * 24 * 3600;

/// A thing that must be in the file, if the file is of its account.
struct Made {
    kind: SettlementKind,
    id: String,
    account: GatewayAccountId,
    reference: String,
    amount: i64,
    currency: Currency,
    /// From when it was made to when it was booked.
    span: Span,
}

type Span = (Timestamp, Timestamp);
/// What the file names.
type Seen<'a> = BTreeSet<(SettlementKind, &'a str)>;

/// What is not in the file.
#[derive(Default)]
pub(super) struct LeftOut {
    pub differences: Vec<String>,
    /// May be in the file of the day before or after.
    pub open: Vec<String>,
}

impl Service {
    /// A file holds all of the UTC days from its first line to its last.
    pub(super) async fn not_in_file(
        &self,
        tenant: TenantId,
        lines: &[SettlementLine],
        (seen, used): (&Seen<'_>, &BTreeSet<GatewayAccountId>),
    ) -> Result<LeftOut, ServiceError> {
        let mut left_out = LeftOut::default();
        let Some((first, last)) = days_of(lines, self.now()) else { return Ok(left_out) };
        // Ids tell when something was made. A charge is booked a week later at most, unless a
        // person decides; a dispute may be won after months.
        let since = |seconds: i64| (lowest_at(first.plus_seconds(-seconds)), end_of(last));
        let mut made = self.charges_made(tenant, since(AUTHORIZED_FOR_S)).await?;
        made.extend(self.refunds_made(tenant, since(COMES_BACK_S), seen).await?);
        made.extend(self.disputes_made(tenant, since(COMES_BACK_S)).await?);
        made.extend(self.payouts_made(tenant, since(COMES_BACK_S), seen).await?);
        for it in made {
            let (made_at, booked_at) = it.span;
            let is_seen = seen.contains(&(it.kind, it.reference.as_str()));
            let is_of_others = booked_at < first || made_at > last;
            if is_seen || is_of_others || !used.contains(&it.account) {
                continue;
            }
            let Made { id, reference, amount, currency, .. } = it;
            let what = words(it.kind).0;
            let text =
                format!("{what} {id} ({reference}) of {amount} {currency} is not in the file");
            match made_at >= first && booked_at <= last {
                true => left_out.differences.push(text),
                false => left_out.open.push(format!("{text}: it took more than its days")),
            }
        }
        Ok(left_out)
    }

    /// A promise is made before it is taken: only the taking counts.
    async fn charges_made(
        &self,
        tenant: TenantId,
        (from, before): (u128, u128),
    ) -> Result<Vec<Made>, ServiceError> {
        let mut made = Vec::new();
        let mut filter = payments::Filter {
            tenant,
            status: None,
            kind: None,
            wallet: None,
            payer: None,
            user: None,
            reference: None,
            before,
            from,
            limit: PAGE,
        };
        loop {
            let page = payments::list(self.store(), &filter).await?;
            let Some(oldest) = page.last() else { return Ok(made) };
            filter.before = oldest.id.0;
            for row in page {
                let Some(booked_at) = row.transfer.map(|id| time_of(id.0)) else { continue };
                let made_at = if row.manual_capture { booked_at } else { row.created_at };
                let amount = row.amounts.captured;
                let names = (row.gateway_account, row.gateway_reference);
                let what = (SettlementKind::Charge, row.id.to_string());
                made.extend(named(what, names, (amount, row.currency), (made_at, booked_at)));
            }
        }
    }

    async fn refunds_made(
        &self,
        tenant: TenantId,
        (from, before): (u128, u128),
        seen: &Seen<'_>,
    ) -> Result<Vec<Made>, ServiceError> {
        let mut made = Vec::new();
        let mut filter =
            refunds::Filter { tenant, status: None, payment: None, before, from, limit: PAGE };
        loop {
            let page = refunds::list(self.store(), &filter).await?;
            let Some(oldest) = page.last() else { return Ok(made) };
            filter.before = oldest.id.0;
            for row in page {
                let names = (row.gateway_account, row.gateway_reference);
                let (kind, made_at) = match row.status {
                    // We only know since when we know of it.
                    RefundStatus::Succeeded if row.reason.as_deref() == Some(REASON) => {
                        (SettlementKind::Refund, Timestamp::default())
                    }
                    RefundStatus::Succeeded => (SettlementKind::Refund, row.created_at),
                    // What was never taken need not come back.
                    RefundStatus::Failed if is_seen(seen, SettlementKind::Refund, &names.1) => {
                        (SettlementKind::RefundFailed, row.updated_at)
                    }
                    _ => continue,
                };
                let what = (kind, row.id.to_string());
                let span = (made_at, row.updated_at);
                made.extend(named(what, names, (row.amount, row.currency), span));
            }
        }
    }

    async fn disputes_made(
        &self,
        tenant: TenantId,
        (from, before): (u128, u128),
    ) -> Result<Vec<Made>, ServiceError> {
        let mut made = Vec::new();
        let mut filter = disputes::Filter { tenant, status: None, before, from, limit: PAGE };
        loop {
            let page = disputes::list(self.store(), &filter).await?;
            let Some(oldest) = page.last() else { return Ok(made) };
            filter.before = oldest.id.0;
            for row in page {
                let names = || (Some(row.gateway_account), Some(row.gateway_reference.clone()));
                let amount = (row.amount, row.currency);
                let what = |kind| (kind, row.id.to_string());
                let opened = (row.created_at, row.created_at);
                made.extend(named(what(SettlementKind::Dispute), names(), amount, opened));
                if row.status == DisputeStatus::Won {
                    let won = (row.updated_at, row.updated_at);
                    made.extend(named(what(SettlementKind::DisputeWon), names(), amount, won));
                }
            }
        }
    }

    async fn payouts_made(
        &self,
        tenant: TenantId,
        (from, before): (u128, u128),
        seen: &Seen<'_>,
    ) -> Result<Vec<Made>, ServiceError> {
        let mut made = Vec::new();
        let mut filter = payouts::Filter {
            tenant,
            status: None,
            wallet: None,
            user: None,
            before,
            from,
            limit: PAGE,
        };
        loop {
            let page = payouts::list(self.store(), &filter).await?;
            let Some(oldest) = page.last() else { return Ok(made) };
            filter.before = oldest.id.0;
            for row in page {
                let names = (row.gateway_account, row.gateway_reference);
                let is_sent = is_seen(seen, SettlementKind::Payout, &names.1);
                let (kind, made_at) = match row.status {
                    PayoutStatus::Paid => (SettlementKind::Payout, row.created_at),
                    PayoutStatus::Returned => (SettlementKind::PayoutReturned, row.updated_at),
                    // Refused, the gateway has never taken it, unless the file says so.
                    PayoutStatus::Failed if is_sent => {
                        (SettlementKind::PayoutReturned, row.updated_at)
                    }
                    _ => continue,
                };
                let what = (kind, row.id.to_string());
                let span = (made_at, row.updated_at);
                made.extend(named(what, names, (row.amount, row.currency), span));
            }
        }
    }
}

/// All of the days from the first line to the last; of a day that is not over, up to the last line.
fn days_of(lines: &[SettlementLine], now: Timestamp) -> Option<Span> {
    const DAY_MICROS: i64 = 86_400_000_000;
    let start_of = |day: i64| Timestamp::from_micros(day * DAY_MICROS);
    let times = || lines.iter().map(|line| line.at);
    let (first, last) = times().min().zip(times().max())?;
    let next_day = start_of(last.days() + 1);
    let is_over = next_day <= now;
    let end = if is_over { Timestamp::from_micros(next_day.micros() - 1) } else { last };
    Some((start_of(first.days()), end))
}

fn is_seen(seen: &Seen<'_>, kind: SettlementKind, reference: &Option<String>) -> bool {
    reference.as_deref().is_some_and(|reference| seen.contains(&(kind, reference)))
}

/// When what has this id was made, to the millisecond.
fn time_of(id: u128) -> Timestamp {
    Timestamp::from_micros((id >> 80) as i64 * 1000)
}

/// Ids from then on are of later times.
fn end_of(at: Timestamp) -> u128 {
    lowest_at(at.plus_seconds(1))
}

/// What has moved money through a gateway, by the gateway's name.
fn named(
    (kind, id): (SettlementKind, String),
    (account, reference): (Option<GatewayAccountId>, Option<String>),
    (amount, currency): (i64, Currency),
    span: Span,
) -> Option<Made> {
    let (account, reference) = account.zip(reference)?;
    Some(Made { kind, id, account, reference, amount, currency, span })
}
