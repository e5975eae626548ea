//! `caudal keys`: keys that sign and seal. Works on the database, so no server need run; those
//! that run take a new signing key up within seconds.

use std::process::ExitCode;

use caudal_service::{
    reseal::{Resealed, Shelf},
    signing_keys::Rotation,
};
use clap::Subcommand;

use super::say;
use crate::{Instance, Settings};

#[derive(Subcommand)]
pub(super) enum Keys {
    /// Signs tokens with a new key from now on; what the old key signed stays good.
    Rotate {
        /// For an emergency: what old keys signed is not believed any more. Everybody refreshes.
        #[arg(long)]
        distrust: bool,
    },
    /// Seals secrets at rest anew under the first of CAUDAL_MASTER_KEYS.
    Reseal,
}

pub(super) async fn run(settings: &Settings, keys: &Keys) -> anyhow::Result<ExitCode> {
    let instance = Instance::open(settings).await?;
    match keys {
        Keys::Rotate { distrust } => rotate(&instance, *distrust).await,
        Keys::Reseal => reseal(&instance).await,
    }
}

async fn rotate(instance: &Instance, distrust: bool) -> anyhow::Result<ExitCode> {
    let rotation = if distrust { Rotation::Distrust } else { Rotation::AtOnce };
    let rotated = instance.service.rotate_signing_key_here(rotation).await?;
    say(format_args!("{} {} signs from {}", rotated.algorithm, rotated.kid, rotated.active_from))?;
    Ok(ExitCode::SUCCESS)
}

async fn reseal(instance: &Instance) -> anyhow::Result<ExitCode> {
    let told = |shelf: Shelf, done: &Resealed| {
        tracing::info!(table = shelf.name(), rows = done.looked_at, "sealed anew");
    };
    let done = instance.service.reseal(told).await?;
    say(format_args!("{} of {} secrets were sealed anew", done.resealed, done.looked_at))?;
    Ok(ExitCode::SUCCESS)
}
