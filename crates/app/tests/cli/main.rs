//! The `caudal` command from outside: its walks, its commands, its doors.

#![expect(clippy::unwrap_used, reason = "a walk that can't go on has failed")]

mod commands;
mod doors;
mod server;
mod walks;
