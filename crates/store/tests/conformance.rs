//! What a store promises, held against both databases: the same cases on a fresh SQLite file and,
//! where `CAUDAL_TEST_POSTGRES_URL` names a server, on a fresh PostgreSQL database.
//!
//! To add a case: an `async fn` in the noun's file under `conformance/`, its name in the list.

#![expect(clippy::unwrap_used, reason = "a case that can't go on has failed")]

mod conformance {
    pub mod api_keys;
    pub mod fixtures;
    pub mod stage;

    pub mod attachments;
    pub mod audit;
    pub mod batches;
    pub mod books;
    pub mod codes;
    pub mod disputes;
    pub mod entries;
    pub mod events;
    pub mod instance_keys;
    pub mod known;
    pub mod lost_commits;
    pub mod mails;
    pub mod notifications;
    pub mod payment_setup;
    pub mod payments;
    pub mod payouts;
    pub mod postgres_only;
    pub mod quotes;
    pub mod races;
    pub mod receipts;
    pub mod refunds;
    pub mod reports;
    pub mod roles;
    pub mod sagas;
    pub mod schedules;
    pub mod schema;
    pub mod sessions;
    pub mod settlements;
    pub mod sqlite_only;
    pub mod tenants;
    pub mod transfers;
    pub mod units;
    pub mod uploads;
    pub mod users;
    pub mod velocity;
    pub mod wallets;
    pub mod webhooks;
}

use std::sync::Arc;

use conformance::stage::Stage;

/// Runs the case to its end, takes the database away, and only then lets it fail.
async fn run<F>(stage: Stage, case: impl FnOnce(Arc<Stage>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let stage = Arc::new(stage);
    let outcome = tokio::spawn(case(stage.clone())).await;
    if let Some(stage) = Arc::into_inner(stage) {
        stage.close().await;
    }
    if let Err(failure) = outcome {
        std::panic::resume_unwind(failure.into_panic());
    }
}

macro_rules! cases {
    (@sqlite $noun:ident $case:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let case = crate::conformance::$noun::$case;
            crate::run(crate::Stage::sqlite().await, |stage| async move { case(&stage).await })
                .await;
        }
    };
    (@postgres $noun:ident $case:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let case = crate::conformance::$noun::$case;
            if let Some(stage) = crate::Stage::postgres().await {
                crate::run(stage, |stage| async move { case(&stage).await }).await;
            }
        }
    };
    ($($noun:ident: $($case:ident)*;)*) => {
        mod sqlite {
            $(mod $noun { $(cases!(@sqlite $noun $case);)* })*
        }
        mod postgres {
            $(mod $noun { $(cases!(@postgres $noun $case);)* })*
        }
    };
}

cases! {
    schema: migrating_again_does_nothing partitions_are_made_once connections_are_counted
        an_upgrade_keeps_rows;
    tenants: round_trip change_counts_versions configured;
    api_keys: round_trip by_page descendants;
    wallets: round_trip accounts_are_looked_up_together change_counts_versions
        system_accounts_once payment_accounts_once by_page_and_filter;
    transfers: round_trip life_of_a_hold reversed by_page_and_filter of_a_wallet holds_by_time
        pending_until_available every_kind;
    entries: by_page balance_at_any_instant;
    events: positions_only_go_forward gapless_from_four_lanes consumers_advance_once
        some_kinds_are_found_among_all;
    batches: all_or_nothing nothing_to_write opposite_directions absent_rows_are_left_out;
    known: every_column_is_compared nothing_is_overwritten
        a_hold_of_another_process_is_captured;
    receipts: in_two_generations around_midnight met_twice answers_round_trip retired;
    attachments: locked_and_written missed of_one_kind;
    units: done_then_replayed missed_changes_nothing rejected_changes_nothing;
    books: proven every_check_fires;
    users: round_trip an_address_once_a_tenant status_goes_its_way erased_for_good lockout passwords
        proofs_are_locked_apart
        by_page_and_filter keys_in_order;
    sessions: round_trip ask_for_the_second_factor_in_force of_two_refreshes_one_wins
        what_has_ended_stays_so of_a_user;
    codes: used_once few_attempts voided_and_removed totp_steps_count_once
        recovery_codes_count_once;
    roles: round_trip scopes_of_all_roles the_last_owner_stays service_accounts_round_trip
        keys_are_rotated_with_overlap holders_are_active_and_of_the_tenant;
    instance_keys: signing_keys_take_over_once vault_keys_are_made_once;
    audit: by_page_and_filter nobody_changes_it;
    mails: claimed_by_one ends_once removed_with_their_user;
    payments: round_trip of_two_versions_one_wins by_page_and_filter promised_by_age
        sums_of_what_came_after goes_with_a_batch;
    refunds: round_trip by_page_and_filter;
    disputes: round_trip told_of_once by_page_and_filter;
    payouts: round_trip by_page_and_filter;
    sagas: round_trip each_goes_to_one_worker an_older_token_writes_nothing ends_and_is_removed
        woken_when_nobody_works_on_it goes_with_a_batch inserted_together_or_not_at_all;
    payment_setup: attempts_end_once types_round_trip accounts_round_trip rules_in_their_order;
    velocity: counts_whose_and_when stays_within_its_bounds turns_are_taken_once;
    webhooks: told_once_and_claimed_by_one incoming_ends_once endpoints_round_trip
        endpoints_are_disabled_once endpoints_are_so_many_at_most
        endpoints_are_sealed_anew_as_they_were_read deliveries_once_and_claimed_by_one
        only_the_last_claim_says_what_came_of_it deliveries_by_page_and_removed;
    notifications: once_for_each_event_and_recipient read_and_counted inbox_counts_once;
    schedules: round_trip due_by_time;
    uploads: round_trip lines_in_pages_end_once;
    quotes: rates_stay_on_record quotes_are_used_once quotes_by_page goes_with_a_batch;
    settlements: booked_once;
    reports: deltas_add_up sums_outgrow_what_a_payment_may_be by_page_and_filter
        payments_as_they_stand_make_lines;
}

mod only_sqlite {
    cases!(@sqlite sqlite_only one_process_at_a_time);
    cases!(@sqlite sqlite_only needs_a_file);
    cases!(@sqlite sqlite_only opens_again_where_it_was_left);
    cases!(@sqlite sqlite_only survives_a_panicking_decision);
    cases!(@sqlite sqlite_only a_start_cuts_off_what_a_crash_left);
    cases!(@sqlite sqlite_only accounts_are_read_by_look_ups);
    cases!(@sqlite sqlite_only an_upgrade_refuses_books_that_differ);
}

mod only_postgres {
    cases!(@postgres postgres_only look_ups_by_id_prune);
    cases!(@postgres postgres_only lists_find_rows_by_key);
    cases!(@postgres postgres_only an_upgrade_holds_up_no_batch);
    cases!(@postgres postgres_only a_login_heeds_what_it_waited_for);
    cases!(@postgres postgres_only proofs_have_no_time_limit);
    cases!(@postgres postgres_only a_value_that_can_not_be_sent_changes_nothing);
    cases!(@postgres postgres_only a_unit_given_up_leaves_nothing_open);
    cases!(@postgres postgres_only held_accounts_are_passed_over);
    cases!(@postgres postgres_only a_held_row_beside_a_held_account_is_contention);
    cases!(@postgres postgres_only a_look_for_many_is_taken_over);
    cases!(@postgres postgres_only a_frozen_look_is_given_up);
    cases!(@postgres postgres_only a_frozen_read_is_given_up);
    cases!(@postgres postgres_only the_engine_can_not_rewrite_history);
    cases!(@postgres known is_not_locked);
    cases!(@postgres known another_process_is_heeded);
    cases!(@postgres known no_refusal_is_out_of_date);
    cases!(@postgres lost_commits answered_as_the_database_did);
    cases!(@postgres lost_commits known_undone_where_the_server_says_that_it_goes);
    cases!(@postgres velocity is_found_by_an_index);
    cases!(@postgres audit tables_of_people_keep_what_they_must);
}
