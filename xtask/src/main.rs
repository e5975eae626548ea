//! `cargo xtask COMMAND`: the project's own automation.
//!
//! How to add a command: a module in `lib.rs`, a variant here, a line in the `match`, and a target
//! in the `Makefile` if users are to type it.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::testbed::{Action, Server};
use xtask::workspace::Workspace;
use xtask::{bench, chaos, ci, testbed, tidy};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Caudal's own automation")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Hold the sources against the house rules
    Tidy,
    /// Everything that needs no server: format, clippy, tidy, deny
    Lint,
    /// Every suite, with the real servers it needs
    Ci,
    /// Caudal side by side with pgbench double entry, in one run on one PostgreSQL
    Bench(bench::Args),
    /// Servers killed, stalled and starved under load; nothing acknowledged may be lost
    Chaos(chaos::Args),
    /// Start or stop a real server on a private port, or print its URL
    Testbed { action: Action, server: Server },
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let workspace = Workspace::find()?;
    let passed = match cli.command {
        Command::Tidy => tidy::run(&workspace)?,
        Command::Lint => ci::lint(&workspace)?,
        Command::Ci => ci::run(&workspace)?,
        Command::Bench(args) => bench::run(&workspace, &args)?,
        Command::Chaos(args) => chaos::run(&workspace, &args)?,
        Command::Testbed { action, server } => testbed::run(&workspace, action, server)?,
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
