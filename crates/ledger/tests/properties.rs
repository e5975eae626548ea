//! Random movements, decided by the ledger and by a naive model of it: both must answer the same
//! and end with the same balances, and after every step the rules of double entry hold.

mod audit;
mod model;

use std::{cell::RefCell, collections::BTreeMap};

use audit::{Counted, State};
use caudal_domain::{
    Account, AccountId, AccountKind, AccountStatus, Currency, Leg, MAX_AMOUNT, TenantId, Timestamp,
    TransferId, TransferKind,
};
use caudal_ledger::{
    Book, Movement, NewTransfer, Outcome, Terms,
    movements::{Force, HoldUntil, Part, Return, StandIns},
};
use model::{Answer, Model};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};

const CASES: u32 = 512;
const STEPS: std::ops::Range<usize> = 20..80;
/// What the first wallets have to begin with.
const FUNDS: i64 = 150;

/// What is asked, by the places of accounts; a transfer is counted from the newest.
#[derive(Clone, Debug)]
enum Ask {
    Post { currency: usize, legs: Vec<(usize, usize, i64)>, terms: model::Terms },
    Capture { transfer: usize, amount: Option<i64>, last: bool },
    Void { transfer: usize },
    Expire { transfer: usize },
    Reverse { transfer: usize, amount: Option<i64> },
    Return { transfer: usize, amount: Option<i64>, kind: Kind },
    MakeAvailable { transfer: usize },
    SetStatus { account: usize, status: AccountStatus },
    SetFloor { account: usize, floor: i64 },
}

/// What is given back, and how.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Refund,
    Chargeback,
    /// A chargeback of more than there may be: the tenant's treasury gives so much besides.
    Beyond(i64),
    Undo,
}

#[derive(Clone, Debug)]
enum Step {
    Ask(usize, Ask),
    /// So many seconds later a new batch begins.
    Wait(i64),
    /// All of them, kept or taken back.
    Group(Vec<(usize, Ask)>, bool),
}

/// Tenant, currency, kind and floor of every account. The first four trade with one
/// another; the fifth is seldom paid, so that it can be closed.
const ACCOUNTS: [(usize, usize, AccountKind, Option<i64>); 9] = [
    (0, 0, AccountKind::Treasury, None),
    (0, 0, AccountKind::Wallet, Some(0)),
    (0, 0, AccountKind::Wallet, Some(0)),
    (0, 0, AccountKind::Wallet, Some(-50)),
    (0, 0, AccountKind::Wallet, Some(0)),
    (0, 1, AccountKind::Treasury, None),
    (0, 1, AccountKind::Wallet, Some(0)),
    (1, 0, AccountKind::Treasury, None),
    (1, 0, AccountKind::Wallet, Some(0)),
];
const CURRENCIES: [&str; 2] = ["USD", "EUR"];

fn account() -> impl Strategy<Value = usize> {
    prop_oneof![15 => 0..4_usize, 2 => Just(4), 1 => 5..ACCOUNTS.len()]
}

fn tenant() -> impl Strategy<Value = usize> {
    prop_oneof![15 => Just(0_usize), 1 => Just(1)]
}

fn amount() -> impl Strategy<Value = i64> {
    let large = prop_oneof![Just(MAX_AMOUNT), Just(MAX_AMOUNT / 2 + 1), Just(MAX_AMOUNT - 60)];
    prop_oneof![30 => 1..60_i64, 1 => large]
}

/// An account pays another: never itself, but the one beside it.
fn leg() -> impl Strategy<Value = (usize, usize, i64)> {
    (account(), account(), amount()).prop_map(|(from, to, amount)| match to {
        to if to == from => (from, (to + 1) % 4, amount),
        to => (from, to, amount),
    })
}

fn legs() -> impl Strategy<Value = Vec<(usize, usize, i64)>> {
    prop_oneof![3 => vec(leg(), 1), 1 => vec(leg(), 2..5)]
}

fn terms() -> impl Strategy<Value = model::Terms> {
    let seldom = prop_oneof![9 => Just(None), 1 => (0..80_i64).prop_map(Some)];
    let often = prop_oneof![1 => Just(None), 3 => (0..80_i64).prop_map(Some)];
    (seldom, often, any::<bool>()).prop_map(|(hold, pending, forced)| model::Terms {
        hold,
        pending,
        forced,
    })
}

fn ask() -> impl Strategy<Value = Ask> {
    let currency = || prop_oneof![15 => Just(0_usize), 1 => Just(1)];
    let part = || prop_oneof![Just(None), amount().prop_map(Some)];
    let transfer = || prop_oneof![3 => 0..5_usize, 1 => 0..1000_usize];
    let status = prop_oneof![
        1 => Just(AccountStatus::Frozen),
        3 => Just(AccountStatus::Active),
        1 => Just(AccountStatus::Closed),
    ];
    let kind = prop_oneof![
        1 => Just(Kind::Refund),
        1 => Just(Kind::Chargeback),
        1 => (1..60_i64).prop_map(Kind::Beyond),
        2 => Just(Kind::Undo),
    ];
    let floor = prop_oneof![Just(0), -100..100_i64, Just(-MAX_AMOUNT), Just(MAX_AMOUNT)];
    prop_oneof![
        8 => (currency(), legs()).prop_map(|(currency, legs)| Ask::Post {
            currency, legs, terms: model::Terms::default()
        }),
        5 => (currency(), legs(), 0..80_i64).prop_map(|(currency, legs, hold)| Ask::Post {
            currency, legs, terms: model::Terms { hold: Some(hold), ..Default::default() }
        }),
        4 => (currency(), legs(), terms()).prop_map(|(currency, legs, terms)| Ask::Post {
            currency, legs, terms
        }),
        5 => (transfer(), part(), kind).prop_map(|(transfer, amount, kind)| Ask::Return {
            transfer, amount: amount.map(|amount| given_back(kind, amount)), kind
        }),
        3 => transfer().prop_map(|transfer| Ask::MakeAvailable { transfer }),
        5 => (transfer(), part(), any::<bool>()).prop_map(|(transfer, amount, last)| {
            Ask::Capture { transfer, amount, last }
        }),
        2 => transfer().prop_map(|transfer| Ask::Void { transfer }),
        2 => transfer().prop_map(|transfer| Ask::Expire { transfer }),
        4 => (transfer(), part()).prop_map(|(transfer, amount)| Ask::Reverse {
            transfer, amount
        }),
        2 => (account(), status).prop_map(|(account, status)| Ask::SetStatus {
            account, status
        }),
        1 => (account(), floor).prop_map(|(account, floor)| Ask::SetFloor { account, floor }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let asked = || (tenant(), ask());
    prop_oneof![
        12 => asked().prop_map(|(tenant, ask)| Step::Ask(tenant, ask)),
        2 => (-20..40_i64).prop_map(Step::Wait),
        1 => (vec(asked(), 0..6), any::<bool>()).prop_map(|(asks, keep)| Step::Group(asks, keep)),
    ]
}

/// The ledger and its model, side by side.
struct Pair<'t> {
    book: Book,
    model: Model,
    ids: Counted,
    clock: i64,
    /// In the order of the model's.
    transfers: Vec<TransferId>,
    /// How often each outcome was met.
    tally: &'t RefCell<BTreeMap<String, u64>>,
}

impl<'t> Pair<'t> {
    fn new(tally: &'t RefCell<BTreeMap<String, u64>>) -> Self {
        let accounts = ACCOUNTS.iter().enumerate().map(|(place, row)| Account {
            id: account_id(place),
            tenant: TenantId(row.0 as u128),
            kind: row.2,
            currency: currency(row.1),
            status: AccountStatus::Active,
            floor: row.3,
            total: funds(place),
            held: 0,
            pending: 0,
            version: 0,
            updated_at: instant(0),
        });
        let modelled = ACCOUNTS.iter().enumerate().map(|(place, row)| model::Account {
            tenant: row.0,
            currency: row.1,
            wallet: row.2 == AccountKind::Wallet,
            status: "active",
            floor: row.3.map(i128::from),
            total: i128::from(funds(place)),
            held: 0,
            pending: 0,
        });
        Self {
            book: Book::new(accounts.collect(), Vec::new(), instant(0)),
            model: Model { now: 0, accounts: modelled.collect(), transfers: Vec::new() },
            ids: Counted::default(),
            clock: 0,
            transfers: Vec::new(),
            tally,
        }
    }

    fn state(&self) -> State {
        let accounts: Vec<_> = (0..ACCOUNTS.len()).map(account_id).collect();
        State::of(&self.book, &accounts, &self.transfers)
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Ask(tenant, ask) => self.ask(*tenant, ask),
            Step::Wait(seconds) => self.wait(*seconds),
            Step::Group(asks, keep) => self.group(asks, *keep),
        }
    }

    fn wait(&mut self, seconds: i64) {
        let State { accounts, transfers, .. } = self.state();
        self.clock += seconds;
        let last = accounts.iter().map(|account| account.updated_at).max();
        let now = instant(self.clock).max(last.expect("there are accounts"));
        self.model.now = (now.micros() - instant(0).micros()) / 1_000_000;
        self.book = Book::new(accounts, transfers, instant(self.clock));
        assert_eq!(self.book.now(), now);
    }

    fn group(&mut self, asks: &[(usize, Ask)], keep: bool) {
        let (before, model) = (self.state(), self.model.clone());
        self.book.savepoint();
        for (tenant, ask) in asks {
            self.ask(*tenant, ask);
        }
        if keep {
            self.book.keep();
            let after = self.state();
            self.book.undo();
            assert_eq!(after, self.state(), "what was kept was taken back");
            return;
        }
        self.book.undo();
        for id in self.transfers.split_off(before.transfers.len()) {
            assert_eq!(self.book.transfer(id), None, "a transfer outlived its undoing");
        }
        self.model = model;
        assert_eq!(before, self.state(), "not all was taken back");
    }

    fn ask(&mut self, tenant: usize, ask: &Ask) {
        let before = self.state();
        let movement = self.movement(ask);
        let result = self.book.decide(TenantId(tenant as u128), &movement, &mut self.ids);
        if let Ok(Outcome::Posting(posting)) = &result
            && posting.created
        {
            self.transfers.push(posting.transfer.id);
        }
        let expected = self.expected(tenant, ask);
        let was = match &result {
            Ok(_) => Ok(()),
            Err(refusal) => Err(name(refusal)),
        };
        assert_eq!(was, expected.map_err(str::to_owned), "{ask:?} gave {result:?}");
        let after = self.state();
        audit::check(&before, &after, (&movement, &result));
        self.compare(&after);
        let outcome = was.err().unwrap_or_else(|| format!("{} accepted", name(&movement)));
        *self.tally.borrow_mut().entry(outcome).or_default() += 1;
    }

    fn movement(&self, ask: &Ask) -> Movement {
        let id = |picked| {
            newest(picked, self.transfers.len())
                .map_or(TransferId(0), |place| self.transfers[place])
        };
        match *ask {
            Ask::Post { currency: code, ref legs, terms } => {
                let mut legs: Vec<Leg> = legs.iter().map(real_leg).collect();
                if terms.pending.is_some() {
                    legs[0].pending = legs[0].amount;
                }
                let new = NewTransfer::new(TransferKind::Transfer, currency(code), legs);
                let hold_until = terms.hold.map(HoldUntil::Seconds);
                Movement::Post(NewTransfer { hold_until, ..new }.on(Terms {
                    force: if terms.forced { Force::All } else { Force::Never },
                    available: terms.pending.map(HoldUntil::Seconds),
                    ..Terms::default()
                }))
            }
            Ask::Return { transfer, amount, kind } => {
                let besides = self.besides(transfer, kind);
                let what = self.returned(Return::plain(id(transfer), amount), kind, besides);
                Movement::Return(Box::new(what))
            }
            Ask::MakeAvailable { transfer } => Movement::MakeAvailable { transfer: id(transfer) },
            Ask::Capture { transfer, amount, last } => {
                Movement::Capture { transfer: id(transfer), amount, last, limits: Vec::new() }
            }
            Ask::Void { transfer } => Movement::Void { transfer: id(transfer) },
            Ask::Expire { transfer } => Movement::Expire { transfer: id(transfer) },
            Ask::Reverse { transfer, amount } => {
                Movement::Reverse { transfer: id(transfer), amount }
            }
            Ask::SetStatus { account, status } => {
                Movement::SetStatus { account: account_id(account), status }
            }
            Ask::SetFloor { account, floor } => {
                Movement::SetFloor { account: account_id(account), floor }
            }
        }
    }

    fn returned(&self, plain: Return, kind: Kind, besides: Option<(usize, i64)>) -> Return {
        let chargeback = Return {
            kind: TransferKind::Chargeback,
            part: Part::PrincipalAndFee(0),
            forced: true,
            ..plain.clone()
        };
        match (kind, besides) {
            (Kind::Undo, _) => Return {
                forced: true,
                restores: self.book.transfer(plain.transfer).and_then(|t| t.reverses),
                besides: besides.map_or(0, |(_, amount)| amount),
                ..plain
            },
            (Kind::Refund, _) => {
                Return { kind: TransferKind::Refund, part: Part::Principal, ..plain }
            }
            (Kind::Beyond(_), Some((payer, besides))) => Return {
                stand_ins: StandIns { debits: Some(account_id(payer)), ..StandIns::default() },
                besides,
                ..chargeback
            },
            (Kind::Beyond(_) | Kind::Chargeback, _) => chargeback,
        }
    }

    /// Who gives how much besides, or had given it. No treasury does for its own transfers: where
    /// it takes part already, its legs can't be told apart.
    fn besides(&self, transfer: usize, kind: Kind) -> Option<(usize, i64)> {
        let model = &self.model;
        let known = &model.transfers[newest(transfer, model.transfers.len())?];
        let first = &model.accounts[known.legs[0].from];
        let of = |a: &model::Account| (a.tenant, a.currency, a.wallet);
        let payer =
            model.accounts.iter().position(|a| of(a) == (first.tenant, first.currency, false));
        let payer = payer?;
        match kind {
            Kind::Undo => Some((payer, i64::try_from(known.besides).ok()?)),
            Kind::Beyond(amount) => {
                let is_free = known.legs.iter().all(|leg| leg.from != payer && leg.to != payer);
                is_free.then_some((payer, amount))
            }
            Kind::Refund | Kind::Chargeback => None,
        }
    }

    /// The model's answer. A reversal just accepted is not yet among the model's transfers.
    fn expected(&mut self, tenant: usize, ask: &Ask) -> Answer {
        let known = self.model.transfers.len();
        let of = |picked: usize| (tenant, newest(picked, known));
        let besides = match *ask {
            Ask::Return { transfer, kind: kind @ Kind::Beyond(_), .. } => {
                self.besides(transfer, kind).map(|(payer, amount)| (payer, i128::from(amount)))
            }
            _ => None,
        };
        let model = &mut self.model;
        match *ask {
            Ask::Post { currency, ref legs, terms } => {
                let leg = |(from, to, amount): &_| model::Leg::new(*from, *to, i128::from(*amount));
                let legs: Vec<_> = legs.iter().map(leg).collect();
                model.post((tenant, currency), &legs, terms)
            }
            Ask::Capture { transfer, amount, last } => {
                model.capture(of(transfer), amount.map(i128::from), last)
            }
            Ask::Void { transfer } => model.end(of(transfer), "voided"),
            Ask::Expire { transfer } => model.end(of(transfer), "expired"),
            Ask::Reverse { transfer, amount } => {
                let back = model::Back { amount: amount.map(i128::from), ..Default::default() };
                model.give_back(of(transfer), back)
            }
            Ask::Return { transfer, amount, kind } => model.give_back(
                of(transfer),
                model::Back {
                    amount: amount.map(i128::from),
                    undoable: !matches!(kind, Kind::Undo),
                    forced: !matches!(kind, Kind::Refund),
                    restores: matches!(kind, Kind::Undo),
                    besides,
                },
            ),
            Ask::MakeAvailable { transfer } => model.make_available(of(transfer)),
            Ask::SetStatus { account, status } => model.set_status(tenant, account, status.name()),
            Ask::SetFloor { account, floor } => model.set_floor(tenant, account, i128::from(floor)),
        }
    }

    fn compare(&self, state: &State) {
        for (real, model) in state.accounts.iter().zip(&self.model.accounts) {
            let was = [real.total, real.held, real.pending].map(i128::from);
            assert_eq!(was, [model.total, model.held, model.pending], "{real:?}");
            assert_eq!(real.status.name(), model.status, "{real:?}");
            assert_eq!(real.floor.map(i128::from), model.floor, "{real:?}");
        }
        assert_eq!(state.transfers.len(), self.model.transfers.len());
        for (real, model) in state.transfers.iter().zip(&self.model.transfers) {
            assert_eq!(real.status.name(), model.status, "{real:?}");
            let legs = |leg: &model::Leg| [leg.amount, leg.captured, leg.reversed, leg.pending];
            let reals = real.legs.iter().map(|l| [l.amount, l.captured, l.reversed, l.pending]);
            let reals = reals.map(|parts| parts.map(i128::from));
            assert!(reals.eq(model.legs.iter().map(legs)), "{real:?} is not {model:?}");
        }
    }
}

/// Of a chargeback beyond the payment it may be nothing.
fn given_back(kind: Kind, amount: i64) -> i64 {
    let is_nothing = matches!(kind, Kind::Beyond(_)) && amount % 3 == 0;
    if is_nothing { 0 } else { amount }
}

/// The place of the transfer that is meant, if there is any.
fn newest(back: usize, known: usize) -> Option<usize> {
    back.checked_rem(known).map(|back| known - 1 - back)
}

/// The treasury has paid what its wallets have to begin with.
fn funds(place: usize) -> i64 {
    match place {
        0 => -2 * FUNDS,
        1 | 2 => FUNDS,
        _ => 0,
    }
}

fn account_id(place: usize) -> AccountId {
    AccountId(((place as u128 + 1) << 8) | place as u128)
}

fn currency(place: usize) -> Currency {
    Currency::from_code(CURRENCIES[place]).expect("a known code")
}

fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000).plus_seconds(seconds)
}

fn real_leg((from, to, amount): &(usize, usize, i64)) -> Leg {
    Leg::new(account_id(*from), account_id(*to), *amount)
}

/// The name of an enum's variant.
fn name(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}

#[test]
fn the_ledger_decides_as_the_model_does() {
    let tally = RefCell::new(BTreeMap::new());
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&vec(step(), STEPS), |steps| {
        let mut pair = Pair::new(&tally);
        steps.iter().for_each(|step| pair.step(step));
        Ok(())
    });
    outcome.unwrap_or_else(|failed| panic!("{failed}"));
    // A model that only ever says no, or is never asked, proves nothing.
    let tally = tally.into_inner();
    let movements =
        ["Post", "Capture", "Void", "Expire", "Reverse", "Return", "SetStatus", "SetFloor"]
            .into_iter()
            .chain(["MakeAvailable"]);
    let accepted = movements.map(|name| format!("{name} accepted"));
    let refused = model::ORDER.into_iter().filter(|name| *name != "Rejected").map(str::to_owned);
    for outcome in accepted.chain(refused) {
        assert!(tally.contains_key(&outcome), "never met: {outcome}; met were {tally:#?}");
    }
}
