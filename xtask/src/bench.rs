//! Side by side in one run: the double entry one would write by hand, driven by pgbench, and
//! Caudal on the same PostgreSQL, then on SQLite. Each part has a fresh database and the same
//! disk; the load is driven by a client of its own, on the same cores as everything else.
//!
//! How to add a part: a row in [`PARTS`], and, if a figure is required of it, one in `verdicts`.

mod caudal;
mod chart;
mod pgbench;
mod verdicts;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::process::{output, stream};
use crate::say;
use crate::testbed::{fresh_dir, postgres::Postgres, postgres::postgres_up, simulator::Simulator};
use crate::workspace::{Workspace, cargo};

/// Accounts or wallets that money moves between.
const ACCOUNTS: usize = 10_000;
const CONNECTIONS: usize = 256;
const BATCH: usize = 100;
const BUILD_LIMIT: Duration = Duration::from_secs(3_600);

/// What the command takes.
#[derive(clap::Args, Debug, Clone)]
pub struct Args {
    /// How long each part is measured in a round
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: u64,
    /// How often all parts are measured in turn: a machine that is slower for a while is so for
    /// all, and the middle of the rounds counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=99))]
    pub rounds: u8,
    /// These parts only, e.g. `a,b`; the latest result is then left as it is
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
}

/// One line of the comparison.
struct Part {
    key: &'static str,
    name: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Row locks in PostgreSQL, driven by pgbench.
    ByHand { clients: usize, hot: bool },
    /// `processes` of Caudal on one PostgreSQL.
    Postgres { processes: usize, load: Load },
    /// Caudal on PostgreSQL, taking cards through a simulator that is another process.
    Cards { load: Load },
    /// Caudal on a file of its own.
    Sqlite { load: Load },
}

#[derive(Clone, Copy)]
struct Load {
    /// As `caudal bench` calls it.
    workload: &'static str,
    connections: usize,
    batch: usize,
    hot: u8,
    /// Fraud rules.
    rules: usize,
}

const ONE_A_REQUEST: Load =
    Load { workload: "transfers", connections: CONNECTIONS, batch: 1, hot: 0, rules: 0 };
const HOT: Load = Load { hot: 100, ..ONE_A_REQUEST };
/// So many connections fill the engine's queue to a third; 256 would only be told `overloaded`.
const BATCHES: Load = Load { connections: 32, batch: BATCH, ..ONE_A_REQUEST };
const ALONE: Load = Load { connections: 1, ..ONE_A_REQUEST };

const PAYMENTS: Load = Load { workload: "payments", ..ONE_A_REQUEST };
const SCREENED: Load = Load { rules: 20, ..PAYMENTS };
const CARDS: Load = Load { workload: "cards", ..ONE_A_REQUEST };

/// How long the simulator takes for an answer.
const GATEWAY_LATENCY_MS: u64 = 20;

const PARTS: [Part; 13] = [
    Part {
        key: "a",
        name: "pgbench double entry, 64 clients",
        kind: Kind::ByHand { clients: 64, hot: false },
    },
    Part {
        key: "a-hot",
        name: "pgbench double entry, one hot account",
        kind: Kind::ByHand { clients: 64, hot: true },
    },
    Part {
        key: "a-1",
        name: "pgbench double entry, one client",
        kind: Kind::ByHand { clients: 1, hot: false },
    },
    Part {
        key: "b",
        name: "Caudal on PostgreSQL, one a request",
        kind: Kind::Postgres { processes: 1, load: ONE_A_REQUEST },
    },
    Part {
        key: "c",
        name: "Caudal on PostgreSQL, one hot wallet",
        kind: Kind::Postgres { processes: 1, load: HOT },
    },
    Part {
        key: "d",
        name: "Caudal on PostgreSQL, batches of 100",
        kind: Kind::Postgres { processes: 1, load: BATCHES },
    },
    Part {
        key: "e",
        name: "Caudal on SQLite, one a request",
        kind: Kind::Sqlite { load: ONE_A_REQUEST },
    },
    Part {
        key: "f",
        name: "two Caudals on one PostgreSQL",
        kind: Kind::Postgres { processes: 2, load: ONE_A_REQUEST },
    },
    Part {
        key: "f-hot",
        name: "two Caudals, one hot wallet",
        kind: Kind::Postgres { processes: 2, load: HOT },
    },
    Part {
        key: "g",
        name: "Caudal on PostgreSQL, one connection",
        kind: Kind::Postgres { processes: 1, load: ALONE },
    },
    Part {
        key: "p",
        name: "Caudal on PostgreSQL, wallet payments",
        kind: Kind::Postgres { processes: 1, load: PAYMENTS },
    },
    Part {
        key: "p-20",
        name: "the same under 20 fraud rules",
        kind: Kind::Postgres { processes: 1, load: SCREENED },
    },
    Part {
        key: "cards",
        name: "Caudal on PostgreSQL, card payments",
        kind: Kind::Cards { load: CARDS },
    },
];

/// What one part measured, named as in the JSON that is written.
pub(crate) type Figures = serde_json::Map<String, Value>;
/// All that was measured, by the key of its part.
pub(crate) type Measured = BTreeMap<&'static str, Figures>;

/// A number of one part, if it was measured.
pub(crate) fn figure(measured: &Measured, part: &str, name: &str) -> Option<f64> {
    measured.get(part)?.get(name)?.as_f64()
}

/// Runs the parts, prints what was required of each, and writes it all below `bench/results`.
/// Whether every acknowledged transfer was found again; a figure that is missed is only shown.
pub fn run(workspace: &Workspace, args: &Args) -> Result<bool> {
    let parts = chosen(&args.only)?;
    let binary = build(workspace, &parts)?;
    let dir = fresh_dir(workspace, "bench")?;
    let bench = Bench { dir: dir.clone(), binary, seconds: args.seconds };
    let result = measure(&parts, &bench, args.rounds);
    // What is left of a failed run is of use to whoever looks why.
    let (machine, rounds) = result.with_context(|| format!("see {}", dir.display()))?;
    std::fs::remove_dir_all(&dir)?;
    let measured = middle(&rounds);
    let verdicts = verdicts::verdicts(&rounds);
    say(verdicts::table(&parts_of(&parts), &measured, &verdicts));
    say(format!("machine: {machine}"));
    say(format!(
        "fsync on; the middle of {} rounds, {} s a part; {CONNECTIONS} connections and {ACCOUNTS} \
         wallets unless said otherwise; 1 transfer a request, {BATCH} from {} connections in d; \
         hot: 100 % of transfers through one wallet; cards: a simulator that takes \
         {GATEWAY_LATENCY_MS} ms",
        args.rounds, args.seconds, BATCHES.connections
    ));
    let report = report(&machine, args, &measured, &verdicts);
    write(workspace, args, &report, &measured)?;
    Ok(measured.values().all(|figures| figures.get("verified") != Some(&json!(false))))
}

fn chosen(only: &[String]) -> Result<Vec<&'static Part>> {
    for key in only {
        let keys: Vec<&str> = PARTS.iter().map(|part| part.key).collect();
        ensure!(keys.contains(&key.as_str()), "no part {key}; there are {}", keys.join(", "));
    }
    let chosen = |part: &&Part| only.is_empty() || only.iter().any(|key| key == part.key);
    Ok(PARTS.iter().filter(chosen).collect())
}

fn parts_of(parts: &[&'static Part]) -> Vec<(&'static str, &'static str)> {
    parts.iter().map(|part| (part.key, part.name)).collect()
}

/// The program under test as users get it, built if it is not up to date.
fn build(workspace: &Workspace, parts: &[&Part]) -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let binary = workspace.join(target).join("release/caudal");
    if parts.iter().all(|part| matches!(part.kind, Kind::ByHand { .. })) {
        return Ok(binary);
    }
    let mut command = cargo();
    command.args(["build", "--release", "--package", "caudal"]).current_dir(&workspace.root);
    let status = stream(command, BUILD_LIMIT, &mut |line| say(line))?;
    ensure!(status.success(), "caudal does not build");
    ensure!(binary.is_file(), "no {} after building it", binary.display());
    Ok(binary)
}

/// What the parts share.
struct Bench {
    dir: PathBuf,
    binary: PathBuf,
    seconds: u64,
}

fn measure(parts: &[&Part], bench: &Bench, rounds: u8) -> Result<(Value, Vec<Measured>)> {
    let postgres = postgres_up(&bench.dir)?;
    fill_log(&postgres)?;
    let machine = machine(&postgres)?;
    let mut all = Vec::new();
    for round in 1..=rounds {
        let mut measured = Measured::new();
        for part in parts {
            let figures = one(bench, &postgres, part);
            let mut figures = figures.with_context(|| part.name.to_owned())?;
            figures.insert("key".into(), json!(part.key));
            figures.insert("name".into(), json!(part.name));
            let tps = figures["tps"].as_f64().unwrap_or_default();
            say(format!("{round}/{rounds} {}: {}: {tps:.0}/s", part.key, part.name));
            measured.insert(part.key, figures);
        }
        all.push(measured);
    }
    Ok((machine, all))
}

/// Each part as it was in its middle round, with what all rounds made; verified if all were.
fn middle(rounds: &[Measured]) -> Measured {
    let tps = |figures: &Figures| figures["tps"].as_f64().unwrap_or_default();
    let of_part = |key| {
        let mut each: Vec<&Figures> = rounds.iter().filter_map(|round| round.get(key)).collect();
        each.sort_by(|one, other| tps(one).total_cmp(&tps(other)));
        let mut figures = Figures::clone(each.get(each.len().checked_sub(1)? / 2)?);
        let verified = each.iter().all(|run| run.get("verified") == Some(&json!(true)));
        figures.insert("verified".into(), json!(verified));
        figures.insert("rounds_tps".into(), each.iter().map(|run| run["tps"].clone()).collect());
        Some((key, figures))
    };
    PARTS.iter().filter_map(|part| of_part(part.key)).collect()
}

/// A server that has run for a while writes its log over files it used before; a new one makes and
/// zeroes each, which stops every commit for tens of milliseconds. All parts run as on the former.
fn fill_log(postgres: &Postgres) -> Result<()> {
    postgres.query("alter system set min_wal_size = '2GB'")?;
    postgres.query("select pg_reload_conf()")?;
    let megabyte = "pg_logical_emit_message(false, 'fill', repeat('x', 1048576))";
    postgres.query(&format!("select max({megabyte}) from generate_series(1, 2048)"))?;
    postgres.query("checkpoint").map(drop)
}

fn one(bench: &Bench, postgres: &Postgres, part: &Part) -> Result<Figures> {
    let database = format!("bench_{}", part.key.replace('-', "_"));
    postgres.query(&format!("create database {database}"))?;
    // Nothing that an earlier part left to be written is to burden this one.
    postgres.query("checkpoint")?;
    let dir = bench.dir.join(part.key);
    std::fs::create_dir_all(&dir)?;
    let url = postgres.socket_url(&database);
    let simulator = match part.kind {
        Kind::Cards { .. } => Some(Simulator::start(&bench.binary, GATEWAY_LATENCY_MS)?),
        _ => None,
    };
    let run = caudal::Run {
        binary: &bench.binary,
        dir: &dir,
        seconds: bench.seconds,
        simulator: simulator.as_ref(),
    };
    let figures = match part.kind {
        Kind::ByHand { clients, hot } => {
            let seconds = bench.seconds;
            pgbench::run(
                postgres,
                &pgbench::Plan { database: &database, dir, clients, hot, seconds },
            )
        }
        Kind::Postgres { processes, load } => run.drive(&vec![url; processes], load, part.name),
        Kind::Cards { load } => run.drive(&[url], load, part.name),
        Kind::Sqlite { load } => {
            let url = format!("sqlite://{}", dir.join("caudal.db").display());
            run.drive(&[url], load, part.name)
        }
    }?;
    postgres.query(&format!("drop database {database} with (force)"))?;
    std::fs::remove_dir_all(bench.dir.join(part.key))?;
    Ok(figures)
}

/// What the figures depend on.
fn machine(postgres: &Postgres) -> Result<Value> {
    let line = |file: &str, key: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).map(str::to_owned);
        line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned())).unwrap_or_default()
    };
    Ok(json!({
        "cores": std::thread::available_parallelism()?.get(),
        "cpu": line("/proc/cpuinfo", "model name"),
        "memory": line("/proc/meminfo", "MemTotal"),
        "kernel": output(Command::new("uname").arg("-r"))?,
        "postgres": postgres.query("show server_version")?,
        "fsync": postgres.query("show fsync")?,
        "synchronous_commit": postgres.query("show synchronous_commit")?,
    }))
}

fn report(machine: &Value, args: &Args, measured: &Measured, verdicts: &verdicts::All) -> Value {
    json!({
        "machine": machine,
        "conditions": {
            "seconds": args.seconds,
            "rounds": args.rounds,
            "connections": CONNECTIONS,
            "wallets": ACCOUNTS,
            "batch": BATCH,
            "hot_percent": 100,
            "fsync": true,
        },
        "runs": PARTS.iter().filter_map(|part| measured.get(part.key)).collect::<Vec<_>>(),
        "ratios": verdicts.ratios(),
        "required": verdicts.json(),
    })
}

fn write(workspace: &Workspace, args: &Args, report: &Value, measured: &Measured) -> Result<()> {
    let results = workspace.join("bench/results");
    std::fs::create_dir_all(&results)?;
    let date = output(Command::new("date").args(["-u", "+%Y-%m-%dT%H-%M-%SZ"]))?;
    let text = format!("{report:#}\n");
    save(&results.join(format!("{date}.json")), &text)?;
    if args.only.is_empty() {
        save(&results.join("latest.json"), &text)?;
        save(&results.join("latest.svg"), &chart::chart(&parts_of(&chosen(&[])?), measured))?;
    }
    Ok(())
}

fn save(path: &Path, text: &str) -> Result<()> {
    let Err(error) = std::fs::write(path, text) else {
        say(format!("wrote {}", path.display()));
        return Ok(());
    };
    bail!("cannot write {}: {error}", path.display())
}
