//! A whole Caudal in process for tests: a database of its own, a clock that the test turns, and a
//! client that speaks HTTP to it as anybody would.
//!
//! Reading order: [`TestApp`], then what it is made of: [`Client`] and [`Call`], [`EventStream`],
//! [`TestClock`], [`Gate`]. A test is an `async fn` of a `&TestApp`; [`both_databases!`] runs it on
//! SQLite and on PostgreSQL and proves the books afterwards. Tests never sleep: they wait for a
//! condition by [`until`].

mod app;
mod client;
mod clock;
mod database;
mod gate;
mod objects;
mod people;
pub mod smtp;
mod sse;
mod wait;

pub use app::{Beside, TestApp};
pub use client::{Answer, Call, Client};
pub use clock::TestClock;
pub use database::Database;
pub use gate::{Gate, Held};
pub use sse::{EventStream, Message};
pub use wait::{at_once, until};

/// Makes of each case two tests: on a fresh SQLite file, and on a fresh PostgreSQL database.
#[macro_export]
macro_rules! both_databases {
    ($($case:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::TestApp::run_on_sqlite(async |app| super::$case(app).await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::TestApp::run_on_postgres(async |app| super::$case(app).await).await;
            })*
        }
    };
}
