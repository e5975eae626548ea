//! Caudal's commands as child processes: servers that are killed, stalled and started again at the
//! same address, the load on them, and the proofs at the end.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process::{output, stream, without};
use crate::testbed::postgres::free_port;

use super::bed::wait_for;
use super::client::Client;

pub(super) const API_KEY: &str = "sk_test_chaos_0123456789abcdef0123456789abcdef";
/// A server starts in well under a second; on a busy machine, after a crash, in some.
const START_LIMIT: Duration = Duration::from_secs(30);
/// A supervisor's usual patience between SIGTERM and SIGKILL.
pub(super) const STOP_LIMIT: Duration = Duration::from_secs(30);
/// What a load needs besides its time: wallets, warming up, patience with the last keys, reading
/// all back.
const AROUND_LIMIT: Duration = Duration::from_secs(180);
const PROOF_LIMIT: Duration = Duration::from_secs(300);

/// Where a part's processes run, and of which program.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub binary: PathBuf,
    pub dir: PathBuf,
    /// Variables for the servers.
    pub settings: Vec<(&'static str, String)>,
}

impl Site {
    /// Nothing of the surrounding configuration is to change what is tested.
    fn command(&self, database: &str) -> Command {
        let mut command = Command::new(&self.binary);
        without(&mut command, "CAUDAL_");
        command.current_dir(&self.dir).env("CAUDAL_DATABASE_URL", database);
        command
    }

    /// `caudal reconcile` and `caudal rebuild`: both must find nothing.
    pub(super) fn prove(&self, database: &str) -> Result<()> {
        for proof in ["reconcile", "rebuild"] {
            let mut command = self.command(database);
            command.arg(proof);
            let mut said = Vec::new();
            let status = stream(command, PROOF_LIMIT, &mut |line| said.push(line.to_owned()))?;
            let text = said.join("\n");
            ensure!(status.success(), "caudal {proof} ended with {status}:\n{text}");
        }
        Ok(())
    }
}

/// A server and where it is; killed if it is dropped while it runs.
pub(super) struct Server {
    site: Site,
    database: String,
    child: Child,
    pub address: SocketAddr,
    log: PathBuf,
}

impl Server {
    /// Starts it and waits until it is ready.
    pub(super) fn start(site: &Site, name: &str, database: &str) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let log = site.dir.join(format!("{name}.log"));
        let child = spawn(site, database, (address, &log))?;
        let mut server =
            Self { site: site.clone(), database: database.to_owned(), child, address, log };
        server.wait_ready()?;
        Ok(server)
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Starts it again at the same address.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.child = spawn(&self.site, &self.database, (self.address, &self.log))?;
        self.wait_ready()
    }

    fn wait_ready(&mut self) -> Result<()> {
        let started = Instant::now();
        while self.readiness() != Some(200) {
            let ended = self.child.try_wait()?;
            let tail = || tail(&self.log);
            ensure!(ended.is_none(), "caudal serve ended by itself:\n{}", tail());
            ensure!(started.elapsed() < START_LIMIT, "caudal is not ready:\n{}", tail());
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// The status of `/readyz`; `None`: no answer.
    pub(super) fn readiness(&self) -> Option<u16> {
        Client::new(self.address).get("/readyz").ok().map(|answer| answer.status)
    }

    /// SIGKILL, as a crash would.
    pub(super) fn kill(&mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "caudal had ended by itself:\n{}", tail(&self.log));
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub(super) fn signal(&self, name: &str) -> Result<()> {
        output(Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()))
            .with_context(|| format!("caudal had ended by itself:\n{}", tail(&self.log)))?;
        Ok(())
    }

    /// SIGTERM; how long it took to end, which it must do with code 0.
    pub(super) fn stop(&mut self) -> Result<Duration> {
        self.signal("TERM")?;
        let mut status = None;
        let took = wait_for("caudal ends after SIGTERM", STOP_LIMIT, || {
            status = self.child.try_wait()?;
            Ok(status.is_some())
        });
        let took = took.with_context(|| tail(&self.log))?;
        let code = status.as_ref().and_then(ExitStatus::code);
        ensure!(code == Some(0), "caudal ended with {status:?}:\n{}", tail(&self.log));
        Ok(took)
    }

    /// How often `words` are in its log, which must not tell of a bug.
    pub(super) fn logged(&self, words: &str) -> Result<usize> {
        let text = std::fs::read_to_string(&self.log)?;
        let bug = text.lines().find(|line| line.contains("BUG:") || line.contains("panicked"));
        ensure!(bug.is_none(), "the log tells of a bug: {}", bug.unwrap_or_default());
        Ok(text.matches(words).count())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn spawn(site: &Site, database: &str, (address, log): (SocketAddr, &Path)) -> Result<Child> {
    let file = File::options().create(true).append(true).open(log)?;
    let mut command = site.command(database);
    command
        .arg("serve")
        .env("CAUDAL_HTTP_ADDR", address.to_string())
        .env("CAUDAL_BOOTSTRAP_API_KEY", API_KEY)
        .envs(site.settings.iter().cloned())
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    command.spawn().context("cannot run caudal")
}

/// What a load is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// As `caudal bench` calls it.
    pub workload: &'static str,
    pub connections: usize,
    pub wallets: usize,
    /// Warming up not counted.
    pub seconds: u64,
    /// Requests a second; `None`: as fast as answers come.
    pub rate: Option<u32>,
    /// Keys are tried for 30 s instead of 10 s.
    pub tolerant: bool,
}

impl Shape {
    /// The load under which servers are killed.
    pub(super) fn faulty(lasts: Duration) -> Self {
        let seconds = lasts.as_secs().max(1);
        let workload = "transfers";
        Self { workload, connections: 32, wallets: 200, seconds, rate: None, tolerant: true }
    }
}

/// `caudal bench` as a child; killed if it is dropped while it runs.
pub(super) struct Load {
    child: Child,
    out: PathBuf,
    log: PathBuf,
    started: Instant,
    limit: Duration,
}

/// What a load was told, all of it found again.
#[derive(Debug)]
pub(super) struct Proven {
    pub acknowledged: u64,
    /// Attempts without a usable answer.
    pub errors: u64,
    pub notes: Vec<String>,
}

impl Load {
    pub(super) fn start(site: &Site, servers: &[&Server], shape: Shape) -> Result<Self> {
        let (out, log) = (site.dir.join("load.json"), site.dir.join("load.log"));
        let mut command = site.command("");
        command.arg("bench").args(["--api-key", API_KEY, "--no-progress", "--out"]).arg(&out);
        for server in servers {
            command.args(["--url", &server.url()]);
        }
        command.args(["--workload", shape.workload]);
        command.args(["--connections", &shape.connections.to_string()]);
        command.args(["--wallets", &shape.wallets.to_string()]);
        command.args(["--duration", &shape.seconds.to_string()]);
        if let Some(rate) = shape.rate {
            command.args(["--rate", &rate.to_string()]);
        }
        if shape.tolerant {
            command.arg("--tolerate-faults");
        }
        let file = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().context("cannot run caudal bench")?;
        let limit = Duration::from_secs(shape.seconds) + AROUND_LIMIT;
        Ok(Self { child, out, log, started: Instant::now(), limit })
    }

    /// Nothing proves anything once the load is over.
    pub(super) fn demand_running(&mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "the load ended too early:\n{}", tail(&self.log));
        Ok(())
    }

    /// Waits for its end; whatever it was told must be there exactly once.
    pub(super) fn finish(mut self) -> Result<Proven> {
        let mut status = None;
        let left = self.limit.saturating_sub(self.started.elapsed());
        wait_for("caudal bench ends", left, || {
            status = self.child.try_wait()?;
            Ok(status.is_some())
        })?;
        let said = tail(&self.log);
        let text =
            std::fs::read(&self.out).with_context(|| format!("no result of the load:\n{said}"))?;
        let report: Value = serde_json::from_slice(&text)?;
        let run = &report["runs"][0];
        ensure!(run["verified"] == true, "not every acknowledged transfer is there once:\n{said}");
        ensure!(status.is_some_and(|status| status.success()), "caudal bench failed:\n{said}");
        let number = |key: &str| run[key].as_u64().with_context(|| format!("no {key} in {run}"));
        let notes = run["notes"].as_array().cloned().unwrap_or_default();
        let notes = notes.iter().filter_map(|note| Some(note.as_str()?.to_owned())).collect();
        Ok(Proven { acknowledged: number("transfers")?, errors: number("errors")?, notes })
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    if let Ok(None) = child.try_wait() {
        child.kill().ok();
        child.wait().ok();
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
