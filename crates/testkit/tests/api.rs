//! What Caudal promises to whoever calls it, over HTTP, on SQLite and on PostgreSQL alike.
//!
//! To add a case: an `async fn` of a `&TestApp` in the file of its subject under `api/`, its name
//! in that file's list.

mod api {
    mod access;
    mod administration;
    mod ambiguous_gateways;
    mod authorization;
    mod bad_input;
    mod config;
    mod contradictions;
    mod disputes;
    mod erasure;
    mod events;
    mod exchanges;
    mod fail_over;
    mod fraud_rules;
    mod gateway_accounts;
    mod idempotency;
    mod incoming_webhooks;
    mod limits;
    mod lists;
    mod lockouts;
    mod lying_gateways;
    mod mails;
    mod money;
    mod money_at_once;
    mod notifications;
    mod passwords;
    mod payees;
    mod payment_states;
    mod payment_types;
    mod payments;
    mod payments_at_gateways;
    mod payouts;
    mod people;
    mod privileges;
    mod processes;
    mod proofs_at_once;
    mod receiver;
    mod refunds;
    mod replays;
    mod reports;
    mod reviews;
    mod schedules;
    mod screening;
    mod second_factor;
    mod sessions;
    mod settlements;
    mod tokens;
    mod treasury;
    mod uploads;
    mod users;
    mod velocity;
    mod wallet_tiers;
    mod wallets;
    mod webhooks;
}
