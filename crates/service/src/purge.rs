//! Throws away what has ended and is of no more use: codes, sessions, mails, quotes, sagas,
//! webhooks in and out. Ends files that were not received whole.

use caudal_store::{
    UnitOfWork, codes, deliveries, inbox, incoming_webhooks, mails, quotes, sagas, sessions,
    uploads, velocity_turns,
};

use crate::{Service, ServiceError};

/// A week, in which somebody may ask where a mail is.
const MAILS_KEPT_SECONDS: i64 = 7 * 24 * 3600;
/// A day, in which somebody may ask why their quote was refused.
const QUOTES_KEPT_SECONDS: i64 = 24 * 3600;
/// A month: gateways send the same again for three days.
const WEBHOOKS_KEPT_SECONDS: i64 = 30 * 24 * 3600;
/// A month, in which a delivery can be replayed.
const DELIVERIES_KEPT_SECONDS: i64 = 30 * 24 * 3600;
/// A month, in which somebody may ask how a payment came to its end.
const SAGAS_KEPT_SECONDS: i64 = 30 * 24 * 3600;
/// A week: consumers go on where they were, and are not set back further than that.
const INBOX_KEPT_SECONDS: i64 = 7 * 24 * 3600;

/// An hour: a file is taken in by one request.
const RECEIVED_WITHIN_SECONDS: i64 = 3600;
/// Two days: rules count a day back, and a turn takes seconds.
const TURNS_KEPT_SECONDS: i64 = 2 * 24 * 3600;

impl Service {
    pub async fn purge(&self) -> Result<(), ServiceError> {
        let at = self.now();
        let mut steps = vec![codes::remove_expired(at)];
        steps.extend(sessions::remove_expired(at));
        steps.push(mails::remove_ended(at.plus_seconds(-MAILS_KEPT_SECONDS)));
        steps.push(quotes::remove_expired(at.plus_seconds(-QUOTES_KEPT_SECONDS)));
        steps.push(incoming_webhooks::remove_before(at.plus_seconds(-WEBHOOKS_KEPT_SECONDS)));
        steps.extend(deliveries::remove_before(at.plus_seconds(-DELIVERIES_KEPT_SECONDS)));
        steps.push(inbox::remove_before(at.plus_seconds(-INBOX_KEPT_SECONDS)));
        steps.push(sagas::remove_finished(at.plus_seconds(-SAGAS_KEPT_SECONDS)));
        steps.push(velocity_turns::remove_before(at.plus_seconds(-TURNS_KEPT_SECONDS)));
        steps.push(uploads::end_unreceived(at.plus_seconds(-RECEIVED_WITHIN_SECONDS)));
        let unit = UnitOfWork { at, steps, ..UnitOfWork::default() };
        self.commit(unit).await.map(drop)
    }
}
