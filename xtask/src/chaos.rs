//! Faults at the level of processes, under load, and what must hold all the same: whatever was
//! acknowledged is there exactly once, the books agree, and service returns by itself.
//!
//! Every part has a database of its own, drives it with `caudal bench` (which reads back all it was
//! told) and with probes (which see every answer), and ends with `caudal reconcile` and
//! `caudal rebuild`. All waits are polls with a limit; all children are ended by their numbers.
//!
//! Reading order: [`kills`], [`stalls`], [`crossing`], [`outages`], [`stops`] (the parts), `bed`
//! (what they share), `caudal` (servers, load, proofs as child processes), `probe` (a client that
//! keeps account of every answer), `client` (HTTP).
//!
//! How to add a part: a function from [`Bed`] to [`Verdict`] and its row in [`PARTS`].

mod bed;
mod caudal;
mod client;
mod crossing;
mod kills;
mod outages;
mod probe;
mod stalls;
mod stops;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::process::stream;
use crate::say;
use crate::testbed::fresh_dir;
use crate::testbed::postgres::{is_installed, postgres_up};
use crate::workspace::{Workspace, cargo};
use bed::Bed;

const BUILD_LIMIT: Duration = Duration::from_secs(3_600);

/// What the command takes.
#[derive(clap::Args, Debug, Clone)]
pub struct Args {
    /// How often each server is killed
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub kills: u64,
    /// Chooses the moments; the same seed chooses the same ones
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// These parts only, e.g. `kill-caudal,stall`
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Which build is put to the test
    #[arg(long, value_enum, default_value_t = Profile::Release)]
    pub profile: Profile,
    /// This program instead; nothing is built
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    pub binary: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Profile {
    /// What the tests have built
    Dev,
    /// What users get
    Release,
}

/// How a part ended, with its figures or the reason why it could not be run.
enum Verdict {
    Passed(String),
    Skipped(String),
}

type Part = fn(&mut Bed) -> Result<Verdict>;

const PARTS: [(&str, Part); 9] = [
    ("kill-caudal", kills::caudal),
    ("kill-postgres", kills::postgres),
    ("kill-sqlite", kills::sqlite),
    ("kill-cards", kills::cards),
    ("stall", stalls::run),
    ("crossing", crossing::run),
    ("full-disk", outages::full_disk),
    ("lost-postgres", outages::lost_postgres),
    ("shutdown", stops::run),
];

/// What the parts came to.
#[derive(Debug, Default)]
pub struct Found {
    pub passed: usize,
    pub failed: Vec<String>,
    /// `part: why`.
    pub skipped: Vec<String>,
}

/// The long form, with the program as users get it; whether every part held.
pub fn run(workspace: &Workspace, args: &Args) -> Result<bool> {
    let found = parts(workspace, args)?;
    let (failed, skipped) = (found.failed.len(), found.skipped.len());
    say(format!("\n{} passed, {failed} failed, {skipped} skipped", found.passed));
    Ok(found.failed.is_empty())
}

/// Runs the parts chosen, one after the other, and prints a line for each.
pub fn parts(workspace: &Workspace, args: &Args) -> Result<Found> {
    for name in &args.only {
        let names: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
        ensure!(names.contains(&name.as_str()), "no part {name}; there are {}", names.join(", "));
    }
    let binary = match &args.binary {
        Some(binary) => std::path::absolute(binary)?,
        None => build(workspace, args.profile)?,
    };
    outages::unmount_left(workspace)?;
    let dir = fresh_dir(workspace, "chaos")?;
    std::fs::create_dir_all(&dir)?;
    let postgres = is_installed().then(|| postgres_up(&dir.join("postgres"))).transpose()?;
    let mut bed = Bed { dir, binary, postgres, kills: args.kills, seed: args.seed };
    say(format!("moments are chosen by --seed {}; logs in {}", bed.seed, bed.dir.display()));
    let mut found = Found::default();
    for (name, part) in PARTS {
        if args.only.is_empty() || args.only.iter().any(|only| only == name) {
            one(&mut bed, (name, part), &mut found);
        }
    }
    drop(bed.postgres);
    // What is left of a failed run is of use to whoever looks why.
    if found.failed.is_empty() {
        std::fs::remove_dir_all(&bed.dir)?;
    }
    Ok(found)
}

fn one(bed: &mut Bed, (name, part): (&str, Part), found: &mut Found) {
    let started = Instant::now();
    let result = part(bed);
    let (word, note) = match &result {
        Ok(Verdict::Passed(note)) => ("passed", note.clone()),
        Ok(Verdict::Skipped(why)) => ("SKIPPED", why.clone()),
        Err(error) => ("FAILED", format!("{error:#}")),
    };
    say(format!("{name:<14} {word:<8} {:>4} s  {note}", started.elapsed().as_secs()));
    match result {
        Ok(Verdict::Passed(_)) => found.passed += 1,
        Ok(Verdict::Skipped(_)) => found.skipped.push(format!("{name}: {note}")),
        Err(_) => found.failed.push(format!("{name}: {note}")),
    }
}

/// The program under test, built if it is not up to date.
fn build(workspace: &Workspace, profile: Profile) -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    // As the tests and as `make run` build it, to the letter: else crates that are there are built
    // again, with other features.
    let (arguments, binary): (&[&str], &str) = match profile {
        Profile::Dev => (&["test", "--workspace", "--no-run"], "debug/caudal"),
        Profile::Release => (&["build", "--release", "--package", "caudal"], "release/caudal"),
    };
    let mut command = cargo();
    command.args(arguments).arg("--quiet").current_dir(&workspace.root);
    let status = stream(command, BUILD_LIMIT, &mut |line| say(line))?;
    ensure!(status.success(), "caudal does not build");
    let binary = workspace.join(target).join(binary);
    let binary = std::path::absolute(binary).context("a path to the binary")?;
    ensure!(binary.is_file(), "no {} after building it", binary.display());
    Ok(binary)
}
