//! Mails: written to the outbox in the commit of what they tell, sent by a worker afterwards.
//!
//! Address and code are sealed with the recipient's key, so that erasure takes them too. To add a
//! mail: its template in `domain/mail.rs`, its words in [`words`], and [`Service::mail`] among the
//! steps of what it tells.

use caudal_domain::{
    Currency, Mail, MailId, MailTemplate, PaymentId, Timestamp, UserId, UserStatus,
};
use caudal_identity::{Binding, PersonKey};
pub use caudal_outbound::mail::Sent;
use caudal_outbound::mail::{Mail as Outgoing, MailFault};
use caudal_store::{Step, UnitOfWork, UnitOutcome, mails, mails::MailRow, users, users::UserRow};
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use crate::{Caller, Service, ServiceError, personal::Person, personal::not_opened, unit::broken};

/// Mails looked at in one round, and sent at the same time: the mailer has as many connections.
const ROUND: i64 = 20;
const AT_ONCE: usize = 4;
/// A worker has a mail for so long: the mailer gives one up after 10 s.
const LEASE_SECONDS: i64 = 60;
/// Tried again after so long, then twice as long, up to 2⁷ times (an hour).
const PAUSE_SECONDS: i64 = 30;
const DOUBLINGS: i64 = 7;
/// RFC 5321, 4.5.4.1: give up after four or five days. Our codes are stale long before.
const GIVEN_UP_SECONDS: i64 = 3 * 24 * 3600;
/// Mails of a tenant among which the recent ones are its own.
const RECENT: i64 = 200;

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Letter {
    to: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paid: Option<Paid>,
}

/// What a receipt is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Paid {
    pub payment_id: PaymentId,
    pub amount: i64,
    pub currency: Currency,
}

/// A mail to somebody who has a key.
pub(crate) struct NewMail<'a> {
    pub person: Person,
    pub key: &'a PersonKey,
    pub template: MailTemplate,
    pub to: &'a str,
    /// One that its reader may use once.
    pub code: Option<&'a str>,
}

impl Service {
    /// The step that writes it to the outbox.
    pub(crate) fn mail(&self, new: &NewMail<'_>, at: Timestamp) -> Result<Step, ServiceError> {
        let Person { tenant, user } = new.person;
        let id = MailId(self.scattered_id(at));
        let mail = Mail { id, tenant, user: Some(user), template: new.template, created_at: at };
        Ok(mails::insert(&mail, &self.sealed_mail(id, new)?))
    }

    /// For the column `mails.sealed`.
    pub(crate) fn sealed_mail(
        &self,
        id: MailId,
        new: &NewMail<'_>,
    ) -> Result<String, ServiceError> {
        let code = new.code.map(str::to_owned);
        let letter = Letter { to: new.to.to_owned(), code, paid: None };
        self.sealed_letter((id, new.person), new.key, &letter)
    }

    fn sealed_letter(
        &self,
        (id, person): (MailId, Person),
        key: &PersonKey,
        letter: &Letter,
    ) -> Result<String, ServiceError> {
        let plain = serde_json::to_vec(letter).map_err(broken)?;
        let row = row_of(id);
        let bound_to = Binding { tenant: person.tenant, row: &row, field: "sealed" };
        Ok(key.seal(self.chance(), &bound_to, &plain))
    }

    /// The step that writes a receipt to somebody who is active and has an address; else there is
    /// none.
    pub(crate) async fn mail_receipt(
        &self,
        person: Person,
        (template, paid): (MailTemplate, Paid),
        at: Timestamp,
    ) -> Result<Option<Step>, ServiceError> {
        let Person { tenant, user } = person;
        let found = users::find(self.store(), tenant, user).await?;
        let Some(row) = found.filter(|row| row.status == UserStatus::Active) else {
            return Ok(None);
        };
        let Some(key) = self.person_key(&row)? else { return Ok(None) };
        let Some(to) = self.open_profile(&row)?.email else { return Ok(None) };
        let id = MailId(self.scattered_id(at));
        let mail = Mail { id, tenant, user: Some(user), template, created_at: at };
        let letter = Letter { to, code: None, paid: Some(paid) };
        let sealed = self.sealed_letter((id, person), &key, &letter)?;
        Ok(Some(mails::insert(&mail, &sealed)))
    }

    /// The same to the address of a user, if there is one.
    pub(crate) fn mail_to(
        &self,
        row: &UserRow,
        template: MailTemplate,
        at: Timestamp,
    ) -> Result<Option<Step>, ServiceError> {
        let Some(key) = self.person_key(row)? else { return Ok(None) };
        let Some(to) = self.open_profile(row)?.email else { return Ok(None) };
        let new = NewMail { person: row.into(), key: &key, template, to: &to, code: None };
        self.mail(&new, at).map(Some)
    }

    /// Sends what is due; how many mails it took up. Call again at once when there were some.
    pub async fn send_due_mails(&self) -> Result<usize, ServiceError> {
        let due = mails::due(self.store(), self.now(), ROUND).await?;
        let count = due.len();
        futures::stream::iter(due)
            .for_each_concurrent(AT_ONCE, |row| async move {
                if let Err(error) = self.send_mail(&row).await {
                    tracing::warn!(id = %row.mail.id, %error, "a mail could not be taken up");
                }
            })
            .await;
        Ok(count)
    }

    async fn send_mail(&self, row: &MailRow) -> Result<(), ServiceError> {
        let now = self.now();
        let claim = mails::claim(row, now.plus_seconds(LEASE_SECONDS));
        if !self.mail_step(claim).await? {
            return Ok(());
        }
        // Whoever is erased meanwhile has taken the mail along.
        let Some(letter) = self.open_letter(row).await? else { return Ok(()) };
        let (subject, text) = words(row.mail.template, &letter, &self.people().settings.public_url);
        let outgoing = Outgoing { id: row.mail.id, to: letter.to, subject, text };
        let sent = self.people().mailer.send(&outgoing).await;
        let end = end_of(row, sent, self.now());
        self.mail_step(end).await.map(drop)
    }

    async fn open_letter(&self, row: &MailRow) -> Result<Option<Letter>, ServiceError> {
        let Mail { id, tenant, user, .. } = row.mail;
        let place = row_of(id);
        let bound_to = Binding { tenant, row: &place, field: "sealed" };
        let plain = match user {
            None => self.vault().open(&bound_to, &row.sealed).map_err(not_opened)?,
            Some(user) => match self.key_of(Person { tenant, user }).await? {
                Some(key) => key.open(&bound_to, &row.sealed).map_err(not_opened)?,
                None => return Ok(None),
            },
        };
        serde_json::from_slice(&plain).map(Some).map_err(broken)
    }

    async fn key_of(
        &self,
        Person { tenant, user }: Person,
    ) -> Result<Option<PersonKey>, ServiceError> {
        match users::find(self.store(), tenant, user).await? {
            Some(row) => self.person_key(&row),
            None => Ok(None),
        }
    }

    /// Whether the step hit.
    async fn mail_step(&self, step: Step) -> Result<bool, ServiceError> {
        let unit = UnitOfWork { at: self.now(), steps: vec![step], ..UnitOfWork::default() };
        Ok(self.commit(unit).await?.0 == UnitOutcome::Done)
    }

    /// The last mails to the caller's tenant that went to the log instead of a server: in
    /// development only, for they hold codes.
    pub async fn recent_mails(&self, caller: &Caller) -> Result<Vec<Sent>, ServiceError> {
        if !self.people().settings.shows_mails {
            return Err(ServiceError::NotFound("mail"));
        }
        caller.reach.require_tenant()?;
        let newest = MailId(u128::MAX);
        let own = mails::list(self.store(), caller.tenant, newest, RECENT).await?;
        let mut sent = self.people().mailer.recent();
        sent.retain(|sent| own.iter().any(|row| row.mail.id == sent.mail.id));
        Ok(sent)
    }
}

/// What becomes of a mail that was tried.
fn end_of(row: &MailRow, sent: Result<(), MailFault>, now: Timestamp) -> Step {
    let Mail { id, tenant, created_at, .. } = row.mail;
    match sent {
        Ok(()) => mails::sent(tenant, id, now),
        Err(fault) if fault.may_pass() && now < created_at.plus_seconds(GIVEN_UP_SECONDS) => {
            tracing::warn!(%id, %fault, "a mail is put off");
            let pause = PAUSE_SECONDS << row.attempts.clamp(0, DOUBLINGS);
            mails::put_off(tenant, id, now.plus_seconds(pause))
        }
        Err(fault) => {
            tracing::error!(%id, %fault, "a mail is given up");
            mails::failed(tenant, id, now)
        }
    }
}

fn row_of(id: MailId) -> String {
    format!("mails/{id}")
}

/// Where a one-time code is sealed.
pub(crate) fn code_row(hash: u128, user: UserId) -> String {
    format!("codes/{user}/{hash:032x}")
}

/// Subject and text. Codes stand behind the `#`, which no server is sent and no log has.
fn words(template: MailTemplate, letter: &Letter, url: &str) -> (String, String) {
    let code = letter.code.as_deref().unwrap_or_default();
    let (subject, text) = match template {
        MailTemplate::VerifyEmail => (
            "Please confirm your e-mail address",
            format!(
                "Somebody gave this address to {url}.\n\nIf it was you, confirm it within 24 \
                 hours:\n\n{url}/#verify-email={code}\n\nor enter this code:\n\n{code}\n\nIf it \
                 was not you, do nothing: without the code nothing happens.\n"
            ),
        ),
        MailTemplate::AlreadyRegistered => (
            "You have an account already",
            format!(
                "Somebody wanted to use this address at {url}, where it has an account \
                 already.\n\nIf it was you, log in, or recover your password if you forgot \
                 it.\nIf it was not you, there is nothing to do.\n"
            ),
        ),
        MailTemplate::RecoverPassword => (
            "Set a new password",
            format!(
                "Somebody asked for a new password at {url}.\n\nIf it was you, set one within 30 \
                 minutes:\n\n{url}/#recover={code}\n\nor enter this code:\n\n{code}\n\nIf it was \
                 not you, do nothing: your password stays as it is.\n"
            ),
        ),
        MailTemplate::PasswordChanged => told(url, "Your password was changed"),
        MailTemplate::EmailChanged => told(url, "Your account has another e-mail address now"),
        MailTemplate::LockedOut => {
            told(url, "Your account is locked for a while: too many wrong passwords or codes")
        }
        MailTemplate::SecondFactorEnabled => told(url, "Your account has a second factor now"),
        MailTemplate::SecondFactorDisabled => {
            told(url, "Your account has no second factor any more")
        }
        MailTemplate::PaymentReceipt => receipt(url, ("You have paid", "You paid"), letter),
        MailTemplate::RefundReceipt => {
            receipt(url, ("Money is on its way back to you", "You were given back"), letter)
        }
    };
    (subject.to_owned(), text)
}

/// Of what was done, in case it was somebody else.
fn told(url: &str, what: &'static str) -> (&'static str, String) {
    let text = format!(
        "{what} ({url}).\n\nIf this was not you, recover your password now and write to whoever \
         runs your account.\n"
    );
    (what, text)
}

fn receipt(
    url: &str,
    (subject, verb): (&'static str, &str),
    letter: &Letter,
) -> (&'static str, String) {
    let of = letter.paid.as_ref().map_or_else(String::new, |paid| {
        let (amount, id) = (written(paid.amount, paid.currency), paid.payment_id);
        format!("{verb} {amount}.\n\nPayment: {id}\n\n")
    });
    let text = format!(
        "{of}Keep this mail as your receipt ({url}). If you don't know of it, write to whoever \
         runs your account.\n"
    );
    (subject, text)
}

/// As people write money: `USD 10.50`.
fn written(minor: i64, currency: Currency) -> String {
    let digits = usize::from(currency.exponent());
    let text = format!("{minor:0>width$}", width = digits + 1);
    let (whole, part) = text.split_at(text.len() - digits);
    let point = if part.is_empty() { "" } else { "." };
    format!("{} {whole}{point}{part}", currency.code())
}

#[cfg(test)]
mod tests {
    use caudal_domain::TenantId;

    use super::*;

    fn row(attempts: i64) -> MailRow {
        let created_at = Timestamp::from_micros(0);
        let (id, tenant, template) = (MailId(1), TenantId(2), MailTemplate::VerifyEmail);
        let mail = Mail { id, tenant, user: None, template, created_at };
        let sealed = String::new();
        let next_at = created_at;
        MailRow { mail, sealed, attempts, next_at, sent_at: None, failed_at: None }
    }

    #[test]
    fn money_is_written_with_its_decimals() {
        for (minor, code, wanted) in [
            (1050, "USD", "USD 10.50"),
            (5, "USD", "USD 0.05"),
            (1050, "JPY", "JPY 1050"),
            (1, "KWD", "KWD 0.001"),
            (9_007_199_254_740_991, "EUR", "EUR 90071992547409.91"),
        ] {
            assert_eq!(written(minor, Currency::from_code(code).expect("known")), wanted);
        }
    }

    #[test]
    fn what_may_pass_is_put_off_longer_and_longer_and_then_given_up() {
        let fault = || Err(MailFault::Unavailable("…".into()));
        for (attempts, seconds) in [(0, 30), (1, 60), (3, 240), (7, 3840), (900, 3840)] {
            let step = end_of(&row(attempts), fault(), Timestamp::from_micros(0));
            let due = Timestamp::from_micros(0).plus_seconds(seconds);
            let wanted = mails::put_off(TenantId(2), MailId(1), due);
            assert_eq!(format!("{step:?}"), format!("{wanted:?}"), "after {attempts}");
        }
        let late = Timestamp::from_micros(0).plus_seconds(GIVEN_UP_SECONDS);
        for (sent, at) in [(fault(), late), (Err(MailFault::Rejected(550)), Timestamp::default())] {
            let wanted = mails::failed(TenantId(2), MailId(1), at);
            assert_eq!(format!("{:?}", end_of(&row(1), sent, at)), format!("{wanted:?}"));
        }
    }
}
