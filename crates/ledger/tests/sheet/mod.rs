//! A table language for ledger tests: what is asked on the left, what comes of it on the right.
//!
//! ```text
//! account A USD floor 0 balance 100         also: unbounded, kind treasury, tenant 2, updated +9s
//! transfer A B 30, B C 20 as t1 in USD  -> ok              one leg or more, decided in order
//! hold A B 30 as h1 expires 60          -> ok              or: expires at +60s
//! capture h1 10 last                    -> ok              no amount: all that is left
//! void h1                               -> transfer_state captured
//! reverse t1 5 as r1                    -> ok
//! freeze A | unfreeze A | close A | floor A -50   and   expire h1
//! A total 70 held 0 available 70 version 1 status active floor 0 updated +9s
//! t1 status posted captured 0 reversed 5
//! legs t1 A B 30 reversed 5, B C 20
//! entries A -30, B 30, B -20, C 20           what the last accepted movement wrote
//! at +60s      a new batch at that time after the sheet's beginning
//! tenant 2     who asks from here on
//! savepoint | undo | keep
//! chart USD    the tenant's own accounts, named by their kind (`fees`, or `fees.EUR`)
//! ```
//!
//! The verbs of payments are in `recipes.rs`.
//!
//! A refusal is named by its variant, then its fields as far as the row cares. `MAX` is 2^53 − 1,
//! `MAX-5` less. A name that no row made is that of nothing. `#` begins a comment. After every
//! movement [`audit::check`] is held as well. To add one more verb: an arm in [`Sheet::movement`].

mod recipes;

use std::collections::BTreeMap;

use caudal_domain::{
    Account, AccountId, AccountKind, AccountStatus, Chart, Currency, GatewayAccountId, Leg,
    MAX_AMOUNT, Refusal, TenantId, Timestamp, TransferId, TransferKind, text::Metadata,
};
use caudal_ledger::{Book, Movement, NewTransfer, Outcome, movements::HoldUntil};

use crate::audit::{self, Counted, State};

/// The sheet's beginning.
const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);
/// How long holds last that do not say.
const HOLD_SECONDS: i64 = 600;

/// Plays the rows; panics at the first that comes out otherwise.
pub fn play(text: &str) {
    let mut sheet = Sheet::new();
    for (number, line) in text.lines().enumerate() {
        let row = line.split('#').next().unwrap_or_default().trim();
        if !row.is_empty() {
            sheet.row(row).unwrap_or_else(|was| panic!("row {}: {row}\n  was: {was}", number + 1));
        }
    }
}

struct Sheet {
    book: Book,
    clock: Timestamp,
    tenant: TenantId,
    ids: Counted,
    accounts: Vec<AccountId>,
    transfers: Vec<TransferId>,
    names: BTreeMap<String, TransferId>,
    /// Rows of [`Self::entries`] of the last accepted movement.
    entries: String,
}

impl Sheet {
    fn new() -> Self {
        Self {
            book: Book::new(Vec::new(), Vec::new(), START),
            clock: START,
            tenant: TenantId(1),
            ids: Counted::default(),
            accounts: Vec::new(),
            transfers: Vec::new(),
            names: BTreeMap::new(),
            entries: String::new(),
        }
    }

    /// What was instead, when it was not as the row says.
    fn row(&mut self, row: &str) -> Result<(), String> {
        if let Some((asked, expected)) = row.split_once("->") {
            let was = self.ask(asked);
            let expected: Vec<&str> = expected.split_whitespace().collect();
            let matches = was.split(' ').collect::<Vec<_>>().starts_with(&expected);
            return if matches && !expected.is_empty() { Ok(()) } else { Err(was) };
        }
        let words: Vec<&str> = row.split_whitespace().collect();
        match words[..] {
            ["chart", currency] => self.add_chart(currency_of(currency)),
            ["account", name, currency, ..] => self.add_account(name, currency, &words[3..]),
            ["at", time] => self.begin_batch(instant(time), None),
            ["tenant", tenant] => self.tenant = TenantId(number(tenant) as u128),
            ["savepoint"] => self.book.savepoint(),
            ["keep"] => self.book.keep(),
            ["undo"] => self.undo(),
            ["entries", ..] => return same(&self.entries, &words[1..].join(" ")),
            ["legs", name, ..] => return same(&self.legs(name), &words[2..].join(" ")),
            [name, ..] => return self.check(name, &words[1..]),
            [] => {}
        }
        Ok(())
    }

    fn state(&self) -> State {
        State::of(&self.book, &self.accounts, &self.transfers)
    }

    /// A new batch locks all there is, at the time the clock shows then.
    fn begin_batch(&mut self, clock: Timestamp, new: Option<Account>) {
        let State { mut accounts, transfers, .. } = self.state();
        self.accounts.extend(new.map(|account| account.id));
        accounts.extend(new);
        self.clock = clock;
        self.book = Book::new(accounts, transfers, clock);
    }

    fn undo(&mut self) {
        self.book.undo();
        self.transfers.retain(|id| self.book.transfer(*id).is_some());
        self.names.retain(|_, id| self.book.transfer(*id).is_some());
    }

    fn add_chart(&mut self, currency: Currency) {
        for kind in AccountKind::ALL.into_iter().filter(|kind| *kind != AccountKind::Wallet) {
            let account = Account {
                id: account_id(&format!("{}.{currency}", kind.name())),
                tenant: TenantId(1),
                kind,
                currency,
                status: AccountStatus::Active,
                floor: kind.floor(false),
                total: 0,
                held: 0,
                pending: 0,
                version: 0,
                updated_at: START,
            };
            self.begin_batch(self.clock, Some(account));
        }
    }

    fn add_account(&mut self, name: &str, currency: &str, options: &[&str]) {
        let mut options = options.to_vec();
        let kind = match take(&mut options, "kind") {
            Some(kind) => AccountKind::ALL.into_iter().find(|k| k.name() == kind),
            None => Some(AccountKind::Wallet),
        };
        let account = Account {
            id: account_id(name),
            tenant: TenantId(take(&mut options, "tenant").map_or(1, number) as u128),
            kind: kind.expect("a kind of account"),
            currency: currency_of(currency),
            status: AccountStatus::Active,
            floor: match options.contains(&"unbounded") {
                true => None,
                false => Some(take(&mut options, "floor").map_or(0, number)),
            },
            total: take(&mut options, "balance").map_or(0, number),
            held: 0,
            pending: take(&mut options, "pending").map_or(0, number),
            version: 0,
            updated_at: take(&mut options, "updated").map_or(START, instant),
        };
        assert!(options.is_empty() || options == ["unbounded"], "what is {options:?}?");
        self.begin_batch(self.clock, Some(account));
    }

    /// Asks for the movement and says what came of it, in words.
    fn ask(&mut self, asked: &str) -> String {
        let mut words: Vec<&str> = asked.split_whitespace().collect();
        let name = take(&mut words, "as");
        if words[0] == "exchange" {
            return self.exchange(words);
        }
        let movement = self.movement(words);
        self.decide(&movement, name)
    }

    fn decide(&mut self, movement: &Movement, name: Option<&str>) -> String {
        let before = self.state();
        let result = self.book.decide(self.tenant, movement, &mut self.ids);
        if let Ok(Outcome::Posting(posting)) = &result {
            let id = posting.transfer.id;
            if posting.created {
                self.transfers.push(id);
            }
            if let Some(name) = name {
                self.names.insert(name.into(), id);
            }
            let row = |e: &caudal_domain::Entry| format!("{} {}", name_of(e.account), e.amount);
            self.entries = posting.entries.iter().map(row).collect::<Vec<_>>().join(", ");
        }
        audit::check(&before, &self.state(), (movement, &result));
        match result {
            Ok(_) => "ok".into(),
            Err(refusal) => in_words(&refusal),
        }
    }

    fn movement(&self, mut words: Vec<&str>) -> Movement {
        let verb = words.remove(0);
        if verb == "transfer" || verb == "hold" {
            return Movement::Post(self.new_transfer(verb, words));
        }
        if let Some(movement) = self.recipe(verb, &words) {
            return movement;
        }
        let last = words.last() == Some(&"last");
        words.truncate(words.len() - usize::from(last));
        let amount = words.get(1).copied().map(number);
        let account = account_id(words[0]);
        let transfer = self.transfer_id(words[0]);
        let status = |status| Movement::SetStatus { account, status };
        match verb {
            "capture" => Movement::Capture { transfer, amount, last, limits: Vec::new() },
            "void" => Movement::Void { transfer },
            "expire" => Movement::Expire { transfer },
            "reverse" => Movement::Reverse { transfer, amount },
            "freeze" => status(AccountStatus::Frozen),
            "unfreeze" => status(AccountStatus::Active),
            "close" => status(AccountStatus::Closed),
            "floor" => Movement::SetFloor { account, floor: amount.expect("a floor") },
            _ => panic!("no verb {verb}"),
        }
    }

    fn new_transfer(&self, verb: &str, mut words: Vec<&str>) -> NewTransfer {
        let terms = self.terms(&mut words);
        let until = match take(&mut words, "expires") {
            Some("at") => HoldUntil::At(instant(words.pop().expect("a time"))),
            Some(seconds) => HoldUntil::Seconds(number(seconds)),
            None => HoldUntil::Seconds(HOLD_SECONDS),
        };
        let currency = take(&mut words, "in").map(currency_of);
        let text = words.join(" ");
        let leg = |text: &str| match text.split_whitespace().collect::<Vec<_>>()[..] {
            [from, to, amount] => Leg::new(account_id(from), account_id(to), number(amount)),
            _ => panic!("not a leg: {text}"),
        };
        let legs: Vec<Leg> = match text.as_str() {
            "nothing" => Vec::new(),
            text => text.split(',').map(leg).collect(),
        };
        let payer = legs.first().and_then(|leg| self.book.account(leg.from));
        NewTransfer {
            kind: TransferKind::Transfer,
            currency: currency.or(payer.map(|a| a.currency)).unwrap_or_else(|| currency_of("USD")),
            legs,
            hold_until: (verb == "hold").then_some(until),
            reference: None,
            metadata: Metadata::default(),
            terms,
        }
    }

    fn transfer_id(&self, name: &str) -> TransferId {
        self.names.get(name).copied().unwrap_or(TransferId(account_id(name).0))
    }

    fn legs(&self, name: &str) -> String {
        let transfer = self.book.transfer(self.transfer_id(name)).expect("a transfer");
        let row = |leg: &Leg| {
            let mut row = format!("{} {} {}", name_of(leg.from), name_of(leg.to), leg.amount);
            let parts = [leg.captured, leg.reversed, leg.pending];
            for (word, part) in ["captured", "reversed", "pending"].into_iter().zip(parts) {
                if part != 0 {
                    row += &format!(" {word} {part}");
                }
            }
            row
        };
        transfer.legs.iter().map(row).collect::<Vec<_>>().join(", ")
    }

    /// Holds pairs of a word and a value against an account or a transfer.
    fn check(&self, name: &str, words: &[&str]) -> Result<(), String> {
        assert!(!words.is_empty() && words.len().is_multiple_of(2), "pairs of word and value");
        words.chunks(2).try_for_each(|pair| {
            let was = self.value(name, pair[0]);
            let is_time = pair[0] == "updated" || pair[0] == "created";
            let expected = match (is_time, pair[1]) {
                (true, time) => instant(time).to_string(),
                (_, text) if text.contains("MAX") => number(text).to_string(),
                (_, text) => text.to_owned(),
            };
            same(&format!("{} {was}", pair[0]), &format!("{} {expected}", pair[0]))
        })
    }

    fn value(&self, name: &str, word: &str) -> String {
        if let Some(transfer) = self.book.transfer(self.transfer_id(name)) {
            return match word {
                "status" => transfer.status.to_string(),
                "amount" => transfer.amount.to_string(),
                "captured" => transfer.amount_captured.to_string(),
                "reversed" => transfer.amount_reversed.to_string(),
                "pending" => transfer.pending().to_string(),
                "kind" => transfer.kind.name().to_owned(),
                "created" => transfer.created_at.to_string(),
                "bucket" => name_of(AccountId(transfer.id.bucket().0.into())),
                _ => panic!("a transfer has no {word}"),
            };
        }
        let Some(account) = self.book.account(account_id(name)) else { return "nothing".into() };
        match word {
            "total" => account.total.to_string(),
            "held" => account.held.to_string(),
            "pending" => account.pending.to_string(),
            "arrears" => account.arrears().to_string(),
            "owed" => account.owed().to_string(),
            "available" => account.available().to_string(),
            "version" => account.version.to_string(),
            "status" => account.status.to_string(),
            "floor" => account.floor.map_or("none".into(), |floor| floor.to_string()),
            "updated" => account.updated_at.to_string(),
            _ => panic!("an account has no {word}"),
        }
    }
}

fn same(was: &str, expected: &str) -> Result<(), String> {
    if was == expected { Ok(()) } else { Err(was.to_owned()) }
}

/// Removes the word and the one behind it, and gives that one.
fn take<'t>(words: &mut Vec<&'t str>, word: &str) -> Option<&'t str> {
    let place = words.iter().position(|w| *w == word)?;
    words.remove(place);
    Some(words.remove(place))
}

/// A kind's name, in dollars if it does not say, is the tenant's own account. Else a name's letters
/// are its id, so its last letter is its bucket.
fn account_id(name: &str) -> AccountId {
    let (kind, currency) = name.split_once('.').unwrap_or((name, "USD"));
    if let Some(kind) = AccountKind::ALL.into_iter().find(|known| known.name() == kind) {
        return own_account(chart(currency_of(currency)), kind);
    }
    AccountId(name.bytes().fold(0, |id, letter| (id << 8) | u128::from(letter)))
}

fn chart(currency: Currency) -> Chart {
    Chart { tenant: TenantId(1), currency }
}

/// The one gateway account of every sheet.
const GATEWAY: GatewayAccountId = GatewayAccountId(1);

fn own_account(chart: Chart, kind: AccountKind) -> AccountId {
    match kind {
        AccountKind::GatewayReceivable => chart.receivable(GATEWAY),
        kind => chart.of(kind),
    }
}

fn name_of(id: AccountId) -> String {
    if id.is_system() {
        let of = |currency| {
            let chart = chart(currency_of(currency));
            let kind = AccountKind::ALL.into_iter().find(|kind| own_account(chart, *kind) == id);
            let suffix = if currency == "USD" { String::new() } else { format!(".{currency}") };
            kind.map(|kind| format!("{}{suffix}", kind.name()))
        };
        return ["USD", "EUR", "JPY"].into_iter().find_map(of).expect("an account of a chart");
    }
    let letters = id.0.to_be_bytes().into_iter().filter(|letter| *letter != 0);
    letters.map(char::from).collect()
}

fn currency_of(code: &str) -> Currency {
    Currency::from_code(code).unwrap_or_else(|| panic!("no currency {code}"))
}

fn number(text: &str) -> i64 {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let size = match text.strip_prefix("MAX") {
        Some("") => Some(MAX_AMOUNT),
        Some(rest) => rest.parse::<i64>().ok().map(|more| MAX_AMOUNT + more),
        None => text.parse().ok(),
    };
    sign * size.unwrap_or_else(|| panic!("not a number: {text}"))
}

/// `+60s` or `+59.999999s` after the sheet's beginning, `-5s` (whole seconds) before it.
fn instant(text: &str) -> Timestamp {
    let seconds = text.strip_suffix('s').unwrap_or_else(|| panic!("not a time: {text}"));
    let (whole, part) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let whole: i64 = whole.parse().unwrap_or_else(|_| panic!("not a time: {text}"));
    let micros: i64 = format!("{part:0<6}").parse().expect("digits after the point");
    Timestamp::from_micros(START.micros() + whole * 1_000_000 + micros)
}

/// The refusal's own name, then its fields.
fn in_words(refusal: &Refusal) -> String {
    use Refusal as R;
    match refusal {
        R::TransferNotFound => "transfer_not_found".into(),
        R::WalletNotFound { account } => format!("wallet_not_found {}", name_of(*account)),
        R::CurrencyMismatch { account } => format!("currency_mismatch {}", name_of(*account)),
        R::TransferState { status } => format!("transfer_state {status}"),
        R::HoldExpired => "hold_expired".into(),
        R::WalletClosed { account } => format!("wallet_closed {}", name_of(*account)),
        R::WalletFrozen { account } => format!("wallet_frozen {}", name_of(*account)),
        R::WalletState { status } => format!("wallet_state {status}"),
        R::WalletNotEmpty { total } => format!("wallet_not_empty {total}"),
        R::AmountExceedsHeld { left } => format!("amount_exceeds_held {left}"),
        R::AmountExceedsReversible { left } => format!("amount_exceeds_reversible {left}"),
        R::InsufficientFunds { account, spendable, needed } => {
            format!("insufficient_funds {} {spendable} of {needed}", name_of(*account))
        }
        R::AmountExceedsArrears { left } => format!("amount_exceeds_arrears {left}"),
        R::LimitReached { account, limit, left } => {
            format!("limit_reached {} {limit:?} {left}", name_of(*account))
        }
        R::BalanceLimit { account } => format!("balance_limit {}", name_of(*account)),
        other => other.code().into(),
    }
}
