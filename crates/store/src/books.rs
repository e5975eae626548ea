//! Questions that prove the books. Each check is one statement, so it sees one moment.

use caudal_domain::TenantId;

use crate::{Backend, StoreError, Value};

/// A statement whose every row is a difference, told in its single text column.
pub struct Check {
    pub name: &'static str,
    sql: &'static str,
    /// The column that holds the tenant, for a proof of one tenant only.
    tenant_column: Option<&'static str>,
}

/// `{tenant}` stands for the condition that narrows the check to one tenant.
pub const CHECKS: &[Check] = &[
    Check {
        name: "entries sum to zero per currency",
        sql: "select a.currency || ': ' || cast(sum(e.amount) as text) from entries e
              join accounts a on a.bucket = e.bucket and a.id = e.account_id
              where {tenant} group by a.currency having sum(e.amount) <> 0",
        tenant_column: Some("a.tenant_id"),
    },
    Check {
        name: "every transfer's entries sum to zero",
        sql: "select 'a transfer is off by ' || cast(sum(e.amount) as text) from entries e
              join accounts a on a.bucket = e.bucket and a.id = e.account_id
              where {tenant} group by e.transfer_id having sum(e.amount) <> 0",
        tenant_column: Some("a.tenant_id"),
    },
    Check {
        name: "balance = sum of entries, versions gapless",
        sql: "select 'an account of ' || a.currency || ' shows ' || cast(a.total as text)
                || ' at version ' || cast(a.version as text) || ', its '
                || cast(count(e.version) as text) || ' entries sum to '
                || cast(coalesce(sum(e.amount), 0) as text)
              from account_states a
              left join entries e on e.bucket = a.bucket and e.account_id = a.id
              where {tenant} group by a.bucket, a.id, a.currency, a.total, a.version
              having a.total <> coalesce(sum(e.amount), 0) or a.version <> count(e.version)
                or a.version <> coalesce(max(e.version), 0)",
        tenant_column: Some("a.tenant_id"),
    },
    Check {
        name: "each entry continues the one before",
        sql: "select 'version ' || cast(version as text) || ' does not continue' from (
                select e.version, e.balance_after - e.amount as before_it, e.held_after,
                  e.pending_after,
                  lag(e.balance_after, 1, cast(0 as bigint)) over w as last_balance
                from entries e join accounts a on a.bucket = e.bucket and a.id = e.account_id
                where {tenant} window w as (partition by e.account_id order by e.version)) chain
              where before_it <> last_balance or held_after < 0 or pending_after < 0",
        tenant_column: Some("a.tenant_id"),
    },
    Check {
        name: "the last entry shows the balance, what is held and what is pending",
        sql: "select 'an account holds ' || cast(a.held as text) || ', pending '
                || cast(a.pending as text) || ', its last entry says '
                || cast(coalesce(e.held_after, 0) as text) || ', '
                || cast(coalesce(e.pending_after, 0) as text)
              from account_states a
              left join entries e on e.bucket = a.bucket and e.account_id = a.id
                and e.version = a.version
              where {tenant} and (coalesce(e.balance_after, 0) <> a.total
                or coalesce(e.held_after, 0) <> a.held
                or coalesce(e.pending_after, 0) <> a.pending)",
        tenant_column: Some("a.tenant_id"),
    },
    Check {
        name: "transfers moved what their entries say",
        sql: "select 'a transfer of ' || cast(t.amount as text) || ' has entries of '
                || cast(coalesce(m.moved, 0) as text)
              from transfers t left join (
                select e.transfer_id,
                  sum(case when e.amount > 0 then e.amount else 0 end) as moved
                from entries e group by e.transfer_id) m on m.transfer_id = t.id
              where {tenant} and coalesce(m.moved, 0) <>
                case when t.expires_at is null then t.amount else t.amount_captured end",
        tenant_column: Some("t.tenant_id"),
    },
    Check {
        name: "no entry without its transfer",
        sql: "select 'an entry of ' || cast(e.amount as text) || ' names no transfer'
              from entries e left join transfers t on t.id = e.transfer_id
              join accounts a on a.bucket = e.bucket and a.id = e.account_id
              where {tenant} and t.id is null",
        tenant_column: Some("a.tenant_id"),
    },
    // A chargeback (kind 6) takes more where a bank did: what the tenant gives besides.
    Check {
        name: "never more reversed than moved",
        sql: "select 'a transfer of ' || cast(t.amount as text) || ' was reversed by '
                || cast(coalesce(r.given_back, 0) as text)
              from transfers t left join (
                select reverses, sum(amount - amount_reversed) as given_back,
                  sum(case when kind = 6 then 1 else 0 end) as chargebacks
                from transfers where reverses is not null group by reverses) r
                on r.reverses = t.id
              where {tenant} and (t.amount_reversed > coalesce(r.given_back, 0)
                or (t.amount_reversed <> coalesce(r.given_back, 0)
                  and coalesce(r.chargebacks, 0) = 0)
                or t.amount_reversed > t.amount or t.amount_captured > t.amount)",
        tenant_column: Some("t.tenant_id"),
    },
    Check {
        name: "receipts name transfers that are there",
        sql: "select 'a receipt names a transfer that is not there' from receipts r
              left join transfers t on t.id = r.transfer_id
              where r.transfer_id is not null and t.id is null",
        tenant_column: None,
    },
    Check {
        name: "event streams have no gaps",
        sql: "select 'stream ' || cast(h.stream as text) || ' stands at ' || cast(h.seq as text)
                || ', its ' || cast(count(e.seq) as text) || ' events end at '
                || cast(coalesce(max(e.seq), 0) as text)
              from stream_heads h left join events e on e.stream = h.stream
              group by h.stream, h.seq
              having h.seq <> coalesce(max(e.seq), 0)
                or count(e.seq) <> coalesce(max(e.seq) - min(e.seq) + 1, 0)",
        tenant_column: None,
    },
];

impl Check {
    /// The differences found, `limit` at most; `None` when the check has no meaning for one tenant.
    pub async fn run(
        &self,
        db: &dyn Backend,
        tenant: Option<TenantId>,
        limit: i64,
    ) -> Result<Option<Vec<String>>, StoreError> {
        let (condition, mut params): (String, Vec<Value>) = match (tenant, self.tenant_column) {
            (None, _) => ("1 = 1".into(), vec![]),
            (Some(tenant), Some(column)) => (format!("{column} = $1"), vec![tenant.0.into()]),
            (Some(_), None) => return Ok(None),
        };
        params.push(limit.into());
        let sql = format!("{} limit ${}", self.sql.replace("{tenant}", &condition), params.len());
        let rows = db.query_at_length("books", &sql, &params).await?;
        rows.iter().map(|row| Ok(row.text(0)?.to_owned())).collect::<Result<_, _>>().map(Some)
    }
}

/// All accounts of a kind in a currency; sums as decimal text, for they are 128 bits wide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalanceLine {
    pub currency: String,
    /// The stored number of the kind.
    pub kind: i64,
    pub total: String,
    pub held: String,
    pub pending: String,
    pub accounts: i64,
}

pub async fn trial_balance(
    db: &dyn Backend,
    tenant: Option<TenantId>,
) -> Result<Vec<BalanceLine>, StoreError> {
    let (condition, params): (_, Vec<Value>) = match tenant {
        Some(tenant) => ("a.tenant_id = $1", vec![tenant.0.into()]),
        None => ("1 = 1", vec![]),
    };
    let sql = format!(
        "select a.currency, a.kind, cast(sum(a.total) as text), cast(sum(a.held) as text),
           cast(sum(a.pending) as text), count(*) from account_states a where {condition}
         group by a.currency, a.kind order by a.currency, a.kind"
    );
    let rows = db.query_at_length("accounts", &sql, &params).await?;
    rows.iter()
        .map(|row| {
            Ok(BalanceLine {
                currency: row.text(0)?.to_owned(),
                kind: row.int(1)?,
                total: row.text(2)?.to_owned(),
                held: row.text(3)?.to_owned(),
                pending: row.text(4)?.to_owned(),
                accounts: row.int(5)?,
            })
        })
        .collect()
}

/// An account's balance, for proofs worked out outside SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    pub account: u128,
    pub total: i64,
    pub held: i64,
    pub pending: i64,
    pub version: i64,
}

/// A page by id.
pub async fn balances(
    db: &dyn Backend,
    tenant: Option<TenantId>,
    after: u128,
    limit: i64,
) -> Result<Vec<Balance>, StoreError> {
    let mut params: Vec<Value> = vec![after.into(), limit.into()];
    let condition = match tenant {
        Some(tenant) => {
            params.push(tenant.0.into());
            "and tenant_id = $3"
        }
        None => "",
    };
    let sql = format!(
        "select id, total, held, pending, version from account_states where id > $1 {condition}
         order by id limit $2"
    );
    let rows = db.query_at_length("accounts", &sql, &params).await?;
    rows.iter()
        .map(|row| {
            Ok(Balance {
                account: row.id(0)?,
                total: row.int(1)?,
                held: row.int(2)?,
                pending: row.int(3)?,
                version: row.int(4)?,
            })
        })
        .collect()
}
