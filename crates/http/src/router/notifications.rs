//! The routes of what others are told: webhook endpoints and their deliveries, notifications.

use axum::http::StatusCode;
use caudal_domain::access::Scope::{WebhooksRead, WebhooksWrite};

use super::{CREATED, OK};
use crate::{
    endpoint::{Access, Routes, delete, get, patch, post},
    routes::{deliveries, notifications, webhook_endpoints},
    shapes::{
        NoFields,
        deliveries::DeliveryShape,
        notifications::{NotificationPatch, NotificationShape, UnreadShape},
        webhook_endpoints::{
            WebhookEndpointPatch, WebhookEndpointRequest, WebhookEndpointShape, WebhookRotation,
        },
    },
};

const NO_CONTENT: StatusCode = StatusCode::NO_CONTENT;

pub(super) fn notification_routes(routes: Routes) -> Routes {
    own_routes(delivery_routes(endpoint_routes(routes)))
}

fn endpoint_routes(routes: Routes) -> Routes {
    routes
        .add(
            post("/api/v1/webhook-endpoints", WebhooksWrite)
                .summary("Have events sent to an address, with a secret that is shown once")
                .takes::<WebhookEndpointRequest>()
                .gives::<WebhookEndpointShape<'_>>(CREATED)
                .errors(&[409, 422])
                .once(),
            webhook_endpoints::create,
        )
        .add(
            get("/api/v1/webhook-endpoints", WebhooksRead)
                .summary("List webhook endpoints, newest first")
                .lists::<WebhookEndpointShape<'_>>(),
            webhook_endpoints::list,
        )
        .add(
            get("/api/v1/webhook-endpoints/{id}", WebhooksRead)
                .summary("Read a webhook endpoint")
                .gives::<WebhookEndpointShape<'_>>(OK)
                .errors(&[404]),
            webhook_endpoints::read,
        )
        .add(
            patch("/api/v1/webhook-endpoints/{id}", WebhooksWrite)
                .summary("Change a webhook endpoint; disable it, or enable it again")
                .takes::<WebhookEndpointPatch>()
                .gives::<WebhookEndpointShape<'_>>(OK)
                .errors(&[404, 409, 412]),
            webhook_endpoints::update,
        )
        .add(
            delete("/api/v1/webhook-endpoints/{id}", WebhooksWrite)
                .summary("Delete a webhook endpoint; what is under way to it is given up")
                .gives_nothing(NO_CONTENT)
                .errors(&[404]),
            webhook_endpoints::delete,
        )
        .add(
            post("/api/v1/webhook-endpoints/{id}/rotate", WebhooksWrite)
                .summary("Sign with a new secret, and for a while with the old one too")
                .may_take::<WebhookRotation>()
                .gives::<WebhookEndpointShape<'_>>(OK)
                .errors(&[404, 409, 422])
                .once(),
            webhook_endpoints::rotate,
        )
        .add(
            post("/api/v1/webhook-endpoints/{id}/ping", WebhooksWrite)
                .summary("Send a webhook endpoint an event to try it")
                .takes::<NoFields>()
                .gives::<DeliveryShape<'_>>(CREATED)
                .errors(&[404, 409, 422])
                .once(),
            webhook_endpoints::ping,
        )
}

fn delivery_routes(routes: Routes) -> Routes {
    routes
        .add(
            get("/api/v1/webhook-endpoints/{id}/deliveries", WebhooksRead)
                .summary("List what was sent to a webhook endpoint, newest first, with attempts")
                .lists::<DeliveryShape<'_>>()
                .query(&["status"])
                .errors(&[404]),
            deliveries::list,
        )
        .add(
            get("/api/v1/webhook-endpoints/{id}/deliveries/{delivery_id}", WebhooksRead)
                .summary("Read a delivery with its attempts")
                .gives::<DeliveryShape<'_>>(OK)
                .errors(&[404]),
            deliveries::read,
        )
        .add(
            post("/api/v1/webhook-endpoints/{id}/deliveries/{delivery_id}/replay", WebhooksWrite)
                .summary("Send a delivery again, whatever came of it")
                .takes::<NoFields>()
                .gives::<DeliveryShape<'_>>(OK)
                .errors(&[404, 409, 422])
                .once(),
            deliveries::replay,
        )
}

fn own_routes(routes: Routes) -> Routes {
    routes
        .add(
            get("/api/v1/notifications", Access::SignedIn)
                .summary("List what one is told, newest first")
                .lists::<NotificationShape<'_>>()
                .query(&["unread"]),
            notifications::list,
        )
        .add(
            get("/api/v1/notifications/unread", Access::SignedIn)
                .summary("Count what one has not read")
                .gives::<UnreadShape>(OK),
            notifications::unread,
        )
        .add(
            patch("/api/v1/notifications/{id}", Access::SignedIn)
                .summary("Mark a notification as read")
                .takes::<NotificationPatch>()
                .gives::<NotificationShape<'_>>(OK)
                .errors(&[404]),
            notifications::update,
        )
        .add(
            patch("/api/v1/notifications", Access::SignedIn)
                .summary("Mark all of one's notifications as read")
                .takes::<NotificationPatch>()
                .gives_nothing(NO_CONTENT),
            notifications::update_all,
        )
}
