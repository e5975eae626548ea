//! The door: routes, who may pass, limits, errors, OpenAPI, and the console page. Reads and writes
//! through `service` only.
//!
//! Reading order: [`router`] (every route on one page), `frame` (what happens to every request),
//! `endpoint` (what happens to a route's), `routes/` (a file per noun), `shapes/` (what is said and
//! heard, a file per noun), [`problem`] (every way to say no), [`serve`].
//!
//! To add a route: its shapes in `shapes/NOUN.rs`, its handler in `routes/NOUN.rs`, its line in
//! `router.rs`; the OpenAPI document follows from that line.

mod answer;
mod api;
mod auth;
mod document;
mod endpoint;
mod frame;
mod idempotency;
mod json;
mod limits;
mod lines;
mod metrics;
pub mod problem;
mod proxies;
mod query;
mod remainder;
mod router;
mod routes;
mod serve;
mod shapes;
mod stall;
mod streams;

pub use api::{Api, Settings};
pub use metrics::Metrics;
pub use proxies::TrustedProxies;
pub use router::{Part, openapi, router};
pub use serve::serve;
