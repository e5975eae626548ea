//! The commands, a file each. To add one more: a file, a variant of [`Command`], its line in
//! [`run`].

mod bench;
mod doctor;
mod keys;
mod partitions;
mod prove;
mod schema;
mod serve;
mod simulator;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::Settings;

/// Caudal: wallets, a double-entry ledger and payments in one binary.
#[derive(Parser)]
#[command(version, about)]
pub struct Cli {
    /// Read this file instead of caudal.toml.
    #[arg(long, global = true, value_name = "FILE", env = "CAUDAL_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The platform; without arguments on the embedded database.
    Serve(serve::Args),
    /// Brings the schema up to date.
    Migrate(schema::Args),
    /// Creates partitions ahead and removes what is not books.
    Partitions,
    /// Drives the HTTP API and verifies every acknowledged transfer.
    Bench(Box<bench::Args>),
    /// Proves the books and prints the trial balance; exit 1 on any difference.
    Reconcile(prove::Args),
    /// Works balances out again from the events and compares; exit 1 on any difference.
    Rebuild,
    /// A payment gateway for test tenants, as a process of its own.
    Simulator(simulator::Args),
    /// Keys that sign and seal.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Prints the effective configuration without secrets.
    Config(ConfigArgs),
    /// Checks a deployment from inside.
    Doctor,
}

#[derive(clap::Args)]
struct ConfigArgs {
    /// Only checks; prints nothing but problems.
    #[arg(long)]
    check: bool,
}

/// Runs the command; the exit code tells what a script needs to know.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(cli.config.as_deref())?;
    match cli.command {
        Command::Serve(args) => serve::run(&args.over(settings)?).await,
        Command::Migrate(args) => schema::run(&settings, &args).await,
        Command::Partitions => partitions::run(&settings).await,
        Command::Bench(args) => bench::run(&settings, *args).await,
        Command::Reconcile(args) => prove::reconcile(&settings, &args).await,
        Command::Rebuild => prove::rebuild(&settings).await,
        Command::Simulator(args) => simulator::run(&args).await,
        Command::Keys(keys) => keys::run(&settings, &keys).await,
        Command::Config(args) => {
            if !args.check {
                say(format_args!("{settings}"))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor => doctor::run(&settings).await,
    }
}

/// What a command has to tell goes to standard output, line by line.
pub(crate) fn say(line: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

pub(crate) fn exit(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
