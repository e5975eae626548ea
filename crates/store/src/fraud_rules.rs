//! A tenant's fraud rules in their order: by position, then by age.

use caudal_domain::{FraudAction, FraudRule, FraudRuleId, TenantId};

use crate::{Backend, Row, Step, StoreError};

const COLUMNS: &str = "id, tenant_id, position, name, expression, action, active, version, \
     created_at, updated_at from fraud_rules";

pub fn insert(rule: &FraudRule) -> Step {
    Step::one(
        "insert into fraud_rules (tenant_id, id, position, name, expression, action, active,
         version, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        vec![
            rule.tenant.0.into(),
            rule.id.0.into(),
            rule.position.into(),
            rule.name.as_str().into(),
            rule.expression.as_str().into(),
            rule.action.name().into(),
            rule.active.into(),
            rule.version.into(),
            rule.created_at.into(),
            rule.updated_at.into(),
        ],
    )
}

/// Writes the whole rule, if the row still has the version before `rule.version`.
pub fn update(rule: &FraudRule) -> Step {
    Step::one(
        "update fraud_rules set position = $3, name = $4, expression = $5, action = $6,
         active = $7, updated_at = $8, version = $9
         where tenant_id = $1 and id = $2 and version = $9 - 1",
        vec![
            rule.tenant.0.into(),
            rule.id.0.into(),
            rule.position.into(),
            rule.name.as_str().into(),
            rule.expression.as_str().into(),
            rule.action.name().into(),
            rule.active.into(),
            rule.updated_at.into(),
            rule.version.into(),
        ],
    )
}

pub fn delete(tenant: TenantId, id: FraudRuleId) -> Step {
    Step::one(
        "delete from fraud_rules where tenant_id = $1 and id = $2",
        vec![tenant.0.into(), id.0.into()],
    )
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    id: FraudRuleId,
) -> Result<Option<FraudRule>, StoreError> {
    let sql = format!("select {COLUMNS} where tenant_id = $1 and id = $2");
    let params = [tenant.0.into(), id.0.into()];
    db.query("fraud_rules", &sql, &params).await?.first().map(read).transpose()
}

/// In their order, after the rule of this position and id.
pub async fn list(
    db: &dyn Backend,
    tenant: TenantId,
    (position, id): (i64, FraudRuleId),
    limit: i64,
) -> Result<Vec<FraudRule>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where tenant_id = $1 and (position, id) > ($2, $3)
         order by position, id limit $4"
    );
    let params = [tenant.0.into(), position.into(), id.0.into(), limit.into()];
    db.query("fraud_rules", &sql, &params).await?.iter().map(read).collect()
}

/// Those that are evaluated, in their order.
pub async fn active(
    db: &dyn Backend,
    tenant: TenantId,
    limit: i64,
) -> Result<Vec<FraudRule>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where tenant_id = $1 and active = 1 order by position, id limit $2"
    );
    let params = [tenant.0.into(), limit.into()];
    db.query("fraud_rules", &sql, &params).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<FraudRule, StoreError> {
    Ok(FraudRule {
        id: FraudRuleId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        position: row.int(2)?,
        name: row.string(3)?,
        expression: row.string(4)?,
        action: row.decode(5, FraudAction::from_name(row.text(5)?))?,
        active: row.flag(6)?,
        version: row.int(7)?,
        created_at: row.time(8)?,
        updated_at: row.time(9)?,
    })
}
