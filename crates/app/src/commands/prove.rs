//! `caudal reconcile` and `caudal rebuild`: the books, proved.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use caudal_domain::TenantId;
use caudal_service::{
    rebuild::Rebuilt,
    settlements::{Settlement, SettlementReport, read_settlement},
};

use super::{exit, say};
use crate::{Instance, Settings};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Only this tenant's books.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Holds a gateway's settlement file against the tenant's payments instead.
    #[arg(long, value_name = "FILE", requires = "tenant")]
    settlement: Option<PathBuf>,
    /// What amounts of the file may differ by, in minor units.
    #[arg(long, value_name = "AMOUNT", default_value_t = 0, requires = "settlement")]
    tolerance: i64,
}

pub(super) async fn reconcile(settings: &Settings, args: &Args) -> anyhow::Result<ExitCode> {
    let tenant = args.tenant.as_deref().map(str::parse::<TenantId>).transpose();
    let tenant = tenant.context("--tenant wants an id such as ten_…")?;
    let instance = Instance::open(settings).await?;
    if let (Some(tenant), Some(file)) = (tenant, &args.settlement) {
        return settlement(&instance, tenant, (file, args.tolerance)).await;
    }
    let report = instance.service.reconcile(tenant).await?;
    for check in &report.checks {
        match &check.differences {
            None => say(format_args!("  –   {} (only for all tenants)", check.name))?,
            Some(found) if found.is_empty() => say(format_args!("  ok  {}", check.name))?,
            Some(found) => {
                say(format_args!("  NO  {}", check.name))?;
                found.iter().try_for_each(|line| say(format_args!("        {line}")))?;
            }
        }
    }
    say(format_args!(
        "\n{:<4} {:<18} {:<9} {:<6} {:>9} {:>22} {:>18} {:>18}",
        "", "account", "class", "side", "accounts", "total", "held", "pending"
    ))?;
    for line in &report.trial_balance {
        say(format_args!(
            "{:<4} {:<18} {:<9} {:<6} {:>9} {:>22} {:>18} {:>18}",
            line.currency,
            line.kind,
            line.class,
            line.side,
            line.accounts,
            line.total,
            line.held,
            line.pending
        ))?;
    }
    let proven = report.is_proven();
    let verdict = match proven {
        true => "\nThe books are proven.",
        false => "\nThe books do NOT agree: see NO above.",
    };
    say(verdict)?;
    Ok(exit(proven))
}

async fn settlement(
    instance: &Instance,
    tenant: TenantId,
    (file, tolerance): (&Path, i64),
) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(file).context("the settlement file can't be read")?;
    let lines = read_settlement(&text).map_err(anyhow::Error::msg)?;
    let report = instance.service.check_settlement(tenant, &lines, tolerance).await?;
    let SettlementReport { lines, matched, settlements, differences, open } = report;
    say(format_args!("{lines} lines, {matched} matched"))?;
    for (Settlement { reference, amount, fee, currency }, is_booked) in settlements {
        let booked = if is_booked { "booked" } else { "not booked" };
        let paid = amount - fee;
        say(format_args!(
            "  settlement {reference}: {amount} {currency}, fees {fee}, paid {paid}: {booked}"
        ))?;
    }
    open.iter().try_for_each(|line| say(format_args!("  ?   {line}")))?;
    differences.iter().try_for_each(|line| say(format_args!("  NO  {line}")))?;
    let same = differences.is_empty();
    say(if same { "File and payments agree." } else { "They do NOT agree: see NO above." })?;
    Ok(exit(same))
}

pub(super) async fn rebuild(settings: &Settings) -> anyhow::Result<ExitCode> {
    let instance = Instance::open(settings).await?;
    let rebuilt = instance.service.rebuild().await?;
    let Rebuilt { events, accounts, payments, .. } = rebuilt;
    say(format_args!("{events} events, {accounts} accounts, {payments} payments"))?;
    rebuilt.differences.iter().try_for_each(|line| say(format_args!("  NO  {line}")))?;
    let same = rebuilt.differences.is_empty();
    let verdict = match same {
        true => "Events, accounts, payments and daily sums say the same.",
        false => "They differ: see NO above. This puts daily sums right, accounts never.",
    };
    say(verdict)?;
    Ok(exit(same))
}
