//! Values and rows in one form for both databases, so that a noun's SQL is written once.
//!
//! Statements use `$1, $2, …`. Ids are `uuid` on PostgreSQL and 16-byte blobs on SQLite; times are
//! `timestamptz` and microseconds; JSON is text to us on both.

use caudal_domain::{Bucket, Timestamp};

use crate::StoreError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Int(i64),
    Text(String),
    Id(u128),
    Time(Timestamp),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

/// Yes or no is 1 or 0 on both.
impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(value.into())
    }
}

impl From<Bucket> for Value {
    fn from(bucket: Bucket) -> Self {
        Self::Int(bucket.0.into())
    }
}

impl From<u128> for Value {
    fn from(value: u128) -> Self {
        Self::Id(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Timestamp> for Value {
    fn from(value: Timestamp) -> Self {
        Self::Time(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row of an answer. The getters say which table's data was not as expected.
#[derive(Clone, Debug)]
pub struct Row {
    pub table: &'static str,
    pub values: Vec<Value>,
}

impl Row {
    fn wrong(&self, column: usize, wanted: &str) -> StoreError {
        let found = self.values.get(column);
        let why = format!("column {column} should be {wanted}, is {found:?}");
        StoreError::Inconsistent { table: self.table, why }
    }

    pub fn int(&self, column: usize) -> Result<i64, StoreError> {
        self.opt_int(column)?.ok_or_else(|| self.wrong(column, "a number"))
    }

    pub fn opt_int(&self, column: usize) -> Result<Option<i64>, StoreError> {
        match self.values.get(column) {
            Some(Value::Int(value)) => Ok(Some(*value)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.wrong(column, "a number or null")),
        }
    }

    pub fn id(&self, column: usize) -> Result<u128, StoreError> {
        self.opt_id(column)?.ok_or_else(|| self.wrong(column, "an id"))
    }

    pub fn opt_id(&self, column: usize) -> Result<Option<u128>, StoreError> {
        match self.values.get(column) {
            Some(Value::Id(value)) => Ok(Some(*value)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.wrong(column, "an id or null")),
        }
    }

    pub fn text(&self, column: usize) -> Result<&str, StoreError> {
        self.opt_text(column)?.ok_or_else(|| self.wrong(column, "text"))
    }

    pub fn opt_text(&self, column: usize) -> Result<Option<&str>, StoreError> {
        match self.values.get(column) {
            Some(Value::Text(value)) => Ok(Some(value)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.wrong(column, "text or null")),
        }
    }

    pub fn string(&self, column: usize) -> Result<String, StoreError> {
        self.text(column).map(str::to_owned)
    }

    pub fn opt_string(&self, column: usize) -> Result<Option<String>, StoreError> {
        Ok(self.opt_text(column)?.map(str::to_owned))
    }

    pub fn flag(&self, column: usize) -> Result<bool, StoreError> {
        Ok(self.int(column)? != 0)
    }

    pub fn time(&self, column: usize) -> Result<Timestamp, StoreError> {
        self.opt_time(column)?.ok_or_else(|| self.wrong(column, "a time"))
    }

    pub fn opt_time(&self, column: usize) -> Result<Option<Timestamp>, StoreError> {
        match self.values.get(column) {
            Some(Value::Time(value)) => Ok(Some(*value)),
            Some(Value::Int(micros)) => Ok(Some(Timestamp::from_micros(*micros))),
            Some(Value::Null) => Ok(None),
            _ => Err(self.wrong(column, "a time or null")),
        }
    }

    /// Reads a stored number or name back as what it stands for.
    pub fn decode<T>(&self, column: usize, found: Option<T>) -> Result<T, StoreError> {
        found.ok_or_else(|| self.wrong(column, "a known code"))
    }

    /// Reads stored JSON back as what it stands for.
    pub fn json<T: serde::de::DeserializeOwned>(&self, column: usize) -> Result<T, StoreError> {
        serde_json::from_str(self.text(column)?)
            .map_err(|error| self.wrong(column, &format!("known JSON ({error})")))
    }
}
