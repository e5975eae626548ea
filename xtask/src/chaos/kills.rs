//! Servers killed with SIGKILL at moments spread by chance, while load runs.
//!
//! PostgreSQL is started again by us, as its supervisor would; Caudal must then find it by itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Verdict;
use super::bed::{Bed, Chance, NO_POSTGRES, grouped, wait_until};
use super::caudal::{Load, Server, Shape, Site};
use super::probe::Probe;
use crate::testbed::simulator::Simulator;

/// One kill in each stretch of this length. PostgreSQL first replays its log when it starts again.
const EVERY: Duration = Duration::from_secs(2);
const EVERY_POSTGRES: Duration = Duration::from_secs(5);
/// Time enough to be killed while calls to the gateway are under way.
const GATEWAY_LATENCY_MS: u64 = 20;
/// The load goes on for this long after the last stretch.
const REST: Duration = Duration::from_secs(4);
/// From the moment the killed server answers again until a transfer is acknowledged.
const RECOVERY_LIMIT: Duration = Duration::from_secs(20);

/// `caudal serve` on PostgreSQL.
pub(super) fn caudal(bed: &mut Bed) -> Result<Verdict> {
    if bed.postgres.is_none() {
        return Ok(Verdict::Skipped(NO_POSTGRES.into()));
    }
    let database = bed.database("kill-caudal")?;
    let site = bed.site("kill-caudal")?;
    kill_caudal(bed, &site, &database)
}

/// `caudal serve` while it takes cards: each kill leaves payments whose gateway may have heard of
/// them or not. All of them must come to an end, and the gateway's books be the same as ours.
pub(super) fn cards(bed: &mut Bed) -> Result<Verdict> {
    if bed.postgres.is_none() {
        return Ok(Verdict::Skipped(NO_POSTGRES.into()));
    }
    let database = bed.database("kill-cards")?;
    let mut site = bed.site("kill-cards")?;
    let simulator = Simulator::start(&site.binary, GATEWAY_LATENCY_MS)?;
    site.settings.push(simulator.variable());
    let shape = |lasts| Shape { workload: "cards", ..Shape::faulty(lasts) };
    let mut under = Under::start(&site, &database, (bed.kills, EVERY), shape)?;
    under.strike(&mut bed.chance(), &mut |server| {
        server.kill()?;
        server.restart()
    })?;
    under.finish(&site, &database)
}

/// `caudal serve` on the embedded database.
pub(super) fn sqlite(bed: &mut Bed) -> Result<Verdict> {
    let site = bed.site("kill-sqlite")?;
    let database = format!("sqlite://{}", site.dir.join("caudal.db").display());
    kill_caudal(bed, &site, &database)
}

fn kill_caudal(bed: &Bed, site: &Site, database: &str) -> Result<Verdict> {
    let mut under = Under::start(site, database, (bed.kills, EVERY), Shape::faulty)?;
    under.strike(&mut bed.chance(), &mut |server| {
        server.kill()?;
        server.restart()
    })?;
    under.finish(site, database)
}

/// The postmaster and all its sessions.
pub(super) fn postgres(bed: &mut Bed) -> Result<Verdict> {
    if bed.postgres.is_none() {
        return Ok(Verdict::Skipped(NO_POSTGRES.into()));
    }
    let database = bed.database("kill-postgres")?;
    let site = bed.site("kill-postgres")?;
    let mut under = Under::start(&site, &database, (bed.kills, EVERY_POSTGRES), Shape::faulty)?;
    let mut chance = bed.chance();
    let postgres = bed.postgres()?;
    let struck = under.strike(&mut chance, &mut |_| {
        postgres.kill_9()?;
        postgres.start()
    });
    if struck.is_err() && !postgres.pid().is_ok_and(crate::process::is_running) {
        // The parts that follow need it.
        postgres.start()?;
    }
    struck?;
    under.finish(&site, &database)
}

/// A server under load, watched by a probe.
struct Under {
    server: Server,
    probe: Probe,
    load: Load,
    kills: u64,
    every: Duration,
}

impl Under {
    fn start(
        site: &Site,
        database: &str,
        (kills, every): (u64, Duration),
        shape: fn(Duration) -> Shape,
    ) -> Result<Self> {
        let server = Server::start(site, "serve", database)?;
        let probe = Probe::start(&server)?;
        let lasts = every * u32::try_from(kills)? + REST;
        let load = Load::start(site, &[&server], shape(lasts))?;
        Ok(Self { server, probe, load, kills, every })
    }

    fn strike(
        &mut self,
        chance: &mut Chance,
        strike: &mut dyn FnMut(&mut Server) -> Result<()>,
    ) -> Result<()> {
        let started = Instant::now();
        for number in 0..self.kills {
            let stretch = started + self.every * u32::try_from(number)?;
            wait_until(stretch + chance.below(self.every));
            let which = || format!("kill {} of {}", number + 1, self.kills);
            self.load.demand_running().with_context(which)?;
            strike(&mut self.server).with_context(which)?;
            self.probe.wait_acknowledged(RECOVERY_LIMIT).with_context(which)?;
        }
        self.load.demand_running()
    }

    fn finish(mut self, site: &Site, database: &str) -> Result<Verdict> {
        let proven = self.load.finish()?;
        let seen = self.probe.finish()?;
        self.server.stop()?;
        self.server.logged("")?;
        site.prove(database)?;
        Ok(Verdict::Passed(format!(
            "{} kills, {} acknowledged, longest outage {:.2} s",
            self.kills,
            grouped(proven.acknowledged + seen.acknowledged),
            seen.longest_gap.as_secs_f64()
        )))
    }
}
