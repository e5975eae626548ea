//! Caudal's own automation, as a library so that each command can use the others' parts.
//!
//! Reading order: [`ci`] (what `make test` runs), [`tidy`] (the house rules as a program),
//! [`chaos`] (servers killed, stalled and starved under load), [`bench`] (side by side),
//! [`testbed`] (real servers on private ports), [`process`] and [`workspace`] (what they stand on).

pub mod bench;
pub mod chaos;
pub mod ci;
pub mod process;
pub mod testbed;
pub mod tidy;
pub mod workspace;

use std::fmt::Display;
use std::io::Write;

/// Writes a line for the person at the terminal. A closed terminal is no reason to stop: a run
/// that loses its reader must still stop the servers it started.
pub fn say(line: impl Display) {
    // In our own tests a failing suite on paper would look like one that failed.
    if cfg!(test) {
        return;
    }
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").is_ok() {
        out.flush().ok();
    }
}
