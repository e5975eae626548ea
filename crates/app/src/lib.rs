//! Wires the rooms together. The binary is `main.rs`; tests build an [`Instance`] in process.

pub mod commands;
pub mod instance;
pub mod settings;
pub mod system;

pub use instance::Instance;
pub use settings::Settings;
