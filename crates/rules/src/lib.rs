//! Fraud rules: [CEL](https://cel.dev) expressions over a payment, its wallet, its payer and how
//! much of it there was lately. No I/O: what a rule looks at is handed in as [`Facts`].
//!
//! The library `cel` parses and evaluates. What it does not do is done here before: names and types
//! are checked when a rule is written ([`Rule::compile`]), so that a mistake is told with its place
//! and not met by a payment; and the cost is bounded by what is let in at all: length, nodes,
//! depth, no loops, patterns compiled once. An expression's nodes are each evaluated once at most,
//! so their number bounds the steps.
//!
//! To add one more fact: its line in `facts::NAMES`, its value beside it, `docs/fraud.md`.

mod check;
mod facts;
mod rule;
mod set;

pub use facts::{Counted, Facts, PaymentFacts, UserFacts, Velocity, WalletFacts, Windows};
pub use rule::{
    CompileError, EXPRESSION_BYTES, Mentions, NODES_MOST, Outcome, PATTERN_BYTES, Rule,
};
pub use set::{Finding, Ranked, RuleSet, Verdict};
