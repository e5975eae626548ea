//! The `caudal` binary: reads the command line, starts the runtime, runs one command.

use std::process::ExitCode;

use caudal::commands::{self, Cli};
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(commands::run(cli)) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

#[expect(clippy::print_stderr, reason = "there may be no log yet")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("caudal: {error:#}");
    ExitCode::FAILURE
}
