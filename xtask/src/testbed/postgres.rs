//! A PostgreSQL cluster of our own: made, started, killed and stopped without touching any other.
//!
//! Durability is that of production: `fsync` and `synchronous_commit` are on, so that what is
//! measured and what is killed is the real thing. Access is by trust on a Unix socket and on
//! 127.0.0.1 only; nothing of worth is ever kept here.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::process::{descendants, is_running, kill_9, output, without};
use crate::say;

/// A Unix socket's whole path has to fit in 107 bytes, and `/.s.PGSQL.65535` takes 15 of them.
const SOCKET_DIR_MAX: usize = 90;

/// After a kill under load a start first replays up to `max_wal_size` of log.
const START_LIMIT_S: &str = "300";
const STOP_LIMIT_S: &str = "60";

/// A running cluster. Dropping it stops it, unless [`Postgres::keep_running`] was called.
pub struct Postgres {
    dir: PathBuf,
    bin: PathBuf,
    account: Account,
    socket_dir: PathBuf,
    pub port: u16,
    keep: bool,
}

/// Makes the cluster in `dir` if there is none, starts it if it does not run, and waits for it.
pub fn postgres_up(dir: &Path) -> Result<Postgres> {
    let dir = &std::path::absolute(dir)?;
    if let Some(postgres) = Postgres::running(dir)? {
        return Ok(postgres);
    }
    let bin = newest_bin()?;
    let account = Account::of_servers()?;
    account.create_dir(dir)?;
    ensure!(
        account.can_enter(dir)?,
        "PostgreSQL cannot run as root, and its account cannot enter {}; choose a directory \
         below /var/tmp",
        dir.display()
    );
    let mut postgres = Postgres {
        socket_dir: socket_dir(dir),
        dir: dir.clone(),
        bin,
        account,
        port: 0,
        keep: true,
    };
    postgres.init()?;
    postgres.port = free_port()?;
    postgres.configure()?;
    postgres.start()?;
    postgres.keep = false;
    Ok(postgres)
}

/// Whether PostgreSQL's server programs are on this machine.
pub fn is_installed() -> bool {
    newest_bin().is_ok()
}

impl Postgres {
    /// The cluster that an earlier [`postgres_up`] started in `dir`, if it still runs.
    pub fn running(dir: &Path) -> Result<Option<Self>> {
        let Ok(state) = std::fs::read(dir.join("state.json")) else { return Ok(None) };
        let state: Value = serde_json::from_slice(&state)?;
        let text = |key: &str| state[key].as_str().with_context(|| format!("state.json: no {key}"));
        let mut postgres = Self {
            dir: dir.to_owned(),
            bin: text("bin")?.into(),
            account: Account::of_servers()?,
            socket_dir: text("socket_dir")?.into(),
            port: state["port"].as_u64().unwrap_or_default().try_into()?,
            keep: true,
        };
        // Both files must name one living process: a stale number may be anyone's by now.
        let recorded = state["pid"].as_u64();
        let found = postgres.pid().is_ok_and(|pid| recorded == Some(pid.into()) && is_running(pid));
        if !found || !postgres.answers() {
            return Ok(None);
        }
        postgres.keep = false;
        Ok(Some(postgres))
    }

    /// As the superuser `postgres`, on 127.0.0.1.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The same over the Unix socket, as pgbench takes it: the shortest way there is.
    pub fn socket_url(&self, database: &str) -> String {
        let dir = self.socket_dir.to_string_lossy().replace('%', "%25").replace('/', "%2F");
        format!("postgres://postgres@{dir}:{}/{database}", self.port)
    }

    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// Where `psql`, `pgbench` and the like of the same version are.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// The postmaster's, as its pid file has it.
    pub fn pid(&self) -> Result<u32> {
        let file = self.data().join("postmaster.pid");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("PostgreSQL is not running: no {}", file.display()))?;
        text.lines().next().unwrap_or_default().parse().context("postmaster.pid: no number")
    }

    /// The major version, e.g. `15`.
    pub fn version(&self) -> String {
        std::fs::read_to_string(self.data().join("PG_VERSION"))
            .map_or_else(|_| "of unknown version".into(), |text| text.trim().to_owned())
    }

    /// Runs one statement and returns its rows, columns parted by `|`.
    pub fn query(&self, sql: &str) -> Result<String> {
        output(self.tool("psql").args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.url()]))
    }

    /// Leaves the server to run on when this value is dropped.
    pub fn keep_running(&mut self) {
        self.keep = true;
    }

    /// Starts it again after [`Postgres::kill_9`] or [`Postgres::stop`], on the same port.
    pub fn start(&mut self) -> Result<()> {
        // A stop removes it where it lies outside.
        self.account.create_dir(&self.socket_dir)?;
        let log = self.dir.join("log");
        let started = output(
            self.tool("pg_ctl")
                .args(["-w", "-t", START_LIMIT_S, "-D"])
                .arg(self.data())
                .arg("-l")
                .arg(&log)
                .arg("start"),
        );
        if let Err(error) = started {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(20)..].join("\n");
            return Err(error.context(format!("PostgreSQL did not start; its log ends:\n{tail}")));
        }
        let state = json!({
            "url": self.url(),
            "port": self.port,
            "pid": self.pid()?,
            "socket_dir": self.socket_dir,
            "bin": self.bin,
        });
        std::fs::write(self.dir.join("state.json"), format!("{state:#}\n"))?;
        Ok(())
    }

    /// Stops it in order: sessions are cut, everything committed is on disk.
    pub fn stop(&mut self) -> Result<()> {
        let stop = |mode: &str| {
            output(
                self.tool("pg_ctl")
                    .args(["-w", "-t", STOP_LIMIT_S, "-m", mode, "-D"])
                    .arg(self.data())
                    .arg("stop"),
            )
        };
        if self.pid().is_ok_and(is_running) {
            stop("fast").or_else(|_| stop("immediate"))?;
        }
        std::fs::remove_file(self.dir.join("state.json")).ok();
        if !self.socket_dir.starts_with(&self.dir) {
            std::fs::remove_dir_all(&self.socket_dir).ok();
        }
        Ok(())
    }

    /// Kills the server and all its sessions at once, as a crash would, and waits till they are
    /// gone: a new start is refused while one of them still holds the shared memory.
    pub fn kill_9(&mut self) -> Result<()> {
        let pid = self.pid()?;
        // The postmaster first: it must not live to see its sessions die and write about it.
        let mut all = vec![pid];
        all.extend(descendants(pid));
        let started = Instant::now();
        // A session forked between the look and the kill is met in the next round.
        while all.iter().any(|pid| is_running(*pid)) {
            ensure!(started.elapsed() < Duration::from_secs(30), "PostgreSQL survived kill -9");
            all.extend(descendants(pid));
            kill_9(&all)?;
            std::thread::sleep(Duration::from_millis(20));
        }
        // Where nobody reaps the dead (process 1 of a bare container), the number still looks
        // alive to the next start, which then refuses. They are gone: the loop has seen to that.
        std::fs::remove_file(self.data().join("postmaster.pid")).ok();
        let lock = format!(".s.PGSQL.{}.lock", self.port);
        std::fs::remove_file(self.socket_dir.join(lock)).ok();
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn answers(&self) -> bool {
        output(self.tool("pg_ctl").arg("-D").arg(self.data()).arg("status")).is_ok()
    }

    fn tool(&self, name: &str) -> Command {
        self.account.command(self.bin.join(name))
    }

    fn init(&self) -> Result<()> {
        if self.data().join("PG_VERSION").exists() {
            return Ok(());
        }
        let mut initdb = self.tool("initdb");
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-D"]);
        output(initdb.arg(self.data()))?;
        let main = self.data().join("postgresql.conf");
        let mut text = std::fs::read_to_string(&main)?;
        // Last in the file, so that it wins; a file of our own, so that it can be rewritten.
        text.push_str("\ninclude = 'caudal.conf'\n");
        std::fs::write(main, text)?;
        Ok(())
    }

    fn configure(&self) -> Result<()> {
        let contrib = self.bin.join("../lib/pg_stat_statements.so").exists();
        let preload = if contrib { "pg_stat_statements" } else { "" };
        let text = settings(self.port, &self.socket_dir, preload);
        let file = self.data().join("caudal.conf");
        std::fs::write(&file, text)?;
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644))?;
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = self.stop() {
            say(format!("PostgreSQL in {} could not be stopped: {error:#}", self.dir.display()));
        }
    }
}

/// The account servers run as: ours, or `postgres` when we are root.
#[derive(Clone, Debug, Default)]
pub struct Account {
    ids: Option<(u32, u32)>,
}

impl Account {
    pub fn of_servers() -> Result<Self> {
        if std::fs::metadata("/proc/self")?.uid() != 0 {
            return Ok(Self::default());
        }
        let id = |which: &str| -> Result<u32> {
            let id = output(Command::new("id").args([which, "postgres"])).context(
                "servers refuse to run as root, and there is no account `postgres`: \
                 install PostgreSQL with `xtask/setup.sh test`",
            )?;
            Ok(id.parse()?)
        };
        Ok(Self { ids: Some((id("-u")?, id("-g")?)) })
    }

    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        // Not every account may stand in the current directory.
        command.current_dir("/").env("LC_ALL", "C");
        // PGPORT, PGDATA and their like would lead to somebody else's cluster.
        without(&mut command, "PG");
        if let Some((uid, gid)) = self.ids {
            command.uid(uid).gid(gid).env("HOME", "/");
        }
        command
    }

    pub fn can_enter(&self, dir: &Path) -> Result<bool> {
        Ok(self.command("test").arg("-x").arg(dir).output()?.status.success())
    }

    fn create_dir(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        if let Some((uid, gid)) = self.ids {
            chown(dir, Some(uid), Some(gid))?;
        }
        std::fs::set_permissions(dir, PermissionsExt::from_mode(0o755))?;
        Ok(())
    }
}

fn settings(port: u16, socket_dir: &Path, preload: &str) -> String {
    let mut text = String::from("# Written anew at each start.\n");
    let rows = [
        ("listen_addresses", "127.0.0.1"),
        ("port", &port.to_string()),
        ("unix_socket_directories", &socket_dir.to_string_lossy()),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("autovacuum", "on"),
        ("shared_buffers", "1GB"),
        ("wal_buffers", "64MB"),
        ("max_wal_size", "8GB"),
        ("checkpoint_timeout", "15min"),
        ("max_connections", "200"),
        ("shared_preload_libraries", preload),
    ];
    for (name, value) in rows {
        // Writing to a String cannot fail.
        writeln!(text, "{name} = '{}'", value.replace('\'', "''")).ok();
    }
    text
}

/// The newest server programs: `$CAUDAL_TEST_POSTGRES_BIN`, else where Debian and Ubuntu put them.
fn newest_bin() -> Result<PathBuf> {
    if let Some(bin) = std::env::var_os("CAUDAL_TEST_POSTGRES_BIN") {
        let bin = PathBuf::from(bin);
        ensure!(
            bin.join("initdb").is_file(),
            "CAUDAL_TEST_POSTGRES_BIN: no initdb in {}",
            bin.display()
        );
        return Ok(bin);
    }
    std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())))
        .filter(|(_, path)| path.join("bin/initdb").is_file())
        .max()
        .map(|(_, path)| path.join("bin"))
        .context("PostgreSQL is not installed: run `xtask/setup.sh test`")
}

fn socket_dir(dir: &Path) -> PathBuf {
    let near = dir.join("socket");
    if near.as_os_str().len() <= SOCKET_DIR_MAX {
        return near;
    }
    PathBuf::from(format!("/tmp/caudal-socket-{}", std::process::id()))
}

/// A port from below 32,768, where Linux takes the ports of outgoing connections: a load test must
/// not take the server's port while it is down between a kill and the next start.
pub(crate) fn free_port() -> Result<u16> {
    let start = std::process::id() % 10_000;
    for step in 0..10_000 {
        let port = u16::try_from(20_000 + (start + step) % 10_000)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port between 20000 and 29999")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_quote_what_they_are_given() {
        let text = settings(5432, Path::new("/it's here"), "");
        assert!(text.contains("unix_socket_directories = '/it''s here'\n"), "{text}");
        assert!(text.contains("fsync = 'on'\n") && text.contains("synchronous_commit = 'on'\n"));
    }

    #[test]
    fn a_long_place_gets_a_short_socket() {
        let long = PathBuf::from("/a".repeat(60));
        assert!(socket_dir(&long).as_os_str().len() <= SOCKET_DIR_MAX);
        assert_eq!(socket_dir(Path::new("/a")), Path::new("/a/socket"));
    }

    /// Made, written to, killed, started again, found by a second look, stopped by dropping it.
    #[test]
    fn what_was_committed_survives_a_kill() {
        if !is_installed() {
            // Not by a macro: what those print is kept back when the test passes.
            use std::io::Write as _;
            return writeln!(std::io::stderr(), "SKIPPED: PostgreSQL is not installed").unwrap();
        }
        let dir = PathBuf::from(format!("/var/tmp/caudal-xtask-test-{}", std::process::id()));
        let mut postgres = postgres_up(&dir).unwrap();
        postgres.query("create table kept (n int); insert into kept values (42)").unwrap();
        let before = postgres.pid().unwrap();
        postgres.kill_9().unwrap();
        assert!(!is_running(before));
        assert!(Postgres::running(&dir).unwrap().is_none());
        postgres.start().unwrap();
        assert_eq!(postgres.query("select n from kept").unwrap(), "42");
        assert_eq!(postgres.query("show fsync").unwrap(), "on");

        let mut again = Postgres::running(&dir).unwrap().unwrap();
        again.keep_running();
        assert_eq!((again.port, again.pid().unwrap()), (postgres.port, postgres.pid().unwrap()));
        let after = postgres.pid().unwrap();
        drop(postgres);
        assert!(!is_running(after));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
