//! A fresh database for one app: made before it, gone after it.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    sync::{
        Once,
        atomic::{AtomicU64, Ordering},
    },
};

use caudal::system::SystemClock;
use caudal_domain::Clock;
use tokio::sync::Mutex;
use tokio_postgres::NoTls;

/// The server on which tests make databases of their own.
const POSTGRES_URL: &str = "CAUDAL_TEST_POSTGRES_URL";

static NEXT: AtomicU64 = AtomicU64::new(0);
static SKIPPED: Once = Once::new();
/// How many databases there are that were copied from the template.
static COPIES: Mutex<usize> = Mutex::const_new(0);

pub enum Database {
    Sqlite { folder: PathBuf },
    Postgres { admin_url: String, name: String },
}

/// A name that no other test of this run or another has.
fn unique() -> String {
    format!("caudal_api_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Database {
    pub fn sqlite() -> Self {
        let folder = std::env::temp_dir().join(unique());
        fs::create_dir_all(&folder).expect("a folder for the database");
        Self::Sqlite { folder }
    }

    /// `None`, said once on standard error, where no server is named.
    pub async fn postgres() -> Option<Self> {
        let Ok(admin_url) = std::env::var(POSTGRES_URL) else {
            SKIPPED.call_once(|| {
                let text = format!("SKIPPED: the API on PostgreSQL: {POSTGRES_URL} is not set");
                // Past the test harness, which would keep it to itself.
                let _ = writeln!(std::io::stderr(), "{text}");
            });
            return None;
        };
        let name = unique();
        copy_template(&admin_url, &name).await;
        Some(Self::Postgres { admin_url, name })
    }

    pub fn url(&self) -> String {
        match self {
            Self::Sqlite { folder } => format!("sqlite://{}", folder.join("books.db").display()),
            Self::Postgres { admin_url, name } => with_database(admin_url, name),
        }
    }

    pub async fn remove(self) {
        match self {
            Self::Sqlite { folder } => fs::remove_dir_all(folder).expect("the folder goes"),
            Self::Postgres { admin_url, name } => {
                drop_copy(&admin_url, &name).await;
            }
        }
    }
}

/// A database whose migrations have run: to copy it takes a fifth of the time that they take. It is
/// made with the first copy, and goes with the last one.
fn template() -> String {
    format!("caudal_api_{}_template", std::process::id())
}

async fn copy_template(admin_url: &str, name: &str) {
    let template = template();
    let mut copies = COPIES.lock().await;
    if *copies == 0 {
        run(admin_url, &format!("create database {template}")).await;
        let url = with_database(admin_url, &template);
        let settings = caudal_store::Settings { url, ca_file: None, pool: <_>::default() };
        let store = caudal_store::open(&settings).await.expect("a store");
        store.migrate(SystemClock.now()).await.expect("migrations");
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

async fn run(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("PostgreSQL");
    tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// The same URL with another database.
fn with_database(url: &str, name: &str) -> String {
    let (before, query) = url.split_once('?').map_or((url, ""), |(url, query)| (url, query));
    let host = before.find("://").map_or(0, |at| at + 3);
    let end = before[host..].find('/').map_or(before.len(), |at| host + at);
    let base = &before[..end];
    if query.is_empty() { format!("{base}/{name}") } else { format!("{base}/{name}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn only_the_database_is_another() {
        let table = [
            ("postgres://u@h:1/a", "postgres://u@h:1/b"),
            ("postgres://u@h:1", "postgres://u@h:1/b"),
            ("postgres://u@h/a?x=1", "postgres://u@h/b?x=1"),
        ];
        for (given, wanted) in table {
            assert_eq!(with_database(given, "b"), wanted);
        }
    }
}
