//! What is here and not in a settlement file: all that went through the file's accounts within its
//! time must be in it.

use std::collections::BTreeSet;

use caudal_domain::{
    Currency, GatewayAccountId, TenantId, Timestamp, TransferId,
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
}

impl Service {
    /// A file holds all of the UTC days from its first line to its last.
    pub(super) async fn not_in_file(
        &self,
        tenant: TenantId,
        lines: &[SettlementLine],
        (seen, used): (&BTreeSet<(SettlementKind, &str)>, &BTreeSet<GatewayAccountId>),
    ) -> Result<Vec<String>, ServiceError> {
        let times = || lines.iter().map(|line| line.at);
        let (Some(first), Some(last)) = (times().min(), times().max()) else {
            return Ok(Vec::new());
        };
        let span = (start_of_day(first), last);
        let mut made = self.charges_made(tenant, span).await?;
        made.extend(self.refunds_made(tenant, span).await?);
        made.extend(self.disputes_made(tenant, span).await?);
        made.extend(self.payouts_made(tenant, span).await?);
        let is_left_out = |it: &Made| {
            used.contains(&it.account) && !seen.contains(&(it.kind, it.reference.as_str()))
        };
        let texts = made.into_iter().filter(is_left_out).map(|it| {
            let Made { id, reference, amount, currency, .. } = it;
            format!("{id} ({reference}) of {amount} {currency} is not in the file")
        });
        Ok(texts.collect())
    }

    /// What was promised may have been made a week before it was taken.
    async fn charges_made(
        &self,
        tenant: TenantId,
        (first, last): (Timestamp, Timestamp),
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
            before: lowest_at(last.plus_seconds(1)),
            from: lowest_at(first.plus_seconds(-AUTHORIZED_FOR_S)),
            limit: PAGE,
        };
        loop {
            let page = payments::list(self.store(), &filter).await?;
            let Some(oldest) = page.last() else { return Ok(made) };
            filter.before = oldest.id.0;
            for row in page {
                let is_within = is_booked_within(row.transfer, (first, last))
                    && (row.manual_capture || row.created_at >= first);
                let amount = row.amounts.captured;
                let names = (row.gateway_account, row.gateway_reference);
                let what = (SettlementKind::Charge, row.id.to_string());
                made.extend(named(what, names, (amount, row.currency)).filter(|_| is_within));
            }
        }
    }

    async fn refunds_made(
        &self,
        tenant: TenantId,
        (first, last): (Timestamp, Timestamp),
    ) -> Result<Vec<Made>, ServiceError> {
        let mut made = Vec::new();
        let (from, before) = (lowest_at(first), lowest_at(last.plus_seconds(1)));
        let mut filter =
            refunds::Filter { tenant, status: None, payment: None, before, from, limit: PAGE };
        loop {
            let page = refunds::list(self.store(), &filter).await?;
            let Some(oldest) = page.last() else { return Ok(made) };
            filter.before = oldest.id.0;
            for row in page {
                let is_due = row.status == RefundStatus::Succeeded && row.updated_at <= last;
                let names = (row.gateway_account, row.gateway_reference);
                let what = (SettlementKind::Refund, row.id.to_string());
                made.extend(named(what, names, (row.amount, row.currency)).filter(|_| is_due));
            }
        }
    }

    async fn disputes_made(
        &self,
        tenant: TenantId,
        (first, last): (Timestamp, Timestamp),
    ) -> Result<Vec<Made>, ServiceError> {
        let mut made = Vec::new();
        let (from, before) = (lowest_at(first), lowest_at(last.plus_seconds(1)));
        let mut filter = disputes::Filter { tenant, status: None, before, from, limit: PAGE };
        loop {
            let page = disputes::list(self.store(), &filter).await?;
            let Some(oldest) = page.last() else { return Ok(made) };
            filter.before = oldest.id.0;
            for row in page {
                let names = (Some(row.gateway_account), Some(row.gateway_reference));
                let what = (SettlementKind::Dispute, row.id.to_string());
                let is_due = row.created_at <= last;
                made.extend(named(what, names, (row.amount, row.currency)).filter(|_| is_due));
            }
        }
    }

    async fn payouts_made(
        &self,
        tenant: TenantId,
        (first, last): (Timestamp, Timestamp),
    ) -> Result<Vec<Made>, ServiceError> {
        let mut made = Vec::new();
        let mut filter = payouts::Filter {
            tenant,
            status: None,
            wallet: None,
            user: None,
            before: lowest_at(last.plus_seconds(1)),
            from: lowest_at(first),
            limit: PAGE,
        };
        loop {
            let page = payouts::list(self.store(), &filter).await?;
            let Some(oldest) = page.last() else { return Ok(made) };
            filter.before = oldest.id.0;
            for row in page {
                let is_due = row.status == PayoutStatus::Paid && row.updated_at <= last;
                let names = (row.gateway_account, row.gateway_reference);
                let what = (SettlementKind::Payout, row.id.to_string());
                made.extend(named(what, names, (row.amount, row.currency)).filter(|_| is_due));
            }
        }
    }
}

fn start_of_day(at: Timestamp) -> Timestamp {
    const DAY_MICROS: i64 = 86_400_000_000;
    Timestamp::from_micros(at.days() * DAY_MICROS)
}

/// Whether the money moved then: the transfer's id says when.
fn is_booked_within(id: Option<TransferId>, (first, last): (Timestamp, Timestamp)) -> bool {
    let within = lowest_at(first)..lowest_at(last.plus_seconds(1));
    id.is_some_and(|id| within.contains(&id.0))
}

/// What has moved money through a gateway, by the gateway's name.
fn named(
    (kind, id): (SettlementKind, String),
    (account, reference): (Option<GatewayAccountId>, Option<String>),
    (amount, currency): (i64, Currency),
) -> Option<Made> {
    let (account, reference) = account.zip(reference)?;
    Some(Made { kind, id, account, reference, amount, currency })
}
