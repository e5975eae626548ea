//! What can go wrong with a database, sorted by what the caller does next.

/// Refusals are not here: they are values of the domain. These are faults.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database can't be reached, is full, or gave up: nothing was written. Try later.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Another writer was in the way (deadlock, lock time-out, a key met twice): nothing was
    /// written. The same batch may run again at once.
    #[error("another writer was in the way: {0}")]
    Contention(String),
    /// The database refused a value (SQLSTATE class 22 or 23): nothing was written, and the same
    /// values will be refused again.
    #[error("the database refused a value: {0}")]
    Rejected(String),
    /// COMMIT was sent, no answer came, and asking afterwards gave none either.
    #[error("the outcome of a commit is unknown: {0}")]
    Unknown(String),
    /// A row does not mean what this code expects.
    #[error("inconsistent data in {table}: {why}")]
    Inconsistent { table: &'static str, why: String },
}
