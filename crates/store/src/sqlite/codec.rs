//! Values, rows, statements and errors between SQLite and the words of this crate.

use rusqlite::{
    CachedStatement, Connection, ErrorCode, ToSql,
    ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_ROWID, SQLITE_CONSTRAINT_UNIQUE},
    types::ValueRef,
};

use crate::{Row, Step, StoreError, Value};

/// `$1` is a name to SQLite; `?1` is a place.
pub fn sqlite_sql(sql: &str) -> String {
    let mut places = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        let number = after[1..].starts_with(|c: char| c.is_ascii_digit());
        places.push_str(before);
        places.push(if number { '?' } else { '$' });
        rest = &after[1..];
    }
    places.push_str(rest);
    places
}

/// An id as it is stored.
pub fn blob(id: u128) -> [u8; 16] {
    id.to_be_bytes()
}

fn bind(statement: &mut CachedStatement<'_>, params: &[Value]) -> rusqlite::Result<()> {
    let wanted = statement.parameter_count();
    if wanted != params.len() {
        return Err(rusqlite::Error::InvalidParameterCount(params.len(), wanted));
    }
    for (place, value) in (1..).zip(params) {
        let bytes;
        let value: &dyn ToSql = match value {
            Value::Null => &rusqlite::types::Null,
            Value::Int(number) => number,
            Value::Text(text) => text,
            Value::Id(id) => {
                bytes = blob(*id);
                &bytes
            }
            Value::Time(at) => &at.micros(),
        };
        statement.raw_bind_parameter(place, value)?;
    }
    Ok(())
}

/// Runs a read; `sql` has SQLite's places.
pub fn query(
    connection: &Connection,
    table: &'static str,
    sql: &str,
    params: &[Value],
) -> Result<Vec<Row>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    bind(&mut statement, params)?;
    read(&mut statement, table)
}

/// Rows of a statement whose parameters are bound.
pub fn read(
    statement: &mut CachedStatement<'_>,
    table: &'static str,
) -> Result<Vec<Row>, StoreError> {
    let columns = statement.column_count();
    let mut found = Vec::new();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        let mut values = Vec::with_capacity(columns);
        for column in 0..columns {
            values.push(value(table, column, row.get_ref(column)?)?);
        }
        found.push(Row { table, values });
    }
    Ok(found)
}

fn value(table: &'static str, column: usize, found: ValueRef<'_>) -> Result<Value, StoreError> {
    let wrong = |why: String| StoreError::Inconsistent { table, why };
    match found {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(number) => Ok(Value::Int(number)),
        ValueRef::Text(bytes) => match str::from_utf8(bytes) {
            Ok(text) => Ok(Value::Text(text.to_owned())),
            Err(error) => Err(wrong(format!("column {column}: {error}"))),
        },
        ValueRef::Blob(bytes) => match bytes.try_into() {
            Ok(id) => Ok(Value::Id(u128::from_be_bytes(id))),
            Err(_) => Err(wrong(format!("column {column} has {} bytes, not 16", bytes.len()))),
        },
        ValueRef::Real(number) => Err(wrong(format!("column {column} is the float {number}"))),
    }
}

/// Rows that the step touched.
pub fn execute(connection: &Connection, step: &Step) -> rusqlite::Result<usize> {
    let mut statement = connection.prepare_cached(&sqlite_sql(step.sql))?;
    bind(&mut statement, &step.params)?;
    statement.raw_execute()
}

pub fn is_unique_violation(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(
        code,
        Some(SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY | SQLITE_CONSTRAINT_ROWID)
    )
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let why = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Contention(why),
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig) => {
                Self::Rejected(why)
            }
            _ => Self::Unavailable(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbered_places_are_turned() {
        assert_eq!(sqlite_sql("a = $1 and b > $12 + $1"), "a = ?1 and b > ?12 + ?1");
        assert_eq!(sqlite_sql("'$.x', $"), "'$.x', $");
    }
}
