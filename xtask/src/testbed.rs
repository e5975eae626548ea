//! Real servers for tests, chaos and benchmarks, on private ports, with their data in one place.
//!
//! The place is `$CAUDAL_TESTBED`, else `target/testbed`. Servers such as PostgreSQL refuse to run
//! as root and run as their own user instead; where that user cannot reach the checkout (below a
//! home directory, say) the place is `/var/tmp/caudal-testbed-UID/…`, and the run says so.
//!
//! How to add a server: a module beside `postgres.rs` with the same verbs, a variant of [`Server`]
//! and a line in each `match` below.

pub mod postgres;
pub mod simulator;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use crate::process::is_running;
use crate::say;
use crate::workspace::Workspace;
use postgres::{Account, Postgres};

#[derive(Clone, Copy, ValueEnum)]
pub enum Action {
    /// Start it, or say where it already runs
    Up,
    /// Stop what `up` started; its data stays for the next `up`
    Down,
    /// Print the URL of the running server
    Url,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Server {
    Postgres,
}

pub fn run(workspace: &Workspace, action: Action, server: Server) -> Result<bool> {
    let Server::Postgres = server;
    let dir = place(workspace)?.join("postgres");
    match action {
        Action::Up => {
            let mut postgres = postgres::postgres_up(&dir)?;
            postgres.keep_running();
            say(format!("PostgreSQL {}, data and log in {}", postgres.version(), dir.display()));
            say(format!("socket directory {}", postgres.socket_dir().display()));
            say(postgres.url());
        }
        Action::Down => match Postgres::running(&dir)? {
            Some(mut postgres) => {
                postgres.stop()?;
                say("PostgreSQL stopped");
            }
            None => say("PostgreSQL was not running"),
        },
        Action::Url => match Postgres::running(&dir)? {
            Some(mut postgres) => {
                postgres.keep_running();
                say(postgres.url());
            }
            None => bail!("not running: start it with `cargo xtask testbed up postgres`"),
        },
    }
    Ok(true)
}

/// A directory for one run's server, `NAME-PID`; it is the caller's to remove. What an interrupted
/// run of that name left behind is stopped and removed first.
pub fn fresh_dir(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let place = place(workspace)?;
    for entry in std::fs::read_dir(&place)?.flatten() {
        let file_name = entry.file_name();
        let Some((left, pid)) = file_name.to_str().and_then(|text| text.rsplit_once('-')) else {
            continue;
        };
        if left == name && pid.parse().is_ok_and(|pid| !is_running(pid)) {
            drop(Postgres::running(&entry.path())?);
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(place.join(format!("{name}-{}", std::process::id())))
}

/// Where servers keep their data; it exists afterwards and their account can reach it.
pub fn place(workspace: &Workspace) -> Result<PathBuf> {
    let account = Account::of_servers()?;
    if let Some(named) = std::env::var_os("CAUDAL_TESTBED").filter(|named| !named.is_empty()) {
        let dir = workspace.join(named);
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("CAUDAL_TESTBED: cannot create {}", dir.display()))?;
        ensure!(
            account.can_enter(&dir)?,
            "CAUDAL_TESTBED is {}, which the account that runs servers cannot enter; \
             choose a directory below /var/tmp",
            dir.display()
        );
        return Ok(dir);
    }
    let near = workspace.join("target/testbed");
    if std::fs::create_dir_all(&near).is_ok() && is_writable(&near) && account.can_enter(&near)? {
        return Ok(near);
    }
    let uid = std::fs::metadata("/proc/self")?.uid();
    let ours = PathBuf::from(format!("/var/tmp/caudal-testbed-{uid}"));
    // Anyone may create names in /var/tmp: only a directory of our own is trusted.
    std::fs::create_dir_all(&ours)?;
    let found = std::fs::symlink_metadata(&ours)?;
    ensure!(
        found.is_dir() && found.uid() == uid,
        "{} belongs to somebody else; set CAUDAL_TESTBED to a directory of yours",
        ours.display()
    );
    // Two checkouts keep apart.
    let far = ours.join(format!("{:016x}", fingerprint(&workspace.root)));
    std::fs::create_dir_all(&far)?;
    // Not on standard output, which `testbed url` keeps for the URL.
    eprintln!("testbed: servers cannot use the checkout; their data is in {}", far.display());
    Ok(far)
}

/// Another user of this checkout may have made the directory. Tried, because permissions alone do
/// not tell (a read-only mount).
fn is_writable(dir: &Path) -> bool {
    let probe = dir.join(format!(".probe-{}", std::process::id()));
    std::fs::write(&probe, "").and_then(|()| std::fs::remove_file(&probe)).is_ok()
}

/// FNV-1a, 64 bits: <https://datatracker.ietf.org/doc/draft-eastlake-fnv/>.
fn fingerprint(path: &Path) -> u64 {
    path.as_os_str().as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkouts_get_places_of_their_own() {
        assert_ne!(fingerprint(Path::new("/a/caudal")), fingerprint(Path::new("/b/caudal")));
        // The published test vector of the hash.
        assert_eq!(fingerprint(Path::new("a")), 0xaf63_dc4c_8601_ec8c);
    }
}
