//! `/api/v1/fraud-rules`.

use axum::{extract::State, http::StatusCode};
use caudal_domain::{FraudRule, FraudRuleId};
use caudal_service::{Done, Edit};

use super::{Editor, InPath};
use crate::{
    answer::{Answer, done, gone, json, tagged},
    api::Api,
    auth::By,
    idempotency::Write,
    json::Json,
    query::{List, Params, Shown, listed},
    shapes::fraud_rules::{
        FraudRulePatch, FraudRuleRequest, FraudRuleShape, TrialRequest, TrialShape,
    },
};

type Id = InPath<FraudRuleId>;

pub(crate) async fn create(
    State(api): State<Api>,
    write: Write,
    Json(request): Json<FraudRuleRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let made = api.service.create_fraud_rule(asked, request.into_new()?).await?;
    answer(StatusCode::CREATED, &made)
}

/// A rule with its entity tag.
fn answer(status: StatusCode, rule: &Done<FraudRule>) -> Answer {
    tagged(done(status, rule, &FraudRuleShape::from(&rule.value)), rule.value.version)
}

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let window = params.window(List::FraudRules)?;
    let fields = params.fields(FraudRuleShape::FIELDS)?;
    let page = api.service.list_fraud_rules(&caller, &window).await?;
    listed::<_, FraudRuleShape<'_>>(List::FraudRules, &page, fields.as_deref())
}

pub(crate) async fn read(State(api): State<Api>, By(caller): By, InPath(id, _): Id) -> Answer {
    let rule = api.service.fraud_rule(&caller, id).await?;
    tagged(json(StatusCode::OK, &FraudRuleShape::from(&rule)), rule.version)
}

pub(crate) async fn update(
    State(api): State<Api>,
    editor: Editor,
    InPath(id, _): Id,
    Json(patch): Json<FraudRulePatch>,
) -> Answer {
    let is_met = |rule: &FraudRule| editor.has_seen(&rule.version.to_string());
    let is_met = editor.expects().then_some(&is_met as _);
    let edit = Edit { change: patch.into_change()?, is_met };
    let updated = api.service.update_fraud_rule(&editor.caller, id, edit).await?;
    answer(StatusCode::OK, &updated)
}

pub(crate) async fn delete(State(api): State<Api>, editor: Editor, InPath(id, _): Id) -> Answer {
    let is_met = |rule: &FraudRule| editor.has_seen(&rule.version.to_string());
    let is_met = editor.expects().then_some(&is_met as _);
    let edit = Edit { change: (), is_met };
    let deleted = api.service.delete_fraud_rule(&editor.caller, id, edit).await?;
    Ok(gone(&deleted))
}

pub(crate) async fn test(
    State(api): State<Api>,
    By(caller): By,
    Json(request): Json<TrialRequest>,
) -> Answer {
    let (expression, on) = request.into_trial()?;
    let tried = api.service.try_fraud_rule(&caller, &expression, on).await?;
    json(StatusCode::OK, &TrialShape::from(&*tried))
}
