//! Group commit: queue, fairness, batches, lanes.
