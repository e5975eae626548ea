//! The audit: added to, read, never changed. The database itself refuses anything else.

use caudal_domain::{Actor, AuditId, AuditRecord, TenantId};

use crate::{Backend, Row, Step, StoreError, Value};

pub fn insert(record: &AuditRecord) -> Step {
    let (actor_kind, actor_id) = record.actor.parts();
    Step::one(
        "insert into audit (tenant_id, id, at, actor_kind, actor_id, address, request_id, action,
         object_kind, object_id, fields) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        vec![
            record.tenant.0.into(),
            record.id.0.into(),
            record.at.into(),
            actor_kind.into(),
            actor_id.into(),
            record.address.clone().into(),
            record.request_id.clone().into(),
            record.action.as_str().into(),
            record.object_kind.as_str().into(),
            record.object_id.as_str().into(),
            record.fields.join(" ").into(),
        ],
    )
}

/// A page of the audit, newest first.
#[derive(Clone, Debug)]
pub struct Filter {
    pub tenant: TenantId,
    pub actor: Option<Actor>,
    pub action: Option<String>,
    /// An id as text, as in [`AuditRecord::object_id`].
    pub object: Option<String>,
    /// Ids below this one: a cursor, or the end of a span of time.
    pub before: u128,
    /// Ids from this one on: the start of a span of time.
    pub from: u128,
    pub limit: i64,
}

pub async fn list(db: &dyn Backend, filter: &Filter) -> Result<Vec<AuditRecord>, StoreError> {
    let mut sql = "select tenant_id, id, at, actor_kind, actor_id, address, request_id, action,
         object_kind, object_id, fields from audit
         where tenant_id = $1 and id < $2 and id >= $3"
        .to_owned();
    let mut params: Vec<Value> =
        vec![filter.tenant.0.into(), filter.before.into(), filter.from.into()];
    let mut add = |condition: &str, value: Value| {
        params.push(value);
        sql.push_str(&format!(" and {condition} = ${}", params.len()));
    };
    if let Some(actor) = filter.actor {
        let (kind, id) = actor.parts();
        add("actor_kind", kind.into());
        if let Some(id) = id {
            add("actor_id", id.into());
        }
    }
    if let Some(action) = &filter.action {
        add("action", action.as_str().into());
    }
    if let Some(object) = &filter.object {
        add("object_id", object.as_str().into());
    }
    params.push(filter.limit.into());
    sql.push_str(&format!(" order by id desc limit ${}", params.len()));
    db.query("audit", &sql, &params).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<AuditRecord, StoreError> {
    let text = |column| Ok::<_, StoreError>(row.opt_text(column)?.map(str::to_owned));
    Ok(AuditRecord {
        tenant: TenantId(row.id(0)?),
        id: AuditId(row.id(1)?),
        at: row.time(2)?,
        actor: row.decode(3, Actor::from_parts(row.text(3)?, row.opt_id(4)?))?,
        address: text(5)?,
        request_id: text(6)?,
        action: row.text(7)?.to_owned(),
        object_kind: row.text(8)?.to_owned(),
        object_id: row.text(9)?.to_owned(),
        fields: row.text(10)?.split_whitespace().map(str::to_owned).collect(),
    })
}
