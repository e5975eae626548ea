//! What `make test` and `make lint` run, and the table at their end.
//!
//! Every suite runs even when an earlier one failed, so that one run tells all there is to mend;
//! only a failed build skips the tests. The last line counts suites.
//!
//! How to add a suite: a method of [`Run`] that calls [`Run::suite`] or [`Run::skip`], called from
//! [`run`] or [`lint`].

mod results;

use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::process::stream;
use crate::testbed::postgres::{Postgres, is_installed, postgres_up};
use crate::workspace::{Package, Workspace, cargo};
use crate::{chaos, say, testbed, tidy};
use results::Results;

/// How often each server is killed; `cargo xtask chaos` kills more.
const KILLS: u64 = 5;
/// No suite takes a tenth of this; one that hangs must not hold a machine for ever.
const LIMIT: Duration = Duration::from_secs(60 * 60);

enum Outcome {
    Passed,
    Failed,
    Skipped,
}

struct Suite {
    name: String,
    outcome: Outcome,
    took: Duration,
    /// How many tests, or why it failed or was skipped.
    note: String,
}

/// One run and what it has found so far.
struct Run<'a> {
    workspace: &'a Workspace,
    suites: Vec<Suite>,
}

/// Every suite; true if none failed.
pub fn run(workspace: &Workspace) -> Result<bool> {
    let mut run = Run { workspace, suites: Vec::new() };
    run.sources();
    if run.build() {
        run.tests();
        run.faults();
    } else {
        run.skip("tests", "the build failed");
        run.skip("faults", "the build failed");
    }
    Ok(run.finish())
}

/// The suites that read sources only; true if none failed.
pub fn lint(workspace: &Workspace) -> Result<bool> {
    let mut run = Run { workspace, suites: Vec::new() };
    run.sources();
    Ok(run.finish())
}

impl Run<'_> {
    fn sources(&mut self) {
        self.command("format", &["fmt", "--all", "--check"]);
        self.command(
            "clippy",
            &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"],
        );
        let workspace = self.workspace;
        self.suite("tidy", || match tidy::run(workspace)? {
            true => Ok(String::new()),
            false => bail!("see the findings above"),
        });
        // Bare `cargo deny` would be taken for a mistyped command and explained at length.
        if Command::new("cargo-deny").arg("--version").output().is_ok() {
            self.command("deny", &["deny", "--workspace", "check"]);
        } else {
            self.skip("deny", "cargo-deny is not installed: cargo install --locked cargo-deny");
        }
    }

    fn build(&mut self) -> bool {
        self.command("build", &["test", "--quiet", "--workspace", "--no-run"])
    }

    fn tests(&mut self) {
        let postgres = self.postgres();
        let mut command = cargo();
        command.args(["test", "--workspace", "--no-fail-fast"]);
        // Tests wait for databases and clients more than they compute; more at once would want more
        // connections than a testbed has.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        command.env("RUST_TEST_THREADS", (4 * cores).min(16).to_string());
        command.current_dir(&self.workspace.root);
        if let Some((postgres, _)) = &postgres {
            command.env("CAUDAL_TEST_POSTGRES_URL", postgres.url());
        } else {
            command.env_remove("CAUDAL_TEST_POSTGRES_URL");
        }
        let mut results = Results::new(self.workspace.packages().unwrap_or_default());
        heading("tests");
        let started = Instant::now();
        let ended = stream(command, LIMIT, &mut |line| {
            say(line);
            results.read(line);
        });
        let suites = results.finish();
        let all_passed = !suites.iter().any(|suite| matches!(suite.outcome, Outcome::Failed));
        self.suites.extend(suites);
        // What no single suite accounts for: a documentation test that does not compile, say.
        let problem = match ended {
            Ok(status) if status.success() || !all_passed => None,
            Ok(status) => Some(failed(status)),
            Err(error) => Some(format!("{error:#}")),
        };
        if let Some(note) = problem {
            self.report(Suite {
                name: "tests".into(),
                outcome: Outcome::Failed,
                took: started.elapsed(),
                note,
            });
        }
        if let Some((postgres, dir)) = postgres {
            drop(postgres);
            std::fs::remove_dir_all(dir).ok();
        }
    }

    /// The short form of `cargo xtask chaos`.
    fn faults(&mut self) {
        let workspace = self.workspace;
        let mut skipped = Vec::new();
        self.suite("faults", || {
            let profile = chaos::Profile::Dev;
            let (only, binary) = (Vec::new(), None);
            let args = chaos::Args { kills: KILLS, seed: 1, only, profile, binary };
            let found = chaos::parts(workspace, &args)?;
            skipped = found.skipped;
            ensure!(found.failed.is_empty(), found.failed.join("; "));
            Ok(format!("{} parts", found.passed))
        });
        skipped.iter().for_each(|why| self.skip("faults", why));
    }

    /// A PostgreSQL for this run alone; its start is a suite, for a failure there must show.
    fn postgres(&mut self) -> Option<(Postgres, std::path::PathBuf)> {
        if !is_installed() {
            self.skip("postgres", "PostgreSQL is not installed: xtask/setup.sh test");
            return None;
        }
        let workspace = self.workspace;
        let mut up = None;
        self.suite("postgres", || {
            let dir = testbed::fresh_dir(workspace, "ci")?;
            let postgres = postgres_up(&dir)?;
            let note = format!("version {} at {}", postgres.version(), postgres.url());
            up = Some((postgres, dir));
            Ok(note)
        });
        up
    }

    fn command(&mut self, name: &str, arguments: &[&str]) -> bool {
        let mut command = cargo();
        command.args(arguments).current_dir(&self.workspace.root);
        self.suite(name, || {
            let status = stream(command, LIMIT, &mut |line| say(line))?;
            if status.success() { Ok(String::new()) } else { bail!(failed(status)) }
        })
    }

    /// Runs one suite, which returns a note for the table; true if it passed.
    fn suite(&mut self, name: &str, check: impl FnOnce() -> Result<String>) -> bool {
        heading(name);
        let started = Instant::now();
        let result = check();
        let passed = result.is_ok();
        let (outcome, note) = match result {
            Ok(note) => (Outcome::Passed, note),
            Err(error) => (Outcome::Failed, format!("{error:#}")),
        };
        self.report(Suite { name: name.into(), outcome, took: started.elapsed(), note });
        passed
    }

    fn skip(&mut self, name: &str, why: &str) {
        let outcome = Outcome::Skipped;
        self.report(Suite { name: name.into(), outcome, took: Duration::ZERO, note: why.into() });
    }

    fn report(&mut self, suite: Suite) {
        say(suite.line());
        self.suites.push(suite);
    }

    fn finish(self) -> bool {
        heading("summary");
        self.suites.iter().for_each(|suite| say(suite.line()));
        say("");
        say(count(&self.suites));
        !self.suites.iter().any(|suite| matches!(suite.outcome, Outcome::Failed))
    }
}

impl Suite {
    fn line(&self) -> String {
        let outcome = match self.outcome {
            Outcome::Passed => "passed",
            Outcome::Failed => "FAILED",
            Outcome::Skipped => "SKIPPED",
        };
        let minutes = self.took.as_secs_f64() / 60.0;
        // The first line of a long note; all of it was printed when the suite ran.
        let note = self.note.lines().next().unwrap_or_default();
        format!("{:<28} {outcome:<8} {minutes:>5.1} min  {note}", self.name).trim_end().to_owned()
    }
}

fn count(suites: &[Suite]) -> String {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for suite in suites {
        match suite.outcome {
            Outcome::Passed => passed += 1,
            Outcome::Failed => failed += 1,
            Outcome::Skipped => skipped += 1,
        }
    }
    format!("{passed} passed, {failed} failed, {skipped} skipped")
}

fn heading(name: &str) {
    say(format!("\n== {name}"));
}

fn failed(status: ExitStatus) -> String {
    format!("ended with {status}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_suites() {
        let workspace = Workspace { root: ".".into() };
        let mut run = Run { workspace: &workspace, suites: Vec::new() };
        assert!(run.suite("one", || Ok(String::new())));
        assert!(!run.suite("two", || bail!("broken")));
        run.skip("three", "no server");
        assert_eq!(count(&run.suites), "1 passed, 1 failed, 1 skipped");
        assert!(run.suites[1].line().contains("FAILED") && run.suites[1].line().contains("broken"));
        assert!(
            run.suites[2].line().contains("SKIPPED") && run.suites[2].line().contains("server")
        );
        assert!(!run.finish());
    }
}
