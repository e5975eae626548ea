//! A tenant's fraud rules: written, ordered, tried on what was paid. At work they are in
//! `screening.rs`.

mod made_up;

pub use self::made_up::MadeUp;
use caudal_domain::{
    Event, FraudAction, FraudRule, FraudRuleId, PaymentId, Refusal, Timestamp, event::kinds,
};
pub use caudal_rules::Outcome;
use caudal_rules::Rule;
use caudal_store::{
    Step, UnitOfWork, UnitOutcome, fraud_rules,
    payments::{self, PaymentRow},
};
use serde::Serialize;

use crate::{
    Asked, Caller, Done, Edit, Page, Service, ServiceError,
    asked::Window,
    audit::Did,
    id_range,
    screening::Screening,
    unit::{Creation, Subject},
};

/// Each is asked for every payment: 100 of them take a fraction of a millisecond.
pub const ACTIVE_MOST: i64 = 100;

#[derive(Clone, Debug)]
pub struct NewFraudRule {
    pub name: String,
    pub expression: String,
    pub action: FraudAction,
    pub position: i64,
    pub active: bool,
}

/// What is not given stays.
#[derive(Clone, Debug, Default)]
pub struct FraudRuleChange {
    pub name: Option<String>,
    pub expression: Option<String>,
    pub action: Option<FraudAction>,
    pub position: Option<i64>,
    pub active: Option<bool>,
}

impl FraudRuleChange {
    /// The names of what it changes.
    fn fields(&self) -> Vec<&'static str> {
        let given = [
            ("name", self.name.is_some()),
            ("expression", self.expression.is_some()),
            ("action", self.action.is_some()),
            ("position", self.position.is_some()),
            ("active", self.active.is_some()),
        ];
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect()
    }

    fn apply(self, rule: &mut FraudRule) {
        rule.action = self.action.unwrap_or(rule.action);
        rule.position = self.position.unwrap_or(rule.position);
        rule.active = self.active.unwrap_or(rule.active);
        if let Some(name) = self.name {
            rule.name = name;
        }
        if let Some(expression) = self.expression {
            rule.expression = expression;
        }
    }
}

/// What an expression is tried on.
#[derive(Clone, Debug)]
pub enum TrialOn {
    Payment(PaymentId),
    /// One that nobody made, as if it were made now.
    MadeUp(Box<MadeUp>),
    /// The newest of a list.
    Past(Window),
}

/// What came of an expression for one payment.
#[derive(Clone, Debug)]
pub struct Tried {
    /// `None`: one that nobody made.
    pub payment: Option<PaymentId>,
    pub outcome: Outcome,
}

#[derive(Serialize)]
struct RuleData<'a> {
    fraud_rule_id: FraudRuleId,
    name: &'a str,
    action: FraudAction,
    active: bool,
}

impl Service {
    pub async fn create_fraud_rule(
        &self,
        asked: Asked<'_>,
        new: NewFraudRule,
    ) -> Result<Done<FraudRule>, ServiceError> {
        let Asked { caller, receipt } = asked;
        caller.reach.require_tenant()?;
        self.require_step_up(caller)?;
        compile(&new.expression)?;
        if new.active {
            self.check_room_for_rule(caller, None).await?;
        }
        let at = self.now();
        let NewFraudRule { name, expression, action, position, active } = new;
        let rule = FraudRule {
            id: FraudRuleId(self.next_id(at, caller.tenant.bucket())),
            tenant: caller.tenant,
            position,
            name,
            expression,
            action,
            active,
            version: 1,
            created_at: at,
            updated_at: at,
        };
        let (record, event) = self.rule_trace(caller, &rule, (kinds::FRAUD_RULE_CREATED, &[]))?;
        let steps = vec![fraud_rules::insert(&rule), record];
        let unit = UnitOfWork { at, steps, events: vec![event], receipt: None };
        self.create(Creation { unit, receipt: Some(receipt), value: rule }).await
    }

    pub async fn fraud_rule(
        &self,
        caller: &Caller,
        id: FraudRuleId,
    ) -> Result<FraudRule, ServiceError> {
        caller.reach.require_tenant()?;
        let found = fraud_rules::find(self.store(), caller.tenant, id).await?;
        found.ok_or(ServiceError::NotFound("fraud_rule"))
    }

    /// In the order in which they are asked.
    pub async fn list_fraud_rules(
        &self,
        caller: &Caller,
        window: &Window,
    ) -> Result<Page<FraudRule>, ServiceError> {
        caller.reach.require_tenant()?;
        let after = match window.cursor.map(FraudRuleId) {
            None => (i64::MIN, FraudRuleId(0)),
            // A cursor is the last rule shown, which may have been moved, but not be gone.
            Some(id) => match fraud_rules::find(self.store(), caller.tenant, id).await? {
                Some(rule) => (rule.position, rule.id),
                None => return Err(ServiceError::invalid("cursor", "its rule is gone")),
            },
        };
        let rows = fraud_rules::list(self.store(), caller.tenant, after, window.rows()).await?;
        Ok(window.page(rows, |rule| (rule.id.0, rule.created_at)))
    }

    pub async fn update_fraud_rule(
        &self,
        caller: &Caller,
        id: FraudRuleId,
        edit: Edit<'_, FraudRule, FraudRuleChange>,
    ) -> Result<Done<FraudRule>, ServiceError> {
        let mut rule = self.fraud_rule(caller, id).await?;
        self.require_step_up(caller)?;
        let Edit { change, is_met } = edit;
        if is_met.is_some_and(|is_met| !is_met(&rule)) {
            return Err(ServiceError::Stale);
        }
        let (at, fields) = (self.now(), change.fields());
        change.apply(&mut rule);
        compile(&rule.expression)?;
        if rule.active {
            self.check_room_for_rule(caller, Some(id)).await?;
        }
        rule.version += 1;
        rule.updated_at = at;
        let (record, event) =
            self.rule_trace(caller, &rule, (kinds::FRAUD_RULE_UPDATED, &fields))?;
        let steps = vec![fraud_rules::update(&rule), record];
        match self.commit(UnitOfWork { at, steps, events: vec![event], receipt: None }).await? {
            (UnitOutcome::Done, position) => Ok(Done { value: rule, replayed: false, position }),
            _ if is_met.is_some() => Err(ServiceError::Stale),
            _ => Err(Refusal::Conflict.into()),
        }
    }

    pub async fn delete_fraud_rule(
        &self,
        caller: &Caller,
        id: FraudRuleId,
        edit: Edit<'_, FraudRule, ()>,
    ) -> Result<Done<FraudRule>, ServiceError> {
        let rule = self.fraud_rule(caller, id).await?;
        self.require_step_up(caller)?;
        if edit.is_met.is_some_and(|is_met| !is_met(&rule)) {
            return Err(ServiceError::Stale);
        }
        let at = self.now();
        let (record, event) = self.rule_trace(caller, &rule, (kinds::FRAUD_RULE_DELETED, &[]))?;
        let steps = vec![fraud_rules::delete(caller.tenant, id), record];
        match self.commit(UnitOfWork { at, steps, events: vec![event], receipt: None }).await? {
            (UnitOutcome::Done, position) => Ok(Done { value: rule, replayed: false, position }),
            _ => Err(ServiceError::NotFound("fraud_rule")),
        }
    }

    /// What the expression says of payments that were made, as things stood then; wallet and payer
    /// are as they are now. Or of one that is made up. Nothing is kept.
    pub async fn try_fraud_rule(
        &self,
        caller: &Caller,
        expression: &str,
        on: TrialOn,
    ) -> Result<Vec<Tried>, ServiceError> {
        caller.reach.require_tenant()?;
        let rule = compile(expression)?;
        let rows = match on {
            TrialOn::MadeUp(made_up) => {
                let at = self.now();
                let payment = self.made_up(caller, (*made_up, at)).await?;
                let facts = self.facts(&Screening::new(&payment, at), &rule.mentions).await?;
                return Ok(vec![Tried { payment: None, outcome: rule.evaluate(&facts) }]);
            }
            TrialOn::Past(window) => self.past_payments(caller, &window).await?,
            TrialOn::Payment(id) => {
                let found = payments::find(self.store(), caller.tenant, id).await?;
                vec![found.ok_or(ServiceError::NotFound("payment"))?]
            }
        };
        let mut tried = Vec::with_capacity(rows.len());
        for payment in &rows {
            let facts = self.facts(&Screening::past(payment), &rule.mentions).await?;
            tried.push(Tried { payment: Some(payment.id), outcome: rule.evaluate(&facts) });
        }
        Ok(tried)
    }

    async fn past_payments(
        &self,
        caller: &Caller,
        window: &Window,
    ) -> Result<Vec<PaymentRow>, ServiceError> {
        let (from, before) = id_range(&window.created);
        let filter = payments::Filter {
            tenant: caller.tenant,
            status: None,
            kind: None,
            wallet: None,
            payer: None,
            user: None,
            reference: None,
            before,
            from,
            limit: i64::try_from(window.limit).unwrap_or(1),
        };
        Ok(payments::list(self.store(), &filter).await?)
    }

    /// Whether one more may be active; `but` is the one that is to be.
    async fn check_room_for_rule(
        &self,
        caller: &Caller,
        but: Option<FraudRuleId>,
    ) -> Result<(), ServiceError> {
        let active = fraud_rules::active(self.store(), caller.tenant, ACTIVE_MOST + 1).await?;
        let others = active.iter().filter(|rule| Some(rule.id) != but).count();
        if (others as i64) < ACTIVE_MOST {
            return Ok(());
        }
        let detail = format!("a tenant has {ACTIVE_MOST} active rules at most");
        Err(ServiceError::invalid("active", detail))
    }

    /// The record and the event of a change.
    fn rule_trace(
        &self,
        caller: &Caller,
        rule: &FraudRule,
        (kind, fields): (&'static str, &[&str]),
    ) -> Result<(Step, Event), ServiceError> {
        let at: Timestamp = self.now();
        let FraudRule { id, tenant, action, active, .. } = *rule;
        let object_id = id.to_string();
        let did = Did { action: kind, object_kind: "fraud_rule", object_id, fields };
        let data = RuleData { fraud_rule_id: id, name: &rule.name, action, active };
        let event = self.event(&Subject { kind, tenant, id: id.0, text: &id, at }, &data)?;
        Ok((self.audit(caller, did, at), event))
    }
}

/// 400 with the place of what is wrong.
fn compile(expression: &str) -> Result<Rule, ServiceError> {
    Rule::compile(expression)
        .map_err(|wrong| ServiceError::invalid("expression", wrong.to_string()))
}
