//! What Caudal stands on goes away and comes back: a full disk, a PostgreSQL that is stopped. It
//! says so with 503 and a time to try again, never with 500, and serves again without a restart.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Verdict;
use super::bed::{Bed, NO_POSTGRES, grouped, wait_for, wait_until};
use super::caudal::{Load, Server, Shape};
use super::probe::{Probe, Seen};
use crate::process::{is_running, output};
use crate::say;
use crate::testbed::place;
use crate::workspace::Workspace;

/// Above what the log ahead of the database grows to (50,000 pages of 8 KiB) before it is copied.
const DISK: &str = "size=1g,mode=0777";
/// Slow enough that it is the ballast that fills the disk.
const RATE: u32 = 150;
const LOAD: Duration = Duration::from_secs(14);
/// How long the disk stays full, or PostgreSQL away.
const OUTAGE: Duration = Duration::from_secs(4);
/// Until the first 503: at once, but for what has to run into its time limit.
const NOTICE_LIMIT: Duration = Duration::from_secs(10);
const RECOVERY_LIMIT: Duration = Duration::from_secs(20);
/// No answer takes longer: the time in the queue and that in which a lost COMMIT is asked after,
/// five seconds each, and some.
const ANSWER_MOST: Duration = Duration::from_secs(12);
const PROBES: usize = 4;

/// SQLite in a small file system that is filled to the last byte.
pub(super) fn full_disk(bed: &mut Bed) -> Result<Verdict> {
    if std::fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(Verdict::Skipped("only root may mount a small disk to fill".into()));
    }
    let site = bed.site("full-disk")?;
    let mut disk = match Disk::mount(&site.dir.join("disk")) {
        Ok(disk) => disk,
        Err(error) => return Ok(Verdict::Skipped(format!("no small disk to fill: {error:#}"))),
    };
    let database = format!("sqlite://{}", disk.dir.join("caudal.db").display());
    let mut server = Server::start(&site, "serve", &database)?;
    let probes = Probe::several(&server, PROBES)?;
    let shape = Shape { rate: Some(RATE), ..Shape::faulty(LOAD) };
    let mut load = Load::start(&site, &[&server], shape)?;
    wait_until(Instant::now() + Duration::from_secs(4));
    load.demand_running()?;
    ensure!(probes.iter().all(|probe| probe.answers(503) == 0), "503 before the disk was full");
    disk.fill()?;
    let noticed = wait_for("a full disk is told with 503", NOTICE_LIMIT, || {
        // What a checkpoint gives back is taken at once.
        disk.fill()?;
        Ok(probes.iter().any(|probe| probe.answers(503) > 0))
    })?;
    wait_until(Instant::now() + OUTAGE);
    disk.free()?;
    let recovered = wait_all(&probes)?;
    load.demand_running()?;
    let proven = load.finish()?;
    let seen = finish(probes)?;
    server.stop()?;
    server.logged("")?;
    site.prove(&database)?;
    drop(disk);
    Ok(Verdict::Passed(told(proven.acknowledged, &seen, (noticed, recovered))))
}

/// PostgreSQL stopped for a while, as for an upgrade.
pub(super) fn lost_postgres(bed: &mut Bed) -> Result<Verdict> {
    if bed.postgres.is_none() {
        return Ok(Verdict::Skipped(NO_POSTGRES.into()));
    }
    let database = bed.database("lost-postgres")?;
    let site = bed.site("lost-postgres")?;
    let postgres = bed.postgres()?;
    let mut server = Server::start(&site, "serve", &database)?;
    let probes = Probe::several(&server, PROBES)?;
    let mut load = Load::start(&site, &[&server], Shape::faulty(LOAD))?;
    wait_until(Instant::now() + Duration::from_secs(4));
    postgres.stop()?;
    let lost = lose(&server, &probes);
    // The parts that follow need it, whatever this one has found.
    postgres.start()?;
    let noticed = lost?;
    let recovered = wait_all(&probes)?;
    let ready =
        wait_for("/readyz is 200 again", RECOVERY_LIMIT, || Ok(server.readiness() == Some(200)));
    ready?;
    load.demand_running()?;
    let proven = load.finish()?;
    let seen = finish(probes)?;
    let longest = seen.longest_answer.as_secs_f64();
    ensure!(seen.longest_answer <= ANSWER_MOST, "an answer took {longest:.1} s");
    server.stop()?;
    server.logged("")?;
    site.prove(&database)?;
    Ok(Verdict::Passed(told(proven.acknowledged, &seen, (noticed, recovered))))
}

/// From the loss until it is told, to callers and to whoever sends them here.
fn lose(server: &Server, probes: &[Probe]) -> Result<Duration> {
    let lost = Instant::now();
    let noticed = wait_for("a lost database is told with 503", NOTICE_LIMIT, || {
        Ok(probes.iter().any(|probe| probe.answers(503) > 0))
    })?;
    wait_for("/readyz is 503", NOTICE_LIMIT, || Ok(server.readiness() == Some(503)))?;
    wait_until(lost + OUTAGE);
    Ok(noticed)
}

fn wait_all(probes: &[Probe]) -> Result<Duration> {
    let started = Instant::now();
    for probe in probes {
        probe.wait_acknowledged(RECOVERY_LIMIT).context("served again without a restart")?;
    }
    Ok(started.elapsed())
}

/// What all of them saw.
fn finish(probes: Vec<Probe>) -> Result<Seen> {
    let mut all = Seen::default();
    for probe in probes {
        let seen = probe.finish()?;
        all.acknowledged += seen.acknowledged;
        all.longest_gap = all.longest_gap.max(seen.longest_gap);
        all.longest_answer = all.longest_answer.max(seen.longest_answer);
        for (status, count) in seen.answers {
            *all.answers.entry(status).or_default() += count;
        }
    }
    Ok(all)
}

fn told(acknowledged: u64, seen: &Seen, (noticed, recovered): (Duration, Duration)) -> String {
    format!(
        "{} acknowledged, 503 {} times, the first after {:.2} s, served again {:.2} s after its \
         end, longest outage {:.2} s, longest answer {:.2} s",
        grouped(acknowledged + seen.acknowledged),
        grouped(seen.answers.get(&503).copied().unwrap_or_default()),
        noticed.as_secs_f64(),
        recovered.as_secs_f64(),
        seen.longest_gap.as_secs_f64(),
        seen.longest_answer.as_secs_f64(),
    )
}

/// A small file system in memory; unmounted when dropped.
struct Disk {
    dir: PathBuf,
    ballast: Option<File>,
}

impl Disk {
    fn mount(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        output(Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(dir))?;
        Ok(Self { dir: dir.to_owned(), ballast: None })
    }

    fn ballast_path(&self) -> PathBuf {
        self.dir.join("ballast")
    }

    /// Takes all that is free, to the last page.
    fn fill(&mut self) -> Result<()> {
        if self.ballast.is_none() {
            self.ballast = Some(File::create(self.ballast_path())?);
        }
        let file = self.ballast.as_mut().context("a ballast")?;
        for size in [1 << 20, 4 << 10] {
            let block = vec![0; size];
            while file.write(&block).is_ok_and(|written| written > 0) {}
        }
        Ok(())
    }

    fn free(&mut self) -> Result<()> {
        self.ballast = None;
        std::fs::remove_file(self.ballast_path())?;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a server that a failure left behind for a moment may have it open.
        if let Err(error) = output(Command::new("umount").arg("-l").arg(&self.dir)) {
            say(format!("{} could not be unmounted: {error:#}", self.dir.display()));
        }
    }
}

/// Unmounts what interrupted runs of ours left mounted, or their folders could not be removed.
pub(super) fn unmount_left(workspace: &Workspace) -> Result<()> {
    let place = place(workspace)?;
    for line in std::fs::read_to_string("/proc/mounts")?.lines() {
        let Some(dir) = line.split(' ').nth(1).map(Path::new) else { continue };
        let Ok(inside) = dir.strip_prefix(&place) else { continue };
        let run = inside.iter().next().and_then(|name| name.to_str()).unwrap_or_default();
        let pid = run.strip_prefix("chaos-").and_then(|pid| pid.parse().ok());
        if pid.is_some_and(|pid| !is_running(pid)) {
            output(Command::new("umount").arg("-l").arg(dir))?;
        }
    }
    Ok(())
}
