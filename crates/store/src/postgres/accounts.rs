//! Accounts that many look up at once, each its own: those asked for while one look is under way
//! are the next look, all of them. Nobody waits for others to come. Looked up one by one, each
//! costs a round trip and the turn of another backend.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use caudal_domain::{Account, AccountId, TenantId};
use deadpool_postgres::Pool;
use tokio::{sync::oneshot, time::timeout};

use super::{
    Open, client, errors,
    values::{self, Id},
};
use crate::{
    StoreError,
    wallets::{ACCOUNT_COLUMNS, read_account},
};

/// Accounts of one look.
const MOST: usize = 256;
/// All wait for one look: a backend that froze must not hold them up for longer. The server's own
/// time limit is kept by that backend.
const WITHIN: Duration = Duration::from_secs(3);

type Found = Result<Option<Account>, StoreError>;

struct Asked {
    tenant: TenantId,
    id: AccountId,
    answer: oneshot::Sender<Found>,
}

#[derive(Default)]
pub(super) struct Accounts {
    asked: Mutex<Vec<Asked>>,
    /// Held by whoever looks, for all that have asked.
    turn: tokio::sync::Mutex<()>,
}

impl Accounts {
    pub async fn find(&self, pool: &Pool, tenant: TenantId, id: AccountId) -> Found {
        loop {
            let (answer, mut told) = oneshot::channel();
            self.asked().push(Asked { tenant, id, answer });
            let told = tokio::select! {
                biased;
                told = &mut told => told.ok(),
                _turn = self.turn.lock() => loop {
                    match told.try_recv() {
                        Err(oneshot::error::TryRecvError::Empty) => self.look(pool).await,
                        told => break told.ok(),
                    }
                },
            };
            // Else whoever looked for us as well was called away.
            if let Some(found) = told {
                return found;
            }
        }
    }

    async fn look(&self, pool: &Pool) {
        let asked: Vec<Asked> = {
            let mut asked = self.asked();
            let count = asked.len().min(MOST);
            asked.drain(..count).collect()
        };
        let late = |_| Err(StoreError::Unavailable("accounts were not read in time".into()));
        let found = timeout(WITHIN, read(pool, &asked)).await.unwrap_or_else(late);
        for Asked { tenant, id, answer } in asked {
            let its = found.clone().map(|found| found.get(&(tenant, id)).copied());
            // Whoever asked may be gone.
            let _ = answer.send(its);
        }
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(
    pool: &Pool,
    asked: &[Asked],
) -> Result<HashMap<(TenantId, AccountId), Account>, StoreError> {
    let sql = format!(
        "select a.* from unnest($1::int2[], $2::uuid[], $3::uuid[]) k (bucket, id, tenant)
         cross join lateral (select {ACCOUNT_COLUMNS} from accounts a
           where a.bucket = k.bucket and a.id = k.id and a.tenant_id = k.tenant limit 1) a"
    );
    let buckets: Vec<i16> = asked.iter().map(|it| it.id.bucket().0.into()).collect();
    let ids: Vec<Id> = asked.iter().map(|it| Id(it.id.0)).collect();
    let tenants: Vec<Id> = asked.iter().map(|it| Id(it.tenant.0)).collect();
    let open = Open::new(client(pool).await?);
    let statement = open.client()?.prepare_cached(&sql).await.map_err(errors::classify)?;
    let rows = open.client()?.query(&statement, &[&buckets, &ids, &tenants]).await;
    open.end();
    let accounts = rows.map_err(errors::classify)?;
    let account = |row| read_account(&values::row("accounts", row)?);
    let keyed = |account: Account| ((account.tenant, account.id), account);
    accounts.iter().map(|row| account(row).map(keyed)).collect()
}
