//! The routes of users: sign-up, profiles, passwords, what is held of them.

use axum::http::StatusCode;
use caudal_domain::access::Scope::{UsersRead, UsersWrite};

use super::{CREATED, OK};
use crate::{
    endpoint::{Access, Endpoint, Routes, delete, get, patch, post},
    routes::{mails, passwords, users},
    shapes::{
        NoFields,
        mails::MailsShape,
        users::{
            ConfirmRequest, EraseRequest, ExportShape, PasswordRequest, ProfilePatch,
            RecoverRequest, UserRequest, UserShape, VerifyRequest,
        },
    },
};

const ACCEPTED: StatusCode = StatusCode::ACCEPTED;
const NO_CONTENT: StatusCode = StatusCode::NO_CONTENT;

pub(super) fn user_routes(routes: Routes) -> Routes {
    password_routes(own_routes(staff_routes(routes)))
}

fn staff_routes(routes: Routes) -> Routes {
    routes
        .add(
            post("/api/v1/users", Access::OpenOr(UsersWrite))
                .summary(
                    "Create a user; without credentials: sign up, which always answers 202 and \
                     goes on by mail",
                )
                .takes::<UserRequest>()
                .gives::<UserShape<'_>>(CREATED)
                .errors(&[404, 409, 422])
                .once(),
            users::create,
        )
        .add(
            get("/api/v1/users", UsersRead)
                .summary("List users, newest first")
                .lists::<UserShape<'_>>()
                .query(&["status", "email"]),
            users::list,
        )
        .add(
            get("/api/v1/users/{id}", UsersRead)
                .summary("Read a user")
                .gives::<UserShape<'_>>(OK)
                .errors(&[404]),
            users::read,
        )
        .add(
            delete("/api/v1/users/{id}", UsersWrite)
                .summary("Erase a user: nothing personal stays, the books keep the id")
                .gives_nothing(NO_CONTENT)
                .errors(&[404, 409]),
            users::erase,
        )
        .add(
            get("/api/v1/users/{id}/export", UsersRead)
                .summary("Read all that is held of a user")
                .gives::<ExportShape<'_>>(OK)
                .errors(&[404]),
            users::export,
        )
        .add(
            status("/api/v1/users/{id}/deactivate").summary("End all sessions and let no more in"),
            users::deactivate,
        )
        .add(
            status("/api/v1/users/{id}/reactivate").summary("Let a deactivated user in again"),
            users::reactivate,
        )
}

fn status(path: &'static str) -> Endpoint {
    post(path, UsersWrite)
        .takes::<NoFields>()
        .gives::<UserShape<'static>>(OK)
        .errors(&[404, 409, 422])
        .once()
}

fn own_routes(routes: Routes) -> Routes {
    routes
        .add(
            get("/api/v1/users/me", Access::SignedIn)
                .summary("Read one's own profile")
                .gives::<UserShape<'_>>(OK)
                .errors(&[404]),
            users::read_me,
        )
        .add(
            patch("/api/v1/users/me", Access::SignedIn)
                .summary("Change one's name; a new e-mail address is in force once it is proven")
                .takes::<ProfilePatch>()
                .gives::<UserShape<'_>>(OK)
                .errors(&[404, 409, 412, 429]),
            users::update_me,
        )
        .add(
            delete("/api/v1/users/me", Access::SignedIn)
                .summary("Erase oneself, with the password")
                .may_take::<EraseRequest>()
                .gives_nothing(NO_CONTENT)
                .errors(&[404, 409, 429]),
            users::erase_me,
        )
        .add(
            get("/api/v1/users/me/export", Access::SignedIn)
                .summary("Read all that is held of oneself")
                .gives::<ExportShape<'_>>(OK)
                .errors(&[404]),
            users::export_me,
        )
}

fn password_routes(routes: Routes) -> Routes {
    routes
        .add(
            post("/api/v1/users/me/password", Access::SignedIn)
                .summary("Change one's password, which ends all other sessions")
                .takes::<PasswordRequest>()
                .gives_nothing(NO_CONTENT)
                .errors(&[404, 409, 422, 429])
                .once(),
            passwords::change,
        )
        .add(
            post("/api/v1/auth/verify-email", Access::Open)
                .summary("Prove an e-mail address with the code that was sent to it")
                .takes::<VerifyRequest>()
                .gives_nothing(NO_CONTENT)
                .errors(&[409, 429]),
            users::verify_email,
        )
        .add(
            post("/api/v1/auth/recover", Access::Open)
                .summary("Have a code for a new password sent, if the address has an account")
                .takes::<RecoverRequest>()
                .gives::<NoFields>(ACCEPTED)
                .errors(&[404, 429]),
            passwords::recover,
        )
        .add(
            post("/api/v1/auth/recover/confirm", Access::Open)
                .summary("Set a new password with the code, which ends all sessions")
                .takes::<ConfirmRequest>()
                .gives_nothing(NO_CONTENT)
                .errors(&[409, 422, 429]),
            passwords::confirm,
        )
        .add(
            get("/api/v1/dev/mails", UsersWrite)
                .summary("In development: read the tenant's last mails, which went to the log")
                .gives::<MailsShape<'_>>(OK)
                .errors(&[404]),
            mails::recent,
        )
}
