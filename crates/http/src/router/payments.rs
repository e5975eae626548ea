//! The routes of payments and refunds.

use caudal_domain::access::Scope::{PaymentsRead, PaymentsWrite};

use super::{CREATED, MONEY, OK};
use crate::{
    endpoint::{Endpoint, Routes, get, post},
    routes::payments::{self, EXPAND},
    shapes::{
        NoFields,
        payments::{PaymentCaptureRequest, PaymentRequest, PaymentShape},
    },
};

pub(super) fn payment_routes(routes: Routes) -> Routes {
    let write = |path| -> Endpoint { post(path, PaymentsWrite).errors(MONEY).once() };
    routes
        .add(
            write("/api/v1/payments")
                .summary("Make a payment; waits up to 5 s for what becomes of it")
                .takes::<PaymentRequest>()
                .gives::<PaymentShape<'_>>(CREATED),
            payments::create,
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
                .takes::<PaymentCaptureRequest>()
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
}
