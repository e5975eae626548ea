//! `caudal keys`: the keys that sign tokens. Works on the database, so no server need run; those
//! that run take the new key up within seconds.

use std::process::ExitCode;

use caudal_service::signing_keys::Rotation;
use clap::Subcommand;

use super::say;
use crate::{Instance, Settings};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Signs tokens with a new key from now on; what the old key signed stays good.
    Rotate {
        /// For an emergency: what old keys signed is not believed any more. Everybody refreshes.
        #[arg(long)]
        distrust: bool,
    },
}

pub(super) async fn run(settings: &Settings, args: &Args) -> anyhow::Result<ExitCode> {
    let Command::Rotate { distrust } = args.command;
    let rotation = if distrust { Rotation::Distrust } else { Rotation::AtOnce };
    let instance = Instance::open(settings).await?;
    let rotated = instance.service.rotate_signing_key_here(rotation).await?;
    say(format_args!("{} {} signs from {}", rotated.algorithm, rotated.kid, rotated.active_from))?;
    Ok(ExitCode::SUCCESS)
}
