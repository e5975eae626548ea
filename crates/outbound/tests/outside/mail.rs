//! Mails by SMTP and to the log.

use std::time::{Duration, Instant};

use caudal_domain::MailId;
use caudal_outbound::{GuardOptions, Mail, MailFault, Mailer, mail::SmtpOptions};
use tokio::net::TcpListener;

use crate::{TestClock, smtp_server::SmtpServer};

fn mail(to: &str, subject: &str) -> Mail {
    let text = "Your code is 123456.\n.\nBye.\n".to_owned();
    Mail { id: MailId(7), to: to.to_owned(), subject: subject.to_owned(), text }
}

fn mailer(url: &str) -> Result<Mailer, MailFault> {
    let options = SmtpOptions::new(url, "Caudal <no-reply@example.com>");
    Mailer::smtp(&options, TestClock::start().world())
}

fn local(server: &SmtpServer) -> Mailer {
    mailer(&format!("smtp://127.0.0.1:{}", server.port)).unwrap()
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_written() {
    let server = SmtpServer::start("250 taken").await;
    local(&server).send(&mail("ann@example.org", "Grüße")).await.unwrap();
    let heard = server.heard();
    let position = |start: &str| heard.iter().position(|line| line.starts_with(start)).unwrap();
    let order = ["EHLO", "MAIL FROM:<no-reply@example.com>", "RCPT TO:<ann@example.org>", "DATA"];
    assert!(order.map(position).is_sorted());
    for line in [
        "From: Caudal <no-reply@example.com>",
        "To: ann@example.org",
        "Subject: =?utf-8?b?R3LDvMOfZQ==?=",
        "Date: Tue, 14 Nov 2023 22:13:20 +0000",
        "Message-ID: <mai_00000000000000000000000007@example.com>",
        "Your code is 123456.",
        // A line of one dot would end the mail: it is doubled on the way.
        "..",
        "Bye.",
    ] {
        assert!(heard.iter().any(|heard| heard == line), "{line} not in {heard:#?}");
    }
}

#[tokio::test]
async fn who_has_a_password_logs_in() {
    let server = SmtpServer::start("250 taken").await;
    let url = format!("smtp://ann:p%40ss@localhost:{}", server.port);
    mailer(&url).unwrap().send(&mail("ann@example.org", "Hello")).await.unwrap();
    // PLAIN: NUL ann NUL p@ss.
    assert!(server.heard().contains(&"AUTH PLAIN AGFubgBwQHNz".to_owned()));
}

#[tokio::test]
async fn nothing_is_said_in_the_clear_to_a_host_that_is_not_this_one() {
    let server = SmtpServer::start("250 taken").await;
    // It is this host, but does not look so; it offers no STARTTLS.
    let url = format!("smtp://ann:secret@0.0.0.0:{}", server.port);
    let fault = mailer(&url).unwrap().send(&mail("ann@example.org", "Hello")).await.unwrap_err();
    assert!(fault.may_pass(), "{fault:?}");
    assert!(!format!("{fault:?}").contains("secret"));
    let said = server.heard();
    let polite = |line: &String| line.starts_with("EHLO") || line.starts_with("QUIT");
    assert!(said.iter().all(polite), "{said:?}");
}

#[tokio::test]
async fn a_line_break_in_a_header_is_refused() {
    let server = SmtpServer::start("250 taken").await;
    for mailer in [local(&server), Mailer::log(TestClock::start().world())] {
        for (to, subject, part) in [
            ("ann@example.org", "Hello\r\nBcc: bob@example.org", "subject"),
            ("ann@example.org", "Hello\nworld", "subject"),
            ("ann@example.org", "Hello\0", "subject"),
            ("ann@example.org\r\nBcc: bob@example.org", "Hello", "address"),
            ("ann@example.org>\r\nRCPT TO:<bob@example.org", "Hello", "address"),
            ("ann@example.org, bob@example.org", "Hello", "address"),
            ("Ann <ann@example.org>", "Hello", "address"),
            ("ann", "Hello", "address"),
            ("", "Hello", "address"),
        ] {
            let refused = mailer.send(&mail(to, subject)).await;
            assert_eq!(refused, Err(MailFault::Malformed(part)), "{to:?} {subject:?}");
        }
        assert!(mailer.recent().is_empty());
    }
    assert!(server.heard().is_empty());
}

#[tokio::test]
async fn what_the_server_says_tells_whether_to_try_again() {
    let refusing = SmtpServer::start("554 no such user ann@example.org").await;
    let fault = local(&refusing).send(&mail("ann@example.org", "Hello")).await.unwrap_err();
    assert_eq!((fault.may_pass(), &fault), (false, &MailFault::Rejected(554)));
    let full = SmtpServer::start("452 mailbox of ann@example.org is full").await;
    let fault = local(&full).send(&mail("ann@example.org", "Hello")).await.unwrap_err();
    assert_eq!(fault, MailFault::Unavailable("it answered 452".into()));
}

#[tokio::test]
async fn a_silent_server_is_given_up_within_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let limit = Duration::from_millis(200);
    let guard = GuardOptions { limit, ..GuardOptions::default() };
    let options = SmtpOptions { guard, ..SmtpOptions::new(&url, "no-reply@example.com") };
    let mailer = Mailer::smtp(&options, TestClock::start().world()).unwrap();
    let began = Instant::now();
    let fault = mailer.send(&mail("ann@example.org", "Hello")).await.unwrap_err();
    assert!(fault.may_pass() && began.elapsed() < Duration::from_secs(5), "{fault:?}");
}

#[test]
fn wrong_settings_are_told_at_the_start_without_their_password() {
    for url in [
        "",
        "mail.example.com",
        "http://mail.example.com",
        "smtp://ann:secret@mail.example.com?tls=opportunistic",
        "smtps://ann:secret@mail.example.com/name",
    ] {
        let fault = mailer(url).err();
        assert!(matches!(fault, Some(MailFault::Settings(_))), "{url}");
        assert!(!format!("{fault:?}").contains("secret"));
    }
}

#[tokio::test]
async fn the_log_form_keeps_the_last_hundred() {
    let mailer = Mailer::log(TestClock::start().world());
    for n in 0..120 {
        mailer.send(&mail("ann@example.org", &format!("Mail {n}"))).await.unwrap();
    }
    let recent = mailer.recent();
    assert_eq!(recent.len(), 100);
    assert_eq!((&*recent[0].mail.subject, &*recent[99].mail.subject), ("Mail 119", "Mail 20"));
    assert!(!format!("{recent:?}").contains("ann@"));
}
