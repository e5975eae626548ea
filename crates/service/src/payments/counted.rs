//! What is counted of payments, under the names of the dashboards.

use caudal_domain::{Timestamp, payment::PaymentStatus};
use metrics::{counter, histogram};

use super::Payment;

/// A payment has come to another status, at that time.
pub(crate) fn changed(payment: &Payment, at: Timestamp) {
    let row = &payment.row;
    if matches!(row.status, PaymentStatus::Processing | PaymentStatus::Queued) {
        return;
    }
    let via = if row.from.is_some() { "wallet" } else { "gateway" };
    let status = row.status.name();
    counter!("payments_processed_total", "via" => via, "status" => status).increment(1);
    let took = (at.micros() - row.created_at.micros()).max(0) as f64 / 1e6;
    histogram!("payments_processing_time_seconds", "via" => via).record(took);
    match row.failure.as_deref() {
        Some("timed_out") => counter!("payment_timeouts_total").increment(1),
        Some(_) => counter!("payment_errors_total").increment(1),
        None => {}
    }
}
