//! The read-only connections.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{codec, connect};
use crate::{Row, StoreError, Value};

/// Reads at the same time: a few more than the cores of the machines that SQLite is meant for.
const CONNECTIONS: usize = 8;
/// How long a read waits for a free connection.
const WAIT: Duration = Duration::from_secs(2);

pub struct Readers {
    path: PathBuf,
    free: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub fn new(path: PathBuf) -> Self {
        Self { path, free: Arc::default(), permits: Arc::new(Semaphore::new(CONNECTIONS)) }
    }

    pub fn connections(&self) -> (usize, usize) {
        (CONNECTIONS - self.permits.available_permits().min(CONNECTIONS), CONNECTIONS)
    }

    pub async fn query(
        &self,
        table: &'static str,
        sql: &str,
        params: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        let permit = self.permit().await?;
        let (sql, params) = (codec::sqlite_sql(sql), params.to_vec());
        let (path, free) = (self.path.clone(), self.free.clone());
        let read = tokio::task::spawn_blocking(move || {
            let idle = lock(&free).pop();
            let connection = match idle {
                Some(connection) => connection,
                None => connect_reader(&path)?,
            };
            let rows = codec::query(&connection, table, &sql, &params);
            lock(&free).push(connection);
            drop(permit);
            rows
        });
        read.await.map_err(|error| StoreError::Unavailable(format!("a read gave up: {error}")))?
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        match tokio::time::timeout(WAIT, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(StoreError::Unavailable(format!(
                "all {CONNECTIONS} readers were busy for {} s",
                WAIT.as_secs()
            ))),
        }
    }
}

fn lock(free: &Mutex<Vec<Connection>>) -> std::sync::MutexGuard<'_, Vec<Connection>> {
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect_reader(path: &std::path::Path) -> Result<Connection, StoreError> {
    connect(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY,
        "pragma busy_timeout = 2000; pragma mmap_size = 134217728; pragma temp_store = memory;
         pragma query_only = on",
    )
}
