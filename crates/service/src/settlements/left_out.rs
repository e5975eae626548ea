//! What is here and not in a settlement file: all that was made and booked within the file's time,
//! through its accounts, must be in it. What was made before its end or booked after its beginning
//! only may be in the neighbour's: it is open, and a difference once the file holds both days.

use std::collections::BTreeSet;

use caudal_domain::{
    Currency, GatewayAccountId, TenantId, Timestamp,
    id::lowest_at,
    payment::{PayoutStatus, RefundStatus},
};
use caudal_store::{disputes, payments, payouts, refunds};

use super::{SettlementKind, SettlementLine};
use crate::{Service, ServiceError, payments::AUTHORIZED_FOR_S};

const PAGE: i64 = 1000;

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
        (seen, used): (&BTreeSet<(SettlementKind, &str)>, &BTreeSet<GatewayAccountId>),
    ) -> Result<LeftOut, ServiceError> {
        let times = || lines.iter().map(|line| line.at);
        let mut left_out = LeftOut::default();
        let (Some(first), Some(last)) = (times().min(), times().max()) else {
            return Ok(left_out);
        };
        let first = start_of_day(first);
        // Ids tell when something was made; what is made is booked a week later at most, unless a
        // person decides.
        let ids = (lowest_at(first.plus_seconds(-AUTHORIZED_FOR_S)), end_of(last));
        let mut made = self.charges_made(tenant, ids).await?;
        made.extend(self.refunds_made(tenant, ids).await?);
        made.extend(self.disputes_made(tenant, ids).await?);
        made.extend(self.payouts_made(tenant, ids).await?);
        for it in made {
            let (made_at, booked_at) = it.span;
            let is_seen = seen.contains(&(it.kind, it.reference.as_str()));
            if is_seen || !used.contains(&it.account) || booked_at < first {
                continue;
            }
            let Made { id, reference, amount, currency, .. } = it;
            let text = format!("{id} ({reference}) of {amount} {currency} is not in the file");
            match made_at >= first && booked_at <= last {
                true => left_out.differences.push(text),
                false => left_out.open.push(text),
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
    ) -> Result<Vec<Made>, ServiceError> {
        let mut made = Vec::new();
        let mut filter =
            refunds::Filter { tenant, status: None, payment: None, before, from, limit: PAGE };
        loop {
            let page = refunds::list(self.store(), &filter).await?;
            let Some(oldest) = page.last() else { return Ok(made) };
            filter.before = oldest.id.0;
            for row in page.into_iter().filter(|row| row.status == RefundStatus::Succeeded) {
                let names = (row.gateway_account, row.gateway_reference);
                let what = (SettlementKind::Refund, row.id.to_string());
                let span = (row.created_at, row.updated_at);
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
                let names = (Some(row.gateway_account), Some(row.gateway_reference));
                let what = (SettlementKind::Dispute, row.id.to_string());
                let span = (row.created_at, row.created_at);
                made.extend(named(what, names, (row.amount, row.currency), span));
            }
        }
    }

    async fn payouts_made(
        &self,
        tenant: TenantId,
        (from, before): (u128, u128),
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
            for row in page.into_iter().filter(|row| row.status == PayoutStatus::Paid) {
                let names = (row.gateway_account, row.gateway_reference);
                let what = (SettlementKind::Payout, row.id.to_string());
                let span = (row.created_at, row.updated_at);
                made.extend(named(what, names, (row.amount, row.currency), span));
            }
        }
    }
}

fn start_of_day(at: Timestamp) -> Timestamp {
    const DAY_MICROS: i64 = 86_400_000_000;
    Timestamp::from_micros(at.days() * DAY_MICROS)
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
