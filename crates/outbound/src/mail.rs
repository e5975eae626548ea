//! Sends mails: by SMTP, or in development to the log, where the console finds the last ones.
//!
//! One try each: the worker that empties the outbox decides when to try again. A mail is one text
//! to one address; its id becomes the Message-ID, so that one sent twice can be told.
//!
//! SMTP speaks TLS (`smtps://`) or starts it (`smtp://`, STARTTLS required); only a server on this
//! very host is spoken to in the clear.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use caudal_domain::{MailId, Timestamp};
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        self, PoolConfig,
        client::{Tls, TlsParameters},
    },
};
use reqwest::Url;

use crate::guard::{Fault, Guard, GuardOptions, Refused, World};

/// Mails that the log form keeps.
const RECENT: usize = 100;

/// Mails on their way at once, and connections kept: what a server grants one client easily.
const CONNECTIONS: u8 = 4;

#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    pub id: MailId,
    /// One address, without a name.
    pub to: String,
    pub subject: String,
    pub text: String,
}

/// Neither whom nor what: both are personal data, and texts hold codes.
impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Where mails go by SMTP. No `Debug`: the URL holds a password.
pub struct SmtpOptions {
    /// `smtp[s]://user:password@host:port`; user and password are percent-encoded. Ports: 465 for
    /// `smtps`, else 587.
    pub url: String,
    /// `Caudal <no-reply@example.com>`
    pub from: String,
    pub guard: GuardOptions,
}

impl SmtpOptions {
    /// 10 s a mail: a worker waits for it, no request does, and greeting delays are usual.
    pub fn new(url: &str, from: &str) -> Self {
        let (limit, at_once) = (Duration::from_secs(10), CONNECTIONS.into());
        let guard = GuardOptions { limit, at_once, ..GuardOptions::default() };
        Self { url: url.to_owned(), from: from.to_owned(), guard }
    }
}

/// Why a mail did not go, or none ever can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailFault {
    #[error("the mail settings are wrong: {0}")]
    Settings(&'static str),
    /// This mail can never be sent.
    #[error("the mail's {0} cannot be written in a header")]
    Malformed(&'static str),
    /// The server said no for good (5xx): another try would get the same answer.
    #[error("the mail server refuses it with {0}")]
    Rejected(u16),
    /// To be tried again later.
    #[error("the mail server cannot take it now: {0}")]
    Unavailable(String),
}

impl MailFault {
    /// Whether another try may go better.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// A mail that the log form wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub at: Timestamp,
    pub mail: Mail,
}

pub struct Mailer {
    form: Form,
    world: World,
}

/// Matched once, in [`Mailer::send`].
enum Form {
    Smtp(Box<Smtp>),
    Log(Mutex<VecDeque<Sent>>),
}

struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    guard: Guard,
}

impl Mailer {
    pub fn smtp(options: &SmtpOptions, world: World) -> Result<Self, MailFault> {
        let from: Mailbox =
            options.from.parse().map_err(|_| MailFault::Settings("the sender is no address"))?;
        let guard = Guard::new("smtp", options.guard, world.clone());
        let transport = transport(&options.url, options.guard.limit)?;
        Ok(Self { form: Form::Smtp(Box::new(Smtp { transport, from, guard })), world })
    }

    /// For development: mails are logged, with all that stands in them.
    pub fn log(world: World) -> Self {
        Self { form: Form::Log(Mutex::default()), world }
    }

    pub async fn send(&self, mail: &Mail) -> Result<(), MailFault> {
        let at = self.world.clock.now();
        let to = checked(mail)?;
        match &self.form {
            Form::Smtp(smtp) => smtp.send(mail, to, at).await,
            Form::Log(recent) => {
                let Mail { id, to, subject, text } = mail;
                tracing::info!(%id, to, subject, text, "mail");
                let mut recent = recent.lock().unwrap_or_else(PoisonError::into_inner);
                if recent.len() >= RECENT {
                    recent.pop_front();
                }
                recent.push_back(Sent { at, mail: mail.clone() });
                Ok(())
            }
        }
    }

    /// The last hundred mails of the log form, newest first; none by SMTP.
    pub fn recent(&self) -> Vec<Sent> {
        match &self.form {
            Form::Smtp(_) => Vec::new(),
            Form::Log(recent) => {
                let recent = recent.lock().unwrap_or_else(PoisonError::into_inner);
                recent.iter().rev().cloned().collect()
            }
        }
    }
}

/// The recipient, when neither it nor the subject could become another header line.
fn checked(mail: &Mail) -> Result<Address, MailFault> {
    if mail.subject.chars().any(char::is_control) {
        return Err(MailFault::Malformed("subject"));
    }
    let malformed = MailFault::Malformed("address");
    if mail.to.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(malformed);
    }
    mail.to.parse().map_err(|_| malformed)
}

impl Smtp {
    async fn send(&self, mail: &Mail, to: Address, at: Timestamp) -> Result<(), MailFault> {
        let message = self.message(mail, to, at)?;
        let sent = async { self.transport.send(message).await.map(drop).map_err(SmtpFault) };
        self.guard.call(sent).await.map_err(|refused| match refused {
            Refused::Failed(SmtpFault(error)) if error.is_permanent() => {
                MailFault::Rejected(error.status().map_or(500, u16::from))
            }
            refused => MailFault::Unavailable(reason(&refused)),
        })
    }

    fn message(&self, mail: &Mail, to: Address, at: Timestamp) -> Result<Message, MailFault> {
        let micros = u64::try_from(at.micros()).unwrap_or(0);
        let host = self.from.email.domain();
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(mail.subject.as_str())
            .date(SystemTime::UNIX_EPOCH + Duration::from_micros(micros))
            .message_id(Some(format!("<{}@{host}>", mail.id)))
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text.clone())
            .map_err(|_| MailFault::Malformed("text"))
    }
}

fn transport(url: &str, limit: Duration) -> Result<AsyncSmtpTransport<Tokio1Executor>, MailFault> {
    let wrong = MailFault::Settings("not an URL of the form smtp[s]://user:password@host:port");
    let parsed = Url::parse(url).map_err(|_| wrong.clone())?;
    let (Some(host), false) = (parsed.host_str(), has_more(&parsed)) else { return Err(wrong) };
    let tls = || TlsParameters::new(host.to_owned());
    let tls = match parsed.scheme() {
        "smtps" => tls().map(Tls::Wrapper),
        "smtp" if is_local(host) => Ok(Tls::None),
        "smtp" => tls().map(Tls::Required),
        _ => return Err(wrong),
    };
    let tls = tls.map_err(|_| MailFault::Settings("no TLS to a host of that name"))?;
    let port = parsed.port().unwrap_or(if parsed.scheme() == "smtps" { 465 } else { 587 });
    Ok(AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
        .map_err(|_| wrong)?
        .tls(tls)
        .port(port)
        .timeout(Some(limit))
        .pool_config(PoolConfig::new().max_size(CONNECTIONS.into()))
        .build())
}

/// A path or a query would be heeded by lettre: the latter can switch TLS off.
fn has_more(url: &Url) -> bool {
    !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some()
}

fn is_local(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|ip| ip.is_loopback())
}

/// The server's words after its code may repeat the address: only the code is told.
fn reason(refused: &Refused<SmtpFault>) -> String {
    match refused {
        Refused::Failed(SmtpFault(error)) => match error.status() {
            Some(code) => format!("it answered {code}"),
            None if error.is_timeout() => "no answer in time".to_owned(),
            None if error.is_tls() => "no TLS with it".to_owned(),
            None => "no connection with it".to_owned(),
        },
        refused => refused.to_string(),
    }
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct SmtpFault(smtp::Error);

impl Fault for SmtpFault {
    /// A server that answers, whatever it says, is well.
    fn counts(&self) -> bool {
        self.0.status().is_none()
    }

    fn may_pass(&self) -> bool {
        !self.0.is_permanent()
    }
}
