//! Caudal as users run it: `caudal serve` as a process of its own, driven by `caudal bench` as
//! another, so that the driver's cost is counted and is the same for every part.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::{ACCOUNTS, Figures, Load};
use crate::process::{output, stream, without};
use crate::testbed::simulator::Simulator;

const API_KEY: &str = "sk_test_bench_0123456789abcdef0123456789abcdef";
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Making wallets and reading everything back takes this long at the very most.
const AROUND_LIMIT: Duration = Duration::from_secs(1_800);
/// With one connection, making as many wallets as usual would take longer than the run.
const WALLETS_ALONE: usize = 1_000;

/// Where and for how long.
pub(super) struct Run<'a> {
    pub binary: &'a Path,
    pub dir: &'a Path,
    pub seconds: u64,
    /// Takes the cards; each server has one of its own unless it is told of another.
    pub simulator: Option<&'a Simulator>,
}

impl Run<'_> {
    /// Starts a server for each database URL, one after the other, and drives them all.
    pub(super) fn drive(&self, databases: &[String], load: Load, name: &str) -> Result<Figures> {
        let mut servers = Vec::new();
        for (number, database) in databases.iter().enumerate() {
            let log = self.dir.join(format!("serve-{number}.log"));
            servers.push(Server::start(self, database, log)?);
        }
        let mut figures = self.load(&servers, load, name)?;
        // Of the first, which met the database empty.
        let first = servers.first().context("a server")?;
        figures.insert("start_up_ms".into(), json!(first.start_up.as_millis() as u64));
        figures.insert("rss_mb".into(), json!(first.rss_mb()?));
        servers.into_iter().try_for_each(Server::stop)?;
        Ok(figures)
    }

    fn load(&self, servers: &[Server], load: Load, name: &str) -> Result<Figures> {
        let out = self.dir.join("result.json");
        let mut command = self.command();
        command.arg("bench");
        for server in servers {
            command.args(["--url", &format!("http://{}", server.address)]);
        }
        let wallets = if load.connections == 1 { WALLETS_ALONE } else { ACCOUNTS };
        command.args(["--api-key", API_KEY, "--connections", &load.connections.to_string()]);
        command.args(["--duration", &self.seconds.to_string(), "--wallets", &wallets.to_string()]);
        command.args(["--workload", load.workload]);
        command.args(["--hot", &load.hot.to_string(), "--batch", &load.batch.to_string()]);
        command.args(["--rules", &load.rules.to_string()]);
        command.args(["--name", name, "--no-progress", "--out"]).arg(&out);
        let mut lines = Vec::new();
        let limit = AROUND_LIMIT + Duration::from_secs(self.seconds);
        // A run that is not verified may end with an error; its result says so, and is wanted.
        stream(command, limit, &mut |line| lines.push(line.to_owned()))?;
        let text = std::fs::read(&out)
            .with_context(|| format!("caudal bench wrote no result:\n{}", lines.join("\n")))?;
        let report: Value = serde_json::from_slice(&text)?;
        report["runs"][0].as_object().cloned().context("a result without a run")
    }

    /// Nothing of the surrounding configuration is to change what is measured.
    fn command(&self) -> Command {
        let mut command = Command::new(self.binary);
        without(&mut command, "CAUDAL_");
        command.current_dir(self.dir);
        command
    }
}

/// A server that is ready; killed if it is dropped before it was stopped.
struct Server {
    child: Child,
    address: SocketAddr,
    /// From the start of the process until it said it was ready.
    start_up: Duration,
    log: PathBuf,
}

impl Server {
    fn start(run: &Run<'_>, database: &str, log: PathBuf) -> Result<Self> {
        let address = free_address()?;
        let file = File::create(&log)?;
        let mut command = run.command();
        command
            .arg("serve")
            .env("CAUDAL_HTTP_ADDR", address.to_string())
            .env("CAUDAL_DATABASE_URL", database)
            .env("CAUDAL_BOOTSTRAP_API_KEY", API_KEY)
            .envs(run.simulator.map(Simulator::variable))
            .stdin(std::process::Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let started = Instant::now();
        let child = command.spawn().context("cannot run caudal")?;
        let mut server = Self { child, address, start_up: Duration::ZERO, log };
        while !server.is_ready() {
            if let Some(status) = server.child.try_wait()? {
                bail!("caudal serve ended ({status}):\n{}", server.tail());
            }
            ensure!(started.elapsed() < START_LIMIT, "caudal is not ready:\n{}", server.tail());
            std::thread::sleep(Duration::from_millis(5));
        }
        server.start_up = started.elapsed();
        Ok(server)
    }

    fn is_ready(&self) -> bool {
        let ask = || -> std::io::Result<bool> {
            let limit = Duration::from_secs(2);
            let mut stream = TcpStream::connect_timeout(&self.address, limit)?;
            stream.set_read_timeout(Some(limit))?;
            let host = self.address;
            write!(stream, "GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
            let mut head = [0; 12];
            stream.read_exact(&mut head)?;
            Ok(head.ends_with(b" 200"))
        };
        ask().unwrap_or(false)
    }

    /// The most memory it ever held.
    fn rss_mb(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .with_context(|| format!("caudal is gone:\n{}", self.tail()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kb = line.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok());
        Ok((kb.context("no VmHWM")? / 102.4).round() / 10.0)
    }

    /// Asks it to end, as a supervisor would.
    fn stop(mut self) -> Result<()> {
        output(Command::new("kill").args(["-TERM", &self.child.id().to_string()]))
            .with_context(|| format!("caudal had ended:\n{}", self.tail()))?;
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(asked.elapsed() < STOP_LIMIT, "caudal does not stop:\n{}", self.tail());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
