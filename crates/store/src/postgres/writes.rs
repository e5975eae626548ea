//! A batch's rows, written list by list.

use caudal_domain::Account;
use futures::future::join_all;
use tokio_postgres::{Client, Error, types::ToSql};

use crate::{
    Locks, Writes,
    postgres::{
        statements::Statements,
        values::{Id, Json, Time},
    },
    receipts::written_generations,
    transfers, wallets,
};

/// Where the rows go.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub client: &'a Client,
    pub statements: &'a Statements,
}

/// Columns of accounts.
struct AccountLists {
    buckets: Vec<i16>,
    ids: Vec<Id>,
    statuses: Vec<i16>,
    floors: Vec<Option<i64>>,
    totals: Vec<i64>,
    held: Vec<i64>,
    pending: Vec<i64>,
    versions: Vec<i64>,
}

impl AccountLists {
    fn of<'a>(accounts: impl Iterator<Item = &'a Account> + Clone) -> Self {
        Self {
            buckets: accounts.clone().map(|a| a.id.bucket().0.into()).collect(),
            ids: accounts.clone().map(|a| Id(a.id.0)).collect(),
            statuses: accounts.clone().map(|a| a.status as i16).collect(),
            floors: accounts.clone().map(|a| a.floor).collect(),
            totals: accounts.clone().map(|a| a.total).collect(),
            held: accounts.clone().map(|a| a.held).collect(),
            pending: accounts.clone().map(|a| a.pending).collect(),
            versions: accounts.map(|a| a.version).collect(),
        }
    }

    fn ids(&self) -> [&(dyn ToSql + Sync); 2] {
        [&self.buckets, &self.ids]
    }

    fn states(&self) -> [&(dyn ToSql + Sync); 6] {
        let Self { statuses, floors, totals, held, pending, versions, .. } = self;
        [statuses, floors, totals, held, pending, versions]
    }
}

/// Whether the account is written. Both lists are in the order of the locks.
fn changes(writes: &Writes, account: &Account) -> bool {
    let place = |a: &Account| (a.id.bucket(), a.id);
    writes.accounts.binary_search_by_key(&place(account), place).is_ok()
}

impl Target<'_> {
    /// `known`: what each of them is held to be, without its lock.
    pub async fn update_accounts(
        &self,
        writes: &Writes,
        known: Option<&[Account]>,
    ) -> Result<(), Error> {
        let accounts = &writes.accounts;
        if accounts.is_empty() {
            return Ok(());
        }
        let rows = AccountLists::of(accounts.iter());
        let times: Vec<Time> = accounts.iter().map(|a| Time(a.updated_at)).collect();
        let (ids, states) = (rows.ids(), rows.states());
        let mut params: Vec<&(dyn ToSql + Sync)> = [&ids[..], &states, &[&times]].concat();
        let Some(known) = known else {
            return self.client.execute(&self.statements.update_accounts, &params).await.map(drop);
        };
        let before = AccountLists::of(known.iter().filter(|known| changes(writes, known)));
        let before = before.states();
        params.extend(before);
        self.client.query(&self.statements.update_known, &params).await.map(drop)
    }

    /// Those of the known that were only looked at.
    pub async fn check_known(&self, writes: &Writes, known: &[Account]) -> Result<(), Error> {
        let rows = AccountLists::of(known.iter().filter(|known| !changes(writes, known)));
        if rows.ids.is_empty() {
            return Ok(());
        }
        let params = [&rows.ids()[..], &rows.states()].concat();
        self.client.query(&self.statements.check_known, &params).await.map(drop)
    }

    pub async fn insert_transfers(&self, writes: &Writes) -> Result<(), Error> {
        let new = &writes.new_transfers;
        if new.is_empty() {
            return Ok(());
        }
        let legs: Vec<Option<String>> = new.iter().map(transfers::legs_text).collect();
        let labels: Vec<Option<String>> =
            new.iter().map(|t| wallets::metadata_text(&t.metadata)).collect();
        let buckets: Vec<i16> = new.iter().map(|t| t.id.bucket().0.into()).collect();
        let ids: Vec<Id> = new.iter().map(|t| Id(t.id.0)).collect();
        let tenants: Vec<Id> = new.iter().map(|t| Id(t.tenant.0)).collect();
        let kinds: Vec<i16> = new.iter().map(|t| t.kind as i16).collect();
        let statuses: Vec<i16> = new.iter().map(|t| t.status as i16).collect();
        let currencies: Vec<&str> = new.iter().map(|t| t.currency.code()).collect();
        let from: Vec<Id> = new.iter().map(|t| Id(t.legs[0].from.0)).collect();
        let to: Vec<Id> = new.iter().map(|t| Id(t.legs[0].to.0)).collect();
        let amounts: Vec<i64> = new.iter().map(|t| t.amount).collect();
        let captured: Vec<i64> = new.iter().map(|t| t.amount_captured).collect();
        let reversed: Vec<i64> = new.iter().map(|t| t.amount_reversed).collect();
        let legs: Vec<Option<Json>> = legs.iter().map(|l| l.as_deref().map(Json)).collect();
        let expiries: Vec<Option<Time>> = new.iter().map(|t| t.expires_at.map(Time)).collect();
        let references: Vec<Option<&str>> = new.iter().map(|t| t.reference.as_deref()).collect();
        let labels: Vec<Option<Json>> = labels.iter().map(|m| m.as_deref().map(Json)).collect();
        let reverses: Vec<Option<Id>> = new.iter().map(|t| t.reverses.map(|id| Id(id.0))).collect();
        let available: Vec<Option<Time>> = new.iter().map(|t| t.available_at.map(Time)).collect();
        let at = Time(writes.at);
        let params: [&(dyn ToSql + Sync); 18] = [
            &buckets,
            &ids,
            &tenants,
            &kinds,
            &statuses,
            &currencies,
            &from,
            &to,
            &amounts,
            &captured,
            &reversed,
            &legs,
            &expiries,
            &references,
            &labels,
            &reverses,
            &available,
            &at,
        ];
        self.client.execute(&self.statements.insert_transfers, &params).await.map(drop)
    }

    pub async fn update_transfers(&self, writes: &Writes) -> Result<(), Error> {
        let changed = &writes.changed_transfers;
        if changed.is_empty() {
            return Ok(());
        }
        let legs: Vec<Option<String>> = changed.iter().map(transfers::legs_text).collect();
        let buckets: Vec<i16> = changed.iter().map(|t| t.id.bucket().0.into()).collect();
        let ids: Vec<Id> = changed.iter().map(|t| Id(t.id.0)).collect();
        let statuses: Vec<i16> = changed.iter().map(|t| t.status as i16).collect();
        let captured: Vec<i64> = changed.iter().map(|t| t.amount_captured).collect();
        let reversed: Vec<i64> = changed.iter().map(|t| t.amount_reversed).collect();
        let legs: Vec<Option<Json>> = legs.iter().map(|l| l.as_deref().map(Json)).collect();
        let available: Vec<Option<Time>> =
            changed.iter().map(|t| t.available_at.map(Time)).collect();
        let params: [&(dyn ToSql + Sync); 7] =
            [&buckets, &ids, &statuses, &captured, &reversed, &legs, &available];
        self.client.execute(&self.statements.update_transfers, &params).await.map(drop)
    }

    pub async fn insert_entries(&self, writes: &Writes) -> Result<(), Error> {
        let entries = &writes.entries;
        if entries.is_empty() {
            return Ok(());
        }
        let buckets: Vec<i16> = entries.iter().map(|e| e.account.bucket().0.into()).collect();
        let accounts: Vec<Id> = entries.iter().map(|e| Id(e.account.0)).collect();
        let versions: Vec<i64> = entries.iter().map(|e| e.version).collect();
        let transfers: Vec<Id> = entries.iter().map(|e| Id(e.transfer.0)).collect();
        let amounts: Vec<i64> = entries.iter().map(|e| e.amount).collect();
        let balances: Vec<i64> = entries.iter().map(|e| e.balance_after).collect();
        let held: Vec<i64> = entries.iter().map(|e| e.held_after).collect();
        let pending: Vec<i64> = entries.iter().map(|e| e.pending_after).collect();
        let at = Time(writes.at);
        let params: [&(dyn ToSql + Sync); 9] =
            [&buckets, &accounts, &versions, &transfers, &amounts, &balances, &held, &pending, &at];
        self.client.execute(&self.statements.insert_entries, &params).await.map(drop)
    }

    pub async fn insert_receipts(&self, locks: &Locks, writes: &Writes) -> Result<(), Error> {
        let receipts = &writes.receipts;
        if receipts.is_empty() {
            return Ok(());
        }
        let columns: Vec<_> = receipts.iter().map(|r| r.answer.columns()).collect();
        let buckets: Vec<i16> = receipts.iter().map(|r| r.bucket().0.into()).collect();
        let keys: Vec<Id> = receipts.iter().map(|r| Id(r.key.0)).collect();
        let fingerprints: Vec<Id> = receipts.iter().map(|r| Id(r.fingerprint.0)).collect();
        let transfers: Vec<Option<Id>> =
            columns.iter().map(|(id, _)| id.map(|id| Id(id.0))).collect();
        let answers: Vec<Option<Json>> =
            columns.iter().map(|(_, text)| text.as_deref().map(Json)).collect();
        let columns: [&(dyn ToSql + Sync); 5] =
            [&buckets, &keys, &fingerprints, &transfers, &answers];
        let inserts = written_generations(locks.at).map(async |generation| {
            let mut params = columns.to_vec();
            params.push(&generation);
            self.client.execute(&self.statements.insert_receipts, &params).await
        });
        join_all(inserts).await.into_iter().try_for_each(|done| done.map(drop))
    }
}
