//! Wires the rooms together. The binary is `main.rs`; tests build an [`Instance`] in process.

pub mod commands;
mod gateways;
pub mod instance;
mod people;
pub mod settings;
pub mod system;

pub use instance::Instance;
pub use settings::Settings;
