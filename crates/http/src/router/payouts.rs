//! The routes of payouts.

use caudal_domain::access::Scope::{PaymentsResolve, PayoutsRead, PayoutsWrite};

use super::{CREATED, MONEY, OK};
use crate::{
    endpoint::{Routes, get, post},
    routes::payouts,
    shapes::{
        NoFields,
        payouts::{PayoutRequest, PayoutShape},
        refunds::ResolutionRequest,
    },
};

pub(super) fn payout_routes(routes: Routes) -> Routes {
    routes
        .add(
            post("/api/v1/payouts", PayoutsWrite)
                .summary("Send money from a wallet to its holder's bank")
                .takes::<PayoutRequest>()
                .gives::<PayoutShape<'_>>(CREATED)
                .errors(MONEY)
                .once()
                .money(),
            payouts::create,
        )
        .add(
            get("/api/v1/payouts", PayoutsRead)
                .summary("List payouts, newest first")
                .lists::<PayoutShape<'_>>()
                .query(&["status", "wallet"])
                .errors(&[404]),
            payouts::list,
        )
        .add(
            get("/api/v1/payouts/{id}", PayoutsRead)
                .summary("Read a payout")
                .gives::<PayoutShape<'_>>(OK)
                .errors(&[404]),
            payouts::read,
        )
        .add(
            post("/api/v1/payouts/{id}/cancel", PayoutsWrite)
                .summary("Call off a payout that was never sent")
                .takes::<NoFields>()
                .gives::<PayoutShape<'_>>(OK)
                .errors(&[404, 409, 422])
                .once(),
            payouts::cancel,
        )
        .add(
            post("/api/v1/payouts/{id}/resolve", PaymentsResolve)
                .summary("Say what became of a payout that has been unknown for seven days")
                .takes::<ResolutionRequest>()
                .gives::<PayoutShape<'_>>(OK)
                .errors(&[404, 409, 422])
                .once()
                .money(),
            payouts::resolve,
        )
}
