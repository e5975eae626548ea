//! SQLSTATE to what the caller does next.

use tokio_postgres::Error;

use crate::{StoreError, postgres::attached::MISSED};

/// Sorts an error of a statement. A lost connection is [`StoreError::Contention`]: nothing of an
/// unfinished transaction stays, and running it again on a new connection is safe. (Whether a
/// COMMIT got through is asked before this is used.)
pub(super) fn classify(error: Error) -> StoreError {
    let Some(db) = error.as_db_error() else {
        return StoreError::Contention(format!("the connection was lost: {error}"));
    };
    let text = format!("{} ({})", db.message(), db.code().code());
    match db.code().code() {
        "40001" | "40P01" | "55P03" | "25P03" => StoreError::Contention(text),
        "57P01" | "57P02" => StoreError::Contention(text),
        "23505" if db.table().is_some_and(|table| table.starts_with("receipts")) => {
            StoreError::Contention(text)
        }
        "23514" if db.constraint().is_none() => {
            StoreError::Unavailable(format!("{text}; create it with `caudal partitions`"))
        }
        MISSED => StoreError::Rejected("a row that goes with a batch was not written".into()),
        code if code.starts_with("22") || code.starts_with("23") => StoreError::Rejected(text),
        _ => StoreError::Unavailable(text),
    }
}

/// The server can't be reached at all.
pub(super) fn unreachable(error: Error) -> StoreError {
    StoreError::Unavailable(match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => error.to_string(),
    })
}

/// Which of a pipeline's errors is the cause: the first that is not a mere consequence.
pub(super) fn first(results: Vec<Result<(), Error>>) -> Result<(), Error> {
    const IN_FAILED_TRANSACTION: &str = "25P02";
    let mut consequence = Ok(());
    for result in results {
        match result {
            Ok(()) => {}
            Err(error) if error.code().is_some_and(|c| c.code() == IN_FAILED_TRANSACTION) => {
                consequence = Err(error);
            }
            Err(error) => return Err(error),
        }
    }
    consequence
}
