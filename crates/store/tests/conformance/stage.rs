//! A fresh database for one test, on either server, with a second way in for tampering.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use caudal_domain::{
    AccountId, Bucket, IdSource, Timestamp,
    id::{Chance, Uuid7Source},
};
use caudal_store::{PoolSettings, Settings, Store, StoreError};
use tokio::sync::Mutex as AsyncMutex;
use tokio_postgres::NoTls;

/// 2026-01-15T12:00:00Z.
pub const START: Timestamp = Timestamp::from_micros(1_768_478_400_000_000);

/// The server on which tests make databases of their own.
pub const POSTGRES_URL: &str = "CAUDAL_TEST_POSTGRES_URL";

static NEXT: AtomicU64 = AtomicU64::new(0);
/// How many databases there are that were copied from the template.
static COPIES: AsyncMutex<usize> = AsyncMutex::const_new(0);

/// Bytes that only count up: every run of a test sees the same ids.
struct Counted;

impl Chance for Counted {
    fn fill(&self, buffer: &mut [u8]) {
        for (place, byte) in buffer.iter_mut().enumerate() {
            *byte = place as u8;
        }
    }
}

enum Raw {
    Sqlite(PathBuf),
    Postgres { admin_url: String, name: String, client: tokio_postgres::Client },
}

pub struct Stage {
    pub store: Store,
    ids: Arc<Mutex<Uuid7Source<Counted>>>,
    raw: Raw,
}

fn settings(url: &str) -> Settings {
    let pool = PoolSettings { max_connections: 4, ..PoolSettings::default() };
    Settings { url: url.to_owned(), ca_file: None, pool }
}

pub async fn open(url: &str) -> Result<Store, StoreError> {
    caudal_store::open(&settings(url)).await
}

/// A name that no other test of this run or another has.
fn unique() -> String {
    format!("caudal_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A folder for one test's file.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(unique())
}

pub async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("PostgreSQL");
    tokio::spawn(connection);
    client
}

/// The same URL with another database.
fn with_database(url: &str, name: &str) -> String {
    let (before, query) = url.split_once('?').map_or((url, ""), |(url, query)| (url, query));
    let host_end = before.find("://").map_or(0, |at| at + 3);
    let base = match before[host_end..].find('/') {
        Some(at) => &before[..host_end + at],
        None => before,
    };
    match query {
        "" => format!("{base}/{name}"),
        query => format!("{base}/{name}?{query}"),
    }
}

/// SQL that drops every table of the file.
fn drop_tables(path: &Path) -> String {
    let file = rusqlite::Connection::open(path).expect("the file");
    let all = "select 'drop ' || type || ' ' || name || ';' from sqlite_schema
         where type in ('view', 'table') order by type desc";
    let mut drops = file.prepare(all).expect("a query");
    let drops = drops.query_map([], |row| row.get::<_, String>(0)).expect("what there is");
    drops.map(|drop| drop.expect("a statement")).collect()
}

async fn prepare(store: &Store) {
    store.migrate(START).await.expect("migrations");
    store.create_partitions(START).await.expect("partitions");
}

async fn run(url: &str, sql: &str) {
    let done = connect(url).await.batch_execute(sql).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// A prepared database, a fifth of the time to copy: made with the first copy, gone with the last.
fn template() -> String {
    format!("caudal_{}_template", std::process::id())
}

async fn copy_template(admin_url: &str, name: &str) {
    let template = template();
    let mut copies = COPIES.lock().await;
    if *copies == 0 {
        run(admin_url, &format!("create database {template}")).await;
        let url = with_database(admin_url, &template);
        prepare(&open(&url).await.expect("a store")).await;
    }
    *copies += 1;
    drop(copies);
    run(admin_url, &format!("create database {name} template {template}")).await;
}

async fn drop_copy(admin_url: &str, name: &str) {
    run(admin_url, &format!("drop database {name} with (force)")).await;
    let mut copies = COPIES.lock().await;
    *copies -= 1;
    if *copies == 0 {
        run(admin_url, &format!("drop database {}", template())).await;
    }
}

impl Stage {
    pub async fn sqlite() -> Self {
        let path = folder().join("books.db");
        let store = open(&format!("sqlite://{}", path.display())).await.expect("a fresh file");
        Self::prepared(store, Raw::Sqlite(path)).await
    }

    /// `None`, said on standard error, where no server was named.
    pub async fn postgres() -> Option<Self> {
        let Ok(admin_url) = std::env::var(POSTGRES_URL) else {
            let skipped = format!("SKIPPED: conformance on PostgreSQL: {POSTGRES_URL} is not set");
            // Past the test harness, which would keep it to itself.
            let _ = writeln!(std::io::stderr(), "{skipped}");
            return None;
        };
        let name = unique();
        copy_template(&admin_url, &name).await;
        let url = with_database(&admin_url, &name);
        let client = connect(&url).await;
        let store = open(&url).await.expect("a store");
        Some(Self::prepared(store, Raw::Postgres { admin_url, name, client }).await)
    }

    async fn prepared(store: Store, raw: Raw) -> Self {
        prepare(&store).await;
        Self { store, ids: Arc::new(Mutex::new(Uuid7Source::new(Counted))), raw }
    }

    pub async fn close(self) {
        drop(self.store);
        match self.raw {
            Raw::Sqlite(path) => {
                let _ = path.parent().map(fs::remove_dir_all);
            }
            Raw::Postgres { admin_url, name, client } => {
                drop(client);
                drop_copy(&admin_url, &name).await;
            }
        }
    }

    pub fn id(&self, at: Timestamp, bucket: u8) -> u128 {
        self.ids.lock().unwrap().next(at, Bucket(bucket))
    }

    /// For decisions, which may run on another thread.
    pub fn ids(&self) -> impl FnMut(Timestamp, Bucket) -> u128 + Send + use<> {
        let ids = self.ids.clone();
        move |at, bucket| ids.lock().unwrap().next(at, bucket)
    }

    /// An id as a literal of this database's SQL.
    pub fn literal(&self, id: u128) -> String {
        match self.raw {
            Raw::Sqlite(_) => format!("x'{id:032x}'"),
            Raw::Postgres { .. } => format!("'{id:032x}'"),
        }
    }

    /// Runs SQL past the store, as the owner of the database.
    pub async fn raw(&self, sql: &str) {
        match &self.raw {
            Raw::Sqlite(path) => {
                let file = rusqlite::Connection::open(path).expect("the file");
                file.busy_timeout(std::time::Duration::from_secs(5)).expect("a pragma");
                file.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
            }
            Raw::Postgres { client, .. } => {
                let done = client.batch_execute(sql).await;
                done.unwrap_or_else(|error| panic!("{sql}: {:?}", error.as_db_error()));
            }
        }
    }

    /// Sets one column of an account to `value`, where `$` is what it was, past the store: on
    /// SQLite what is on an account is what its last entry says.
    pub fn falsify(&self, account: AccountId, column: &str, value: &str) -> String {
        let id = self.literal(account.0);
        let of_entry = match column {
            "total" => Some("balance_after"),
            "held" => Some("held_after"),
            "pending" => Some("pending_after"),
            "version" => Some("version"),
            _ => None,
        };
        match of_entry.filter(|_| self.keeps_balances_in_entries()) {
            Some(column) => format!(
                "update entries set {column} = {} where account_id = {id}
                 and version = (select max(version) from entries where account_id = {id});",
                value.replace('$', column)
            ),
            None => {
                let value = value.replace('$', column);
                format!("update accounts set {column} = {value} where id = {id};")
            }
        }
    }

    pub fn keeps_balances_in_entries(&self) -> bool {
        matches!(self.raw, Raw::Sqlite(_))
    }

    /// Takes everything away and leaves the schema as its first migration made it, empty.
    pub async fn back_to_the_first_schema(&self) {
        let first = match &self.raw {
            Raw::Sqlite(path) => {
                self.raw(&drop_tables(path)).await;
                include_str!("../../migrations/sqlite/0001_heart.sql")
            }
            Raw::Postgres { .. } => {
                self.raw("drop schema public cascade; create schema public").await;
                include_str!("../../migrations/postgres/0001_heart.sql")
            }
        };
        self.raw(first).await;
        let applied_at = match self.raw {
            Raw::Sqlite(_) => "integer not null default 0",
            Raw::Postgres { .. } => "timestamptz not null default now()",
        };
        self.raw(&format!(
            "create table schema_migrations
             (name text primary key not null, applied_at {applied_at});
             insert into schema_migrations (name) values ('0001_heart')"
        ))
        .await;
    }

    /// The URL of a test that is for SQLite alone.
    pub fn url(&self) -> String {
        match &self.raw {
            Raw::Sqlite(path) => format!("sqlite://{}", path.display()),
            Raw::Postgres { .. } => panic!("this test is for SQLite"),
        }
    }

    /// The URL under which a second process may open the same database.
    pub fn url_of_several(&self) -> Option<String> {
        match &self.raw {
            Raw::Sqlite(_) => None,
            Raw::Postgres { .. } => Some(self.postgres_url().1),
        }
    }

    /// Where the server is, and the URL of this test's database on it; for PostgreSQL alone.
    pub fn postgres_url(&self) -> (std::net::SocketAddr, String) {
        let Raw::Postgres { admin_url, name, .. } = &self.raw else {
            panic!("this test is for PostgreSQL")
        };
        let host = admin_url.split(['/', '@']).find_map(|part| part.parse().ok());
        (host.expect("an address and a port"), with_database(admin_url, name))
    }

    /// The owner's connection of a test that is for PostgreSQL alone.
    pub fn client(&self) -> &tokio_postgres::Client {
        match &self.raw {
            Raw::Postgres { client, .. } => client,
            Raw::Sqlite(_) => panic!("this test is for PostgreSQL"),
        }
    }

    /// A table of rows that go with movements, as a caller of the engine would have one.
    pub async fn create_scratch(&self) {
        self.raw(match self.raw {
            Raw::Sqlite(_) => {
                "create table scratch (bucket integer not null, id blob not null,
                 version integer not null, note text, primary key (bucket, id)) strict"
            }
            Raw::Postgres { .. } => {
                "create table scratch (bucket smallint not null, id uuid not null,
                 version bigint not null, note text, primary key (bucket, id));
                 grant select, insert, update on scratch to caudal_engine"
            }
        })
        .await;
    }
}
