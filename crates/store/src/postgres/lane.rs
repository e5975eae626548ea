//! A batch in two round trips: lock and read; write and commit. Both are pipelined. Accounts that
//! are [`Known`] are neither locked nor read: what is written holds only if they still are so.
//! Between the two it is asked, if need be, which of the accounts that were not found exist.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use caudal_domain::{Account, AccountId, Event, TransferId};
use futures::{future::join_all, join};
use quick_cache::sync::Cache;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Client, Error, types::ToSql};

use crate::{
    AttachedRow, Decide, Lane, Locked, Locks, Position, RecentEvents, StoreError, Writes,
    known::{Known, overlay},
    postgres::{
        attached::{self, Prepared, RowLocks},
        connect::Connector,
        errors::{self, Fault},
        events,
        statements::{STALE, Statements},
        unit,
        values::{self, Id},
        writes::Target,
    },
    receipts::{generation, previous_generation},
    transfers, wallets,
};

/// A batch takes milliseconds; one that takes this long has lost its database.
const BATCH_TIMEOUT: Duration = Duration::from_secs(12);
/// How long a lost COMMIT is asked after.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
const SETTLE_INTERVAL: Duration = Duration::from_millis(100);

/// Accounts that a lane has read. None is ever deleted, so one of them that is not found later is
/// held by another process.
type Seen = Cache<AccountId, ()>;
/// Less than 10 MB.
const SEEN_MOST: usize = 1 << 17;

pub(super) struct PostgresLane {
    connector: Arc<Connector>,
    /// Shared by the lanes of this process.
    known: Arc<Known>,
    recent: Arc<RecentEvents>,
    seen: Seen,
    session: Option<Session>,
    /// The next batch's transaction has begun.
    has_begun: bool,
}

struct Session {
    client: Client,
    statements: Statements,
    prepared: Prepared,
}

/// Why a batch did not answer with its position.
enum Failure {
    /// Nothing was written.
    Clean(StoreError),
    /// Nothing was written, and the transaction is over: accounts are not as they were known.
    Stale,
    /// COMMIT may have been sent, and no answer came.
    Lost(Lost),
}

/// By what a transaction is found again.
struct Lost {
    xid: String,
    /// Only that transaction wrote it.
    transfer: Option<TransferId>,
    why: String,
}

/// On what a batch is decided.
struct Basis<'a> {
    begin: &'static str,
    locks: &'a Locks,
    /// `None`: they are locked and read.
    known: Option<&'a [Account]>,
    seen: &'a Seen,
}

/// What came of a batch: its position, its accounts as they are now, and what it told.
struct Done {
    position: Position,
    accounts: Vec<Account>,
    events: Vec<Event>,
}

impl PostgresLane {
    pub fn new(connector: Arc<Connector>, known: Arc<Known>, recent: Arc<RecentEvents>) -> Self {
        let seen = Seen::new(SEEN_MOST);
        Self { connector, known, recent, seen, session: None, has_begun: false }
    }

    async fn session(&mut self) -> Result<&Session, StoreError> {
        if self.session.as_ref().is_none_or(|session| session.client.is_closed()) {
            self.session = None;
            self.has_begun = false;
            let client = self.connector.connect_lane().await?;
            self.recent.forget();
            let statements = Statements::prepare(&client).await.map_err(errors::classify)?;
            self.session = Some(Session { client, statements, prepared: Prepared::default() });
        }
        self.session.as_ref().ok_or_else(|| StoreError::Unavailable("no connection".into()))
    }

    async fn run(&self, basis: &Basis<'_>, decide: &mut Decide) -> Result<Done, Failure> {
        let gone = || Failure::Clean(StoreError::Unavailable("no connection".into()));
        self.session.as_ref().ok_or_else(gone)?.run(basis, decide).await
    }

    async fn roll_back(&mut self) {
        let Some(session) = &self.session else { return };
        let rollback = session.client.batch_execute("rollback");
        if !matches!(timeout(BATCH_TIMEOUT, rollback).await, Ok(Ok(()))) {
            self.session = None;
        }
    }

    /// Asks, on a new connection, whether the transaction whose answer was lost was committed. If
    /// it was not, or nothing proves that it was, the batch is run again and meets its receipts.
    async fn settle(&mut self, lost: Lost) -> Result<Position, StoreError> {
        self.session = None;
        let why = lost.why.clone();
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        while Instant::now() < deadline {
            if let Ok(Some(committed)) = self.was_committed(&lost).await {
                tracing::warn!(committed, "settled a commit whose answer was lost");
                return match committed {
                    true => Ok(Position::new()),
                    false => Err(StoreError::Contention(why)),
                };
            }
            sleep(SETTLE_INTERVAL).await;
        }
        Err(StoreError::Unknown(why))
    }

    /// `None`: still under way.
    ///
    /// After a crash PostgreSQL gives out again the ids of transactions of which nothing had
    /// reached its log: such an id may be that of another transaction, which was committed. So
    /// `committed` counts only together with a row that nobody else can have written.
    async fn was_committed(&mut self, lost: &Lost) -> Result<Option<bool>, StoreError> {
        const NEVER_REACHED_THE_LOG: &str = "22023";
        let client = self.connector.connect_as_owner().await?;
        let sql = "select pg_xact_status($1::text::xid8)";
        match client.query_one(sql, &[&lost.xid]).await {
            Ok(row) => match row.try_get::<_, Option<&str>>(0).map_err(errors::classify)? {
                Some("in progress") => Ok(None),
                Some("committed") => is_there(&client, lost.transfer).await.map(Some),
                _ => Ok(Some(false)),
            },
            Err(error) if error.code().is_some_and(|c| c.code() == NEVER_REACHED_THE_LOG) => {
                Ok(Some(false))
            }
            Err(error) => Err(errors::classify(error)),
        }
    }
}

async fn is_there(client: &Client, transfer: Option<TransferId>) -> Result<bool, StoreError> {
    let Some(id) = transfer else { return Ok(false) };
    let sql = "select from transfers where bucket = $1 and id = $2";
    let bucket = i16::from(id.bucket().0);
    let found = client.query_opt(sql, &[&bucket, &Id(id.0)]).await.map_err(errors::classify)?;
    Ok(found.is_some())
}

#[async_trait]
impl Lane for PostgresLane {
    async fn lock_ahead(&mut self, accounts: &[AccountId]) -> Result<(), StoreError> {
        let locks = Locks { accounts: accounts.to_vec(), ..Locks::default() };
        let session = self.session().await?;
        let locked = timeout(BATCH_TIMEOUT, session.begin_with(&locks)).await;
        let locked = locked.unwrap_or(Err(StoreError::Unavailable("no answer in time".into())));
        self.has_begun = locked.is_ok();
        if locked.is_err() {
            self.roll_back().await;
        }
        locked
    }

    async fn commit_batch(
        &mut self,
        locks: Locks,
        mut decide: Decide,
    ) -> Result<Position, StoreError> {
        self.session().await?;
        let begin = if std::mem::take(&mut self.has_begun) { "" } else { "begin" };
        let known: Option<Vec<_>> = self.known.take(&locks.accounts).into_iter().collect();
        // Rows that go with it are locked after the accounts, so these have to be locked as well;
        // and transfers are read as they are, to which only accounts under lock are sure to fit.
        let is_bare = locks.rows.is_empty() && locks.transfers.is_empty();
        let may_know = is_bare && !begin.is_empty() && !locks.accounts.is_empty();
        let known = known.filter(|_| may_know);
        let seen = &self.seen;
        let basis = Basis { begin, locks: &locks, known: known.as_deref(), seen };
        // On this very connection: a new one would know nothing of what `lock_ahead` began.
        let mut result = self.run(&basis, &mut decide).await;
        match &result {
            Err(Failure::Stale) => {
                self.known.was_wrong();
                self.session().await?;
                let basis = Basis { begin: "begin", locks: &locks, known: None, seen: &self.seen };
                result = self.run(&basis, &mut decide).await;
            }
            Ok(_) if known.is_some() => self.known.was_right(),
            _ => {}
        }
        match result {
            Ok(Done { position, accounts, events }) => {
                if known.is_none() {
                    accounts.iter().for_each(|account| self.seen.insert(account.id, ()));
                }
                self.known.keep(&accounts);
                self.recent.keep(events, &position);
                Ok(position)
            }
            Err(Failure::Lost(lost)) => self.settle(lost).await,
            Err(Failure::Clean(error)) => {
                self.roll_back().await;
                Err(error)
            }
            Err(Failure::Stale) => Err(StoreError::Contention("accounts changed".into())),
        }
    }
}

impl Session {
    async fn begin_with(&self, locks: &Locks) -> Result<(), StoreError> {
        let begin = self.client.batch_execute("begin");
        let (begun, locked) = join!(begin, self.lock_accounts(locks));
        begun.and(locked).map(drop).map_err(errors::classify)
    }

    async fn run(&self, basis: &Basis<'_>, decide: &mut Decide) -> Result<Done, Failure> {
        let read = timeout(BATCH_TIMEOUT, self.lock_and_read(basis)).await;
        let (locked, xid) = match read {
            Ok(read) => read.map_err(Failure::Clean)?,
            Err(_) => {
                return Err(Failure::Clean(StoreError::Unavailable("no answer in time".into())));
            }
        };
        let mut accounts = locked.accounts.clone();
        let writes = decide(locked);
        if writes.is_empty() {
            self.leave(basis, &writes).await.map_err(failure)?;
            return Ok(Done { position: Position::new(), accounts, events: Vec::new() });
        }
        let transfer = writes.new_transfers.first().map(|transfer| transfer.id);
        let lost = |why| Failure::Lost(Lost { xid, transfer, why });
        match timeout(BATCH_TIMEOUT, self.write_and_commit(basis, &writes)).await {
            Ok(Ok(position)) => {
                overlay(&mut accounts, &writes.accounts);
                Ok(Done { position, accounts, events: writes.events })
            }
            Ok(Err(Fault::Undone(error))) => Err(failure(error)),
            Ok(Err(Fault::Lost(error))) => Err(lost(error.to_string())),
            Err(_) => Err(lost("no answer in time".into())),
        }
    }

    /// Nothing is written; but what was refused was refused on accounts as they are.
    async fn leave(&self, basis: &Basis<'_>, writes: &Writes) -> Result<(), Error> {
        let target = Target { client: &self.client, statements: &self.statements };
        let known = basis.known.unwrap_or_default();
        let (checked, left) =
            join!(target.check_known(writes, known), self.client.batch_execute("rollback"));
        checked.and(left)
    }

    /// First round trip, and at times a question behind it. Everything after the locks is read in
    /// statements of its own, so that it is seen as the last holder of the locks left it.
    async fn lock_and_read(&self, basis: &Basis<'_>) -> Result<(Locked, String), StoreError> {
        let Basis { begin, locks, known, .. } = *basis;
        let rows = self.prepared.locks(&self.client, &locks.rows).await;
        let rows = rows.map_err(errors::classify)?;
        let (begin, xid, accounts, rows, receipts, transfers) = join!(
            self.client.batch_execute(begin),
            self.client.query_one(&self.statements.xid, &[]),
            self.lock_unknown(basis),
            self.lock_rows(&rows),
            self.read_receipts(locks),
            self.read_transfers(locks),
        );
        begin.map_err(errors::classify)?;
        let accounts = accounts.map_err(errors::classify)?;
        let xid = xid.map_err(errors::classify)?;
        let read = |row| wallets::read_account(&values::row("accounts", row)?);
        let accounts = match known {
            Some(known) => known.to_vec(),
            None => accounts.iter().map(read).collect::<Result<_, _>>()?,
        };
        let rows = rows.map_err(errors::classify)?;
        let transfers = transfers.map_err(errors::classify)?;
        let receipts = receipts.map_err(errors::classify)?;
        let read = |row| transfers::read(&values::row("transfers", row)?);
        let locked = Locked {
            // Not before the others are known to have come: a transaction that failed answers
            // nothing more, and why it failed decides whether it runs again.
            passed: self.passed(basis, &accounts).await.map_err(errors::classify)?,
            accounts,
            rows,
            transfers: transfers.iter().map(read).collect::<Result<_, _>>()?,
            receipts: receipts.iter().map(unit::read_receipt).collect::<Result<_, _>>()?,
        };
        Ok((locked, xid.try_get(0).map_err(errors::classify)?))
    }

    async fn lock_unknown(&self, basis: &Basis<'_>) -> Result<Vec<tokio_postgres::Row>, Error> {
        match basis.known {
            Some(_) => Ok(Vec::new()),
            None => self.lock_accounts(basis.locks).await,
        }
    }

    async fn lock_accounts(&self, locks: &Locks) -> Result<Vec<tokio_postgres::Row>, Error> {
        if locks.accounts.is_empty() {
            return Ok(Vec::new());
        }
        let (buckets, ids) = columns(&locks.accounts);
        let statement = match locks.pass_over {
            true => &self.statements.try_accounts,
            false => &self.statements.lock_accounts,
        };
        self.client.query(statement, &[&buckets, &ids]).await
    }

    /// What others hold of that which was not found.
    async fn passed(&self, basis: &Basis<'_>, found: &[Account]) -> Result<Vec<AccountId>, Error> {
        let Basis { locks, seen, .. } = *basis;
        if !locks.pass_over || found.len() == locks.accounts.len() {
            return Ok(Vec::new());
        }
        let missing = missing(locks, found).into_iter();
        let (mut passed, unseen): (Vec<_>, Vec<_>) = missing.partition(|id| seen.contains_key(id));
        if !unseen.is_empty() {
            let (buckets, ids) = columns(&unseen);
            let statement = &self.statements.existing_accounts;
            for row in self.client.query(statement, &[&buckets, &ids]).await? {
                passed.push(AccountId(row.try_get::<_, Id>(0)?.0));
            }
        }
        Ok(passed)
    }

    async fn lock_rows(&self, locks: &[RowLocks<'_>]) -> Result<Vec<(AttachedRow, i64)>, Error> {
        let found = join_all(locks.iter().map(|rows| rows.run(&self.client))).await;
        let found: Vec<_> = found.into_iter().collect::<Result<_, _>>()?;
        Ok(found.concat())
    }

    async fn read_receipts(&self, locks: &Locks) -> Result<Vec<tokio_postgres::Row>, Error> {
        if locks.receipts.is_empty() {
            return Ok(Vec::new());
        }
        let buckets: Vec<i16> = locks.receipts.iter().map(|key| key.bucket().0.into()).collect();
        let keys: Vec<Id> = locks.receipts.iter().map(|key| Id(key.0)).collect();
        let generations = (generation(locks.at), previous_generation(locks.at));
        let params: [&(dyn ToSql + Sync); 4] = [&buckets, &keys, &generations.0, &generations.1];
        self.client.query(&self.statements.receipts, &params).await
    }

    async fn read_transfers(&self, locks: &Locks) -> Result<Vec<tokio_postgres::Row>, Error> {
        if locks.transfers.is_empty() {
            return Ok(Vec::new());
        }
        let buckets: Vec<i16> = locks.transfers.iter().map(|id| id.bucket().0.into()).collect();
        let ids: Vec<Id> = locks.transfers.iter().map(|id| Id(id.0)).collect();
        self.client.query(&self.statements.transfers, &[&buckets, &ids]).await
    }

    /// Second round trip: all writes, the stream heads last, and COMMIT at once behind them.
    /// Accounts go first: without locks it is here that others are waited for.
    async fn write_and_commit(
        &self,
        basis: &Basis<'_>,
        writes: &Writes,
    ) -> Result<Position, Fault> {
        let Basis { locks, known, .. } = *basis;
        let runs = self.prepared.runs(&self.client, &writes.steps).await.map_err(Fault::Undone)?;
        let target = Target { client: &self.client, statements: &self.statements };
        let (accounts, checked, steps, new, changed, entries, receipts, events, commit) = join!(
            target.update_accounts(writes, known),
            target.check_known(writes, known.unwrap_or_default()),
            attached::run_all(&self.client, &runs),
            target.insert_transfers(writes),
            target.update_transfers(writes),
            target.insert_entries(writes),
            target.insert_receipts(locks, writes),
            events::write(&self.client, &self.statements.events, &writes.events),
            self.client.batch_execute("commit"),
        );
        let (events, position) = match events {
            Ok(position) => (Ok(()), position),
            Err(error) => (Err(error), Position::new()),
        };
        let mut results = steps;
        results.extend([accounts, checked, new, changed, entries, receipts, events]);
        errors::of_pipeline(results, commit)?;
        Ok(position)
    }
}

fn failure(error: Error) -> Failure {
    match error.code().is_some_and(|code| code.code() == STALE) {
        true => Failure::Stale,
        false => Failure::Clean(errors::classify(error)),
    }
}

/// Both lists are in the order of the locks.
fn missing(locks: &Locks, found: &[Account]) -> Vec<AccountId> {
    let mut found = found.iter().map(|account| account.id).peekable();
    locks.accounts.iter().copied().filter(|id| found.next_if_eq(id).is_none()).collect()
}

/// As parameters of a statement.
fn columns(accounts: &[AccountId]) -> (Vec<i16>, Vec<Id>) {
    accounts.iter().map(|account| (i16::from(account.bucket().0), Id(account.0))).unzip()
}
