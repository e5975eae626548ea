//! The verbs of payments, each a recipe of `movements`.
//!
//! ```text
//! card W 100 fee 3 payee pending 60 as p1   by the gateway; pending so many seconds
//! pay A B 100 fee 3 payer as p1
//! available p1
//! refund p1 40 [proportional] as r1 | refund_failed r1
//! refund_there p1 40 [proportional]         by the gateway itself
//! chargeback p1 40 [fee 3] [besides 5] [unapplied 8] as c1 | lost W 40 | gateway_fee 15
//! won c1 [besides 5] [tenant]               what was beyond the payment; the tenant had borne it
//! payout W 40 as o1 | sent o1 | settled 40 | returned o1 | came_back 40
//! settlement 100 keeps 3 | bank_in 100 | bank_out 100
//! write_off W 10 | apply W 10 | charge W 5
//! exchange A E 100 rate 0.9 market 0.92     both transfers, or none
//! transfer A B 30 limit day 100 used 80     or: limit month …, limit balance of B 100; forced
//! ```

use caudal_domain::{
    account::WalletLimit,
    fee::{FeeBearer, FeeReturn},
    rate::Rate,
};
use caudal_ledger::{
    Movement, Terms,
    movements::{
        Force, HoldUntil, Limit, bank, card, dispute, exchange::Exchange, late, pay, payout,
        refund, write_off,
    },
};

use super::{GATEWAY, Sheet, account_id, chart, currency_of, number, take};

impl Sheet {
    /// `None`: the verb is no recipe's.
    pub fn recipe(&self, verb: &str, words: &[&str]) -> Option<Movement> {
        let usd = chart(currency_of("USD"));
        let first = words.first().copied().unwrap_or_default();
        let (account, transfer) = (account_id(first), self.transfer_id(first));
        let second = || number(words[1]);
        let amount = words.get(1).and_then(|word| word.parse().ok());
        Some(match verb {
            "card" => Movement::Post(card::capture(usd, &card_capture(words))),
            "pay" => Movement::Post(pay::pay(usd, &payment(words))),
            "charge" => Movement::Post(pay::charge(usd, account, second())),
            "available" => Movement::MakeAvailable { transfer },
            "refund" => refund::refund(usd, transfer, amount, fee_return(words)),
            "refund_there" => refund::made_there(usd, transfer, second(), fee_return(words)),
            "refund_failed" => refund::failed(usd, self.book.transfer(transfer)?),
            "chargeback" => dispute::chargeback(usd, transfer, taken(words, amount)),
            "won" => {
                let besides = take(&mut words.to_vec(), "besides").map_or(0, number);
                let won = match words.contains(&"tenant") {
                    true => dispute::won_by_tenant,
                    false => dispute::won,
                };
                won(usd, self.book.transfer(transfer)?, besides)
            }
            "lost" => Movement::Post(dispute::lost(usd, account, second())),
            "payout" => {
                let until = HoldUntil::Seconds(super::HOLD_SECONDS);
                Movement::Post(payout::hold(usd, account, second(), until))
            }
            "sent" => payout::sent(transfer),
            "settled" => Movement::Post(payout::settled(usd, number(first))),
            "returned" => payout::returned(usd, transfer),
            "came_back" => Movement::Post(bank::payout_came_back(usd, number(first))),
            "settlement" => {
                let kept = number(words[2]);
                Movement::Post(card::settlement(usd, GATEWAY, number(first), kept))
            }
            "gateway_fee" => Movement::Post(card::gateway_fee(usd, GATEWAY, number(first))),
            "bank_in" => Movement::Post(bank::money_in(usd, number(first))),
            "bank_out" => Movement::Post(bank::money_out(usd, number(first))),
            "write_off" => Movement::Post(write_off::write_off(usd, account, second())),
            "apply" => Movement::Post(late::apply(usd, account, second())),
            _ => return None,
        })
    }

    /// Removes what the transfer's terms are.
    pub fn terms(&self, words: &mut Vec<&str>) -> Option<Box<Terms>> {
        let mut terms = Terms::default();
        if let Some(place) = words.iter().position(|word| *word == "forced") {
            words.remove(place);
            terms.force = Force::All;
        }
        if let Some(limit) = take(words, "limit") {
            let place = words.iter().position(|word| word.parse::<i64>().is_ok());
            let after = place.expect("an amount") + 1;
            let account = take(words, "of").map_or(account_id(words[0]), account_id);
            let most = number(words.remove(after));
            let used = take(words, "used").map_or(0, number);
            let limit = match limit {
                "balance" => WalletLimit::Balance,
                "day" => WalletLimit::Day,
                _ => WalletLimit::Month,
            };
            terms.limits.push(Limit { account, limit, most, used });
        }
        (terms != Terms::default()).then(|| Box::new(terms))
    }

    pub fn exchange(&mut self, words: Vec<&str>) -> String {
        let of = |name: &str| {
            let currency = self.book.account(account_id(name)).map(|account| account.currency);
            (account_id(name), chart(currency.unwrap_or(currency_of("USD"))))
        };
        let mut words = words;
        let exchange = Exchange {
            rate: rate(take(&mut words, "rate").expect("a rate")),
            market: rate(take(&mut words, "market").expect("the market's rate")),
            payer: of(words[1]),
            payee: of(words[2]),
            amount: number(words[3]),
        };
        let transfers = match exchange.transfers() {
            Ok(transfers) => transfers,
            Err(refusal) => return super::in_words(&refusal),
        };
        self.book.savepoint();
        for transfer in transfers {
            let said = self.decide(&Movement::Post(transfer), None);
            if said != "ok" {
                self.undo();
                return said;
            }
        }
        self.book.keep();
        "ok".into()
    }
}

fn fee(words: &mut Vec<&str>) -> (i64, FeeBearer) {
    let fee = take(words, "fee").map_or(0, number);
    match words.contains(&"payer") {
        true => (fee, FeeBearer::Payer),
        false => (fee, FeeBearer::Payee),
    }
}

fn taken(words: &[&str], payee: Option<i64>) -> dispute::Taken {
    let mut words = words.to_vec();
    let mut part = |name: &str| take(&mut words, name).map(number);
    dispute::Taken {
        payee,
        fee: part("fee").unwrap_or(0),
        tenant: part("besides").unwrap_or(0),
        unapplied_most: part("unapplied"),
    }
}

fn card_capture(words: &[&str]) -> card::CardCapture {
    let mut words = words.to_vec();
    let (fee, bearer) = fee(&mut words);
    let available = take(&mut words, "pending").map(|text| HoldUntil::Seconds(number(text)));
    let (wallet, amount) = (account_id(words[0]), number(words[1]));
    card::CardCapture { gateway: GATEWAY, wallet, amount, fee, bearer, available }
}

fn payment(words: &[&str]) -> pay::WalletPayment {
    let mut words = words.to_vec();
    let (fee, bearer) = fee(&mut words);
    let (payer, payee) = (account_id(words[0]), account_id(words[1]));
    pay::WalletPayment { payer, payee, amount: number(words[2]), fee, bearer }
}

/// `0.92`, exactly.
fn rate(text: &str) -> Rate {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let mantissa = format!("{whole}{part}").parse().expect("digits");
    Rate::new(mantissa, part.len() as u32).expect("a rate")
}

fn fee_return(words: &[&str]) -> FeeReturn {
    match words.last() == Some(&"proportional") {
        true => FeeReturn::Proportional,
        false => FeeReturn::Kept,
    }
}
