//! `caudal migrate`: the schema, brought up to date or only checked.

use std::process::ExitCode;

use caudal_domain::Clock;

use super::{exit, say};
use crate::{Settings, system::SystemClock};

const UP_TO_DATE: &str = "the schema is up to date";

#[derive(clap::Args)]
pub(super) struct Args {
    /// Changes nothing; exit 1 when migrations are waiting.
    #[arg(long)]
    check: bool,
}

pub(super) async fn run(settings: &Settings, args: &Args) -> anyhow::Result<ExitCode> {
    let store = caudal_store::open(&settings.store()).await?;
    if args.check {
        let pending = store.pending_migrations().await?;
        pending.iter().try_for_each(|name| say(format_args!("waiting: {name}")))?;
        if !pending.is_empty() {
            return Ok(exit(false));
        }
        say(UP_TO_DATE)?;
        return Ok(exit(true));
    }
    let done = store.migrate(SystemClock.now()).await?;
    done.iter().try_for_each(|name| say(format_args!("done: {name}")))?;
    say(UP_TO_DATE)?;
    Ok(ExitCode::SUCCESS)
}
