//! Wallets, their accounts, and the system accounts that come with them.

use caudal_domain::{
    AccountId, AccountKind, AccountStatus, Chart, Currency, GatewayAccountId, TenantId, UserId,
    Wallet, account::system_account,
};
use caudal_ledger::Movement;
use caudal_store::{UnitOfWork, UnitOutcome, books, wallets};
use futures::future::join_all;

use super::{
    fixtures::{Batch, commit, done, eur, metadata, new_tenant, new_wallet, tenant, usd, user},
    stage::{START, Stage},
};

pub async fn round_trip(stage: &Stage) {
    let db = stage.store.as_ref();
    let tenant = tenant(stage).await;
    let full = Wallet {
        user: Some(user(stage)),
        name: Some("Añejo's 財布".into()),
        metadata: metadata(&[("colour", "red \"ish\""), ("é", "\\")]),
        ..new_wallet(stage, tenant, eur(), 200)
    };
    let mut plain = new_wallet(stage, tenant, usd(), 0);
    plain.account.floor = None;
    let mut steps = wallets::insert(&full, false);
    steps.extend(wallets::insert(&plain, true));
    done(stage, steps).await;
    for wallet in [&full, &plain] {
        let found = wallets::find(db, tenant, wallet.account.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(wallet));
    }
    let stranger = new_tenant(stage, "stranger").id;
    assert_eq!(wallets::find(db, stranger, full.account.id).await.unwrap(), None);
    let treasury = super::fixtures::treasury(tenant);
    assert_eq!(wallets::find(db, tenant, treasury).await.unwrap(), None);
}

/// Many look up accounts at once, each its own.
pub async fn accounts_are_looked_up_together(stage: &Stage) {
    let db = stage.store.as_ref();
    let tenant = tenant(stage).await;
    let stranger = new_tenant(stage, "stranger").id;
    let mut accounts = Vec::new();
    for bucket in 0..20 {
        let wallet = new_wallet(stage, tenant, usd(), bucket * 12);
        done(stage, wallets::insert(&wallet, true)).await;
        accounts.push(wallet.account);
    }
    let look_ups = (0..600).map(|number| {
        let is_own = number % 7 != 0;
        let account = accounts[number % 20];
        let asks = if is_own { tenant } else { stranger };
        async move { (db.account(asks, account.id).await.unwrap(), is_own.then_some(account)) }
    });
    for (found, expected) in join_all(look_ups).await {
        assert_eq!(found, expected);
    }
    let nobody = AccountId(stage.id(START, 3));
    assert_eq!(db.account(tenant, nobody).await.unwrap(), None);
}

pub async fn change_counts_versions(stage: &Stage) {
    let tenant = tenant(stage).await;
    let mut wallet = new_wallet(stage, tenant, usd(), 7);
    done(stage, wallets::insert(&wallet, true)).await;
    wallet.name = Some("renamed".into());
    wallet.metadata = metadata(&[("a", "b")]);
    wallet.version = 2;
    done(stage, vec![wallets::update(&wallet)]).await;
    let stale = Wallet { name: None, ..wallet.clone() };
    let unit = UnitOfWork { steps: vec![wallets::update(&stale)], ..UnitOfWork::default() };
    assert_eq!(stage.store.commit(unit).await.unwrap().0, UnitOutcome::Missed(0));
    let found = wallets::find(stage.store.as_ref(), tenant, wallet.account.id).await.unwrap();
    assert_eq!(found, Some(wallet));
}

pub async fn system_accounts_once(stage: &Stage) {
    let tenant = tenant(stage).await;
    for (currency, bucket) in [(usd(), 1), (usd(), 2), (eur(), 3)] {
        let wallet = new_wallet(stage, tenant, currency, bucket);
        done(stage, wallets::insert(&wallet, bucket == 3)).await;
    }
    let all = books::balances(stage.store.as_ref(), Some(tenant), 0, 100).await.unwrap();
    let ids: Vec<_> = all.iter().map(|balance| AccountId(balance.account)).collect();
    assert_eq!(ids.len(), 3 + 2 * 3, "a wallet each, three system accounts a currency");
    for currency in [usd(), eur()] {
        for kind in AccountKind::SYSTEM {
            assert!(ids.contains(&system_account(tenant, kind, currency)), "{kind:?} {currency}");
        }
    }
}

pub async fn payment_accounts_once(stage: &Stage) {
    let tenant = tenant(stage).await;
    let chart = Chart { tenant, currency: usd() };
    let gateways = [GatewayAccountId(1), GatewayAccountId(2)];
    for _ in 0..2 {
        done(stage, wallets::insert_payment_accounts(chart, &gateways, false, START)).await;
    }
    let lines = books::trial_balance(stage.store.as_ref(), Some(tenant)).await.unwrap();
    let mut kinds: Vec<_> = lines.iter().map(|line| (line.kind, line.accounts)).collect();
    let of = |kind: AccountKind| match kind {
        AccountKind::GatewayReceivable => (kind as i64, 2),
        _ => (kind as i64, 1),
    };
    kinds.sort_unstable();
    let all = AccountKind::ALL.into_iter().filter(|kind| *kind != AccountKind::Wallet);
    assert_eq!(kinds, all.map(of).collect::<Vec<_>>());
}

fn filter(tenant: TenantId, limit: i64) -> wallets::Filter {
    wallets::Filter {
        tenant,
        user: None,
        status: None,
        currency: None,
        before: u128::MAX,
        from: 0,
        limit,
    }
}

async fn ids(stage: &Stage, filter: wallets::Filter) -> Vec<AccountId> {
    let page = wallets::list(stage.store.as_ref(), &filter).await.unwrap();
    page.iter().map(|wallet| wallet.account.id).collect()
}

async fn seed(stage: &Stage, tenant: TenantId, owner: UserId) -> Vec<AccountId> {
    let mut ids = Vec::new();
    for number in 0..6u8 {
        let currency: Currency = if number % 2 == 0 { usd() } else { eur() };
        let user = (number >= 3).then_some(owner);
        let wallet = Wallet { user, ..new_wallet(stage, tenant, currency, number * 40) };
        done(stage, wallets::insert(&wallet, true)).await;
        ids.push(wallet.account.id);
    }
    ids
}

pub async fn by_page_and_filter(stage: &Stage) {
    let (tenant, other) = (tenant(stage).await, tenant(stage).await);
    let owner = user(stage);
    let all = seed(stage, tenant, owner).await;
    let newest_first: Vec<_> = all.iter().rev().copied().collect();
    super::fixtures::wallet(stage, other, 4).await;

    assert_eq!(ids(stage, filter(tenant, 100)).await, newest_first);
    // A page that just fills, and the border between two pages.
    assert_eq!(ids(stage, filter(tenant, 6)).await.len(), 6);
    let page = |before: AccountId| wallets::Filter { before: before.0, ..filter(tenant, 2) };
    assert_eq!(ids(stage, filter(tenant, 2)).await, newest_first[..2]);
    assert_eq!(ids(stage, page(newest_first[1])).await, newest_first[2..4]);
    assert_eq!(ids(stage, page(newest_first[5])).await, []);
    let since = wallets::Filter { from: all[4].0, ..filter(tenant, 100) };
    assert_eq!(ids(stage, since).await, newest_first[..2], "`from` itself counts");

    let of_user = wallets::Filter { user: Some(owner), ..filter(tenant, 100) };
    assert_eq!(ids(stage, of_user).await, newest_first[..3]);
    let in_eur = wallets::Filter { currency: Some(eur()), ..filter(tenant, 100) };
    assert_eq!(ids(stage, in_eur).await, [all[5], all[3], all[1]]);

    let movement = Movement::SetStatus { account: all[5], status: AccountStatus::Frozen };
    let batch = Batch {
        accounts: vec![all[5]],
        movements: vec![movement],
        ..Batch::of(tenant, START, vec![])
    };
    commit(stage, stage.store.lane().as_mut(), batch).await.unwrap();
    let status = |status| wallets::Filter { status: Some(status), ..filter(tenant, 100) };
    assert_eq!(ids(stage, status(AccountStatus::Frozen)).await, [all[5]]);
    assert_eq!(ids(stage, status(AccountStatus::Active)).await, newest_first[1..]);
    let both = wallets::Filter {
        user: Some(owner),
        currency: Some(eur()),
        ..status(AccountStatus::Active)
    };
    assert_eq!(ids(stage, both).await, [all[3]]);
}
