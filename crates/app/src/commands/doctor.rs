//! `caudal doctor`: checks a deployment from inside and names the remedy of what is wrong.

use std::{net::TcpListener, process::ExitCode, time::Instant};

use caudal_domain::Clock;
use caudal_store::Store;

use super::{exit, say};
use crate::{Settings, system::SystemClock};

pub(super) async fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let mut good = tell("configuration", Ok("read and consistent".into()))?;
    let store = match caudal_store::open(&settings.store()).await {
        Ok(store) => store,
        Err(error) => {
            tell("database", Err(error.to_string()))?;
            return Ok(exit(false));
        }
    };
    good &= tell("database", reach(&store).await)?;
    good &= tell("schema", schema(&store).await)?;
    good &= tell("partitions", partitions(&store).await)?;
    good &= tell("clock", clock())?;
    good &= tell("http_addr", address(settings))?;
    say(if good { "All is well." } else { "Mend what is marked NO." })?;
    Ok(exit(good))
}

type Finding = Result<String, String>;

fn tell(what: &str, finding: Finding) -> std::io::Result<bool> {
    match &finding {
        Ok(text) => say(format_args!("  ok  {what}: {text}"))?,
        Err(text) => say(format_args!("  NO  {what}: {text}"))?,
    }
    Ok(finding.is_ok())
}

async fn reach(store: &Store) -> Finding {
    let started = Instant::now();
    caudal_store::events::heads(store.as_ref()).await.map_err(|error| error.to_string())?;
    Ok(format!("answers in {:.1} ms", started.elapsed().as_secs_f64() * 1e3))
}

async fn schema(store: &Store) -> Finding {
    match store.pending_migrations().await {
        Ok(pending) if pending.is_empty() => Ok("up to date".into()),
        Ok(pending) => Err(format!("run `caudal migrate`; waiting: {}", pending.join(", "))),
        Err(error) => Err(error.to_string()),
    }
}

async fn partitions(store: &Store) -> Finding {
    match store.create_partitions(SystemClock.now()).await {
        Ok(created) if created.is_empty() => Ok("there for this month and the next three".into()),
        Ok(created) => Ok(format!("created {}", created.join(", "))),
        Err(error) => Err(format!("{error}; run `caudal partitions` as the database's owner")),
    }
}

fn clock() -> Finding {
    // The day this was written: an earlier clock would give ids of the past.
    const LEAST_DAYS: i64 = 20_400;
    match SystemClock.now().days() >= LEAST_DAYS {
        true => Ok(SystemClock.now().to_string()),
        false => Err("stands in the past; set it (NTP)".into()),
    }
}

fn address(settings: &Settings) -> Finding {
    match TcpListener::bind(&settings.http_addr) {
        Ok(_) => Ok(format!("{} is free", settings.http_addr)),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Ok(format!("{} is in use (by a running Caudal?)", settings.http_addr))
        }
        Err(error) => Err(format!("{}: {error}", settings.http_addr)),
    }
}
