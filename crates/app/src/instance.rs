//! A running Caudal without its doors: database, engine, use cases, background work.

use std::sync::Arc;

use anyhow::Context;
use caudal_domain::Clock;
use caudal_engine::Engine;
use caudal_outbound::Webhooks;
use caudal_service::{Parts, Service};
use caudal_store::Store;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    Settings,
    gateways::{own_simulator, surroundings},
    people::people,
    settings::{Env, Role},
    system::{self, SystemChance, SystemClock},
};

pub struct Instance {
    pub store: Store,
    pub engine: Engine,
    pub service: Service,
    /// The payment gateway for tests, where it runs in this process.
    pub simulator: Option<caudal_gateway::simulator::Running>,
    workers: JoinSet<()>,
    stop: CancellationToken,
}

impl Instance {
    /// Opens the database, brings its schema up to date (production: demands that it is), starts
    /// the engine and the workers.
    pub async fn start(settings: &Settings) -> anyhow::Result<Self> {
        Self::start_with(settings, Arc::new(SystemClock)).await
    }

    /// The same, with a clock of the caller's.
    pub async fn start_with(settings: &Settings, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        Self::start_on(settings, caudal_store::open(&settings.store()).await?, clock).await
    }

    /// The same, on a database that is open.
    pub async fn start_on(
        settings: &Settings,
        store: Store,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        prepare_schema(settings, &store, clock.as_ref()).await?;
        let simulator = own_simulator(settings, clock.clone()).await?;
        let base = (store.clone(), clock.clone());
        let mut instance = Self::assemble(settings, base, simulator)?;
        instance.service.warm().await?;
        let parts = caudal_workers::Parts {
            store,
            service: instance.service.clone(),
            clock,
            notifications: settings.notifications(),
        };
        if settings.roles.contains(&Role::Workers) {
            caudal_workers::start(&parts, &instance.stop, &mut instance.workers);
        }
        if settings.roles.contains(&Role::Gateway) {
            let service = &instance.service;
            caudal_workers::start_gateway(service, &instance.stop, &mut instance.workers);
        }
        let (service, stop) = (instance.service.clone(), instance.stop.clone());
        instance.workers.spawn(caudal_workers::forget_changes(service, stop));
        Ok(instance)
    }

    fn assemble(
        settings: &Settings,
        (store, clock): (Store, Arc<dyn Clock>),
        simulator: Option<caudal_gateway::simulator::Running>,
    ) -> anyhow::Result<Self> {
        let people = people(settings, clock.clone())?;
        let gateways = surroundings(settings, clock.clone(), simulator.as_ref())?;
        // The one in this process need not go out and come in again.
        let webhooks_url = match simulator {
            Some(_) => format!("http://{}", settings.http_addr),
            None => people.settings.public_url.clone(),
        };
        let ids = Arc::new(|| Box::new(system::ids()) as Box<dyn caudal_domain::IdSource>);
        let engine = Engine::start(&store, &settings.engine(store.lanes()), clock.clone(), ids);
        let service = Service::new(Parts {
            store: store.clone(),
            engine: engine.clone(),
            clock,
            ids: Box::new(system::ids()),
            chance: Arc::new(SystemChance),
            people,
            gateways,
            webhooks_url,
            webhooks: Webhooks::new(settings.webhooks()).context("the client of webhooks")?,
            payments_pool: settings.payments_pool(),
        });
        let stop = CancellationToken::new();
        let workers = JoinSet::new();
        Ok(Self { store, engine, service, simulator, workers, stop })
    }

    /// For commands that only read: no migrations are run and nothing works in the background.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let store = caudal_store::open(&settings.store()).await?;
        let pending = store.pending_migrations().await.context("the schema can't be checked")?;
        anyhow::ensure!(pending.is_empty(), "the schema is not up to date: run `caudal migrate`");
        Self::assemble(settings, (store, Arc::new(SystemClock)), None)
    }

    /// Call after the doors are closed: commits what is waiting, then stops the workers.
    pub async fn shutdown(mut self) {
        self.engine.shutdown().await;
        self.stop.cancel();
        while self.workers.join_next().await.is_some() {}
    }
}

async fn prepare_schema(
    settings: &Settings,
    store: &Store,
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    if settings.env == Env::Production {
        let pending = store.pending_migrations().await.context("the schema can't be checked")?;
        anyhow::ensure!(
            pending.is_empty(),
            "the schema is not up to date ({}): run `caudal migrate` first",
            pending.join(", ")
        );
        return Ok(());
    }
    let done =
        store.migrate(clock.now()).await.context("the schema can't be brought up to date")?;
    if !done.is_empty() {
        tracing::info!(migrations = ?done, "brought the schema up to date");
    }
    Ok(())
}
