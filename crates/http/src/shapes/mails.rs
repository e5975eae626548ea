//! Mails as the console shows them in development.

use caudal_domain::{MailId, Timestamp};
use caudal_service::mails::Sent;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
#[schema(as = Mail, example = json!({
    "id": "mai_01h455vb4pex5vsknk084sn02q", "to": "ada@example.org",
    "subject": "Please confirm your e-mail address", "text": "…",
    "sent_at": "2026-01-31T09:30:00Z"
}))]
pub(crate) struct MailShape<'a> {
    #[schema(value_type = String)]
    id: MailId,
    to: &'a str,
    subject: &'a str,
    text: &'a str,
    #[schema(value_type = String)]
    sent_at: Timestamp,
}

impl<'a> From<&'a Sent> for MailShape<'a> {
    fn from(sent: &'a Sent) -> Self {
        let mail = &sent.mail;
        Self {
            id: mail.id,
            to: &mail.to,
            subject: &mail.subject,
            text: &mail.text,
            sent_at: sent.at,
        }
    }
}

/// Newest first, a hundred at most.
#[derive(Serialize, ToSchema)]
#[schema(as = Mails)]
pub(crate) struct MailsShape<'a> {
    pub data: Vec<MailShape<'a>>,
}
