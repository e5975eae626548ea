//! Makes every balance again from the events alone, aside, and holds it against the accounts; and
//! the daily sums of payments, which are put right where they differ.

use std::collections::BTreeMap;

use caudal_domain::{AccountId, event::StoredEvent, id::STREAMS};
use caudal_store::{
    books,
    events::{self, Heads},
};
use serde::{Deserialize, Serialize};

use crate::{Service, ServiceError};

/// A difference is looked at so often: the books may be moving while they are read.
const LOOKS: usize = 3;
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
}

impl Service {
    /// Reads every event there is; memory grows with the number of accounts.
    pub async fn rebuild(&self) -> Result<Rebuilt, ServiceError> {
        let mut told = Books::default();
        let mut rebuilt = Rebuilt::default();
        for _ in 0..LOOKS {
            self.read_events(&mut told).await?;
            rebuilt = self.compare(&told).await?;
            if rebuilt.differences.is_empty() {
                break;
            }
        }
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

    async fn compare(&self, told: &Books) -> Result<Rebuilt, ServiceError> {
        let mut rebuilt = Rebuilt { events: told.events, ..Rebuilt::default() };
        rebuilt.differences.extend_from_slice(&told.unreadable);
        let mut after = 0;
        loop {
            let page = books::balances(self.store(), None, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(rebuilt) };
            after = last.account;
            for shown in page {
                rebuilt.accounts += 1;
                let difference = told.difference(&shown);
                if rebuilt.differences.len() < DIFFERENCES_MOST {
                    rebuilt.differences.extend(difference);
                }
            }
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

    fn difference(&self, shown: &books::Balance) -> Option<String> {
        let nothing = Told::default();
        let books::Balance { account, total, held, pending, version } = *shown;
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
