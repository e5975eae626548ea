//! The yardstick: double entry as one would write it by hand — lock both rows in order, update
//! both, one transfer row, one event row, commit — driven by PostgreSQL's own load driver.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{ACCOUNTS, Figures};
use crate::process::{output, stream, without};
use crate::testbed::postgres::Postgres;

/// Runs before anything is measured.
const WARMUP_S: u64 = 2;
/// Threads of pgbench: it must not be what is measured.
const THREADS: usize = 2;

const SCHEMA: &str = "
    create table accounts (
        id bigint primary key, balance bigint not null, version bigint not null
    ) with (fillfactor = 50);
    create table transfers (
        id bigserial primary key, from_id bigint not null, to_id bigint not null,
        amount bigint not null, created_at timestamptz not null default now()
    );
    create table events (id bigserial primary key, payload jsonb not null);";

const UNIFORM: &str = "\
\\set payer random(1, :accounts)
\\set payee random(1, :accounts - 1)
\\set payee :payee + case when :payee >= :payer then 1 else 0 end
";

const HOT: &str = "\
\\set other random(2, :accounts)
\\set pays random(0, 1)
\\set payer case when :pays = 1 then 1 else :other end
\\set payee case when :pays = 1 then :other else 1 end
";

const TRANSFER: &str = "\
\\set amount random(1, 100)
begin;
select id, balance, version from accounts where id in (:payer, :payee) order by id for update;
update accounts set balance = balance - :amount, version = version + 1 where id = :payer;
update accounts set balance = balance + :amount, version = version + 1 where id = :payee;
insert into transfers (from_id, to_id, amount) values (:payer, :payee, :amount);
insert into events (payload) values (jsonb_build_object('type', 'transfer.posted', \
'from', :payer::bigint, 'to', :payee::bigint, 'amount', :amount::bigint));
commit;
";

/// One run.
pub(super) struct Plan<'a> {
    pub database: &'a str,
    pub dir: PathBuf,
    pub clients: usize,
    pub hot: bool,
    pub seconds: u64,
}

/// Makes the tables, warms up, measures, and holds the sum of balances against what was put in.
pub(super) fn run(postgres: &Postgres, plan: &Plan<'_>) -> Result<Figures> {
    let sql = |text: &str| {
        let mut psql = tool(postgres, "psql", plan);
        output(psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text]))
    };
    sql(SCHEMA)?;
    sql(&format!(
        "insert into accounts select id, 1000000000, 0 from generate_series(1, {ACCOUNTS}) id"
    ))?;
    sql("vacuum analyze accounts")?;
    let script = plan.dir.join("transfer.sql");
    std::fs::write(&script, [if plan.hot { HOT } else { UNIFORM }, TRANSFER].concat())?;
    bench(postgres, plan, WARMUP_S, None)?;
    let tps = bench(postgres, plan, plan.seconds, Some("log"))?;
    let mut micros = latencies(plan)?;
    micros.sort_unstable();
    let ms = |percent: usize| {
        let at = (micros.len() * percent / 100).min(micros.len() - 1);
        micros[at] as f64 / 1_000.0
    };
    let sum = sql("select sum(balance) from accounts")?;
    let figures = json!({
        "tps": (tps * 10.0).round() / 10.0,
        "p50_ms": ms(50),
        "p95_ms": ms(95),
        "p99_ms": ms(99),
        "errors": 0,
        "verified": sum == (ACCOUNTS as u64 * 1_000_000_000).to_string(),
        "batch": 1,
        "connections": plan.clients,
        "hot_percent": if plan.hot { 100 } else { 0 },
        "duration_s": plan.seconds,
        "transfers": micros.len(),
    });
    figures.as_object().cloned().context("an object")
}

/// Over the Unix socket, as its superuser: the shortest way there is.
fn tool(postgres: &Postgres, name: &str, plan: &Plan<'_>) -> Command {
    let mut command = Command::new(postgres.bin().join(name));
    without(&mut command, "PG");
    command.env("LC_ALL", "C").current_dir(&plan.dir);
    command.arg("-h").arg(postgres.socket_dir()).args(["-p", &postgres.port.to_string()]);
    command.args(["-U", "postgres", "-d", plan.database]);
    command
}

fn bench(postgres: &Postgres, plan: &Plan<'_>, seconds: u64, log: Option<&str>) -> Result<f64> {
    let mut command = tool(postgres, "pgbench", plan);
    let threads = THREADS.min(plan.clients).to_string();
    command.args(["-n", "-M", "prepared", "-j", &threads, "-c", &plan.clients.to_string()]);
    command.args(["-T", &seconds.to_string(), "-D", &format!("accounts={ACCOUNTS}")]);
    command.args(["-f", "transfer.sql"]);
    if let Some(prefix) = log {
        command.args(["-l", "--log-prefix", prefix]);
    }
    let mut lines = Vec::new();
    let limit = Duration::from_secs(seconds + 120);
    let status = stream(command, limit, &mut |line| lines.push(line.to_owned()))?;
    ensure!(status.success(), "pgbench failed:\n{}", lines.join("\n"));
    let tps = lines.iter().find_map(|line| line.strip_prefix("tps = "));
    let tps = tps.and_then(|rest| rest.split(' ').next());
    tps.and_then(|number| number.parse().ok())
        .with_context(|| format!("pgbench told no tps:\n{}", lines.join("\n")))
}

/// Microseconds of each transfer: the third column of the logs, of which each thread writes one.
fn latencies(plan: &Plan<'_>) -> Result<Vec<u32>> {
    let mut micros = Vec::new();
    for entry in std::fs::read_dir(&plan.dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("log.") {
            for line in std::fs::read_to_string(entry.path())?.lines() {
                let column = line.split(' ').nth(2).context("a line of pgbench's log")?;
                micros.push(column.parse().context("a latency in pgbench's log")?);
            }
        }
    }
    ensure!(!micros.is_empty(), "pgbench logged nothing");
    Ok(micros)
}
