//! Makes of the settings what payment gateways are called with, and runs the simulator.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use caudal_domain::Clock;
use caudal_gateway::{Surroundings, simulator};
use caudal_outbound::{Url, World};

use crate::{Settings, settings::Env, system::SystemChance};

/// What accounts at gateways are opened in; the simulator is the one given, else where the
/// settings say.
pub(crate) fn surroundings(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    simulator: Option<&simulator::Running>,
) -> anyhow::Result<Surroundings> {
    let named = settings.simulator_url.as_deref().map(str::parse::<Url>).transpose();
    let named = named.context("CAUDAL_SIMULATOR_URL")?;
    Ok(Surroundings {
        client: Surroundings::client().context("the HTTP client for gateways")?,
        world: world(clock),
        guard: Surroundings::guard(),
        stripe: Surroundings::stripe(),
        simulator: simulator.map(|running| running.url.clone()).or(named),
    })
}

/// The simulator of this process: in development, where no other is named.
pub(crate) async fn own_simulator(
    settings: &Settings,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Option<simulator::Running>> {
    if settings.env == Env::Production || settings.simulator_url.is_some() {
        return Ok(None);
    }
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    start_simulator(any_port, simulator::Settings::default(), clock).await.map(Some)
}

pub(crate) async fn start_simulator(
    at: SocketAddr,
    settings: simulator::Settings,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<simulator::Running> {
    let started = simulator::Simulator::start(at, settings, world(clock)).await;
    started.with_context(|| format!("the simulator can't listen on {at}"))
}

fn world(clock: Arc<dyn Clock>) -> World {
    World { clock, chance: Arc::new(SystemChance) }
}
