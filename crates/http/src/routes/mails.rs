//! `/api/v1/dev/mails`: in development, where mails go to the log.

use axum::{extract::State, http::StatusCode};

use crate::{
    answer::{Answer, json},
    api::Api,
    auth::By,
    shapes::mails::{MailShape, MailsShape},
};

pub(crate) async fn recent(State(api): State<Api>, By(caller): By) -> Answer {
    let sent = api.service.recent_mails(&caller).await?;
    json(StatusCode::OK, &MailsShape { data: sent.iter().map(MailShape::from).collect() })
}
