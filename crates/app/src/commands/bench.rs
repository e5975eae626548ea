//! `caudal bench`: the load driver, against a URL or an instance of its own.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, ensure};
use caudal_bench::{Options, Workload};

use super::{exit, say, serve};
use crate::Settings;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Where Caudal is; several are loaded side by side.
    #[arg(long, value_name = "URL")]
    url: Vec<String>,
    /// A key with every scope of a test tenant.
    #[arg(long, env = "CAUDAL_BENCH_API_KEY", hide_env_values = true, value_name = "KEY")]
    api_key: Option<String>,
    /// Starts an instance of its own on a new SQLite file.
    #[arg(long, conflicts_with = "url")]
    embedded: bool,
    /// transfers, payments, cards, login, registration, profile or refresh; those of people want a
    /// server with CAUDAL_RATE_LIMITS=off
    #[arg(long, default_value = "transfers", value_parser = workload)]
    workload: Workload,
    /// Requests a second, whatever the answers; latency counts from the intended start.
    #[arg(long, conflicts_with = "max")]
    rate: Option<u32>,
    /// As fast as answers come (the default).
    #[arg(long)]
    max: bool,
    /// Rates of 100, 300, 600, 1000, 1500, 2000 … a second, then the most.
    #[arg(long)]
    ladder: bool,
    /// Seconds measured.
    #[arg(long, default_value_t = 20)]
    duration: u64,
    #[arg(long, default_value_t = 256)]
    connections: usize,
    #[arg(long, default_value_t = 10_000)]
    wallets: usize,
    /// Percent of transfers that go through one wallet.
    #[arg(long, default_value_t = 0)]
    hot: u8,
    /// Transfers a request.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Fraud rules made for the run, none of which holds.
    #[arg(long, default_value_t = 0)]
    rules: usize,
    /// Names the run in reports.
    #[arg(long, default_value = "bench")]
    name: String,
    /// Writes OUT.json and OUT.svg.
    #[arg(long)]
    out: Option<PathBuf>,
    #[arg(long)]
    no_progress: bool,
    /// The server may go away: tries each key again for 30 s.
    #[arg(long)]
    tolerate_faults: bool,
}

fn workload(name: &str) -> Result<Workload, String> {
    let names = || Workload::ALL.iter().map(|w| w.name()).collect::<Vec<_>>().join(", ");
    Workload::from_name(name).ok_or_else(|| format!("one of {}", names()))
}

pub(super) async fn run(settings: &Settings, args: Args) -> anyhow::Result<ExitCode> {
    if !args.embedded {
        let api_key = args.api_key.clone().context("give --api-key (or --embedded)")?;
        let urls = match args.url.is_empty() {
            true => vec![format!("http://{}", settings.http_addr)],
            false => args.url.clone(),
        };
        return drive(args, urls, api_key).await;
    }
    ensure!(args.api_key.is_none(), "--embedded makes its own key");
    let dir = std::env::temp_dir().join(format!("caudal-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let own = serve::Embedded::start(settings, &dir).await?;
    let result = drive(args, vec![own.url.clone()], own.api_key.clone()).await;
    own.stop().await;
    std::fs::remove_dir_all(&dir)?;
    result
}

async fn drive(args: Args, urls: Vec<String>, api_key: String) -> anyhow::Result<ExitCode> {
    let options = Options {
        workload: args.workload,
        urls,
        api_key,
        connections: args.connections,
        duration: Duration::from_secs(args.duration),
        wallets: args.wallets,
        hot: args.hot,
        batch: args.batch,
        rules: args.rules,
        rate: args.rate,
        ladder: args.ladder,
        progress: !args.no_progress,
        name: args.name,
        out: args.out,
        tolerate_faults: args.tolerate_faults,
        ..Options::default()
    };
    let runs = caudal_bench::run(&options).await?;
    say(caudal_bench::table(&runs))?;
    Ok(exit(runs.iter().all(|run| run.verified)))
}
