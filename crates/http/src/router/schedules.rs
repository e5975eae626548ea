//! The routes of payments that are made later: schedules, and files worked through in the
//! background.

use axum::http::StatusCode;
use caudal_domain::access::Scope::{PaymentsRead, PaymentsWrite, UploadsRead, UploadsWrite};

use super::{CREATED, OK};
use crate::{
    endpoint::{Routes, delete, get, post},
    lines::MEDIA_TYPES,
    routes::{schedules, uploads},
    shapes::{
        schedules::{ScheduleRequest, ScheduleShape},
        uploads::UploadShape,
    },
};

pub(super) fn schedule_routes(routes: Routes) -> Routes {
    upload_routes(routes)
        .add(
            post("/api/v1/schedules", PaymentsWrite)
                .summary("Have a payment made later, once or again and again")
                .takes::<ScheduleRequest>()
                .gives::<ScheduleShape<'_>>(CREATED)
                .errors(&[409, 422])
                .once(),
            schedules::create,
        )
        .add(
            get("/api/v1/schedules", PaymentsRead)
                .summary("List schedules, newest first")
                .lists::<ScheduleShape<'_>>()
                .query(&["status"]),
            schedules::list,
        )
        .add(
            get("/api/v1/schedules/{id}", PaymentsRead)
                .summary("Read a schedule")
                .gives::<ScheduleShape<'_>>(OK)
                .errors(&[404]),
            schedules::read,
        )
        .add(
            delete("/api/v1/schedules/{id}", PaymentsWrite)
                .summary("Call a schedule off: nothing is paid any more")
                .gives_nothing(StatusCode::NO_CONTENT)
                .errors(&[404, 409]),
            schedules::cancel,
        )
}

fn upload_routes(routes: Routes) -> Routes {
    routes
        .add(
            post("/api/v1/payments/uploads", UploadsWrite)
                .summary("Have a file of payments worked through: CSV or a JSON object a line")
                .takes_text(MEDIA_TYPES)
                .gives::<UploadShape<'_>>(CREATED)
                .errors(&[409, 413, 415, 422])
                .once(),
            uploads::create,
        )
        .add(
            get("/api/v1/payments/uploads", UploadsRead)
                .summary("List files of payments, newest first")
                .lists::<UploadShape<'_>>(),
            uploads::list,
        )
        .add(
            get("/api/v1/payments/uploads/{id}", UploadsRead)
                .summary("Read how far a file of payments has come")
                .gives::<UploadShape<'_>>(OK)
                .errors(&[404]),
            uploads::read,
        )
        .add(
            get("/api/v1/payments/uploads/{id}/results", UploadsRead)
                .summary("Read what came of each line, as CSV")
                .gives_text("text/csv")
                .errors(&[404]),
            uploads::results,
        )
}
