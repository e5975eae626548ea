//! SIGTERM under load, as each deployment sends it: the server ends in time and with code 0, and
//! whatever it was asked it has answered whole, or it can be asked again.

use std::time::Duration;

use anyhow::{Context, Result};

use super::Verdict;
use super::bed::{Bed, NO_POSTGRES, grouped, wait_until};
use super::caudal::{Load, Server, Shape};
use super::probe::Probe;

const STOPS: u32 = 3;
const EVERY: Duration = Duration::from_secs(3);
const RECOVERY_LIMIT: Duration = Duration::from_secs(20);
const PROBES: usize = 8;

pub(super) fn run(bed: &mut Bed) -> Result<Verdict> {
    if bed.postgres.is_none() {
        return Ok(Verdict::Skipped(NO_POSTGRES.into()));
    }
    let database = bed.database("shutdown")?;
    let site = bed.site("shutdown")?;
    let mut server = Server::start(&site, "serve", &database)?;
    let probes = Probe::several(&server, PROBES)?;
    let shape = Shape::faulty(EVERY * (STOPS + 1));
    let mut load = Load::start(&site, &[&server], shape)?;
    let (mut chance, mut longest) = (bed.chance(), Duration::ZERO);
    let started = std::time::Instant::now();
    for number in 0..STOPS {
        wait_until(started + EVERY * number + chance.below(EVERY));
        load.demand_running()?;
        longest = longest.max(server.stop()?);
        server.restart()?;
        for probe in &probes {
            probe.wait_acknowledged(RECOVERY_LIMIT).context("after a new start")?;
        }
    }
    load.demand_running()?;
    let proven = load.finish()?;
    let (mut acknowledged, mut unanswered) = (proven.acknowledged, 0);
    for probe in probes {
        let seen = probe.finish()?;
        acknowledged += seen.acknowledged;
        unanswered += seen.unanswered;
    }
    longest = longest.max(server.stop()?);
    server.logged("")?;
    site.prove(&database)?;
    Ok(Verdict::Passed(format!(
        "{} stops, each with code 0 within {:.2} s, {} acknowledged, no answer cut off, \
         {unanswered} requests sent again",
        STOPS + 1,
        longest.as_secs_f64(),
        grouped(acknowledged),
    )))
}
