//! The checks that prove the books: silent on true ones, and each heard when a row is false.

use caudal_domain::{
    AccountId, AccountKind, Fingerprint, Leg, ReceiptKey, TenantId, Transfer, TransferId,
};
use caudal_ledger::{Movement, NewTransfer};
use caudal_store::{Answer, Receipt, books};

use super::{
    fixtures::{
        Batch, accepted, commit, funded, hold, new_tenant, pay, post, seconds, tenant, wallet,
    },
    stage::{START, Stage},
};

struct Told {
    tenant: TenantId,
    a: AccountId,
    b: AccountId,
    paid: Transfer,
    again: TransferId,
}

/// Books with every kind of transfer in them.
async fn told(stage: &Stage) -> Told {
    let tenant = tenant(stage).await;
    let (a, b) = (funded(stage, tenant, 10, 900).await, wallet(stage, tenant, 20).await);
    let c = wallet(stage, tenant, 250).await;
    let paid = post(stage, tenant, pay(a, b, 50), seconds(1)).await;
    let again = post(stage, tenant, pay(a, b, 5), seconds(2)).await.id;
    let legs = vec![Leg::new(a, b, 1), Leg::new(a, c, 2), Leg::new(c, b, 1)];
    post(stage, tenant, NewTransfer { legs, ..pay(a, b, 0) }, seconds(3)).await;
    for (number, last) in [(0, true), (1, false)] {
        let held = post(stage, tenant, hold(a, c, 30, seconds(99)), seconds(4 + number)).await;
        let capture =
            Movement::Capture { transfer: held.id, amount: Some(10), last, limits: Vec::new() };
        accepted(stage, Batch::on(&held, seconds(6), capture)).await;
    }
    let reverse = Movement::Reverse { transfer: paid.id, amount: Some(20) };
    accepted(stage, Batch::on(&paid, seconds(7), reverse)).await;
    let receipt = Receipt {
        key: ReceiptKey::new(tenant, 1, "k"),
        fingerprint: Fingerprint(1),
        answer: Answer::Created(paid.id),
    };
    let batch =
        Batch { receipts: vec![receipt], ..Batch::of(tenant, seconds(8), vec![pay(b, c, 1)]) };
    commit(stage, stage.store.lane().as_mut(), batch).await.unwrap();
    Told { tenant, a, b, paid, again }
}

/// Names of the checks that find something.
async fn heard(stage: &Stage, tenant: Option<TenantId>) -> Vec<&'static str> {
    let mut names = Vec::new();
    for check in books::CHECKS {
        let found = check.run(stage.store.as_ref(), tenant, 10).await.unwrap();
        if found.is_some_and(|differences| !differences.is_empty()) {
            names.push(check.name);
        }
    }
    names
}

pub async fn proven(stage: &Stage) {
    let told = told(stage).await;
    assert_eq!(heard(stage, None).await, [] as [&str; 0]);
    assert_eq!(heard(stage, Some(told.tenant)).await, [] as [&str; 0]);
    let db = stage.store.as_ref();
    let lines = books::trial_balance(db, Some(told.tenant)).await.unwrap();
    let (wallets, treasury) = (AccountKind::Wallet as i64, AccountKind::Treasury as i64);
    let line = |kind: i64| lines.iter().find(|line| line.kind == kind).cloned().expect("a line");
    let sums = |kind| {
        let books::BalanceLine { currency, total, held, pending, accounts, .. } = line(kind);
        [currency, total, held, pending, accounts.to_string()]
    };
    assert_eq!(sums(wallets), ["USD", "900", "20", "0", "3"]);
    assert_eq!(sums(treasury), ["USD", "-900", "0", "0", "1"]);
    let nobody = new_tenant(stage, "nobody").id;
    assert_eq!(books::trial_balance(db, Some(nobody)).await.unwrap(), []);

    let all = books::balances(db, None, 0, 100).await.unwrap();
    assert_eq!(all.iter().map(|balance| balance.total).sum::<i64>(), 0);
    let rest = books::balances(db, None, all[1].account, 2).await.unwrap();
    assert_eq!(rest, all[2..4], "by page");
}

const SHOWN: &str = "the last entry shows the balance, what is held and what is pending";

/// `(check, what makes it speak, what makes it silent again)`.
fn tamperings(stage: &Stage, told: &Told) -> Vec<(&'static str, String, String)> {
    let (a, b) = (stage.literal(told.a.0), stage.literal(told.b.0));
    let of_b = format!("select max(version) from entries where account_id = {b}");
    let last = format!("account_id = {b} and version = ({of_b})");
    let gone = format!("delete from entries where {last};");
    let (paid, again) = (stage.literal(told.paid.id.0), stage.literal(told.again.0));
    let ghost = stage.literal(stage.id(START, 10));
    // The second entry of `a` is its side of `paid`.
    let entry =
        |set: &str| format!("update entries set {set} where account_id = {a} and version = 2;");
    let add = |what: &str, by: i64, row: &str| {
        format!("update {what} = {} + {by} where {row};", what.rsplit(' ').next().unwrap_or(""))
    };
    let of = |id: &str| format!("id = {id}");
    let both = |change: &dyn Fn(i64) -> String| (change(1), change(-1));
    let named = |name, (tamper, mend): (String, String)| (name, tamper, mend);
    let other_entry = format!("transfer_id = {again} and account_id = {a}");
    vec![
        named(
            "entries sum to zero per currency",
            both(&|by| entry(&format!("amount = amount + {by}"))),
        ),
        named(
            "every transfer's entries sum to zero",
            both(&|by| {
                let one = entry(&format!("amount = amount + {by}"));
                one + &add("entries set amount", -by, &other_entry)
            }),
        ),
        named(
            "balance = sum of entries, versions gapless",
            both(&|by| stage.falsify(told.b, "total", &format!("$ + {by}"))),
        ),
        (
            "every transfer's entries sum to zero",
            format!("create table kept as select * from entries where {last}; {gone}"),
            "insert into entries select * from kept; drop table kept;".to_owned(),
        ),
        named(
            "each entry continues the one before",
            both(&|by| entry(&format!("balance_after = balance_after + {by}"))),
        ),
        named(SHOWN, both(&|by| stage.falsify(told.b, "held", &format!("$ + {by}")))),
        named(SHOWN, both(&|by| stage.falsify(told.b, "pending", &format!("$ + {by}")))),
        named(
            "transfers moved what their entries say",
            both(&|by| add("transfers set amount", by, &of(&again))),
        ),
        (
            "no entry without its transfer",
            entry(&format!("transfer_id = {ghost}")),
            entry(&format!("transfer_id = {paid}")),
        ),
        named(
            "never more reversed than moved",
            both(&|by| add("transfers set amount_reversed", by, &of(&again))),
        ),
        (
            "receipts name transfers that are there",
            format!("update receipts set transfer_id = {ghost}"),
            format!("update receipts set transfer_id = {paid}"),
        ),
        named(
            "event streams have no gaps",
            both(&|by| add("stream_heads set seq", by, "stream = 1")),
        ),
        named(
            "event streams have no gaps",
            both(&|by| {
                let last = "(select max(seq) from events where stream = 0)";
                let events = add("events set seq", by, &format!("stream = 0 and seq = {last}"));
                events + &add("stream_heads set seq", by, "stream = 0")
            }),
        ),
    ]
}

pub async fn every_check_fires(stage: &Stage) {
    let told = told(stage).await;
    let stranger = new_tenant(stage, "stranger").id;
    let tamperings = tamperings(stage, &told);
    for check in books::CHECKS {
        let tampered = tamperings.iter().any(|(name, ..)| *name == check.name);
        assert!(tampered, "no tampering for {:?}: add one", check.name);
    }
    // Where an account is its last entry, there is nothing that could differ: what is held and
    // what is pending is then proven against the transfers alone.
    let differs = |name: &str| name != SHOWN || !stage.keeps_balances_in_entries();
    for (name, tamper, mend) in tamperings.into_iter().filter(|(name, ..)| differs(name)) {
        stage.raw(&tamper).await;
        let found = heard(stage, None).await;
        assert!(found.contains(&name), "{name:?} did not fire on {tamper}, but {found:?} did");
        assert_eq!(heard(stage, Some(stranger)).await, [] as [&str; 0]);
        let of_tenant = heard(stage, Some(told.tenant)).await;
        assert!(of_tenant.iter().all(|name| found.contains(name)), "{of_tenant:?}");
        stage.raw(&mend).await;
        assert_eq!(heard(stage, None).await, [] as [&str; 0], "after {mend}");
    }
}
