//! Configuration: flags over `CAUDAL_…` variables over `caudal.toml` over defaults.
//!
//! To add a key: a field in [`Settings`] with its default, and its line in `caudal.example.toml`.

use std::{collections::BTreeMap, fmt, path::Path, time::Duration};

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use config::{Config, File};
use serde::{Deserialize, Deserializer, Serialize};
use tracing_subscriber::{
    EnvFilter,
    filter::{Directive, LevelFilter},
};

/// Effective settings. Units are in the names.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub env: Env,
    /// The parts this process plays: the API, the background work.
    #[serde(deserialize_with = "roles_from_text")]
    pub roles: Vec<Role>,
    pub http_addr: String,
    /// Where probes and metrics answer; the HTTP address when not set.
    pub admin_addr: Option<String>,
    pub database_url: String,
    /// Certificate authorities (PEM) besides the public ones.
    pub database_ca_file: Option<String>,
    pub database_pool_max: usize,
    pub database_connect_timeout_ms: u64,
    /// As many as the database is good for, when not set.
    pub engine_lanes: Option<usize>,
    pub engine_batch_commands: usize,
    pub engine_queue_commands: usize,
    pub bootstrap_api_key: Option<String>,
    /// Of the demo tenant's owner, `admin@demo.local`.
    pub bootstrap_admin_password: Option<String>,
    /// `id:base64,…`; the first encrypts secrets at rest, all decrypt.
    pub master_keys: Option<String>,
    /// Where users reach this platform: in tokens as `iss`, and in mails.
    pub public_url: Option<String>,
    /// `EdDSA` or `ES256`.
    pub token_algorithm: String,
    /// How long a key signs tokens before the next one does.
    pub signing_key_lifetime_days: u32,
    pub password_memory_kib: u32,
    pub password_iterations: u32,
    pub password_threads: Option<usize>,
    pub password_queue: usize,
    /// Speaks the protocol of Pwned Passwords; not asked when not set.
    pub breached_passwords_url: Option<String>,
    /// Whether a password passes when nobody could be asked.
    pub breached_passwords_fail_open: bool,
    /// `smtp[s]://user:password@host:port`; not set: mails are logged.
    pub smtp_url: Option<String>,
    pub mail_from: String,
    /// Where the payment gateway for tests is; not set: in development, one in this process.
    pub simulator_url: Option<String>,
    /// Foreign OIDC issuers whose tokens are believed; in `caudal.toml` only.
    pub issuers: Vec<TrustedIssuer>,
    /// Transfers from this amount on (minor units) ask users for a second factor.
    pub step_up_amount_minor: Option<i64>,
    /// What an attempt to deliver a webhook may take.
    pub webhooks_timeout_ms: u64,
    /// Whether webhooks may go to private addresses: in development only.
    pub webhooks_allow_private: bool,
    /// Workers that deliver notifications: so many at least, more while the queue is full.
    pub notifications_workers_min: usize,
    pub notifications_workers_max: usize,
    /// What waits for them in this process; the rest waits in the database.
    pub notifications_queue: usize,
    /// Workers that run payments for requests.
    pub payments_workers: usize,
    /// Payments that wait for one; more are run by whoever asked for them.
    pub payments_queue: usize,
    /// `off` in development only.
    pub rate_limits: Switch,
    /// Addresses or networks (CIDR) whose `X-Forwarded-For` is believed, comma-separated.
    pub trusted_proxies: String,
    /// `error`, `warn`, `info`, `debug`, or a filter such as `info,caudal_engine=debug`.
    pub log: String,
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Env {
    #[default]
    Development,
    Production,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    #[default]
    On,
    Off,
}

/// A foreign OIDC issuer, and what its users are here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedIssuer {
    /// As its tokens say it in `iss`.
    pub issuer: String,
    /// Where its keys are; else its discovery document is asked.
    pub jwks_uri: Option<String>,
    pub audience: String,
    /// `RS256`, `PS256`, `ES256`, `EdDSA`; all of them when not given.
    #[serde(default)]
    pub algorithms: Vec<String>,
    /// The tenant its users belong to (`ten_…`).
    pub tenant: String,
    /// The claim with their roles there, dots between levels: `realm_access.roles`.
    pub roles_claim: Option<String>,
    /// Their role → ours.
    #[serde(default)]
    pub roles: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// What a process does: each part of the platform scales by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// People, their sessions and roles, tenants and API keys.
    Users,
    /// Wallets, transfers, exchange, the event stream.
    Wallets,
    /// Payments with all that is set up for them.
    Payments,
    /// Goes on with payments and payouts at their gateways, takes the gateways' webhooks.
    Gateway,
    /// All other work in the background.
    Workers,
}

impl Role {
    pub const ALL: [Self; 5] =
        [Self::Users, Self::Wallets, Self::Payments, Self::Gateway, Self::Workers];
}

/// `wallets,workers`: a list is text in a variable.
fn roles_from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Role>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        List(Vec<Role>),
        Text(String),
    }
    match Written::deserialize(deserializer)? {
        Written::List(roles) => Ok(roles),
        Written::Text(text) => text
            .split(',')
            .map(|name| Role::from_str(name.trim(), true).map_err(serde::de::Error::custom))
            .collect(),
    }
}

impl Default for Settings {
    fn default() -> Self {
        let engine = caudal_engine::Settings::default();
        let notifications = caudal_workers::PoolSettings::default();
        let payments = caudal_service::payment_saga::PoolSettings::default();
        Self {
            env: Env::Development,
            roles: Role::ALL.to_vec(),
            http_addr: "127.0.0.1:8080".into(),
            admin_addr: None,
            database_url: "sqlite://caudal.db".into(),
            database_ca_file: None,
            database_pool_max: 20,
            database_connect_timeout_ms: 5000,
            engine_lanes: None,
            engine_batch_commands: engine.batch_commands,
            engine_queue_commands: engine.queue_commands,
            bootstrap_api_key: None,
            bootstrap_admin_password: None,
            master_keys: None,
            public_url: None,
            token_algorithm: "EdDSA".into(),
            signing_key_lifetime_days: 30,
            password_memory_kib: 19_456,
            password_iterations: 2,
            password_threads: None,
            password_queue: 64,
            breached_passwords_url: None,
            breached_passwords_fail_open: true,
            smtp_url: None,
            mail_from: "Caudal <no-reply@localhost>".into(),
            simulator_url: None,
            issuers: Vec::new(),
            step_up_amount_minor: None,
            webhooks_timeout_ms: 10_000,
            webhooks_allow_private: false,
            notifications_workers_min: notifications.workers_min,
            notifications_workers_max: notifications.workers_max,
            notifications_queue: notifications.queue,
            payments_workers: payments.workers,
            payments_queue: payments.queue,
            rate_limits: Switch::On,
            trusted_proxies: String::new(),
            log: "info".into(),
            log_format: LogFormat::Text,
        }
    }
}

/// Settings that belong to parts this build does not have yet; accepted, so that one environment
/// serves every version, and named in the log.
const WITHOUT_EFFECT: &[&str] =
    &["database_replica_urls", "kafka_brokers", "redis_cluster_urls", "redis_url"];

/// Variables with our prefix that are not settings of the platform.
const NOT_SETTINGS: &[&str] = &["CAUDAL_TEST", "CAUDAL_CONFIG", "CAUDAL_BENCH_API_KEY"];

const DEFAULT_FILE: &str = "caudal.toml";

impl Settings {
    /// Reads the file (or `caudal.toml`, if there is one) and the environment.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        Self::read(file, std::env::vars())
    }

    fn read(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let source = match file {
            Some(path) => File::from(path).required(true),
            None => File::with_name(DEFAULT_FILE).required(false),
        };
        let mut builder = Config::builder().add_source(source);
        for (name, value) in environment {
            let Some(key) = name.strip_prefix("CAUDAL_") else { continue };
            if NOT_SETTINGS.iter().any(|other| name.starts_with(other)) || value.is_empty() {
                continue;
            }
            builder = builder.set_override(key.to_lowercase(), value)?;
        }
        let config = builder.build().context("the configuration can't be read")?;
        let given: BTreeMap<String, config::Value> = config.clone().try_deserialize()?;
        check_names(given.keys().map(String::as_str))?;
        let settings: Self = config.try_deserialize().context("the configuration can't be used")?;
        settings.check()?;
        Ok(settings)
    }

    /// Whether the settings go together; to be asked again once flags changed them.
    pub fn check(&self) -> anyhow::Result<()> {
        let is_right = |lanes| (1..=16).contains(&lanes);
        ensure!(self.engine_lanes.is_none_or(is_right), "engine_lanes must be 1 to 16");
        ensure!((1..=2000).contains(&self.database_pool_max), "database_pool_max: 1 to 2000");
        ensure!(
            (1..=5000).contains(&self.engine_batch_commands),
            "engine_batch_commands must be 1 to 5000"
        );
        ensure!(
            self.engine_queue_commands >= self.engine_batch_commands,
            "engine_queue_commands must hold one batch (engine_batch_commands) at least"
        );
        ensure!(
            (1..=365).contains(&self.signing_key_lifetime_days),
            "signing_key_lifetime_days: 1 to 365"
        );
        ensure!(
            (100..=30_000).contains(&self.webhooks_timeout_ms),
            "webhooks_timeout_ms must be 100 to 30000: half of a worker's lease"
        );
        ensure!(
            (1..=self.notifications_workers_max).contains(&self.notifications_workers_min)
                && self.notifications_workers_max <= 1000,
            "notifications_workers_min: 1 to notifications_workers_max, and that 1000 at most"
        );
        ensure!(
            (1..=100_000).contains(&self.notifications_queue),
            "notifications_queue must be 1 to 100000"
        );
        ensure!(
            (1..=10_000).contains(&self.payments_workers)
                && (1..=100_000).contains(&self.payments_queue),
            "payments_workers must be 1 to 10000, payments_queue 1 to 100000"
        );
        self.http()?;
        if let Some(keys) = &self.master_keys {
            caudal_identity::Vault::from_setting(keys).context("CAUDAL_MASTER_KEYS")?;
        }
        if self.env == Env::Production {
            self.check_production()?;
        }
        Ok(())
    }

    /// What production must not do without, and must not have.
    fn check_production(&self) -> anyhow::Result<()> {
        ensure!(
            self.master_keys.is_some(),
            "CAUDAL_MASTER_KEYS is not set: production needs keys that encrypt secrets at rest"
        );
        ensure!(
            self.bootstrap_api_key.is_none(),
            "CAUDAL_BOOTSTRAP_API_KEY is for development: production has no demo tenant"
        );
        ensure!(
            self.bootstrap_admin_password.is_none(),
            "CAUDAL_BOOTSTRAP_ADMIN_PASSWORD is for development: production has no demo tenant"
        );
        ensure!(
            self.rate_limits == Switch::On,
            "CAUDAL_RATE_LIMITS=off is for development: production keeps its limits"
        );
        ensure!(
            !self.webhooks_allow_private,
            "CAUDAL_WEBHOOKS_ALLOW_PRIVATE=true is for development: production keeps to itself"
        );
        ensure!(
            !caudal_store::is_exposed(&self.store()).context("CAUDAL_DATABASE_URL")?,
            "the database is remote and the connection is not encrypted: add sslmode=require"
        );
        Ok(())
    }

    pub fn store(&self) -> caudal_store::Settings {
        caudal_store::Settings {
            url: self.database_url.clone(),
            ca_file: self.database_ca_file.as_ref().map(Into::into),
            pool: caudal_store::PoolSettings {
                max_connections: self.database_pool_max,
                connect_timeout: Duration::from_millis(self.database_connect_timeout_ms),
                ..caudal_store::PoolSettings::default()
            },
        }
    }

    pub fn http(&self) -> anyhow::Result<caudal_http::Settings> {
        let trusted_proxies = self.trusted_proxies.parse().context("CAUDAL_TRUSTED_PROXIES")?;
        Ok(caudal_http::Settings { trusted_proxies, ..caudal_http::Settings::default() })
    }

    pub fn webhooks(&self) -> caudal_outbound::WebhookOptions {
        caudal_outbound::WebhookOptions {
            limit: Duration::from_millis(self.webhooks_timeout_ms),
            allow_private: self.webhooks_allow_private,
        }
    }

    pub fn notifications(&self) -> caudal_workers::PoolSettings {
        caudal_workers::PoolSettings {
            workers_min: self.notifications_workers_min,
            workers_max: self.notifications_workers_max,
            queue: self.notifications_queue,
        }
    }

    pub fn payments_pool(&self) -> caudal_service::payment_saga::PoolSettings {
        caudal_service::payment_saga::PoolSettings {
            workers: self.payments_workers,
            queue: self.payments_queue,
        }
    }

    /// What is logged. However much is asked for, the database's driver does not tell what its
    /// statements are given: hashes, and all that is private.
    pub fn log_filter(&self) -> EnvFilter {
        let quiet = Directive::from(LevelFilter::INFO);
        let driver = "tokio_postgres=info".parse().unwrap_or(quiet);
        EnvFilter::new(&self.log).add_directive(driver)
    }

    /// `lanes`: how many the database is good for.
    pub fn engine(&self, lanes: usize) -> caudal_engine::Settings {
        caudal_engine::Settings {
            lanes: self.engine_lanes.unwrap_or(lanes),
            batch_commands: self.engine_batch_commands,
            queue_commands: self.engine_queue_commands,
            ..caudal_engine::Settings::default()
        }
    }
}

/// The effective settings, secrets masked.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = |value: &Option<String>| value.as_deref().map_or("not set", |_| "set (hidden)");
        let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".into());
        writeln!(f, "env = {:?}", self.env)?;
        writeln!(f, "roles = {:?}", self.roles)?;
        writeln!(f, "http_addr = {}", self.http_addr)?;
        writeln!(f, "admin_addr = {}", or_none(&self.admin_addr))?;
        writeln!(f, "database_url = {}", without_credentials(&self.database_url))?;
        writeln!(f, "database_ca_file = {}", or_none(&self.database_ca_file))?;
        writeln!(f, "database_pool_max = {}", self.database_pool_max)?;
        writeln!(f, "database_connect_timeout_ms = {}", self.database_connect_timeout_ms)?;
        writeln!(f, "engine_lanes = {:?}", self.engine_lanes)?;
        writeln!(f, "engine_batch_commands = {}", self.engine_batch_commands)?;
        writeln!(f, "engine_queue_commands = {}", self.engine_queue_commands)?;
        writeln!(f, "bootstrap_api_key = {}", set(&self.bootstrap_api_key))?;
        writeln!(f, "bootstrap_admin_password = {}", set(&self.bootstrap_admin_password))?;
        writeln!(f, "master_keys = {}", set(&self.master_keys))?;
        writeln!(f, "public_url = {}", or_none(&self.public_url))?;
        writeln!(f, "token_algorithm = {}", self.token_algorithm)?;
        writeln!(f, "signing_key_lifetime_days = {}", self.signing_key_lifetime_days)?;
        writeln!(f, "password_memory_kib = {}", self.password_memory_kib)?;
        writeln!(f, "password_iterations = {}", self.password_iterations)?;
        writeln!(f, "password_threads = {:?}", self.password_threads)?;
        writeln!(f, "password_queue = {}", self.password_queue)?;
        let shown = |url: &Option<String>| url.as_deref().map(without_credentials);
        writeln!(f, "breached_passwords_url = {}", or_none(&shown(&self.breached_passwords_url)))?;
        writeln!(f, "breached_passwords_fail_open = {}", self.breached_passwords_fail_open)?;
        writeln!(f, "smtp_url = {}", set(&self.smtp_url))?;
        writeln!(f, "mail_from = {}", self.mail_from)?;
        writeln!(f, "simulator_url = {}", or_none(&shown(&self.simulator_url)))?;
        let issuers: Vec<&str> = self.issuers.iter().map(|known| known.issuer.as_str()).collect();
        writeln!(f, "issuers = {issuers:?}")?;
        writeln!(f, "step_up_amount_minor = {:?}", self.step_up_amount_minor)?;
        writeln!(f, "webhooks_timeout_ms = {}", self.webhooks_timeout_ms)?;
        writeln!(f, "webhooks_allow_private = {}", self.webhooks_allow_private)?;
        writeln!(f, "notifications_workers_min = {}", self.notifications_workers_min)?;
        writeln!(f, "notifications_workers_max = {}", self.notifications_workers_max)?;
        writeln!(f, "notifications_queue = {}", self.notifications_queue)?;
        writeln!(f, "payments_workers = {}", self.payments_workers)?;
        writeln!(f, "payments_queue = {}", self.payments_queue)?;
        writeln!(f, "rate_limits = {:?}", self.rate_limits)?;
        writeln!(f, "trusted_proxies = {}", self.trusted_proxies)?;
        writeln!(f, "log = {}", self.log)?;
        write!(f, "log_format = {:?}", self.log_format)
    }
}

/// The URL with everything masked that could be a secret: what stands before the last `@`, but for
/// a user's name that a password follows, and a query that is not of a connection. What is no URL
/// is not shown at all.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "set (hidden)".into() };
    let (credentials, rest) = match rest.rsplit_once('@') {
        Some((credentials, rest)) => (Some(credentials), rest),
        None => (None, rest),
    };
    let is_database = scheme.starts_with("postgres");
    let user = match credentials.and_then(|it| it.split_once(':')) {
        Some((user, _)) if is_database => format!("{user}:…@"),
        _ if credentials.is_some() => "…@".to_owned(),
        _ => String::new(),
    };
    match rest.split_once('?') {
        Some((base, query)) if !is_database || query.contains("password") => {
            format!("{scheme}://{user}{base}?…")
        }
        _ => format!("{scheme}://{user}{rest}"),
    }
}

/// Every name must be known; the message says which one was probably meant.
fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> anyhow::Result<()> {
    // An empty list would leave no name.
    let full = Settings { issuers: vec![TrustedIssuer::default()], ..Settings::default() };
    let known = Config::try_from(&full)?;
    let known: BTreeMap<String, config::Value> = known.try_deserialize()?;
    for name in names {
        if WITHOUT_EFFECT.contains(&name) {
            tracing::warn!(name, "this setting has no effect in this version");
        } else if !known.contains_key(name) {
            let near = known
                .keys()
                .max_by(|a, b| {
                    let nearness = |key: &str| strsim::jaro_winkler(key, name);
                    nearness(a).total_cmp(&nearness(b))
                })
                .map_or("", String::as_str);
            bail!(
                "unknown setting {name} (CAUDAL_{}); did you mean {near} (CAUDAL_{})?",
                name.to_uppercase(),
                near.to_uppercase()
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> anyhow::Result<Settings> {
        let pairs = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Settings::read(None, pairs)
    }

    #[test]
    fn variables_override_defaults_and_unknown_ones_are_refused() {
        let settings = read(&[("CAUDAL_ENGINE_LANES", "3"), ("HOME", "/")]).expect("good");
        assert_eq!(settings.engine_lanes, Some(3));
        let error = read(&[("CAUDAL_DATABSE_URL", "x")]).expect_err("a typing error");
        assert!(error.to_string().contains("CAUDAL_DATABASE_URL"), "{error}");
        assert!(read(&[("CAUDAL_ENGINE_LANES", "many")]).is_err());
        assert!(read(&[("CAUDAL_ENGINE_LANES", "0")]).is_err());
        assert!(read(&[("CAUDAL_RATE_LIMITS", "off")]).is_ok());
    }

    const GOOD_KEY: &str = "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    #[test]
    fn proxies_are_networks() {
        assert!(read(&[("CAUDAL_TRUSTED_PROXIES", "10.0.0.0/8,192.0.2.7")]).is_ok());
        let error = read(&[("CAUDAL_TRUSTED_PROXIES", "ingress")]).expect_err("a name");
        assert!(format!("{error:#}").contains("CAUDAL_TRUSTED_PROXIES: \"ingress\""), "{error:#}");
    }

    #[test]
    fn production_refuses_what_is_unsafe() {
        let production = ("CAUDAL_ENV", "production");
        let keys = ("CAUDAL_MASTER_KEYS", GOOD_KEY);
        let local = ("CAUDAL_DATABASE_URL", "postgres://u@127.0.0.1/x");
        assert!(read(&[production, local]).is_err(), "no master keys");
        let short = ("CAUDAL_MASTER_KEYS", "a:AAAA");
        let error = format!("{:#}", read(&[production, short, local]).expect_err("a short key"));
        assert!(error.contains("CAUDAL_MASTER_KEYS: master key 1 (\"a\") has 3 bytes"), "{error}");
        assert!(read(&[production, keys, local]).is_ok());
        let remote = ("CAUDAL_DATABASE_URL", "postgres://u@db.example/x");
        assert!(read(&[production, keys, remote]).is_err(), "plaintext");
        let tls = ("CAUDAL_DATABASE_URL", "postgres://u@db.example/x?sslmode=require");
        assert!(read(&[production, keys, tls]).is_ok());
        for (url, is_safe) in [
            ("postgres://u:p@evil.example/localhost", false),
            ("postgres://127.0.0.1@evil.example/x", false),
            ("postgres://u@localhost.evil.example/x", false),
            ("postgres://u@evil.example/x?application_name=host=/", false),
            ("postgres://u@evil.example/x?application_name=sslmode=require", false),
            ("postgres://u@localhost,evil.example/x", false),
            ("postgres://u@localhost/x?hostaddr=192.0.2.7", false),
            ("postgres://u@evil.example/x?sslmode=prefer", false),
            ("postgres://u@%2Fvar%2Frun%2Fpostgresql/x", true),
            ("postgres:///x?host=/var/run/postgresql", true),
            ("postgres://u@[::1]:5433/x", true),
            ("postgresql://u@127.0.0.1,localhost/x", true),
            ("postgres://u@db.example,localhost/x?sslmode=require", true),
            ("sqlite:///var/lib/caudal.db", true),
        ] {
            let read = read(&[production, keys, ("CAUDAL_DATABASE_URL", url)]);
            assert_eq!(read.is_ok(), is_safe, "{url}");
        }
        let demo = ("CAUDAL_BOOTSTRAP_API_KEY", "sk_test_0123456789abcdef");
        assert!(read(&[production, keys, local, demo]).is_err(), "a development setting");
    }

    #[test]
    fn secrets_are_never_shown() {
        let settings = read(&[
            ("CAUDAL_DATABASE_URL", "postgres://u:hunter2@h/x?sslmode=require"),
            ("CAUDAL_BOOTSTRAP_API_KEY", "sk_test_hunter2hunter2"),
        ])
        .expect("good");
        let text = settings.to_string();
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("postgres://u:…@h/x?sslmode=require"), "{text}");
        for (name, value) in [
            ("CAUDAL_DATABASE_URL", "host=db.example user=u password=hunter2 dbname=x"),
            ("CAUDAL_DATABASE_URL", "postgres://u:hunter2?or/so@h/x"),
            ("CAUDAL_DATABASE_URL", "postgres://u:a@b:hunter2@h/x"),
            ("CAUDAL_DATABASE_URL", "postgres://h/x?user=u&password=hunter2"),
            ("CAUDAL_BREACHED_PASSWORDS_URL", "https://u:hunter2@pwned.example/range/"),
            ("CAUDAL_BREACHED_PASSWORDS_URL", "https://hunter2@pwned.example/range/"),
            ("CAUDAL_BREACHED_PASSWORDS_URL", "https://pwned.example/range/?key=hunter2"),
            ("CAUDAL_SIMULATOR_URL", "http://u:hunter2@127.0.0.1:9000/"),
            ("CAUDAL_SMTP_URL", "smtps://u:hunter2@mail.example"),
        ] {
            let text = read(&[(name, value)]).expect("good").to_string();
            assert!(!text.contains("hunter2"), "{name}: {text}");
        }
        let shown = [("CAUDAL_BREACHED_PASSWORDS_URL", "https://u:p@pwned.example/range/")];
        let text = read(&shown).expect("good").to_string();
        assert!(text.contains("https://…@pwned.example/range/"), "{text}");
    }

    #[test]
    fn issuers_are_read_from_the_file() {
        let path = std::env::temp_dir().join(format!("caudal-{}.toml", std::process::id()));
        let text = "[[issuers]]\nissuer = \"https://id.example\"\naudience = \"caudal\"\n\
                    tenant = \"ten_1\"\nroles_claim = \"roles\"\nroles = { Boss = \"owner\" }\n";
        std::fs::write(&path, text).expect("a file");
        let settings = Settings::read(Some(&path), std::iter::empty());
        std::fs::write(&path, text.replace("[[issuers]]", "[[isuers]]")).expect("a file");
        let mistyped = Settings::read(Some(&path), std::iter::empty());
        std::fs::remove_file(&path).expect("the file goes");
        let settings = settings.expect("good settings");
        let [known] = &settings.issuers[..] else { panic!("{:?}", settings.issuers) };
        assert_eq!(known.roles["Boss"], "owner");
        let error = mistyped.expect_err("a typing error").to_string();
        assert!(error.contains("did you mean issuers"), "{error}");
    }
}
