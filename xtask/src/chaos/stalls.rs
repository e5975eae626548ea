//! Two processes on one PostgreSQL; one of them stops in the middle of a batch, with rows locked.
//! Its neighbour must not be held up for longer than the two limits of the session together.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Verdict;
use super::bed::{Bed, Chance, NO_POSTGRES, grouped, wait_for, wait_until};
use super::caudal::{Load, Server, Shape};
use super::probe::Probe;
use crate::testbed::postgres::Postgres;

/// Stops that met a batch with its locks held, and how often that is tried.
const STALLS: u64 = 3;
const TRIES: u64 = 40;
/// How long a process stays stopped: longer than anybody may be held up by it.
const STALL: Duration = Duration::from_secs(5);
/// 2 s until PostgreSQL ends the transaction of the one that stalls, 1 s for a wait for a lock.
const HELD_UP_MOST: Duration = Duration::from_secs(3);
/// A stop comes at any moment of this much load.
const SPREAD: Duration = Duration::from_millis(400);
const RECOVERY_LIMIT: Duration = Duration::from_secs(20);
const PROBES: usize = 4;
/// Each process logs in under a name of its own, so that its sessions can be told.
const LOGINS: [&str; 2] = ["chaos_stalls", "chaos_goes_on"];

pub(super) fn run(bed: &mut Bed) -> Result<Verdict> {
    if bed.postgres.is_none() {
        return Ok(Verdict::Skipped(NO_POSTGRES.into()));
    }
    let database = bed.database("stall")?;
    let site = bed.site("stall")?;
    let mut chance = bed.chance();
    let postgres = bed.postgres()?;
    let mut servers = Vec::new();
    for login in LOGINS {
        postgres.query(&format!("create role {login} superuser login"))?;
        let url = database.replacen("//postgres@", &format!("//{login}@"), 1);
        servers.push(Server::start(&site, login, &url)?);
    }
    let [stalls, goes_on] = servers.as_mut_slice() else { unreachable!("two logins") };
    let probes = Probe::several(goes_on, PROBES)?;
    // Long enough for a few stops in vain besides.
    let lasts = (STALL + Duration::from_secs(2)) * u32::try_from(STALLS)? + 15 * SPREAD;
    let mut load = Load::start(&site, &[stalls, goes_on], Shape::faulty(lasts))?;
    // Gaps while wallets are made tell nothing about stalls.
    wait_for("the load runs", RECOVERY_LIMIT, || transfers(postgres, &database))?;
    let mut told = Told::default();
    while told.held < STALLS {
        ensure!(told.stops < TRIES, "{TRIES} stops met locks {} times only", told.held);
        load.demand_running()?;
        told.stop_once(&mut chance, stalls, (&probes, postgres))?;
    }
    let proven = load.finish()?;
    let mut acknowledged = proven.acknowledged;
    for probe in probes {
        acknowledged += probe.finish()?.acknowledged;
    }
    for server in &mut servers {
        server.stop()?;
        server.logged("")?;
    }
    site.prove(&database)?;
    Ok(Verdict::Passed(format!(
        "{} stalls in {} stops held locks, {} acknowledged, neighbour held up {:.2} s at most",
        told.held,
        told.stops,
        grouped(acknowledged),
        told.longest.as_secs_f64()
    )))
}

#[derive(Default)]
struct Told {
    stops: u64,
    /// Stops that met a batch with its locks held.
    held: u64,
    /// The longest answer, or gap between acknowledgements, during those.
    longest: Duration,
}

impl Told {
    /// Stops the process; lets it stay stopped if it holds locks.
    fn stop_once(
        &mut self,
        chance: &mut Chance,
        server: &Server,
        (probes, postgres): (&[Probe], &Postgres),
    ) -> Result<()> {
        wait_until(Instant::now() + chance.below(SPREAD));
        probes.iter().for_each(Probe::forget);
        server.signal("STOP")?;
        let stopped = Instant::now();
        self.stops += 1;
        let held = holds_locks(postgres);
        if matches!(held, Ok(true)) {
            self.held += 1;
            wait_until(stopped + STALL);
            // In the order of events: what waits now has waited through the stall.
            let waited = probes.iter().map(|probe| probe.wait_acknowledged(RECOVERY_LIMIT));
            let waited = waited.collect::<Result<Vec<_>>>();
            server.signal("CONT")?;
            waited.context("while its neighbour is stopped")?;
            for probe in probes {
                let seen = probe.seen();
                self.longest = self.longest.max(seen.longest_gap).max(seen.longest_answer);
            }
            let longest = self.longest.as_secs_f64();
            ensure!(self.longest <= HELD_UP_MOST, "the neighbour was held up {longest:.2} s");
        } else {
            server.signal("CONT")?;
            held?;
        }
        Ok(())
    }
}

/// Whether a session of the stopped process waits, in a transaction that has locked accounts, for
/// a client that does not speak.
fn holds_locks(postgres: &Postgres) -> Result<bool> {
    let login = LOGINS[0];
    let idle = format!(
        "select count(*) from pg_stat_activity a where a.usename = '{login}' \
         and a.state = 'idle in transaction' and exists (select from pg_locks l \
         where l.pid = a.pid and l.granted and l.mode = 'RowShareLock')"
    );
    // What was sent before the stop is still worked through.
    let is_busy = format!(
        "select count(*) from pg_stat_activity where usename = '{login}' and state = 'active'"
    );
    wait_for("the stopped process's statements end", RECOVERY_LIMIT, || {
        Ok(postgres.query(&is_busy)? == "0")
    })?;
    Ok(postgres.query(&idle)? != "0")
}

fn transfers(postgres: &Postgres, database: &str) -> Result<bool> {
    let name = database.rsplit('/').next().unwrap_or_default();
    let sql = format!("select xact_commit > 200 from pg_stat_database where datname = '{name}'");
    Ok(postgres.query(&sql)? == "t")
}
