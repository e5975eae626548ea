//! The routes of payments and refunds.

use caudal_domain::access::Scope::{PaymentsRead, PaymentsResolve, PaymentsWrite};

use super::{CREATED, MONEY, OK};
use crate::{
    endpoint::{Endpoint, Routes, get, post},
    routes::{
        payments::{self, EXPAND},
        refunds,
    },
    shapes::{
        NoFields,
        payments::{
            PaymentBatchRequest, PaymentBatchShape, PaymentCaptureRequest, PaymentRequest,
            PaymentShape,
        },
        refunds::{RefundRequest, RefundShape, ResolutionRequest},
    },
};

pub(super) fn payment_routes(routes: Routes) -> Routes {
    let write = |path| -> Endpoint { post(path, PaymentsWrite).errors(MONEY).once() };
    let routes = routes
        .add(
            write("/api/v1/payments")
                .summary("Make a payment; waits up to 5 s for what becomes of it")
                .takes::<PaymentRequest>()
                .gives::<PaymentShape<'_>>(CREATED),
            payments::create,
        )
        .add(
            post("/api/v1/payments/batch", PaymentsWrite)
                .summary("Make up to 1,000 payments, each with its own key and its own fate")
                .takes::<PaymentBatchRequest>()
                .gives::<PaymentBatchShape<'_>>(OK)
                .errors(MONEY),
            payments::batch,
        )
        .add(
            get("/api/v1/payments", PaymentsRead)
                .summary("List payments, newest first")
                .lists::<PaymentShape<'_>>()
                .query(&["status", "type", "wallet", "from", "user", "reference"])
                .errors(&[404]),
            payments::list,
        )
        .add(
            get("/api/v1/payments/{id}", PaymentsRead)
                .summary("Read a payment, with its refunds, attempts or events if asked for")
                .gives::<PaymentShape<'_>>(OK)
                .query(&["fields", EXPAND])
                .errors(&[404]),
            payments::read,
        )
        .add(
            write("/api/v1/payments/{id}/capture")
                .summary("Take what was authorized, wholly or in part; the rest is let go")
                .may_take::<PaymentCaptureRequest>()
                .gives::<PaymentShape<'_>>(OK),
            payments::capture,
        )
        .add(
            write("/api/v1/payments/{id}/cancel")
                .summary("Call off a payment of which nothing was taken")
                .takes::<NoFields>()
                .gives::<PaymentShape<'_>>(OK),
            payments::cancel,
        )
        .add(
            write("/api/v1/payments/{id}/refunds")
                .summary("Give a payment back, wholly or in part")
                .may_take::<RefundRequest>()
                .gives::<RefundShape<'_>>(CREATED),
            refunds::create,
        );
    refund_routes(resolution_routes(routes))
}

fn resolution_routes(routes: Routes) -> Routes {
    let resolve = |path| {
        post(path, PaymentsResolve)
            .takes::<ResolutionRequest>()
            .errors(&[403, 404, 409, 422])
            .once()
    };
    routes
        .add(
            resolve("/api/v1/payments/{id}/resolve")
                .summary("Say what became of a payment that needs a decision")
                .gives::<PaymentShape<'_>>(OK)
                .money(),
            payments::resolve,
        )
        .add(
            resolve("/api/v1/refunds/{id}/resolve")
                .summary("Say what became of a refund whose payment needs a decision")
                .gives::<RefundShape<'_>>(OK)
                .money(),
            refunds::resolve,
        )
}

fn refund_routes(routes: Routes) -> Routes {
    routes
        .add(
            get("/api/v1/refunds", PaymentsRead)
                .summary("List refunds, newest first")
                .lists::<RefundShape<'_>>()
                .query(&["status", "payment"])
                .errors(&[404]),
            refunds::list,
        )
        .add(
            get("/api/v1/refunds/{id}", PaymentsRead)
                .summary("Read a refund")
                .gives::<RefundShape<'_>>(OK)
                .errors(&[404]),
            refunds::read,
        )
}
