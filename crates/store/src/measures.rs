//! What reads and small writes cost, and how often the database fails them. Lanes measure theirs.

use std::time::Instant;

use metrics::{counter, histogram};

use crate::StoreError;

pub(crate) async fn measured<T>(
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let began = Instant::now();
    let result = work.await;
    histogram!("database_query_seconds").record(began.elapsed().as_secs_f64());
    counter!("database_errors_total").increment(result.is_err().into());
    result
}
