//! SQLSTATE to what the caller does next.

use tokio_postgres::{Error, error::Severity};

use crate::{StoreError, postgres::attached::MISSED};

/// A mere consequence of the error before it.
const IN_FAILED_TRANSACTION: &str = "25P02";

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

/// Why a pipeline with COMMIT at its end is not known to be committed.
pub(super) enum Fault {
    /// The COMMIT was a rollback, or never came to its turn.
    Undone(Error),
    /// No answer to the COMMIT.
    Lost(Error),
}

/// A statement before the COMMIT that the database refused took it back, be it that its last word
/// was that it ends the connection. COMMIT's own end of the connection says nothing: it may come
/// after the deed.
pub(super) fn of_pipeline(
    statements: Vec<Result<(), Error>>,
    commit: Result<(), Error>,
) -> Result<(), Fault> {
    let (refused, unheard): (Vec<_>, Vec<_>) = statements
        .into_iter()
        .filter_map(Result::err)
        .partition(|error| error.as_db_error().is_some());
    let is_cause = |error: &Error| error.code().is_none_or(|c| c.code() != IN_FAILED_TRANSACTION);
    if let Some(error) = first(refused, is_cause) {
        return Err(Fault::Undone(error));
    }
    match commit {
        Err(error) if is_mere_error(&error) => Err(Fault::Undone(error)),
        Err(error) => Err(Fault::Lost(error)),
        Ok(()) => unheard.into_iter().next().map_or(Ok(()), |error| Err(Fault::Lost(error))),
    }
}

/// The first of that kind, or the first at all.
fn first(mut errors: Vec<Error>, is_cause: impl Fn(&Error) -> bool) -> Option<Error> {
    let place = errors.iter().position(is_cause).unwrap_or_default();
    (!errors.is_empty()).then(|| errors.swap_remove(place))
}

fn is_mere_error(error: &Error) -> bool {
    error.as_db_error().is_some_and(|db| db.parsed_severity() == Some(Severity::Error))
}
