//! The routes of fraud rules and reviews.

use axum::http::StatusCode;
use caudal_domain::access::Scope::{FraudRulesRead, FraudRulesWrite, ReviewsRead, ReviewsWrite};

use super::{CREATED, OK};
use crate::{
    endpoint::{Routes, delete, get, patch, post},
    routes::{fraud_rules, reviews},
    shapes::{
        NoFields,
        fraud_rules::{FraudRulePatch, FraudRuleRequest, FraudRuleShape, TrialRequest, TrialShape},
        payments::PaymentShape,
        reviews::ReviewShape,
    },
};

pub(super) fn fraud_routes(routes: Routes) -> Routes {
    review_routes(rule_routes(routes))
}

fn review_routes(routes: Routes) -> Routes {
    let decide = |path, summary| {
        post(path, ReviewsWrite)
            .summary(summary)
            .takes::<NoFields>()
            .gives::<PaymentShape<'static>>(OK)
            .errors(&[402, 404, 409, 422])
            .once()
    };
    routes
        .add(
            get("/api/v1/reviews", ReviewsRead)
                .summary("List payments that wait for a person, newest first")
                .lists::<ReviewShape<'_>>(),
            reviews::list,
        )
        .add(
            decide("/api/v1/reviews/{id}/approve", "Let a payment in review go on").money(),
            reviews::approve,
        )
        .add(decide("/api/v1/reviews/{id}/reject", "Block a payment in review"), reviews::reject)
}

fn rule_routes(routes: Routes) -> Routes {
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
