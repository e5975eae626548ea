//! A small payment gateway: a real HTTP server with books of its own, for tests, for trying
//! Caudal out, and for load. In process on a port of this machine, or as a process of its own.
//!
//! It plays somebody else's server, so it shares with the client only what goes over the wire
//! (`shapes`). It knows accounts by their API key (any that begins with `sim_`), takes test
//! tenants only, remembers idempotency keys for as long as it lives, and fails on demand
//! ([`Settings`]; `PUT /settings`). Its pages are on one page in `server.rs`.

mod books;
mod client;
mod deliveries;
mod later;
mod server;
mod settlement;
mod shapes;
mod tokens;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use caudal_outbound::{Client, ClientOptions, World};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, task::JoinHandle};

pub use books::Totals;
pub use client::SimulatorGateway;
pub use shapes::{Charge, Endpoint, NewDispute, Status};

use books::{Asked, Books, Fees, Later};
use deliveries::Outbox;

/// How it behaves; chances from 0 to 1, of each request under `/v1`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Before each answer.
    pub latency_ms: u64,
    /// Nothing happens, and a 500 is said.
    pub p_error: f64,
    /// It happens, and a 500 is said.
    pub p_error_after: f64,
    /// Nothing happens, and nothing is said.
    pub p_timeout: f64,
    /// It happens, and nothing is said.
    pub p_timeout_after: f64,
    /// How long nothing is said; then 504.
    pub hang_ms: u64,
    /// After what delay disputes come and what is processing is decided.
    pub later_ms: u64,
    /// Its own fee: 2.9 % and 30 minor units, as is usual with cards.
    pub fee_basis_points: i64,
    pub fee_fixed_minor: i64,
    /// For each dispute, whoever wins it.
    pub fee_dispute_minor: i64,
    pub webhooks: WebhookSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            latency_ms: 0,
            p_error: 0.0,
            p_error_after: 0.0,
            p_timeout: 0.0,
            p_timeout_after: 0.0,
            hang_ms: 10_000,
            later_ms: 0,
            fee_basis_points: 290,
            fee_fixed_minor: 30,
            fee_dispute_minor: 1_500,
            webhooks: WebhookSettings::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookSettings {
    /// Nothing is sent until this is false again.
    pub hold: bool,
    /// How often each is sent; 1 is once.
    pub copies: u32,
    /// Any that waits may be sent next.
    pub disorder: bool,
    /// Signed by its published Ed25519 key instead of the account's secrets.
    pub by_key: bool,
    /// Before the second try; doubles with each.
    pub retry_ms: u64,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self { hold: false, copies: 1, disorder: false, by_key: false, retry_ms: 1_000 }
    }
}

/// The gateway itself, behind its server.
pub struct Simulator {
    world: World,
    client: Client,
    /// Where it is reached, for its own pages.
    url: String,
    settings: Mutex<Settings>,
    books: Mutex<Books>,
    outbox: Outbox,
}

/// A simulator that runs; it ends when this is dropped.
pub struct Running {
    pub url: caudal_outbound::Url,
    pub simulator: Arc<Simulator>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Running {
    /// Ends only with an error, or when dropped.
    pub async fn wait(mut self) {
        let _ = (&mut self.tasks[0]).await;
    }
}

impl Simulator {
    /// Starts it at an address; port 0 takes any.
    pub async fn start(at: SocketAddr, settings: Settings, world: World) -> io::Result<Running> {
        let listener = TcpListener::bind(at).await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let client = Client::new(ClientOptions::default()).map_err(io::Error::other)?;
        let mut run = [0; 4];
        world.chance.fill(&mut run);
        let books = Books::new(format!("{:08x}", u32::from_be_bytes(run)));
        let outbox = Outbox::new(&*world.chance);
        let simulator = Arc::new(Self {
            world,
            client,
            url: url.clone(),
            settings: Mutex::new(settings),
            books: Mutex::new(books),
            outbox,
        });
        let server = tokio::spawn(server::serve(listener, Arc::clone(&simulator)));
        let sender = tokio::spawn(deliveries::run(Arc::clone(&simulator)));
        let url = caudal_outbound::Url::parse(&url).map_err(io::Error::other)?;
        Ok(Running { url, simulator, tasks: [server, sender] })
    }

    pub fn settings(&self) -> Settings {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set(&self, settings: Settings) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
        self.outbox.wake();
    }

    /// Sums of an account's charges by currency.
    pub fn totals(&self, account: &str) -> std::collections::HashMap<String, Totals> {
        self.books().totals(account)
    }

    /// Whose charge or dispute it is.
    pub fn account_of(&self, id: &str) -> Option<String> {
        self.books().owner(id)
    }

    /// The payer's bank takes back what was charged; the dispute's name, unless nothing was.
    pub fn dispute(self: &Arc<Self>, charge: &str, new: NewDispute) -> Option<String> {
        let account = self.account_of(charge)?;
        let disputed = self.books().dispute(self.asked(&account, ""), charge, new);
        self.follow_up();
        disputed.ok().map(|thing| thing.id().to_owned())
    }

    /// The payer's bank decides; whether it could.
    pub fn close(self: &Arc<Self>, dispute: &str, won: bool) -> bool {
        let Some(account) = self.account_of(dispute) else { return false };
        let closed = self.books().close(self.asked(&account, ""), dispute, won);
        self.follow_up();
        closed.is_ok()
    }

    /// Every charge of an account, in no order.
    pub fn charges(&self, account: &str) -> Vec<Charge> {
        self.books().charges(account)
    }

    /// The settlement file of an account: of one day of UTC (since 1970), else all there is.
    pub fn settlement(&self, account: &str, day: Option<i64>) -> String {
        let books = self.books();
        let own = books.lines.iter().filter(|line| line.account == account);
        let Some(day) = day else { return settlement::csv(own) };
        let of_day = own.filter(|line| line.at.days() == day);
        let is_over = self.world.clock.now().days() > day;
        let paid = if is_over { settlement::closing(of_day.clone(), day) } else { Vec::new() };
        settlement::csv(of_day.chain(&paid))
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked<'a>(&self, account: &'a str, key: &'a str) -> Asked<'a> {
        Asked { account, key, at: self.world.clock.now(), fees: self.fees() }
    }

    fn fees(&self) -> Fees {
        let settings = self.settings();
        Fees {
            basis_points: settings.fee_basis_points,
            fixed: settings.fee_fixed_minor,
            dispute: settings.fee_dispute_minor,
        }
    }

    /// What an act left behind: webhooks to send, and what happens by itself later.
    fn follow_up(self: &Arc<Self>) {
        let (events, later) = {
            let mut books = self.books();
            (books.take_events(), books.take_later())
        };
        self.outbox.put(events);
        if later.is_empty() {
            return;
        }
        let (simulator, delay) = (Arc::clone(self), self.settings().later_ms);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            simulator.happen(&later);
        });
    }

    fn happen(self: &Arc<Self>, later: &[Later]) {
        let (now, fees) = (self.world.clock.now(), self.fees());
        {
            let mut books = self.books();
            later.iter().for_each(|later| books.due(later, now, fees));
        }
        self.follow_up();
    }

    /// A number from 0 to 1, 1 left out.
    fn chance(&self) -> f64 {
        let mut bytes = [0; 4];
        self.world.chance.fill(&mut bytes);
        f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
    }
}
