//! Double entry: decides whether money may move. No I/O, no async, no clock, no chance.
//!
//! A [`Book`] holds the accounts and transfers that a batch has locked. [`Book::decide`] takes one
//! [`Movement`], refuses it by name or writes it into the book and says what was written. Refusals
//! come before anything is changed: a refused movement leaves no trace.
//!
//! The folder `movements/` is the list of ways money can move. To add one more: a variant of
//! [`Movement`], a file there with its entries as a table in its `//!`, its rows in
//! `tests/sheets.rs`.

mod book;
mod draft;
pub mod movements;

pub use book::{Book, Outcome, Posting};
pub use movements::{Movement, NewTransfer, Terms};
