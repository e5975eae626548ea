//! The routes of second factors.

use axum::http::StatusCode;

use super::OK;
use crate::{
    endpoint::{Access, Routes, delete, post},
    routes::second_factor,
    shapes::{
        second_factor::{
            CodeRequest, MfaRequest, RecoveryCodesShape, RemovalRequest, StepUpRequest,
            SteppedUpShape, TotpRequest, TotpShape,
        },
        sessions::TokensShape,
    },
};

pub(super) fn second_factor_routes(routes: Routes) -> Routes {
    routes
        .add(
            post("/api/v1/users/me/totp", Access::SignedIn)
                .summary("Propose a second factor: the secret for an app, shown once")
                .takes::<TotpRequest>()
                .gives::<TotpShape<'_>>(OK)
                .errors(&[409]),
            second_factor::propose,
        )
        .add(
            post("/api/v1/users/me/totp/confirm", Access::SignedIn)
                .summary("Put the second factor into force with its first code")
                .takes::<CodeRequest>()
                .gives::<RecoveryCodesShape<'_>>(OK)
                .errors(&[409]),
            second_factor::confirm,
        )
        .add(
            delete("/api/v1/users/me/totp", Access::SignedIn)
                .summary("Take the second factor and its recovery codes away")
                .takes::<RemovalRequest>()
                .gives_nothing(StatusCode::NO_CONTENT)
                .errors(&[409]),
            second_factor::remove,
        )
        .add(
            post("/api/v1/users/me/recovery-codes", Access::SignedIn)
                .summary("Make new recovery codes in place of the old ones")
                .gives::<RecoveryCodesShape<'_>>(OK)
                .errors(&[409]),
            second_factor::replace_codes,
        )
        .add(
            post("/api/v1/auth/mfa", Access::Open)
                .summary("End a login with its second factor")
                .takes::<MfaRequest>()
                .gives::<TokensShape<'_>>(OK)
                .errors(&[401]),
            second_factor::answer_challenge,
        )
        .add(
            post("/api/v1/auth/step-up", Access::SignedIn)
                .summary("Prove again who you are, before a sensitive operation")
                .takes::<StepUpRequest>()
                .gives::<SteppedUpShape<'_>>(OK)
                .errors(&[409]),
            second_factor::step_up,
        )
}
