//! The routes of fraud rules and reviews, and of wallets' tiers.

use axum::http::StatusCode;
use caudal_domain::access::Scope::{
    FraudRulesRead, FraudRulesWrite, LimitsWrite, ReviewsRead, ReviewsWrite, WalletsRead,
};

use super::{CREATED, OK};
use crate::{
    endpoint::{Routes, delete, get, patch, post, put},
    routes::{fraud_rules, reviews, wallet_tiers},
    shapes::{
        NoFields,
        fraud_rules::{FraudRulePatch, FraudRuleRequest, FraudRuleShape, TrialRequest, TrialShape},
        payments::PaymentShape,
        reviews::ReviewShape,
        wallet_tiers::{WalletTierRequest, WalletTierShape},
    },
};

pub(super) fn fraud_routes(routes: Routes) -> Routes {
    review_routes(rule_routes(tier_routes(routes)))
}

fn tier_routes(routes: Routes) -> Routes {
    routes
        .add(
            get("/api/v1/wallets/{id}/tier", WalletsRead)
                .summary("Read a wallet's tier, its limits and what was taken so far")
                .gives::<WalletTierShape<'_>>(OK)
                .errors(&[404]),
            wallet_tiers::read,
        )
        .add(
            put("/api/v1/wallets/{id}/tier", LimitsWrite)
                .summary("Put a wallet into a tier, or out of it")
                .takes::<WalletTierRequest>()
                .gives::<WalletTierShape<'_>>(OK)
                .errors(&[404, 409]),
            wallet_tiers::write,
        )
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
