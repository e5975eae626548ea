//! Which addresses are taken, and where names may lead.

use super::*;

fn webhooks(allow_private: bool) -> Webhooks {
    Webhooks::new(WebhookOptions { allow_private, ..WebhookOptions::default() }).expect("a client")
}

#[test]
fn an_address_is_checked_before_it_is_kept() {
    let long = format!("https://example.com/{}", "a".repeat(URL_CHARS));
    let table = [
        ("https://example.com/hooks?a=1", Ok(())),
        ("https://example.com:8443/", Ok(())),
        ("http://example.com/", Ok(())),
        ("https://93.184.216.34/", Ok(())),
        ("", Err(BadTarget::NotAnUrl)),
        ("example.com/hooks", Err(BadTarget::NotAnUrl)),
        ("https://", Err(BadTarget::NotAnUrl)),
        ("ftp://example.com/", Err(BadTarget::NotHttp)),
        ("file:///etc/passwd", Err(BadTarget::NotHttp)),
        ("gopher://example.com/", Err(BadTarget::NotHttp)),
        ("https://ada:secret@example.com/", Err(BadTarget::Credentials)),
        ("https://ada@example.com/", Err(BadTarget::Credentials)),
        ("https://example.com/#part", Err(BadTarget::Fragment)),
        ("http://example.com:22/", Err(BadTarget::Port)),
        ("https://example.com:0/", Err(BadTarget::Port)),
        (&long, Err(BadTarget::TooLong)),
        ("https://127.0.0.1/", Err(BadTarget::NotPublic)),
        ("https://127.0.0.1./", Err(BadTarget::NotPublic)),
        ("https://0x7f.1/", Err(BadTarget::NotPublic)),
        ("https://2130706433/", Err(BadTarget::NotPublic)),
        ("https://0177.0.0.1/", Err(BadTarget::NotPublic)),
        ("https://[::1]/", Err(BadTarget::NotPublic)),
        ("https://[::ffff:127.0.0.1]/", Err(BadTarget::NotPublic)),
        ("https://[::ffff:a9fe:a9fe]/", Err(BadTarget::NotPublic)),
        ("https://[fd00:ec2::254]/", Err(BadTarget::NotPublic)),
        ("https://169.254.169.254/latest/meta-data", Err(BadTarget::NotPublic)),
        ("https://１２７.0.0.1/", Err(BadTarget::NotPublic)),
    ];
    for (text, wanted) in table {
        assert_eq!(webhooks(false).target(text, true).map(drop), wanted, "{text}");
    }
    let in_the_clear = webhooks(false).target("http://example.com/", false);
    assert_eq!(in_the_clear, Err(BadTarget::NotHttps));
    assert!(webhooks(true).target("http://127.0.0.1:8080/", true).is_ok(), "in development");
}

#[test]
fn of_what_a_name_leads_to_only_the_public_counts() {
    let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().expect("an address"), 0)).collect()
    };
    let table = [
        (&["8.8.8.8"][..], Ok(&["8.8.8.8"][..])),
        (&["127.0.0.1", "8.8.8.8", "10.0.0.1"], Ok(&["8.8.8.8"])),
        (&["127.0.0.1", "::1"], Err(NoAddress::NotPublic)),
        (&["::ffff:192.168.0.1"], Err(NoAddress::NotPublic)),
        (&[], Err(NoAddress::Unknown)),
    ];
    for (found, wanted) in table {
        let public = public_of(addresses(found).into_iter(), false);
        assert_eq!(public, wanted.map(addresses), "{found:?}");
    }
}

#[tokio::test]
async fn a_name_of_this_machine_is_refused_whenever_it_is_met() {
    let here: Url = "http://localhost:9/".parse().expect("an URL");
    assert_eq!(webhooks(false).check(&here).await, Err(BadTarget::NotPublic));
    assert_eq!(webhooks(true).check(&here).await, Ok(()));
    let unknown: Url = "https://nobody.invalid/".parse().expect("an URL");
    assert_eq!(webhooks(false).check(&unknown).await, Ok(()));
    let request = WebhookRequest { url: here, headers: headers(), body: Bytes::new() };
    let refused = webhooks(false).send(request).await;
    assert_eq!(refused, Err(WebhookFault::Target(BadTarget::NotPublic)));
}

fn headers() -> [(&'static str, String); 3] {
    ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| (name, "1".to_owned()))
}
