//! The money rules of payments as tables: one sheet a rule. The language is told in `sheet/mod.rs`
//! and `sheet/recipes.rs`.

mod audit;
mod sheet;

use sheet::play;

#[test]
fn the_treasury_spends_what_came_from_the_bank() {
    play(
        "chart USD
         account A USD
         transfer treasury A 1   -> insufficient_funds treasury 0 of 1
         bank_in 100             -> ok
         entries bank -100, treasury 100
         transfer treasury A 60  -> ok
         bank_out 41             -> insufficient_funds treasury 40 of 41
         bank_out 40             -> ok
         bank total -60
         treasury total 0",
    );
}

#[test]
fn card_money_is_pending_until_it_is_available() {
    play(
        "chart USD
         account W USD
         account B USD
         card W 100 pending 60 as p1 -> ok
         entries gateway_receivable -100, W 100
         legs p1 gateway_receivable W 100 pending 100
         W total 100 pending 100 available 0
         p1 kind payment bucket W
         transfer W B 1          -> insufficient_funds W 0 of 1
         close W                 -> wallet_state active
         at +59.999999s
         available p1            -> transfer_state posted
         at +60s
         available p1            -> ok
         entries W 0
         W total 100 pending 0 available 100 version 2
         available p1            -> transfer_state posted
         transfer W B 100        -> ok
         card W 50 as p2         -> ok            # nothing pending: at once
         available p2            -> transfer_state posted
         transfer W B 50         -> ok",
    );
}

#[test]
fn a_fee_comes_out_of_the_amount_or_on_top_of_it() {
    play(
        "chart USD
         account A USD balance 205
         account B USD
         pay A B 100 fee 3 payee as p1   -> ok
         entries A -100, B 100, B -3, fees 3
         A total 105
         B total 97
         fees total 3
         pay A B 100 fee 6 payer         -> insufficient_funds A 5 of 6
         pay A B 100 fee 5 payer         -> ok
         entries A -100, B 100, A -5, fees 5
         A total 0
         B total 197
         card B 50 fee 2 payee pending 60 as c1  -> ok
         entries gateway_receivable -50, B 50, B -2, fees 2
         B total 245 pending 48
         card B 50 fee 2 payer as c2     -> ok
         entries gateway_receivable -50, B 50, gateway_receivable -2, fees 2
         card B 5 fee 5 payee pending 9  -> ok    # all of it is the fee: nothing is pending
         B pending 48
         charge B 300                    -> ok    # a fee apart can't be refused
         B arrears 53",
    );
}

#[test]
fn a_payees_fee_never_stops_a_payment() {
    play(
        "chart USD
         account A USD balance 100
         account B USD floor 20
         freeze B                        -> ok
         pay A B 10 fee 2 payee as p1    -> ok        # frozen, and below its floor
         B total 8 arrears 12
         pay A B 10 fee 2 payer          -> ok
         card B 10 fee 1 payee pending 9 -> ok
         freeze A                        -> ok
         pay A B 10 fee 2 payee          -> wallet_frozen A",
    );
}

#[test]
fn a_refund_takes_pending_money_first_and_keeps_the_fee() {
    play(
        "chart USD
         account W USD
         account B USD
         card W 100 fee 3 payee pending 60 as p1 -> ok
         W total 97 pending 97 available 0
         refund p1 40 as r1      -> ok
         entries W -40, gateway_receivable 40
         W total 57 pending 57
         r1 kind refund
         refund p1 61            -> amount_exceeds_reversible 60
         refund p1               -> insufficient_funds W 0 of 3   # the fee was kept
         refund p1 57            -> ok
         W total 0 pending 0
         p1 status partially_reversed pending 0
         at +60s
         available p1            -> transfer_state partially_reversed
         refund p1 3             -> insufficient_funds W 0 of 3
         card W 3                -> ok
         refund p1               -> ok
         gateway_receivable total -3
         fees total 3
         refund p1               -> transfer_state partially_reversed
         reverse r1              -> transfer_state posted         # only as what it is",
    );
}

#[test]
fn proportional_refunds_give_the_fee_back_and_the_last_takes_the_rest() {
    play(
        "chart USD
         account A USD balance 100
         account B USD
         pay A B 100 fee 5 payee as p1   -> ok
         refund p1 30 proportional       -> ok        # 1.5 is 2
         entries fees -2, B 2, B -30, A 30
         refund p1 30 proportional       -> ok        # 3 less 2
         entries fees -1, B 1, B -30, A 30
         refund p1 proportional          -> ok
         entries fees -2, B 2, B -40, A 40
         p1 status reversed reversed 105
         A total 100
         B total 0
         fees total 0",
    );
}

#[test]
fn fees_shared_after_a_chargeback_are_only_the_refunds_part() {
    play(
        "chart USD
         account W USD balance 100
         card W 100 fee 10 payee as p1   -> ok
         chargeback p1 50 as c1          -> ok
         refund p1 proportional as r1    -> ok
         entries fees -5, W 5, W -50, gateway_receivable 50
         refund_failed r1                -> ok
         entries gateway_receivable -50, W 50, W -5, fees 5
         fees total 10
         r1 status reversed
         p1 status partially_reversed reversed 50
         refund_failed r1                -> transfer_state reversed
         refund p1 51                    -> amount_exceeds_reversible 50
         won c1                          -> ok
         p1 status posted reversed 0
         refund p1 100 proportional      -> ok
         fees total 0",
    );
}

#[test]
fn a_chargeback_passes_floor_and_freeze_and_leaves_arrears() {
    play(
        "chart USD
         account W USD
         account B USD balance 100
         card W 100 as p1        -> ok
         transfer W B 80         -> ok
         hold W B 15 as h1       -> ok
         freeze W                -> ok
         chargeback p1 70 as c1  -> ok
         entries W -70, gateway_receivable 70
         W total -50 held 15 available -65 arrears 65 owed 50
         unfreeze W              -> ok
         transfer W B 1          -> insufficient_funds W -65 of 1     # no debits
         hold W B 1              -> insufficient_funds W -65 of 1
         refund p1 10            -> insufficient_funds W -65 of 10
         close W                 -> wallet_state active
         transfer B W 60         -> ok                               # repays first
         W arrears 5 owed 0
         transfer W B 1          -> insufficient_funds W -5 of 1
         capture h1              -> ok                               # promised before
         W total -5 held 0 arrears 5 owed 5
         chargeback p1 31        -> amount_exceeds_reversible 30
         won c1                  -> ok
         entries gateway_receivable -70, W 70
         W total 65 arrears 0
         c1 status reversed
         won c1                  -> transfer_state reversed
         p1 reversed 0 status posted
         transfer W B 1          -> ok",
    );
}

#[test]
fn a_refund_made_by_the_gateway_passes_floor_and_freeze() {
    play(
        "chart USD
         account W USD
         account B USD balance 100
         card W 100 fee 10 payee as p1               -> ok
         transfer W B 80                             -> ok
         freeze W                                    -> ok
         refund p1 30                                -> wallet_frozen W
         refund_there p1 30 proportional as r1       -> ok
         entries fees -3, W 3, W -30, gateway_receivable 30
         W total -17 arrears 17
         r1 kind refund
         refund_there p1 71                          -> amount_exceeds_reversible 70
         refund_failed r1                            -> ok
         W total 10 arrears 0
         p1 reversed 0 status posted
         unfreeze W                                  -> ok
         transfer W B 10                             -> ok
         close W                                     -> ok
         refund_there p1 40 as r2                    -> ok          # the tenant bears it
         entries dispute_loss -40, gateway_receivable 40
         refund_failed r2                            -> ok
         dispute_loss total 0
         refund_there p1 100 proportional            -> ok
         entries fees -10, dispute_loss 10, dispute_loss -100, gateway_receivable 100",
    );
}

#[test]
fn a_chargeback_takes_what_is_pending_first() {
    play(
        "chart USD
         account W USD
         card W 100 pending 60 as p1 -> ok
         chargeback p1 as c1     -> ok
         W total 0 pending 0 arrears 0
         p1 status reversed pending 0
         at +60s
         available p1            -> transfer_state reversed
         won c1                  -> ok
         W total 100 pending 0 available 100",
    );
}

#[test]
fn refunds_and_disputes_together_never_exceed_the_payment() {
    play(
        "chart USD
         account W USD balance 500
         card W 100 as p1        -> ok
         refund p1 60            -> ok
         chargeback p1 41        -> amount_exceeds_reversible 40
         chargeback p1 40 as c1  -> ok
         refund p1 1             -> amount_exceeds_reversible 0
         chargeback p1           -> transfer_state reversed
         won c1                  -> ok
         refund p1 41            -> amount_exceeds_reversible 40
         refund p1 40            -> ok
         W total 500",
    );
}

#[test]
fn arrears_are_written_off_but_nothing_more() {
    play(
        "chart USD
         account W USD floor -20
         account R USD floor 30 balance 10
         write_off W 1           -> amount_exceeds_arrears 0
         card W 100 as p1        -> ok
         transfer W R 70         -> ok
         chargeback p1           -> ok
         W total -70 arrears 50 owed 50
         write_off W 51          -> amount_exceeds_arrears 50
         write_off W 20          -> ok
         entries dispute_loss -20, W 20
         W arrears 30
         write_off W 30          -> ok
         W total -20 arrears 0
         write_off W 1           -> amount_exceeds_arrears 0
         floor R 500             -> ok
         R arrears 420 owed 0
         write_off R 1           -> amount_exceeds_arrears 0      # a reserve is no debt
         lost W 5                -> ok                            # the tenant bears a dispute
         dispute_loss total -55",
    );
}

#[test]
fn a_payout_is_held_until_it_is_sent_and_may_come_back() {
    play(
        "chart USD
         account W USD balance 100
         account B USD
         payout W 101            -> insufficient_funds W 100 of 101
         payout W 60 as o1       -> ok
         W total 100 held 60
         payout W 40 as o2       -> ok
         void o2                 -> ok                # declined
         sent o1                 -> ok
         entries W -60, payout_in_transit 60
         W total 40 held 0
         settled 61              -> insufficient_funds payout_in_transit 60 of 61
         freeze W                -> ok
         returned o1             -> ok
         entries payout_in_transit -60, W 60
         o1 status reversed
         returned o1             -> transfer_state reversed
         unfreeze W              -> ok
         payout W 100 as o3      -> ok
         sent o3                 -> ok
         settled 100             -> ok
         entries payout_in_transit -100, bank 100
         close W                 -> ok
         returned o3             -> insufficient_funds payout_in_transit 0 of 100
         came_back 100           -> ok
         returned o3             -> ok                # the wallet is closed
         entries payout_in_transit -100, unapplied 100
         apply W 100             -> wallet_closed W
         apply B 101             -> insufficient_funds unapplied 100 of 101
         apply B 100             -> ok
         B total 100",
    );
}

#[test]
fn what_comes_too_late_for_a_closed_wallet_is_unapplied() {
    play(
        "chart USD
         account W USD
         account A USD balance 200
         card W 100 fee 3 payee as p1    -> ok
         pay A W 50 as p2                -> ok
         transfer W A 147                -> ok
         refund p2 50                    -> insufficient_funds W 0 of 50
         close W                         -> ok
         card W 40 fee 2 payee pending 60 as p3 -> ok
         entries gateway_receivable -40, unapplied 40, unapplied -2, fees 2
         legs p3 gateway_receivable unapplied 40 pending 38, unapplied fees 2
         unapplied total 38 pending 38
         at +60s
         available p3                    -> ok
         pay A W 10                      -> wallet_closed W    # a payer is still told
         refund p1 10                    -> wallet_closed W
         chargeback p1 30 as c1          -> ok                 # the tenant bears it
         entries dispute_loss -30, gateway_receivable 30
         won c1                          -> ok
         dispute_loss total 0
         p1 status posted reversed 0
         charge W 5                      -> ok
         entries dispute_loss -5, fees 5",
    );
}

#[test]
fn what_does_not_fit_a_wallet_is_unapplied() {
    play(
        "chart USD
         account W USD balance MAX-10
         account A USD balance 50
         card W 11 fee 2 payee as p1     -> ok
         entries gateway_receivable -11, unapplied 11, unapplied -2, fees 2
         card W 10 fee 2 payee as p2     -> ok
         entries gateway_receivable -10, W 10, W -2, fees 2
         refund p1 9                     -> ok
         entries unapplied -9, gateway_receivable 9
         transfer A W 3                  -> balance_limit W    # a payer is told
         transfer A W 2                  -> ok
         refund p2 1 as r1               -> ok
         transfer A W 1                  -> ok
         refund_failed r1                -> ok
         entries gateway_receivable -1, unapplied 1
         apply W 1                       -> balance_limit W
         W total MAX",
    );
}

#[test]
fn a_refund_to_a_closed_payer_is_unapplied() {
    play(
        "chart USD
         account A USD balance 50
         account B USD
         pay A B 50 as p1        -> ok
         close A                 -> ok
         refund p1 20 as r1      -> ok
         entries B -20, unapplied 20
         refund_failed r1        -> ok
         entries unapplied -20, B 20
         p1 status posted reversed 0",
    );
}

#[test]
fn gateways_settle_what_they_owe_less_what_they_keep() {
    play(
        "chart USD
         account W USD
         card W 100 as p1        -> ok
         settlement 60 keeps 2   -> ok
         entries bank -58, gateway_receivable 58, gateway_fees -2, gateway_receivable 2
         gateway_fee 15          -> ok
         gateway_receivable total -25
         settlement 25 keeps 0   -> ok
         gateway_receivable total 0
         bank total -83
         gateway_fees total -17
         refund p1 40            -> ok
         settlement -40 keeps 3  -> ok
         entries gateway_receivable -43, bank 43, gateway_fees -3, gateway_receivable 3
         gateway_receivable total 0
         bank total -40
         settlement 0 keeps -3   -> ok
         gateway_fees total -17
         bank total -43",
    );
}

#[test]
fn an_exchange_rounds_the_customers_credit_down() {
    play(
        "chart USD
         chart EUR
         account A USD balance 1000
         account E EUR
         exchange A E 101 rate 0.9 market 0.92   -> ok    # 90.9 is 90, 92.92 is 93
         entries fx.EUR -90, E 90, fx.EUR -3, fx_result.EUR 3
         A total 899
         E total 90
         fx total 101
         fx.EUR total -93
         fx_result.EUR total 3
         exchange A E 100 rate 0.93 market 0.92  -> ok    # better than the market
         entries fx.EUR -93, E 93, fx_result.EUR -1, fx.EUR 1
         exchange A E 100 rate 0.92 market 0.92  -> ok
         entries fx.EUR -92, E 92
         exchange A E 1 rate 0.92 market 0.92    -> exchange_too_small
         exchange A E 700 rate 0.92 market 0.92  -> insufficient_funds A 699 of 700
         freeze E                                -> ok
         exchange A E 10 rate 0.92 market 0.92   -> ok
         close E                                 -> wallet_not_empty
         account F EUR
         close F                                 -> ok
         exchange A F 10 rate 0.92 market 0.92   -> wallet_closed F   # and A keeps its money
         A total 689 version 4",
    );
}

#[test]
fn limits_of_a_tier_bound_balance_day_and_month() {
    play(
        "chart USD
         account A USD balance 1000
         account B USD balance 70
         transfer A B 31 limit balance of B 100        -> limit_reached B Balance 30
         transfer A B 30 limit balance of B 100        -> ok
         transfer B A 1 limit balance of B 50          -> ok     # what leaves is not bounded by it
         transfer A B 1 limit balance of B 50          -> limit_reached B Balance 0
         transfer A B 21 limit day 100 used 80         -> limit_reached A Day 20
         transfer A B 20 limit day 100 used 80         -> ok
         transfer A B 1 limit month 100 used 101       -> limit_reached A Month 0
         hold A B 21 limit month 100 used 80           -> limit_reached A Month 20
         hold A B 20 limit month 100 used 80           -> ok
         transfer A B 15, A B 15 limit day 29          -> limit_reached A Day 29
         transfer A B 9999 limit day 29                -> limit_reached A Day 29
         freeze A                                      -> ok
         transfer A B 9999 limit day 29                -> wallet_frozen A",
    );
}

#[test]
fn what_is_forced_passes_floor_and_freeze_but_nothing_else() {
    play(
        "account A USD balance 10
         account B USD
         account C USD
         account E EUR
         freeze A                            -> ok
         transfer A B 15 forced              -> ok
         A total -5 arrears 5
         transfer A B MAX forced             -> balance_limit A
         transfer A E 1 forced               -> currency_mismatch E
         close C                             -> ok
         transfer A C 1 forced               -> wallet_closed C
         transfer A nobody 1 forced          -> wallet_not_found nobody",
    );
}
