//! The statements of a batch, prepared once a connection. Each works on a whole list at once.

use futures::future::try_join_all;
use tokio_postgres::{Client, Error, Statement};

use crate::{
    postgres::events::{EventStatements, INSERT_EVENTS, LOCK_HEADS},
    transfers, wallets,
};

pub(super) struct Statements {
    pub lock_accounts: Statement,
    /// The same without waiting: leaves out what another transaction holds.
    pub try_accounts: Statement,
    /// Which of them there are, held or not.
    pub existing_accounts: Statement,
    pub receipts: Statement,
    pub transfers: Statement,
    pub update_accounts: Statement,
    /// The same where they are what was known of them.
    pub update_known: Statement,
    pub check_known: Statement,
    pub insert_transfers: Statement,
    pub update_transfers: Statement,
    pub insert_entries: Statement,
    pub insert_receipts: Statement,
    pub xid: Statement,
    pub events: EventStatements,
}

impl Statements {
    pub async fn prepare(client: &Client) -> Result<Self, Error> {
        let lock_accounts = format!(
            "select {} from unnest($1::int2[], $2::uuid[]) k (bucket, id)
             join accounts a on a.bucket = k.bucket and a.id = k.id
             order by a.bucket, a.id for update of a",
            wallets::ACCOUNT_COLUMNS
        );
        let try_accounts = format!("{lock_accounts} skip locked");
        let transfers = format!(
            "select t.* from unnest($1::int2[], $2::uuid[]) k (bucket, id)
             cross join lateral (select {} from transfers t
               where t.bucket = k.bucket and t.id = k.id limit 1) t",
            transfers::COLUMNS
        );
        let [update_accounts, update_known, check_known] = updates_of_accounts();
        let texts = [
            lock_accounts.as_str(),
            try_accounts.as_str(),
            EXISTING_ACCOUNTS,
            RECEIPTS,
            transfers.as_str(),
            update_accounts.as_str(),
            update_known.as_str(),
            check_known.as_str(),
            INSERT_TRANSFERS,
            UPDATE_TRANSFERS,
            INSERT_ENTRIES,
            INSERT_RECEIPTS,
            XID,
            LOCK_HEADS,
            INSERT_EVENTS,
        ];
        let mut all = try_join_all(texts.map(|sql| client.prepare(sql))).await?.into_iter();
        let mut next = || all.next().unwrap_or_else(|| unreachable!("one for each text"));
        Ok(Self {
            lock_accounts: next(),
            try_accounts: next(),
            existing_accounts: next(),
            receipts: next(),
            transfers: next(),
            update_accounts: next(),
            update_known: next(),
            check_known: next(),
            insert_transfers: next(),
            update_transfers: next(),
            insert_entries: next(),
            insert_receipts: next(),
            xid: next(),
            events: EventStatements { lock_heads: next(), insert: next() },
        })
    }
}

/// Where their locks are held; where they are only known; and of those known and not written.
fn updates_of_accounts() -> [String; 3] {
    let update_known = format!(
        "with t as (update accounts a set {SET_ACCOUNT}
           from unnest($1::int2[], $2::uuid[], $3::int2[], $4::int8[], $5::int8[], $6::int8[],
             $7::int8[], $8::int8[], $9::timestamptz[], $10::int2[], $11::int8[], $12::int8[],
             $13::int8[], $14::int8[], $15::int8[])
             u (bucket, id, status, floor, total, held, pending, version, at,
               known_status, known_floor, known_total, known_held, known_pending, known_version)
           where a.bucket = u.bucket and a.id = u.id and {AS_KNOWN} returning 1)
         select {ALL_OR_STALE} from t"
    );
    let check_known = format!(
        "select {ALL_OR_STALE}
         from unnest($1::int2[], $2::uuid[], $3::int2[], $4::int8[], $5::int8[], $6::int8[],
             $7::int8[], $8::int8[])
             u (bucket, id, known_status, known_floor, known_total, known_held, known_pending,
               known_version)
         join accounts a on a.bucket = u.bucket and a.id = u.id and {AS_KNOWN}"
    );
    let update_accounts = format!(
        "update accounts a set {SET_ACCOUNT}
         from unnest($1::int2[], $2::uuid[], $3::int2[], $4::int8[], $5::int8[], $6::int8[],
           $7::int8[], $8::int8[], $9::timestamptz[])
           u (bucket, id, status, floor, total, held, pending, version, at)
         where a.bucket = u.bucket and a.id = u.id"
    );
    [update_accounts, update_known, check_known]
}

const EXISTING_ACCOUNTS: &str = "select a.id from unnest($1::int2[], $2::uuid[]) k (bucket, id)
     join accounts a on a.bucket = k.bucket and a.id = k.id";

/// Each generation by itself: asked for both at once, each index is searched for both.
const RECEIPTS: &str = "select r.key, r.fingerprint, r.transfer_id, r.answer
     from unnest($1::int2[], $2::uuid[]) k (bucket, key)
     cross join lateral (
       select * from receipts r
         where r.generation = $3 and r.bucket = k.bucket and r.key = k.key
       union all select * from receipts r
         where r.generation = $4 and r.bucket = k.bucket and r.key = k.key
       limit 1) r";

const SET_ACCOUNT: &str = "status = u.status, floor = u.floor, total = u.total, held = u.held,
     pending = u.pending, version = u.version, updated_at = u.at";

/// All that a decision looks at, not the version alone: after a failover that lost commits the same
/// version may have been given to others.
const AS_KNOWN: &str = "a.version = u.known_version and a.total = u.known_total
     and a.held = u.known_held and a.pending = u.known_pending and a.status = u.known_status
     and a.floor is not distinct from u.known_floor";

/// The logarithm of zero where a row was not as it was known: an error, so that the COMMIT behind
/// it is none, and one that nothing else here makes.
const ALL_OR_STALE: &str = "ln((count(*) = cardinality($1))::int)";
pub(super) const STALE: &str = "2201E";

const INSERT_TRANSFERS: &str = "insert into transfers (bucket, id, tenant_id, kind, status,
       currency, from_id, to_id, amount, amount_captured, amount_reversed, legs, expires_at,
       reference, metadata, reverses, available_at, created_at)
     select u.*, $18 from unnest($1::int2[], $2::uuid[], $3::uuid[], $4::int2[], $5::int2[],
       $6::text[], $7::uuid[], $8::uuid[], $9::int8[], $10::int8[], $11::int8[], $12::json[],
       $13::timestamptz[], $14::text[], $15::json[], $16::uuid[],
       $17::timestamptz[]) u";

const UPDATE_TRANSFERS: &str = "update transfers t set status = u.status,
       amount_captured = u.captured, amount_reversed = u.reversed, legs = u.legs,
       available_at = u.available_at
     from unnest($1::int2[], $2::uuid[], $3::int2[], $4::int8[], $5::int8[], $6::json[],
       $7::timestamptz[]) u (bucket, id, status, captured, reversed, legs, available_at)
     where t.bucket = u.bucket and t.id = u.id";

const INSERT_ENTRIES: &str = "insert into entries (bucket, account_id, version, transfer_id,
       amount, balance_after, held_after, pending_after, created_at)
     select u.*, $9 from unnest($1::int2[], $2::uuid[], $3::int8[], $4::uuid[], $5::int8[],
       $6::int8[], $7::int8[], $8::int8[]) u";

const INSERT_RECEIPTS: &str = "insert into receipts (generation, bucket, key, fingerprint,
       transfer_id, answer)
     select $6, u.* from unnest($1::int2[], $2::uuid[], $3::uuid[], $4::uuid[], $5::json[]) u";

/// The name under which a lost COMMIT is asked after.
const XID: &str = "select pg_current_xact_id()::text";
