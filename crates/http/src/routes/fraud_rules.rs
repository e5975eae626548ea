//! `/api/v1/fraud-rules`.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use caudal_domain::{FraudRule, FraudRuleId};
use caudal_service::{Done, Edit};

use super::{Editor, InPath};
use crate::{
    answer::{Answer, add_headers, bytes, done, etag, json},
    api::Api,
    auth::By,
    idempotency::Write,
    json::Json,
    problem::Problem,
    query::{List, Params, Shown, list_body, next_of},
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
    let mut response = done(status, rule, &FraudRuleShape::from(&rule.value))?;
    let tag = etag(&rule.value.version.to_string());
    response.headers_mut().insert(header::ETAG, tag);
    Ok(response)
}

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let window = params.window(List::FraudRules)?;
    let fields = params.fields(FraudRuleShape::FIELDS)?;
    let page = api.service.list_fraud_rules(&caller, &window).await?;
    let shapes: Vec<_> = page.items.iter().map(FraudRuleShape::from).collect();
    let body = list_body(shapes, next_of(List::FraudRules, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

pub(crate) async fn read(State(api): State<Api>, By(caller): By, InPath(id, _): Id) -> Answer {
    let rule = api.service.fraud_rule(&caller, id).await?;
    let mut response = json(StatusCode::OK, &FraudRuleShape::from(&rule))?;
    response.headers_mut().insert(header::ETAG, etag(&rule.version.to_string()));
    Ok(response)
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

pub(crate) async fn delete(
    State(api): State<Api>,
    editor: Editor,
    InPath(id, _): Id,
) -> Result<Response, Problem> {
    let is_met = |rule: &FraudRule| editor.has_seen(&rule.version.to_string());
    let is_met = editor.expects().then_some(&is_met as _);
    let edit = Edit { change: (), is_met };
    let deleted = api.service.delete_fraud_rule(&editor.caller, id, edit).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    add_headers(response.headers_mut(), false, &deleted.position);
    Ok(response)
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
