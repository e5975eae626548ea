//! The routes of disputes.

use caudal_domain::access::Scope::{DisputesRead, DisputesWrite};

use super::OK;
use crate::{
    endpoint::{Routes, get, post},
    routes::disputes,
    shapes::{
        NoFields,
        disputes::{DisputeShape, EvidenceRequest},
    },
};

pub(super) fn dispute_routes(routes: Routes) -> Routes {
    routes
        .add(
            get("/api/v1/disputes", DisputesRead)
                .summary("List disputes, newest first")
                .lists::<DisputeShape<'_>>()
                .query(&["status"]),
            disputes::list,
        )
        .add(
            get("/api/v1/disputes/{id}", DisputesRead)
                .summary("Read a dispute")
                .gives::<DisputeShape<'_>>(OK)
                .errors(&[404]),
            disputes::read,
        )
        .add(
            post("/api/v1/disputes/{id}/evidence", DisputesWrite)
                .summary("Answer a dispute with evidence, once")
                .takes::<EvidenceRequest>()
                .gives::<DisputeShape<'_>>(OK)
                .errors(&[404, 409, 422])
                .once(),
            disputes::answer,
        )
        .add(
            post("/api/v1/disputes/{id}/accept", DisputesWrite)
                .summary("Give a dispute up: it is lost")
                .takes::<NoFields>()
                .gives::<DisputeShape<'_>>(OK)
                .errors(&[404, 409, 422])
                .once(),
            disputes::accept,
        )
}
