//! How to reach the database. Defaults carry the numbers of the field they are meant for.

use std::{path::PathBuf, time::Duration};

#[derive(Clone, Debug)]
pub struct Settings {
    /// `sqlite://PATH` or `postgres://…`.
    pub url: String,
    /// Certificate authorities (PEM) to trust besides the public ones, for `sslmode=require`.
    pub ca_file: Option<PathBuf>,
    pub pool: PoolSettings,
}

/// Limits of the pool that serves reads and small writes; batches have connections of their own.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    pub max_connections: usize,
    pub connect_timeout: Duration,
    /// How long a caller waits for a free connection before it is told `unavailable`.
    pub wait_timeout: Duration,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            max_connections: 20,
            connect_timeout: Duration::from_secs(5),
            wait_timeout: Duration::from_secs(2),
        }
    }
}
