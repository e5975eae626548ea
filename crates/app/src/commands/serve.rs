//! `caudal serve`: opens the doors, and closes them without losing anything.

use std::{
    io::{self, IsTerminal},
    net::SocketAddr,
    path::Path,
    process::ExitCode,
};

use anyhow::Context;
use caudal_http::{Api, Metrics, Part};
use caudal_service::OWNER;
use tokio::{
    net::{TcpListener, TcpSocket, lookup_host},
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::say;
use crate::{
    Instance, Settings,
    settings::{Env, LogFormat, Role},
};

/// Connections that came at once and are not accepted yet. The kernel drops one more, which its
/// client finds out after a second; the usual 128 are too few for a crowd.
const UNACCEPTED_MOST: u32 = 4096;

#[derive(clap::Args)]
pub(super) struct Args {
    /// The parts this process plays; all of them when not given.
    #[arg(long, value_delimiter = ',', value_name = "ROLE")]
    roles: Vec<Role>,
    /// Listens here instead of CAUDAL_HTTP_ADDR.
    #[arg(long, value_name = "HOST:PORT")]
    http_addr: Option<String>,
    /// `sqlite://PATH` or `postgres://…` instead of CAUDAL_DATABASE_URL.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
}

impl Args {
    /// Flags go over everything else, and are held to the same rules.
    pub fn over(self, mut settings: Settings) -> anyhow::Result<Settings> {
        if let Some(addr) = self.http_addr {
            settings.http_addr = addr;
        }
        if let Some(url) = self.database_url {
            settings.database_url = url;
        }
        if !self.roles.is_empty() {
            settings.roles = self.roles;
        }
        settings.check()?;
        Ok(settings)
    }
}

pub(super) async fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    start_log(settings);
    let listener = listen(&settings.http_addr).await?;
    let admin = match &settings.admin_addr {
        Some(addr) => Some(listen(addr).await?),
        None => None,
    };
    let metrics = Metrics::install()?;
    let instance = Instance::start(&bound(settings, &listener)?).await?;
    greet(settings, &instance, listener.local_addr()?).await?;
    let api = Api::new(instance.service.clone(), settings.http()?, metrics);
    let stop = stop_on_signal()?;
    let doors = open_doors(settings, &api, (listener, admin), &stop);
    for door in doors {
        door.await??;
    }
    tracing::info!("the doors are closed; committing what is waiting");
    instance.shutdown().await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

type Door = JoinHandle<io::Result<()>>;

/// The API of the roles, and probes and metrics beside it when they have an address of their own.
fn open_doors(
    settings: &Settings,
    api: &Api,
    (listener, admin): (TcpListener, Option<TcpListener>),
    stop: &CancellationToken,
) -> Vec<Door> {
    let open = |listener, parts: &[Part]| {
        let (stop, router) = (stop.clone(), caudal_http::router(api.clone(), parts));
        tokio::spawn(caudal_http::serve(listener, router, async move { stop.cancelled().await }))
    };
    let mut doors = vec![open(listener, &parts(settings))];
    doors.extend(admin.map(|admin| open(admin, &[Part::Probes, Part::Metrics])));
    doors
}

/// What is served at the public address. Metrics tell a competitor much, so that in production
/// they have an address of their own or none.
fn parts(settings: &Settings) -> Vec<Part> {
    let part_of = |role: &Role| match role {
        Role::Users => Some(Part::Users),
        Role::Wallets => Some(Part::Wallets),
        Role::Payments => Some(Part::Payments),
        Role::Gateway => Some(Part::Gateway),
        Role::Workers => None,
    };
    let mut parts: Vec<Part> = settings.roles.iter().filter_map(part_of).collect();
    if settings.admin_addr.is_none() {
        parts.push(Part::Probes);
        parts.extend((settings.env == Env::Development).then_some(Part::Metrics));
    }
    parts
}

/// An instance on a new SQLite file and a free port, for `bench --embedded`.
pub(super) struct Embedded {
    pub url: String,
    pub api_key: String,
    instance: Instance,
    doors: Vec<Door>,
    stop: CancellationToken,
}

impl Embedded {
    pub async fn start(settings: &Settings, dir: &Path) -> anyhow::Result<Self> {
        let settings = Settings {
            env: Env::Development,
            database_url: format!("sqlite://{}", dir.join("bench.db").display()),
            admin_addr: None,
            bootstrap_api_key: None,
            ..settings.clone()
        };
        let listener = listen("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let metrics = Metrics::install()?;
        let instance = Instance::start(&bound(&settings, &listener)?).await?;
        let demo = instance.service.bootstrap(None).await?.context("the file is not new")?;
        let api = Api::new(instance.service.clone(), settings.http()?, metrics);
        let stop = CancellationToken::new();
        let doors = open_doors(&settings, &api, (listener, None), &stop);
        Ok(Self { url, api_key: demo.secret.reveal().to_owned(), instance, doors, stop })
    }

    pub async fn stop(self) {
        self.stop.cancel();
        for door in self.doors {
            if let Err(error) = door.await {
                tracing::error!(%error, "a door ended badly");
            }
        }
        self.instance.shutdown().await;
    }
}

/// The settings with the port that a 0 has become.
fn bound(settings: &Settings, listener: &TcpListener) -> anyhow::Result<Settings> {
    Ok(Settings { http_addr: listener.local_addr()?.to_string(), ..settings.clone() })
}

async fn listen(addr: &str) -> anyhow::Result<TcpListener> {
    listen_at(addr).await.with_context(|| {
        format!("can't listen on {addr}; is it in use? Set CAUDAL_HTTP_ADDR to another address")
    })
}

async fn listen_at(addr: &str) -> io::Result<TcpListener> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "no address of this name");
    for addr in lookup_host(addr).await? {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restart need not wait for connections of before.
        socket.set_reuseaddr(true)?;
        match socket.bind(addr).and_then(|()| socket.listen(UNACCEPTED_MOST)) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn start_log(settings: &Settings) {
    let filter = settings.log_filter();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match settings.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

/// Tells where everything is; an empty development database gets its demo tenant.
async fn greet(settings: &Settings, instance: &Instance, addr: SocketAddr) -> anyhow::Result<()> {
    say(format_args!("Caudal {} listens on http://{addr}/", env!("CARGO_PKG_VERSION")))?;
    if settings.env == Env::Production {
        return Ok(());
    }
    let (key, password) = (&settings.bootstrap_api_key, &settings.bootstrap_admin_password);
    let made = instance.service.bootstrap_with(key.as_deref(), password.as_deref());
    if let Some(demo) = made.await? {
        say(format_args!("tenant  demo ({})", demo.tenant.id))?;
        say(format_args!("API key {}", demo.secret.reveal()))?;
        say(format_args!("owner   {OWNER}, password {}", demo.admin_password.reveal()))?;
        say("        shown this once; keep both")?;
        say(format_args!("console http://{addr}/#key={}", demo.secret.reveal()))?;
    }
    say(format_args!("docs    http://{addr}/docs"))?;
    if let Some(simulator) = &instance.simulator {
        say(format_args!("gateway {}settings (simulated)", simulator.url))?;
    }
    Ok(())
}

/// Cancelled by SIGTERM (a deployment) or SIGINT (a keyboard).
pub(super) fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        token.cancel();
    });
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{net::TcpStream, time::timeout};

    use super::*;

    #[tokio::test]
    async fn a_crowd_is_let_in_before_the_first_is_accepted() {
        let listener = listen("localhost:0").await.expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let mut crowd = Vec::new();
        for number in 0..300 {
            let connected = timeout(Duration::from_secs(10), TcpStream::connect(addr)).await;
            crowd.push(connected.unwrap_or_else(|_| panic!("number {number} waits")));
        }
        assert!(crowd.into_iter().all(|connected| connected.is_ok()));
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let taken = listen("127.0.0.1:0").await.expect("a free port");
        let addr = taken.local_addr().expect("its address").to_string();
        let error = listen(&addr).await.expect_err("it is taken");
        assert!(error.to_string().contains(&addr), "{error:#}");
        assert!(listen("no such host:1").await.is_err());
    }
}
