//! Every call that leaves Caudal: HTTP and mail.
//!
//! Each goes through a [`guard::Guard`]: so many at once, a time limit, a breaker. What the other
//! side says is handed on as it is; what to make of it (let a password pass when nobody answers?)
//! is decided by the caller. Only webhooks go without: see [`webhooks`].
//!
//! To add one more callee: a file here with a `Guard` of its own and a method for each question.

pub mod addresses;
pub mod breached_passwords;
pub mod breaker;
pub mod client;
pub mod guard;
pub mod issuers;
pub mod mail;
#[cfg(test)]
mod testing;
pub mod webhooks;

pub use breached_passwords::{Breach, BreachedPasswords};
pub use client::{Answer, Client, ClientOptions, HttpFault, Request};
pub use guard::{Fault, Guard, GuardOptions, Refused, World};
pub use issuers::{Issuer, Issuers, Jwks};
pub use mail::{Mail, MailFault, Mailer};
pub use reqwest::{Method, Url};
pub use webhooks::{BadTarget, WebhookFault, WebhookOptions, WebhookRequest, Webhooks};
