//! Where tenants want their events sent. Failures in a row are counted by the database; how many
//! disable an endpoint is decided elsewhere.

use std::fmt;

use caudal_domain::{TenantId, Timestamp, WebhookEndpointId};

use crate::{Backend, Row, Step, StoreError};

const COLUMNS: &str = "id, tenant_id, url, events, sealed, failures, failing_since, disabled_at, \
     disabled_why, version, created_at, updated_at from webhook_endpoints";

#[derive(Clone, PartialEq, Eq)]
pub struct EndpointRow {
    pub id: WebhookEndpointId,
    pub tenant: TenantId,
    pub url: String,
    /// Types of events, or `*`.
    pub events: Vec<String>,
    /// The secret, and the one before it while both count.
    pub sealed: String,
    /// In a row.
    pub failures: i64,
    pub failing_since: Option<Timestamp>,
    pub disabled: Option<Disabled>,
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disabled {
    pub at: Timestamp,
    pub why: String,
}

/// Neither the secret nor the address, which may hold one.
impl fmt::Debug for EndpointRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointRow")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("events", &self.events)
            .field("failures", &self.failures)
            .field("disabled", &self.disabled)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

pub fn insert(endpoint: &EndpointRow) -> Step {
    Step::one(
        "insert into webhook_endpoints (tenant_id, id, url, events, sealed, version, created_at,
         updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8)",
        vec![
            endpoint.tenant.0.into(),
            endpoint.id.0.into(),
            endpoint.url.as_str().into(),
            endpoint.events.join(" ").into(),
            endpoint.sealed.as_str().into(),
            endpoint.version.into(),
            endpoint.created_at.into(),
            endpoint.updated_at.into(),
        ],
    )
}

/// Writes address, events, secret and whether it is disabled, if the row still has the version
/// before `endpoint.version`; failures count anew.
pub fn update(endpoint: &EndpointRow) -> Step {
    Step::one(
        "update webhook_endpoints set url = $3, events = $4, sealed = $5, disabled_at = $6,
         disabled_why = $7, failures = 0, failing_since = null, updated_at = $8, version = $9
         where tenant_id = $1 and id = $2 and version = $9 - 1",
        vec![
            endpoint.tenant.0.into(),
            endpoint.id.0.into(),
            endpoint.url.as_str().into(),
            endpoint.events.join(" ").into(),
            endpoint.sealed.as_str().into(),
            endpoint.disabled.as_ref().map(|disabled| disabled.at).into(),
            endpoint.disabled.as_ref().map(|disabled| disabled.why.as_str()).into(),
            endpoint.updated_at.into(),
            endpoint.version.into(),
        ],
    )
}

/// The first two steps of a unit that makes one: the second misses when the tenant has so many.
/// The first makes such units of a tenant wait for each other.
pub fn has_room(tenant: TenantId, most: i64) -> (Step, Step) {
    let lock = "update tenants set version = version where id = $1";
    let check = "update tenants set version = version where id = $1 and $2 > (
           select count(*) from webhook_endpoints where tenant_id = $1)";
    let id = || tenant.0.into();
    (Step::one(lock, vec![id()]), Step::one(check, vec![id(), most.into()]))
}

/// Under another master key, if nobody changed it meanwhile.
pub fn reseal(endpoint: &EndpointRow, sealed: &str) -> Step {
    Step::one(
        "update webhook_endpoints set sealed = $3
         where tenant_id = $1 and id = $2 and sealed = $4",
        vec![
            endpoint.tenant.0.into(),
            endpoint.id.0.into(),
            sealed.into(),
            endpoint.sealed.as_str().into(),
        ],
    )
}

/// The endpoint; what was under way to it has failed.
pub fn delete(tenant: TenantId, id: WebhookEndpointId, at: Timestamp) -> [Step; 2] {
    let delete = Step::one(
        "delete from webhook_endpoints where tenant_id = $1 and id = $2",
        vec![tenant.0.into(), id.0.into()],
    );
    [delete, give_up(tenant, id, at)]
}

/// What is under way to it has failed.
fn give_up(tenant: TenantId, id: WebhookEndpointId, at: Timestamp) -> Step {
    Step::new(
        "update webhook_deliveries set failed_at = $3
         where tenant_id = $1 and endpoint_id = $2
           and delivered_at is null and failed_at is null",
        vec![tenant.0.into(), id.0.into(), at.into()],
    )
}

/// It took something: failures count anew.
pub fn worked(tenant: TenantId, id: WebhookEndpointId) -> Step {
    Step::new(
        "update webhook_endpoints set failures = 0, failing_since = null
         where tenant_id = $1 and id = $2 and failures > 0",
        vec![tenant.0.into(), id.0.into()],
    )
}

/// One more failure in a row.
pub fn failed(tenant: TenantId, id: WebhookEndpointId, at: Timestamp) -> Step {
    Step::new(
        "update webhook_endpoints set failures = failures + 1,
         failing_since = coalesce(failing_since, $3) where tenant_id = $1 and id = $2",
        vec![tenant.0.into(), id.0.into(), at.into()],
    )
}

/// What is under way to it has failed. Misses when it is disabled already, so that this is told
/// once.
pub fn disable(tenant: TenantId, id: WebhookEndpointId, disabled: &Disabled) -> [Step; 2] {
    let disable = Step::one(
        "update webhook_endpoints set disabled_at = $3, disabled_why = $4, updated_at = $3,
         version = version + 1
         where tenant_id = $1 and id = $2 and disabled_at is null",
        vec![tenant.0.into(), id.0.into(), disabled.at.into(), disabled.why.as_str().into()],
    );
    [disable, give_up(tenant, id, disabled.at)]
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    id: WebhookEndpointId,
) -> Result<Option<EndpointRow>, StoreError> {
    let sql = format!("select {COLUMNS} where tenant_id = $1 and id = $2");
    let params = [tenant.0.into(), id.0.into()];
    db.query("webhook_endpoints", &sql, &params).await?.first().map(read).transpose()
}

/// Newest first, below `before`.
pub async fn list(
    db: &dyn Backend,
    tenant: TenantId,
    before: WebhookEndpointId,
    limit: i64,
) -> Result<Vec<EndpointRow>, StoreError> {
    let sql =
        format!("select {COLUMNS} where tenant_id = $1 and id < $2 order by id desc limit $3");
    let params = [tenant.0.into(), before.0.into(), limit.into()];
    db.query("webhook_endpoints", &sql, &params).await?.iter().map(read).collect()
}

/// Those of the tenants that get events, oldest first.
pub async fn enabled(
    db: &dyn Backend,
    tenants: &[TenantId],
) -> Result<Vec<EndpointRow>, StoreError> {
    let params: Vec<_> = tenants.iter().map(|tenant| tenant.0.into()).collect();
    let places: Vec<_> = (1..=tenants.len()).map(|place| format!("${place}")).collect();
    let sql = format!(
        "select {COLUMNS} where disabled_at is null and tenant_id in ({}) order by id",
        places.join(", ")
    );
    db.query("webhook_endpoints", &sql, &params).await?.iter().map(read).collect()
}

/// Whether anybody at all wants events sent.
pub async fn any_enabled(db: &dyn Backend) -> Result<bool, StoreError> {
    let sql = "select 1 from webhook_endpoints where disabled_at is null limit 1";
    Ok(!db.query("webhook_endpoints", sql, &[]).await?.is_empty())
}

/// Of all tenants, in order of their ids, for whoever goes through all of them.
pub async fn after(
    db: &dyn Backend,
    after: WebhookEndpointId,
    limit: i64,
) -> Result<Vec<EndpointRow>, StoreError> {
    let sql = format!("select {COLUMNS} where id > $1 order by id limit $2");
    let params = [after.0.into(), limit.into()];
    db.query("webhook_endpoints", &sql, &params).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<EndpointRow, StoreError> {
    let disabled = row.opt_time(7)?.zip(row.opt_string(8)?);
    Ok(EndpointRow {
        id: WebhookEndpointId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        url: row.string(2)?,
        events: row.text(3)?.split_whitespace().map(str::to_owned).collect(),
        sealed: row.string(4)?,
        failures: row.int(5)?,
        failing_since: row.opt_time(6)?,
        disabled: disabled.map(|(at, why)| Disabled { at, why }),
        version: row.int(9)?,
        created_at: row.time(10)?,
        updated_at: row.time(11)?,
    })
}
