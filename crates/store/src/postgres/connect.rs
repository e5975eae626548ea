//! Connections: TLS, time-outs, and the role with the least privilege.

use std::{fs::File, io::BufReader, net::IpAddr, sync::Arc, time::Duration};

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, RecyclingMethod};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::{
    Client, Config,
    config::{Host, SslMode},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{RecentEvents, Settings, StoreError, postgres::errors};

/// Set on every connection that serves requests. A stalled instance loses its transaction after 2 s
/// and a neighbour waits for a lock 1 s at most (and tries again), so that nobody is held up longer
/// than 3 s. Generic plans: each statement is planned once, often while the tables are still empty,
/// and must be right when they are large. Joins are look-ups by key, whatever the statistics say.
const SESSION: &str = "set synchronous_commit = on; set lock_timeout = '1s';
     set idle_in_transaction_session_timeout = '2s'; set statement_timeout = '10s';
     set plan_cache_mode = force_generic_plan; set jit = off;
     set enable_seqscan = off; set enable_mergejoin = off; set enable_hashjoin = off;
     select set_config('role', 'caudal_engine', false)
     where pg_has_role(current_user, 'caudal_engine', 'member')";

/// For reads over whole tables: no time limit, and each planned for what is there.
const AT_LENGTH: &str = "set statement_timeout = 0; set plan_cache_mode = force_custom_plan;
     set enable_seqscan = on; set enable_mergejoin = on; set enable_hashjoin = on;
     set work_mem = '64MB'";

/// A batch does nothing but look rows up.
const LANE: &str = "set enable_bitmapscan = off; set enable_material = off;
     set random_page_cost = 0.1";

pub(super) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
}

impl Connector {
    pub fn new(settings: &Settings) -> Result<Self, StoreError> {
        let mut config: Config = settings
            .url
            .parse()
            .map_err(|error| StoreError::Unavailable(format!("bad database URL: {error}")))?;
        config.connect_timeout(settings.pool.connect_timeout);
        config.application_name("caudal");
        config.keepalives_idle(Duration::from_secs(30));
        // A server that vanished is known by what it no longer acknowledges.
        config.tcp_user_timeout(Duration::from_secs(10));
        Ok(Self { config, tls: MakeRustlsConnect::new(tls_config(settings)?) })
    }

    pub fn manager(self: Arc<Self>) -> Manager {
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        Manager::from_config(self.config.clone(), self.tls.clone(), config)
    }

    /// A connection with the rights of the login: for migrations and partitions.
    pub async fn connect_as_owner(&self) -> Result<Client, StoreError> {
        let (client, connection) =
            self.config.connect(self.tls.clone()).await.map_err(errors::unreachable)?;
        // Ends with its client; the client's calls tell what went wrong.
        tokio::spawn(connection);
        Ok(client)
    }

    /// A connection for reads over whole tables.
    pub async fn connect_at_length(&self) -> Result<Client, StoreError> {
        let client = self.connect_as_owner().await?;
        client.batch_execute(SESSION).await.map_err(errors::classify)?;
        client.batch_execute(AT_LENGTH).await.map_err(errors::classify)?;
        Ok(client)
    }

    /// A connection for a lane of the engine.
    pub async fn connect_lane(&self) -> Result<Client, StoreError> {
        let client = self.connect_as_owner().await?;
        client.batch_execute(SESSION).await.map_err(errors::classify)?;
        client.batch_execute(LANE).await.map_err(errors::classify)?;
        Ok(client)
    }
}

/// Whether what goes there and back can be read on the way: it leaves this machine, and the URL
/// does not demand encryption. As the driver reads the URL, not as it looks.
pub fn is_exposed(url: &str) -> Result<bool, StoreError> {
    let config: Config = url
        .parse()
        .map_err(|error| StoreError::Unavailable(format!("bad database URL: {error}")))?;
    if config.get_ssl_mode() == SslMode::Require {
        return Ok(false);
    }
    let is_here = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        }
    };
    let addresses = config.get_hostaddrs();
    Ok(!config.get_hosts().iter().all(is_here) || !addresses.iter().all(IpAddr::is_loopback))
}

pub(super) fn session_hook(recent: Arc<RecentEvents>) -> Hook {
    Hook::async_fn(move |client, _| {
        recent.forget();
        Box::pin(async move { client.batch_execute(SESSION).await.map_err(HookError::Backend) })
    })
}

/// Trusts the public authorities and the CA file; used when the URL says `sslmode=require`.
fn tls_config(settings: &Settings) -> Result<ClientConfig, StoreError> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(path) = &settings.ca_file {
        let bad = |error: &dyn std::fmt::Display| {
            StoreError::Unavailable(format!("can't read the CA file {}: {error}", path.display()))
        };
        let mut file = BufReader::new(File::open(path).map_err(|error| bad(&error))?);
        for certificate in rustls_pemfile::certs(&mut file) {
            let certificate = certificate.map_err(|error| bad(&error))?;
            roots.add(certificate).map_err(|error| bad(&error))?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::Unavailable(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
