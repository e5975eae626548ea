//! Makes every balance again from the events alone, aside, and holds it against the accounts; and
//! the daily sums of payments, which are put right where they differ.

use std::collections::BTreeMap;

use caudal_domain::{AccountId, event::StoredEvent, id::STREAMS};
use caudal_store::{
    books::{self, Balance},
    events::{self, Heads},
};
use serde::{Deserialize, Serialize};

use crate::{Service, ServiceError};

/// Differences told at most.
const DIFFERENCES_MOST: usize = 100;
/// Rows read at once.
const PAGE: i64 = 1000;

/// What came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Rebuilt {
    pub events: u64,
    pub accounts: u64,
    pub payments: u64,
    /// What the accounts show that the events do not say.
    pub differences: Vec<String>,
}

/// An account as the events tell it.
#[derive(Default)]
struct Told {
    /// Σ amounts.
    total: i128,
    /// Number of entries.
    entries: i64,
    /// Of the last entry.
    version: i64,
    balance: i64,
    held: i64,
    pending: i64,
}

/// The part of an event's data that says what was entered where.
#[derive(Deserialize)]
struct EventData {
    #[serde(default)]
    entries: Vec<EntryData>,
}

#[derive(Deserialize)]
struct EntryData {
    wallet_id: AccountId,
    amount: i64,
    balance: i64,
    held: i64,
    #[serde(default)]
    pending: i64,
    version: i64,
}

#[derive(Default)]
struct Books {
    told: BTreeMap<u128, Told>,
    read: Heads,
    events: u64,
    unreadable: Vec<String>,
    /// Accounts of which nothing behind this version counts.
    until: BTreeMap<u128, i64>,
}

impl Service {
    /// Reads every event there is; memory grows with the number of accounts.
    ///
    /// The books may be moving: what was entered between reading the events and an account makes
    /// them differ. Events up to the account as it was read are all there by then, so those are
    /// read on, and what still differs is wrong.
    pub async fn rebuild(&self) -> Result<Rebuilt, ServiceError> {
        let mut told = Books::default();
        self.read_events(&mut told).await?;
        let (accounts, differing) = self.compare(&told).await?;
        told.until = differing.iter().map(|shown| (shown.account, shown.version)).collect();
        self.read_events(&mut told).await?;
        let mut differences = told.unreadable.clone();
        differences.extend(differing.iter().filter_map(|shown| told.difference(shown)));
        let mut rebuilt = Rebuilt { events: told.events, accounts, payments: 0, differences };
        let (payments, differences) = self.rebuild_reports().await?;
        rebuilt.payments = payments;
        rebuilt.differences.extend(differences);
        rebuilt.differences.truncate(DIFFERENCES_MOST);
        Ok(rebuilt)
    }

    async fn read_events(&self, told: &mut Books) -> Result<(), ServiceError> {
        for stream in 0..STREAMS {
            loop {
                let seq = told.read[usize::from(stream)];
                let page = events::after(self.store(), stream, seq, PAGE).await?;
                if page.is_empty() {
                    break;
                }
                page.iter().for_each(|event| told.enter(event));
            }
        }
        Ok(())
    }

    /// How many accounts there are, and those that show something else than was told.
    async fn compare(&self, told: &Books) -> Result<(u64, Vec<Balance>), ServiceError> {
        let (mut accounts, mut differing, mut after) = (0, Vec::new(), 0);
        loop {
            let page = books::balances(self.store(), None, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok((accounts, differing)) };
            after = last.account;
            accounts += page.len() as u64;
            differing.extend(page.into_iter().filter(|shown| told.difference(shown).is_some()));
        }
    }
}

impl Books {
    fn enter(&mut self, event: &StoredEvent) {
        self.events += 1;
        self.read[usize::from(event.stream % STREAMS)] = event.seq;
        let data: EventData = match serde_json::from_str(&event.data) {
            Ok(data) => data,
            Err(error) => {
                if self.unreadable.len() < DIFFERENCES_MOST {
                    self.unreadable.push(format!("{} can't be read: {error}", event.id));
                }
                return;
            }
        };
        for entry in data.entries {
            let until = self.until.get(&entry.wallet_id.0);
            if until.is_some_and(|until| entry.version > *until) {
                continue;
            }
            let told = self.told.entry(entry.wallet_id.0).or_default();
            told.total += i128::from(entry.amount);
            told.entries += 1;
            // One account's entries may lie in several streams, so not in order.
            if entry.version > told.version {
                told.version = entry.version;
                told.balance = entry.balance;
                told.held = entry.held;
                told.pending = entry.pending;
            }
        }
    }

    fn difference(&self, shown: &Balance) -> Option<String> {
        let nothing = Told::default();
        let Balance { account, total, held, pending, version } = *shown;
        let told = self.told.get(&account).unwrap_or(&nothing);
        let is_same = told.total == i128::from(total)
            && told.balance == total
            && told.held == held
            && told.pending == pending
            && told.version == version
            && told.entries == version;
        let id = AccountId(account);
        (!is_same).then(|| {
            format!(
                "{id} shows total {total}, held {held}, pending {pending}, version {version}; \
                 its {} events' entries say {}, {}, {}, {}",
                told.entries, told.total, told.held, told.pending, told.version
            )
        })
    }
}
