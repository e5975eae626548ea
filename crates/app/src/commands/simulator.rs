//! `caudal simulator`: the payment gateway for test tenants as a process of its own, so that its
//! books outlive the platform's processes and several of these can share it.

use std::{net::SocketAddr, process::ExitCode, sync::Arc};

use caudal_gateway::simulator::{Settings, WebhookSettings};

use super::{say, serve::stop_on_signal};
use crate::{gateways::start_simulator, system::SystemClock};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Listens here.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8090")]
    addr: SocketAddr,
    /// Waits so long before each answer; `PUT /settings` changes this and all else.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency_ms: u64,
    /// Sends no webhooks.
    #[arg(long)]
    no_webhooks: bool,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let webhooks = WebhookSettings { hold: args.no_webhooks, ..WebhookSettings::default() };
    let settings = Settings { latency_ms: args.latency_ms, webhooks, ..Settings::default() };
    let running = start_simulator(args.addr, settings, Arc::new(SystemClock)).await?;
    say(format_args!("the simulator listens on {}", running.url))?;
    say(format_args!("start Caudal with CAUDAL_SIMULATOR_URL={}", running.url))?;
    let stop = stop_on_signal()?;
    tokio::select! {
        () = stop.cancelled() => Ok(ExitCode::SUCCESS),
        () = running.wait() => anyhow::bail!("the simulator stopped by itself"),
    }
}
