//! Opposite transfers between the same few wallets from two processes: all lock in one order, so
//! there is never a deadlock, and nobody is answered with an error.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::Verdict;
use super::bed::{Bed, NO_POSTGRES, grouped};
use super::caudal::{Load, Server, Shape};

/// For each kill that is asked for, so that the long form is longer here too.
const SECONDS_A_KILL: u64 = 1;
/// Half of them to each process.
const CONNECTIONS: usize = 128;
const WALLETS: usize = 4;

pub(super) fn run(bed: &mut Bed) -> Result<Verdict> {
    if bed.postgres.is_none() {
        return Ok(Verdict::Skipped(NO_POSTGRES.into()));
    }
    let database = bed.database("crossing")?;
    let site = bed.site("crossing")?;
    let seconds = bed.kills * SECONDS_A_KILL;
    let postgres = bed.postgres()?;
    let name = database.rsplit('/').next().unwrap_or_default().to_owned();
    // Far below the limit of a wait for a lock, which would otherwise end a deadlock uncounted.
    postgres.query(&format!("alter database {name} set deadlock_timeout = '50ms'"))?;
    let mut servers =
        [Server::start(&site, "one", &database)?, Server::start(&site, "two", &database)?];
    let shape = Shape {
        workload: "transfers",
        connections: CONNECTIONS,
        wallets: WALLETS,
        seconds,
        rate: None,
        tolerant: false,
    };
    let [one, two] = &servers;
    let proven = Load::start(&site, &[one, two], shape)?.finish()?;
    let mut again = 0;
    for server in &mut servers {
        server.stop()?;
        again += server.logged("running the batch again")?;
    }
    site.prove(&database)?;
    let sql = format!("select deadlocks from pg_stat_database where datname = '{name}'");
    let deadlocks = settled(|| postgres.query(&sql))?;
    ensure!(deadlocks == "0", "{deadlocks} deadlocks");
    let (errors, notes) = (proven.errors, proven.notes.join("; "));
    ensure!(errors == 0 && notes.is_empty(), "{errors} requests were answered with errors {notes}");
    Ok(Verdict::Passed(format!(
        "0 deadlocks, 0 errors, {} acknowledged in {} s, {again} batches run again",
        grouped(proven.acknowledged),
        Duration::from_secs(seconds).as_secs(),
    )))
}

/// A session's counts are written when it ends, which both servers' have by now but for a moment.
fn settled(mut look: impl FnMut() -> Result<String>) -> Result<String> {
    let mut last = look()?;
    super::bed::wait_for("the statistics stand still", Duration::from_secs(10), || {
        std::thread::sleep(Duration::from_millis(300));
        let next = look()?;
        let stands = next == last;
        last = next;
        Ok(stands)
    })?;
    look()
}
