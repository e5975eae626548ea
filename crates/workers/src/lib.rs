//! Background work: relay, hold expiry, partitions, receipts.
