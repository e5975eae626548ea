//! Drives a Caudal over its HTTP API and proves afterwards that it kept its word.
//!
//! A run makes wallets, funds them, moves money between them, and then reads everything back:
//! each transfer that was acknowledged must be listed exactly once, none may be listed that was
//! neither acknowledged nor left without an answer, and the wallets must hold what was funded.
//!
//! In reading order: [`options`] what to run and what came out, `steps` one run from start to
//! end, `setup` the wallets, `load` the generator, `pace` when a request is due, `compose` what a
//! request says, `connection` HTTP/1.1, `tally` what was answered, `verify` the proof, `report`
//! JSON, SVG and table. [`Workload`]s of people are driven by `people`.

mod clock;
mod compose;
mod connection;
mod load;
mod options;
mod pace;
mod people;
mod progress;
mod report;
mod setup;
mod steps;
mod tally;
mod verify;

pub use options::{BenchError, Options, RunResult, Workload};
pub use report::{table, write_report};

/// Runs what `options` say: one run, or one a step of the ladder.
///
/// With `options.out` the report is written as well.
///
/// # Errors
/// Options that make no sense, a server that refuses to make wallets, a report that cannot be
/// written. What goes wrong under load is counted in the result instead.
pub async fn run(options: &Options) -> Result<Vec<RunResult>, BenchError> {
    options.check()?;
    let runs = match options.workload {
        Workload::Transfers | Workload::Payments | Workload::Cards if options.ladder => {
            steps::ladder(options).await?
        }
        Workload::Transfers | Workload::Payments | Workload::Cards => {
            vec![steps::one(options).await?]
        }
        workload => vec![people::one(options, workload).await?],
    };
    if let Some(out) = &options.out {
        write_report(out, &runs)?;
    }
    Ok(runs)
}
