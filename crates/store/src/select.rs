//! A list's SQL, put together from the conditions that were asked for.

use crate::{Backend, Row, StoreError, Value};

pub(crate) struct Select {
    table: &'static str,
    sql: String,
    params: Vec<Value>,
}

impl Select {
    /// `sql` goes up to its last fixed condition and names `$1` to as many as there are `params`.
    pub fn new(table: &'static str, sql: String, params: Vec<Value>) -> Self {
        Self { table, sql, params }
    }

    /// Adds `condition`, which ends with its operator, where there is a value to hold against it.
    pub fn and(mut self, condition: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.params.push(value.into());
            self.sql.push_str(&format!(" and {condition} ${}", self.params.len()));
        }
        self
    }

    /// Adds a condition without a value.
    pub fn and_when(mut self, asked: bool, condition: &str) -> Self {
        if asked {
            self.sql.push_str(" and ");
            self.sql.push_str(condition);
        }
        self
    }

    /// Runs it: `order` is what follows `order by`.
    pub async fn rows(
        mut self,
        db: &dyn Backend,
        order: &str,
        limit: i64,
    ) -> Result<Vec<Row>, StoreError> {
        self.params.push(limit.into());
        self.sql.push_str(&format!(" order by {order} limit ${}", self.params.len()));
        db.query(self.table, &self.sql, &self.params).await
    }
}
