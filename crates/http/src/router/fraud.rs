//! The routes of fraud rules and reviews.

use axum::http::StatusCode;
use caudal_domain::access::Scope::{FraudRulesRead, FraudRulesWrite};

use super::{CREATED, OK};
use crate::{
    endpoint::{Routes, delete, get, patch, post},
    routes::fraud_rules,
    shapes::fraud_rules::{
        FraudRulePatch, FraudRuleRequest, FraudRuleShape, TrialRequest, TrialShape,
    },
};

pub(super) fn fraud_routes(routes: Routes) -> Routes {
    routes
        .add(
            post("/api/v1/fraud-rules", FraudRulesWrite)
                .summary("Create a fraud rule")
                .takes::<FraudRuleRequest>()
                .gives::<FraudRuleShape<'_>>(CREATED)
                .errors(&[409, 422])
                .once(),
            fraud_rules::create,
        )
        .add(
            get("/api/v1/fraud-rules", FraudRulesRead)
                .summary("List fraud rules in the order in which they are asked")
                .lists::<FraudRuleShape<'_>>(),
            fraud_rules::list,
        )
        .add(
            post("/api/v1/fraud-rules/test", FraudRulesRead)
                .summary("Try an expression on payments that were made; nothing is kept")
                .takes::<TrialRequest>()
                .gives::<TrialShape>(OK)
                .errors(&[404]),
            fraud_rules::test,
        )
        .add(
            get("/api/v1/fraud-rules/{id}", FraudRulesRead)
                .summary("Read a fraud rule")
                .gives::<FraudRuleShape<'_>>(OK)
                .errors(&[404]),
            fraud_rules::read,
        )
        .add(
            patch("/api/v1/fraud-rules/{id}", FraudRulesWrite)
                .summary("Change a fraud rule, for the next payment on")
                .takes::<FraudRulePatch>()
                .gives::<FraudRuleShape<'_>>(OK)
                .errors(&[404, 409, 412]),
            fraud_rules::update,
        )
        .add(
            delete("/api/v1/fraud-rules/{id}", FraudRulesWrite)
                .summary("Delete a fraud rule")
                .gives_nothing(StatusCode::NO_CONTENT)
                .errors(&[404, 412]),
            fraud_rules::delete,
        )
}
