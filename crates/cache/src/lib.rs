//! Counts kept in memory. Losing them changes no balance: at worst a caller starts a window anew.

pub mod limits;

pub use limits::{Limit, LimitKey, Limiter, Verdict};
