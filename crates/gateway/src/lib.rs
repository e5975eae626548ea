//! Payment gateways behind one port: what a gateway is asked and what it said, never what becomes
//! of the money. No SQL, no ledger.
//!
//! Reading order: [`port`] (what there is to ask and to answer), [`calls`] (when an answer is
//! missing: may it have happened?), [`accounts`] (how a gateway is opened), then the gateways
//! [`stripe`] and [`simulator`]. [`errors`], [`quirks`] and [`webhooks`] are what they share.
//!
//! To add one more gateway: a kind in [`accounts`] and a line in its `open`; a module with a
//! client that implements [`port::Gateway`] through [`calls::Calls`]; its codes as a table in
//! [`errors`], its amounts as one in [`quirks`]; a scheme in [`webhooks`] if it signs in another
//! way.

pub mod accounts;
mod believed;
pub mod calls;
pub mod errors;
pub mod port;
pub mod quirks;
pub mod simulator;
pub mod stripe;
pub mod webhooks;

pub use accounts::{Credentials, GatewayAccount, GatewayKind, OpenError, Surroundings, open};
pub use errors::DeclineCode;
pub use port::{
    Answer, CancelRequest, CaptureMode, CaptureRequest, ChargeRequest, ChargeStanding,
    ConcedeRequest, DisputeStanding, DisputeState, EvidenceRequest, Fee, Gateway, GatewayFault,
    NotSent, Object, PayoutRequest, PayoutStanding, Query, RefundRequest, RefundStanding, Standing,
    Unclear,
};
pub use quirks::{AmountQuirk, Purpose};
pub use webhooks::{Delivery, EventKind, WebhookError, WebhookEvent};
