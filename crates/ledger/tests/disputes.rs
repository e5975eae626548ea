//! What a payer's bank takes, and who gives it, as tables: whatever was refunded before, the
//! gateway's account gets all that the bank took. The language is told in `sheet/mod.rs`.

mod audit;
mod sheet;

use sheet::play;

#[test]
fn what_was_refunded_before_is_the_tenants_loss() {
    play(
        "chart USD
         account W USD
         card W 1000 as p1               -> ok
         refund p1 600 as r1             -> ok
         chargeback p1 401 besides 599   -> amount_exceeds_reversible 400
         chargeback p1 400 besides 600 as c1 -> ok
         entries W -400, gateway_receivable 400, dispute_loss -600, gateway_receivable 600
         gateway_receivable total 600
         refund p1 1                     -> amount_exceeds_reversible 0
         chargeback p1 1                 -> amount_exceeds_reversible 0
         refund_failed r1                -> ok         # the gateway has nothing of it any more
         gateway_receivable total 0
         W total 600
         p1 status partially_reversed reversed 400
         won c1 besides 600              -> ok
         entries gateway_receivable -600, dispute_loss 600, gateway_receivable -400, W 400
         p1 status posted reversed 0
         won c1 besides 600              -> transfer_state reversed
         dispute_loss total 0
         gateway_receivable total -1000
         W total 1000",
    );
}

#[test]
fn a_dispute_after_a_full_refund_takes_nothing_from_the_payee() {
    play(
        "chart USD
         account W USD balance 5
         card W 100 fee 4 payee as p1    -> ok
         refund p1 100                   -> ok
         chargeback p1 0                 -> transfer_state partially_reversed
         chargeback p1 0 besides 100 as c1 -> ok
         entries dispute_loss -100, gateway_receivable 100
         c1 kind chargeback
         p1 status partially_reversed reversed 100
         won c1 besides 100              -> ok
         entries gateway_receivable -100, dispute_loss 100
         p1 status partially_reversed reversed 100     # refunded it stays
         refund p1 1                     -> amount_exceeds_reversible 0
         dispute_loss total 0",
    );
}

#[test]
fn the_payers_fee_goes_back_with_the_payment() {
    play(
        "chart USD
         account W USD
         card W 1000 fee 100 payer as p1 -> ok
         gateway_receivable total -1100
         chargeback p1 1000 fee 101      -> amount_exceeds_reversible 100
         chargeback p1 1000 fee 100 as c1 -> ok
         entries fees -100, gateway_receivable 100, W -1000, gateway_receivable 1000
         gateway_receivable total 0
         fees total 0
         p1 status reversed reversed 1100
         won c1                          -> ok
         entries gateway_receivable -1000, W 1000, gateway_receivable -100, fees 100
         p1 status posted reversed 0
         refund p1 400 proportional      -> ok
         entries fees -40, gateway_receivable 40, W -400, gateway_receivable 400
         chargeback p1 600 fee 60 besides 440 as c2 -> ok
         gateway_receivable total 440                 # all of 1100 was taken, and 440 before
         fees total 0
         won c2 besides 440              -> ok
         dispute_loss total 0
         fees total 60
         W total 600",
    );
}

#[test]
fn a_payees_fee_is_kept() {
    play(
        "chart USD
         account W USD balance 10
         card W 100 fee 10 payee as p1   -> ok
         chargeback p1 100 fee 1         -> amount_exceeds_reversible 0
         chargeback p1 100 as c1         -> ok
         entries W -100, gateway_receivable 100
         fees total 10",
    );
}

#[test]
fn a_closed_wallet_is_stood_in_for_on_every_way() {
    play(
        "chart USD
         account W USD
         account B USD
         card W 100 as p1                -> ok
         refund p1 30                    -> ok
         transfer W B 70                 -> ok
         close W                         -> ok
         chargeback p1 70 besides 30 as c1 -> ok
         entries dispute_loss -70, gateway_receivable 70, dispute_loss -30, gateway_receivable 30
         won c1 besides 30               -> ok
         p1 status partially_reversed reversed 30      # only what was not refunded
         dispute_loss total 0
         lost W 40                       -> ok         # closed since the bank took it
         entries dispute_loss -40, unapplied 40",
    );
}

#[test]
fn what_the_tenant_bore_comes_back_to_the_tenant() {
    play(
        "chart USD
         account W USD
         account B USD
         card W 100 fee 5 payer as p1    -> ok
         refund p1 20                    -> ok
         chargeback p1 80 fee 5 besides 20 as c1 -> ok
         lost W 80                       -> ok
         W total 80
         dispute_loss total -100
         transfer W B 80                 -> ok
         close W                         -> ok
         won c1 besides 20 tenant        -> ok
         dispute_loss total 0
         unapplied total 0
         fees total 5
         gateway_receivable total -85
         p1 status partially_reversed reversed 20",
    );
}

#[test]
fn a_chargeback_leaves_the_unapplied_money_of_others() {
    play(
        "chart USD
         account W USD
         account A USD
         close W                         -> ok
         card W 100 as p1                -> ok
         card W 30 as p2                 -> ok         # another's
         apply A 100                     -> ok
         unapplied total 30
         chargeback p1 100 unapplied 0 as c1 -> ok     # all of it was applied
         entries dispute_loss -100, gateway_receivable 100
         p1 status reversed
         won c1                          -> ok
         dispute_loss total 0
         unapplied total 30
         p1 status posted reversed 0
         chargeback p1 100 unapplied 90 as c2 -> ok    # never below what is there
         entries unapplied -30, gateway_receivable 30, dispute_loss -70, gateway_receivable 70
         won c2 tenant                   -> ok
         entries gateway_receivable -70, dispute_loss 70, gateway_receivable -30, dispute_loss 30
         p1 status posted reversed 0
         card W 50 pending 60 as p3      -> ok
         chargeback p3 50 unapplied 0    -> ok         # what is pending can't have been applied
         entries unapplied -50, gateway_receivable 50
         unapplied total 0 pending 0",
    );
}
