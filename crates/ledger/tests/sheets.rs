//! The ledger's rules as tables: one sheet a rule, the outcome in the last column. The language is
//! told in `sheet/mod.rs`.

mod audit;
mod sheet;

use sheet::play;

#[test]
fn a_transfer_moves_money_and_numbers_its_entries() {
    play(
        "account A USD balance 100
         account B USD
         transfer A B 30 as t1   -> ok
         entries A -30, B 30
         A total 70 held 0 available 70 version 1
         B total 30 held 0 available 30 version 1
         t1 status posted amount 30 captured 0 reversed 0 kind transfer
         transfer B A 30         -> ok
         A total 100 version 2
         B total 0 version 2
         void t1                 -> transfer_state posted
         capture t1              -> transfer_state posted
         expire t1               -> transfer_state posted",
    );
}

#[test]
fn a_floor_bounds_what_may_be_taken() {
    play(
        "account A USD floor 0 balance 100
         account C USD floor -50          # a credit limit
         account S USD floor 20 balance 30  # a reserve
         account U USD unbounded
         account B USD
         transfer A B 101        -> insufficient_funds A 100 of 101
         transfer A B 100        -> ok
         transfer A B 1          -> insufficient_funds A 0 of 1
         transfer C B 51         -> insufficient_funds C 50 of 51
         transfer C B 50         -> ok
         C total -50 available -50
         transfer S B 11         -> insufficient_funds S 10 of 11
         transfer S B 10         -> ok
         transfer U B 1000000    -> ok
         U total -1000000 floor none
         hold C B 1              -> insufficient_funds C 0 of 1
         hold U B 5              -> ok
         U total -1000000 held 5",
    );
}

#[test]
fn a_floor_may_be_moved_even_above_what_is_there() {
    play(
        "account A USD balance 100
         account B USD
         floor A -20             -> ok
         A floor -20 version 0 total 100
         transfer A B 120        -> ok
         floor A 0               -> ok
         A total -20 floor 0 version 1
         transfer A B 1          -> insufficient_funds A -20 of 1
         transfer B A 20         -> ok
         transfer A B 1          -> insufficient_funds A 0 of 1
         floor A -MAX            -> ok
         transfer A B 1          -> ok",
    );
}

#[test]
fn money_that_is_pending_or_held_is_not_spent() {
    play(
        "account P USD balance 100 pending 60
         account B USD
         P available 40
         transfer P B 41         -> insufficient_funds P 40 of 41
         hold P B 30 as h1       -> ok
         P total 100 held 30 available 10
         transfer P B 11         -> insufficient_funds P 10 of 11
         transfer P B 10         -> ok
         P total 90 held 30 available 0",
    );
}

#[test]
fn currencies_never_mix() {
    play(
        "account A USD balance 100
         account B USD
         account E EUR balance 100
         account F EUR
         transfer A E 1                   -> currency_mismatch E
         transfer E A 1                   -> currency_mismatch A
         transfer A B 1 in EUR            -> currency_mismatch A
         transfer E A 1 in USD            -> currency_mismatch E
         hold A E 1                       -> currency_mismatch E
         transfer A B 1, E F 1            -> currency_mismatch E
         transfer A B 1                   -> ok
         transfer E F 1                   -> ok",
    );
}

#[test]
fn legs_go_all_or_none_and_in_order() {
    play(
        "account A USD balance 100
         account B USD
         account C USD
         transfer A B 60, B C 50, C A 10 as t1   -> ok      # each spends what came before
         entries A -60, B 60, B -50, C 50, C -10, A 10
         legs t1 A B 60, B C 50, C A 10
         t1 amount 120
         A total 50 version 2
         B total 10 version 2
         C total 40 version 2
         transfer B C 20, A B 20                 -> insufficient_funds B 10 of 20
         transfer A B 30, A C 30                 -> insufficient_funds A 20 of 30
         transfer A B 30, A nobody 1             -> wallet_not_found nobody
         A total 50 version 2
         B total 10 version 2
         hold A B 30, A C 30                     -> insufficient_funds A 20 of 30
         hold A B 60, B C 20                     -> insufficient_funds A 50 of 60
         hold A B 50, B C 20                     -> insufficient_funds B 10 of 20  # brings none
         hold A B 30, A C 20 as h1               -> ok
         A total 50 held 50 available 0 version 4
         transfer nothing                        -> rejected",
    );
}

#[test]
fn a_hold_keeps_money_until_it_is_captured() {
    play(
        "account A USD balance 100
         account B USD
         hold A B 80 as h1       -> ok
         entries A 0
         A total 100 held 80 available 20 version 1
         B total 0 held 0 version 0
         h1 status held amount 80 captured 0
         transfer A B 21         -> insufficient_funds A 20 of 21
         hold A B 21             -> insufficient_funds A 20 of 21
         reverse h1 1            -> transfer_state held
         capture h1              -> ok
         entries A -80, B 80
         A total 20 held 0 available 20 version 2
         B total 80 version 1
         h1 status captured captured 80
         capture h1              -> transfer_state captured
         capture h1 1            -> transfer_state captured
         void h1                 -> transfer_state captured",
    );
}

#[test]
fn a_hold_is_captured_in_parts() {
    play(
        "account A USD balance 100
         account B USD
         hold A B 80 as h1       -> ok
         capture h1 30           -> ok
         A total 70 held 50 available 20
         B total 30
         h1 status held captured 30
         legs h1 A B 80 captured 30
         capture h1 51           -> amount_exceeds_held 50
         reverse h1              -> transfer_state held
         capture h1 20           -> ok
         capture h1 30           -> ok            # nothing is left: it ends by itself
         A total 20 held 0
         h1 status captured captured 80
         hold A B 20 as h2       -> ok
         capture h2 5 last       -> ok            # the rest is released
         A total 15 held 0 available 15
         B total 85
         h2 status captured captured 5 amount 20
         capture h2 1            -> transfer_state captured
         hold A B 15 as h3       -> ok
         capture h3 16 last      -> amount_exceeds_held 15
         capture h3 15 last      -> ok
         A total 0 held 0",
    );
}

#[test]
fn captures_fill_the_legs_in_order() {
    play(
        "account A USD balance 100
         account B USD
         account C USD
         account D USD
         hold A B 10, A C 20, A D 30 as h1   -> ok
         capture h1 15                       -> ok
         entries A -10, B 10, A -5, C 5
         legs h1 A B 10 captured 10, A C 20 captured 5, A D 30
         A total 85 held 45
         capture h1 20 last                  -> ok
         entries A -15, C 15, A -5, D 5
         legs h1 A B 10 captured 10, A C 20 captured 20, A D 30 captured 5
         A total 65 held 0
         hold A B 10, A C 20 as h2           -> ok
         capture h2 5 last                   -> ok
         entries A -5, B 5, A 0              # the second leg's hold is only released
         legs h2 A B 10 captured 5, A C 20
         A total 60 held 0",
    );
}

#[test]
fn a_hold_from_several_payers() {
    play(
        "account A USD balance 10
         account B USD balance 20
         account C USD
         hold A C 10, B C 20 as h1   -> ok
         A held 10
         B held 20
         capture h1 15               -> ok
         A total 0 held 0
         B total 15 held 15
         C total 15
         void h1                     -> ok
         B total 15 held 0
         h1 status captured captured 15",
    );
}

#[test]
fn a_void_releases_what_is_left() {
    play(
        "account A USD balance 100
         account B USD
         hold A B 80 as h1       -> ok
         void h1                 -> ok
         entries A 0
         A total 100 held 0 version 2
         h1 status voided
         void h1                 -> transfer_state voided
         capture h1              -> transfer_state voided
         reverse h1              -> transfer_state voided
         expire h1               -> transfer_state voided
         hold A B 80 as h2       -> ok
         capture h2 30           -> ok
         void h2                 -> ok            # after a partial capture
         A total 70 held 0
         h2 status captured captured 30
         void h2                 -> transfer_state captured
         reverse h2 30           -> ok",
    );
}

#[test]
fn a_hold_expires_at_its_instant() {
    play(
        "account A USD balance 100
         account B USD
         hold A B 10 as h1 expires 60            -> ok
         hold A B 20 as h2 expires at +60s       -> ok
         hold A B 30 as h3 expires at +60.000001s -> ok
         at +59.999999s
         expire h1               -> transfer_state held
         expire h2               -> transfer_state held
         capture h1 1            -> ok
         at +60s
         capture h1 1            -> hold_expired
         capture h2              -> hold_expired
         capture h3 1            -> ok
         A total 98 held 58      # kept until the expiry is written
         expire h1               -> ok
         expire h2               -> ok
         expire h3               -> transfer_state held
         A total 98 held 29 updated +60s
         h1 status captured captured 1            # it was captured in part before
         h2 status expired captured 0
         expire h2               -> transfer_state expired
         capture h2              -> transfer_state expired
         void h2                 -> transfer_state expired
         reverse h2              -> transfer_state expired
         reverse h1              -> ok
         at +61s
         void h3                 -> ok            # its maker may still void it
         h3 status captured
         hold A B 1 as h4 expires at +61s        -> ok
         capture h4              -> hold_expired
         expire h4               -> ok",
    );
}

#[test]
fn a_reversal_gives_back_never_more_than_is_left() {
    play(
        "account A USD balance 100
         account B USD
         transfer A B 30 as t1   -> ok
         reverse t1 10 as r1     -> ok
         entries B -10, A 10
         A total 80
         B total 20
         t1 status partially_reversed reversed 10
         legs t1 A B 30 reversed 10
         r1 status posted amount 10 kind reversal
         legs r1 B A 10
         reverse t1 21           -> amount_exceeds_reversible 20
         reverse t1 15           -> ok
         reverse t1              -> ok            # all that is left
         A total 100
         B total 0
         t1 status reversed reversed 30
         reverse t1              -> transfer_state reversed
         reverse t1 1            -> amount_exceeds_reversible 0
         reverse r1              -> transfer_state posted    # a reversal is final
         reverse r1 1            -> transfer_state posted
         transfer A B 30 as t2   -> ok
         transfer B A 1          -> ok
         reverse t2              -> insufficient_funds B 29 of 30
         reverse t2 29           -> ok",
    );
}

#[test]
fn a_reversal_of_a_captured_hold_gives_back_what_was_captured() {
    play(
        "account A USD balance 100
         account B USD
         account C USD
         hold A B 30, A C 30 as h1   -> ok
         capture h1 40 last          -> ok
         reverse h1 41               -> amount_exceeds_reversible 40
         reverse h1 35 as r1         -> ok
         legs h1 A B 30 captured 30 reversed 30, A C 30 captured 10 reversed 5
         h1 status partially_reversed captured 40 reversed 35
         B total 0
         C total 5
         capture h1                  -> transfer_state partially_reversed
         void h1                     -> transfer_state partially_reversed
         reverse h1                  -> ok
         h1 status reversed reversed 40
         A total 100 held 0",
    );
}

#[test]
fn a_reversal_undoes_legs_last_first() {
    play(
        "account A USD balance 30
         account B USD
         account C USD
         transfer A B 30, B C 30 as t1   -> ok        # B has nothing left to give back itself
         reverse t1 as r1                -> ok
         entries C -30, B 30, B -30, A 30
         legs r1 C B 30, B A 30
         A total 30
         transfer A B 30, B C 10 as t2   -> ok
         reverse t2 20                   -> ok        # a part: the first leg's money first
         legs t2 A B 30 reversed 20, B C 10
         reverse t2 15                   -> insufficient_funds B 5 of 10
         reverse t2                      -> ok
         legs t2 A B 30 reversed 30, B C 10 reversed 10
         A total 30
         B total 0
         C total 0",
    );
}

#[test]
fn frozen_means_no_debits_of_its_own() {
    play(
        "account A USD balance 100
         account B USD balance 100
         transfer B A 10 as t1   -> ok
         transfer A B 10 as t2   -> ok
         hold A B 10 as h1       -> ok
         hold A B 10 as h2       -> ok
         hold A B 10 as h3 expires 60 -> ok
         freeze A                -> ok
         A status frozen version 5 total 100
         freeze A                -> ok
         transfer A B 1          -> wallet_frozen A
         hold A B 1              -> wallet_frozen A
         reverse t1              -> wallet_frozen A
         transfer B A 5          -> ok            # credits go on
         hold B A 5 as h4        -> ok
         reverse t2              -> ok
         capture h1 4            -> ok            # it was promised before
         capture h1              -> ok
         capture h4              -> ok
         void h2                 -> ok
         at +60s
         expire h3               -> ok
         floor A 5               -> ok
         unfreeze A              -> ok
         unfreeze A              -> ok
         A total 110 held 0 status active floor 5
         transfer A B 1          -> ok",
    );
}

#[test]
fn a_wallet_closes_when_nothing_is_on_it() {
    play(
        "account A USD balance 100
         account B USD
         account C USD floor -50
         account P USD pending 5
         transfer A B 40 as t1   -> ok
         close A                 -> wallet_not_empty 60
         hold A B 60 as h1       -> ok
         close A                 -> wallet_state active
         freeze A                -> ok
         close A                 -> wallet_state frozen
         unfreeze A              -> ok
         void h1                 -> ok
         transfer A B 60         -> ok
         close P                 -> wallet_state active
         transfer C B 1          -> ok
         close C                 -> wallet_not_empty -1
         close A                 -> ok
         A status closed
         transfer B A 1          -> wallet_closed A
         transfer A B 1          -> wallet_closed A
         hold B A 1              -> wallet_closed A
         reverse t1              -> wallet_closed A
         freeze A                -> wallet_closed A
         unfreeze A              -> wallet_closed A
         close A                 -> wallet_closed A
         floor A 0               -> wallet_closed A
         A status closed version 4",
    );
}

#[test]
fn a_frozen_wallet_may_be_closed() {
    play(
        "account A USD
         freeze A                -> ok
         close A                 -> ok
         A status closed",
    );
}

#[test]
fn a_closed_payee_stops_only_the_captures_that_would_pay_it() {
    play(
        "account A USD balance 100
         account B USD
         account C USD
         account D USD
         hold A B 10, A C 20, A D 30 as h1   -> ok
         capture h1 10                       -> ok
         transfer B C 10                     -> ok
         close B                             -> ok
         close D                             -> ok
         capture h1 5                        -> ok            # B has had its part before
         capture h1                          -> wallet_closed D
         capture h1 16                       -> wallet_closed D
         capture h1 46                       -> wallet_closed D
         capture h1 15 last                  -> ok            # D's part is released
         A total 70 held 0
         hold A C 10 as h2                   -> ok
         transfer C A 30                     -> ok
         close C                             -> ok
         capture h2                          -> wallet_closed C
         void h2                             -> ok",
    );
}

#[test]
fn what_is_not_the_tenants_own_is_not_found() {
    play(
        "account A USD balance 100
         account B USD
         account X USD balance 100 tenant 2
         account Y USD tenant 2
         account T USD unbounded kind treasury
         transfer A B 10 as t1   -> ok
         hold A B 10 as h1 expires 60 -> ok
         transfer A X 1          -> wallet_not_found X
         transfer X A 1          -> wallet_not_found X
         hold A X 1              -> wallet_not_found X
         transfer A nobody 1     -> wallet_not_found nobody
         freeze X                -> wallet_not_found X
         floor X 0               -> wallet_not_found X
         close nobody            -> wallet_not_found nobody
         freeze T                -> wallet_not_found T       # not a wallet
         close T                 -> wallet_not_found T
         floor T 0               -> wallet_not_found T
         capture none            -> transfer_not_found
         reverse none            -> transfer_not_found
         tenant 2
         transfer A B 1          -> wallet_not_found A
         capture h1              -> transfer_not_found
         void h1                 -> transfer_not_found
         reverse t1              -> transfer_not_found
         transfer X Y 1          -> ok
         at +60s
         expire h1               -> transfer_not_found",
    );
}

#[test]
fn balances_stay_within_what_json_holds() {
    play(
        "account T USD unbounded kind treasury
         account E USD unbounded kind external
         account A USD
         account B USD
         transfer T A MAX            -> ok
         A total MAX
         T total -MAX
         transfer T B 1              -> balance_limit T
         transfer E A 1              -> balance_limit A
         transfer E B 1              -> ok
         transfer B A 1              -> balance_limit A
         hold B A 1 as h1            -> ok            # nothing comes in yet
         capture h1                  -> balance_limit A
         h1 status held captured 0
         transfer A B 5              -> ok
         capture h1                  -> ok
         hold E B MAX as h2          -> ok
         E held MAX
         hold E B 1                  -> balance_limit E
         capture h2                  -> balance_limit E
         capture h2 MAX-6            -> ok
         hold T A 1 as h3            -> ok
         capture h3                  -> balance_limit T",
    );
}

#[test]
fn legs_together_stay_within_the_limit() {
    play(
        "account T USD unbounded kind treasury balance MAX
         account A USD
         account B USD
         transfer T A MAX, T B 1 as t1   -> balance_limit A    # their sum
         hold T A MAX, T B 1             -> balance_limit T
         transfer T A MAX-1, T B 1 as t1 -> ok
         t1 amount MAX
         T total 0
         reverse t1                      -> ok
         T total MAX",
    );
}

#[test]
fn time_never_goes_back() {
    play(
        "account A USD balance 100 updated +9s
         account B USD balance 100 updated -9s
         transfer A B 1 as t1    -> ok
         A updated +9s
         B updated +9s
         t1 created +9s
         at +5s
         transfer B A 1          -> ok
         B updated +9s
         at +10s
         transfer B A 1          -> ok
         A updated +10s
         at -5s
         hold A B 5 as h1 expires 5 -> ok        # counted from the batch's time
         h1 created +10s
         at +14.999999s
         capture h1 1            -> ok
         at +15s
         capture h1 1            -> hold_expired",
    );
}

#[test]
fn refusals_before_any_arithmetic_have_their_order() {
    play(
        "account A USD balance 100
         account B USD
         account E EUR
         account F USD balance 100
         account G EUR balance 100
         account K USD
         freeze F                            -> ok
         freeze G                            -> ok
         close K                             -> ok
         transfer F K 999, A E 1, A none 1   -> wallet_not_found none
         transfer F K 999, A E 1             -> currency_mismatch E
         transfer F K 999                    -> wallet_closed K
         transfer F B 1, A K 1               -> wallet_closed K
         transfer A B 999, F B 1             -> wallet_frozen F
         transfer F B 999                    -> wallet_frozen F
         transfer G B 1                      -> currency_mismatch B
         hold F K 999, A E 1, A none 1       -> wallet_not_found none
         hold F K 999                        -> wallet_closed K
         hold A B 999, F B 1                 -> wallet_frozen F",
    );
}

#[test]
fn too_little_money_comes_before_too_large_a_sum() {
    play(
        "account A USD balance 100
         account B USD
         account L USD balance MAX
         account T USD unbounded
         transfer A B MAX, A B MAX   -> insufficient_funds A 100 of 9007199254740991
         transfer A L 101            -> insufficient_funds A 100 of 101
         transfer A L 100            -> balance_limit L
         transfer T B MAX, A B MAX   -> insufficient_funds A 100
         hold A B MAX, A B MAX       -> insufficient_funds A 100",
    );
}

#[test]
fn refusals_of_a_capture_have_their_order() {
    play(
        "account A USD balance 100
         account B USD
         hold A B 10 as h1 expires 60    -> ok
         hold A B 10 as h2 expires 60    -> ok
         hold A B 10 as h3 expires 90    -> ok
         void h1                         -> ok
         close B                         -> ok
         capture h3 99                   -> wallet_closed B
         at +60s
         capture h1 99                   -> transfer_state voided
         capture h2 99                   -> hold_expired
         capture h3 99                   -> wallet_closed B
         capture h3                      -> wallet_closed B",
    );
}

#[test]
fn refusals_of_a_reversal_have_their_order() {
    play(
        "account A USD balance 100
         account B USD
         account C USD
         transfer A B 10, A C 10 as t1   -> ok
         hold A B 5 as h1                -> ok
         freeze B                        -> ok
         reverse h1 99                   -> transfer_state held
         reverse t1 99                   -> wallet_frozen B      # before too large an amount
         reverse t1 10                   -> wallet_frozen B
         transfer C A 10                 -> ok
         close C                         -> ok
         reverse t1                      -> wallet_closed C
         reverse t1 99                   -> wallet_closed C
         reverse t1 10                   -> wallet_frozen B      # C has no part in it
         unfreeze B                      -> ok
         reverse t1 10                   -> ok
         reverse t1 99                   -> wallet_closed C
         transfer A B 10 as t2           -> ok
         transfer B A 5                  -> ok
         reverse t2 11                   -> amount_exceeds_reversible 10
         reverse t2 10                   -> insufficient_funds B 5 of 10",
    );
}

#[test]
fn refusals_of_a_change_of_status_have_their_order() {
    play(
        "account A USD balance 100
         account B USD
         account X USD balance 1 tenant 2
         hold A B 10             -> ok
         close A                 -> wallet_state active       # held money before any money
         close X                 -> wallet_not_found X
         close B                 -> ok
         floor B 5               -> wallet_closed B",
    );
}

#[test]
fn a_savepoint_takes_a_whole_group_back() {
    play(
        "account A USD balance 100
         account B USD
         account C USD
         transfer A B 10 as t1   -> ok
         hold A B 20 as h1       -> ok
         savepoint
         transfer A B 5 as t2    -> ok
         transfer B C 5          -> ok
         reverse t1 1            -> ok
         reverse t1 1            -> ok
         capture h1 5            -> ok
         freeze C                -> ok
         floor A -7              -> ok
         transfer C A 1          -> wallet_frozen C
         undo
         A total 90 held 20 available 70 version 2 floor 0
         B total 10 version 1
         C total 0 version 0 status active
         t1 status posted reversed 0
         t2 status nothing
         h1 status held captured 0
         transfer A B 70         -> ok
         undo                                              # no savepoint: nothing to take back
         A total 20 version 3
         savepoint
         capture h1 5            -> ok
         keep
         undo
         A total 15 held 15
         savepoint
         undo
         A total 15 held 15 version 4",
    );
}

#[test]
fn a_transfer_lives_with_its_first_wallet() {
    play(
        "account T USD unbounded kind treasury
         account E USD unbounded kind external
         account A USD
         account B USD
         transfer T A 50 as t1           -> ok
         transfer A B 20 as t2           -> ok
         transfer A E 20 as t3           -> ok
         transfer T E 20 as t4           -> ok
         t1 bucket A
         t2 bucket A
         t3 bucket A
         t4 bucket E
         reverse t2 as r2                -> ok
         r2 bucket A                     # with what it gives back",
    );
}

/// A sheet that is wrong must not pass.
#[test]
#[should_panic(expected = "row 3: A total 99")]
fn a_wrong_row_is_found() {
    play("account A USD balance 100\naccount B USD\nA total 99");
}

#[test]
#[should_panic(expected = "was: insufficient_funds A 100 of 101")]
fn a_wrong_outcome_is_found() {
    play("account A USD balance 100\naccount B USD\ntransfer A B 101 -> ok");
}
