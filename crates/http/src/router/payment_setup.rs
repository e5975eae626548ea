//! The routes of what payments are made with: their types, and accounts at gateways.

use axum::http::StatusCode;
use caudal_domain::access::Scope::{
    GatewayAccountsRead, GatewayAccountsWrite, PaymentTypesRead, PaymentTypesWrite,
};

use super::{CREATED, OK};
use crate::{
    endpoint::{Access, Routes, delete, get, patch, post},
    routes::{gateway_accounts, incoming_webhooks, payment_types},
    shapes::{
        gateway_accounts::{GatewayAccountPatch, GatewayAccountRequest, GatewayAccountShape},
        payment_types::{PaymentTypePatch, PaymentTypeRequest, PaymentTypeShape},
    },
};

pub(super) fn payment_setup_routes(routes: Routes) -> Routes {
    gateway_account_routes(payment_type_routes(routes))
}

fn payment_type_routes(routes: Routes) -> Routes {
    routes
        .add(
            post("/api/v1/payment-types", PaymentTypesWrite)
                .summary("Create a type of payments: currencies, limits, fees, gateways")
                .takes::<PaymentTypeRequest>()
                .gives::<PaymentTypeShape<'_>>(CREATED)
                .errors(&[409, 422])
                .once(),
            payment_types::create,
        )
        .add(
            get("/api/v1/payment-types", PaymentTypesRead)
                .summary("List payment types, newest first")
                .lists::<PaymentTypeShape<'_>>(),
            payment_types::list,
        )
        .add(
            get("/api/v1/payment-types/{id}", PaymentTypesRead)
                .summary("Read a payment type")
                .gives::<PaymentTypeShape<'_>>(OK)
                .errors(&[404]),
            payment_types::read,
        )
        .add(
            patch("/api/v1/payment-types/{id}", PaymentTypesWrite)
                .summary("Change what holds for new payments of a type")
                .takes::<PaymentTypePatch>()
                .gives::<PaymentTypeShape<'_>>(OK)
                .errors(&[404, 409, 412]),
            payment_types::update,
        )
        .add(
            delete("/api/v1/payment-types/{id}", PaymentTypesWrite)
                .summary("Delete a payment type; payments of it stay")
                .gives_nothing(StatusCode::NO_CONTENT)
                .errors(&[404, 412]),
            payment_types::delete,
        )
}

fn gateway_account_routes(routes: Routes) -> Routes {
    routes
        .add(
            post("/api/v1/gateway-accounts", GatewayAccountsWrite)
                .summary("Add an account at a payment gateway")
                .takes::<GatewayAccountRequest>()
                .gives::<GatewayAccountShape<'_>>(CREATED)
                .errors(&[409, 422])
                .once(),
            gateway_accounts::create,
        )
        .add(
            get("/api/v1/gateway-accounts", GatewayAccountsRead)
                .summary("List accounts at gateways, newest first")
                .lists::<GatewayAccountShape<'_>>(),
            gateway_accounts::list,
        )
        .add(
            get("/api/v1/gateway-accounts/{id}", GatewayAccountsRead)
                .summary("Read an account at a gateway, without its credentials")
                .gives::<GatewayAccountShape<'_>>(OK)
                .errors(&[404]),
            gateway_accounts::read,
        )
        .add(
            patch("/api/v1/gateway-accounts/{id}", GatewayAccountsWrite)
                .summary("Rename an account at a gateway, switch it off or on, replace credentials")
                .takes::<GatewayAccountPatch>()
                .gives::<GatewayAccountShape<'_>>(OK)
                .errors(&[404, 409, 412]),
            gateway_accounts::update,
        )
}

pub(super) fn incoming_webhook_routes(routes: Routes) -> Routes {
    routes.add(
        post("/api/v1/gateway-accounts/{id}/webhooks", Access::Open)
            .summary("For the gateway: tells what has happened, signed")
            .gives_nothing(OK)
            .errors(&[401, 404]),
        incoming_webhooks::take,
    )
}
