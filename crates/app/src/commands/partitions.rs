//! `caudal partitions`: what the worker does by itself, at once.

use std::process::ExitCode;

use caudal_domain::Clock;

use super::say;
use crate::{Settings, system::SystemClock};

pub(super) async fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let store = caudal_store::open(&settings.store()).await?;
    let now = SystemClock.now();
    let created = store.create_partitions(now).await?;
    created.iter().try_for_each(|name| say(format_args!("created: {name}")))?;
    store.retire_receipts(now).await?;
    say("partitions are there for this month and the next three")?;
    Ok(ExitCode::SUCCESS)
}
