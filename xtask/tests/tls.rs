//! PostgreSQL over TLS, with a certificate of a private authority: believed with its CA file, and
//! by nothing less.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use caudal_domain::Timestamp;
use caudal_store::{PoolSettings, Settings, Store, StoreError};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use xtask::testbed::postgres::{Account, Postgres, is_installed, postgres_up};

/// A certificate for 127.0.0.1, its key, and the authority that signed it.
struct Papers {
    certificate: String,
    key: String,
    authority: String,
}

fn papers() -> Papers {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    Papers { certificate: certificate.pem(), key: key.serialize_pem(), authority: authority.pem() }
}

/// As the server's account, for it reads keys only that nobody else can.
fn write(file: &Path, text: &str) {
    let mut command = Account::of_servers().unwrap().command("sh");
    command.args(["-c", "umask 077; cat > \"$0\""]).arg(file).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

fn switch_on(postgres: &Postgres, dir: &Path, papers: &Papers) {
    write(&dir.join("data/server.crt"), &papers.certificate);
    write(&dir.join("data/server.key"), &papers.key);
    postgres.query("alter system set ssl = on").unwrap();
    postgres.query("select pg_reload_conf()").unwrap();
    // It reads its settings anew a moment later.
    let deadline = Instant::now() + Duration::from_secs(10);
    while postgres.query("show ssl").unwrap() != "on" {
        assert!(Instant::now() < deadline, "TLS is not on");
    }
}

async fn connect(url: &str, ca_file: Option<PathBuf>) -> Result<Store, StoreError> {
    let settings = Settings { url: url.to_owned(), ca_file, pool: PoolSettings::default() };
    let store = caudal_store::open(&settings).await?;
    // The connections of the pool take the role that it makes.
    store.migrate(Timestamp::from_micros(1_800_000_000_000_000)).await?;
    store.query("stream_heads", "select stream from stream_heads", &[]).await?;
    Ok(store)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_is_believed_by_its_file_alone() {
    if !is_installed() {
        // Not by a macro: what those print is kept back when the test passes.
        return writeln!(std::io::stderr(), "SKIPPED: PostgreSQL is not installed").unwrap();
    }
    let dir = PathBuf::from(format!("/var/tmp/caudal-tls-test-{}", std::process::id()));
    let postgres = postgres_up(&dir).unwrap();
    let (right, wrong) = (papers(), papers());
    switch_on(&postgres, &dir, &right);
    let file = |name: &str, papers: &Papers| {
        let path = std::env::temp_dir().join(format!("caudal-{}-{name}", std::process::id()));
        std::fs::write(&path, &papers.authority).unwrap();
        path
    };
    let (right, wrong) = (file("right.pem", &right), file("wrong.pem", &wrong));
    let url = format!("{}?sslmode=require", postgres.url());
    let _store = connect(&url, Some(right.clone())).await.unwrap();
    let versions = "select distinct version from pg_stat_ssl join pg_stat_activity using (pid)
        where application_name = 'caudal'";
    assert_eq!(postgres.query(versions).unwrap(), "TLSv1.3");
    for ca_file in [None, Some(wrong.clone())] {
        let refused = connect(&url, ca_file).await;
        let error = refused.err().unwrap();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    }
    // The name is checked as well as the authority.
    let named = url.replace("127.0.0.1", "localhost");
    assert!(connect(&named, Some(right.clone())).await.is_err());
    drop(postgres);
    for path in [right, wrong] {
        std::fs::remove_file(path).unwrap();
    }
    std::fs::remove_dir_all(dir).unwrap();
}
