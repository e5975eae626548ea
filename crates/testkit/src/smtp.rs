//! A small SMTP server: keeps the mails it takes, or refuses them as a test wants.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Its answer to a mail's end when it takes it.
pub const TAKEN: &str = "250 taken";

pub struct SmtpServer {
    pub addr: SocketAddr,
    said: Arc<Mutex<Said>>,
    door: JoinHandle<()>,
}

struct Said {
    verdict: &'static str,
    /// Text of each mail, taken or not.
    mails: Vec<String>,
}

impl SmtpServer {
    /// On this address, or a free port of this host.
    pub async fn start(addr: Option<SocketAddr>) -> Self {
        let addr = addr.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = TcpListener::bind(addr).await.expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let said = Arc::new(Mutex::new(Said { verdict: TAKEN, mails: Vec::new() }));
        let shared = said.clone();
        let door = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(talk(socket, shared.clone()));
            }
        });
        Self { addr, said, door }
    }

    pub fn url(&self) -> String {
        format!("smtp://{}", self.addr)
    }

    /// From now on.
    pub fn answer(&self, verdict: &'static str) {
        said(&self.said).verdict = verdict;
    }

    /// Every mail that was offered, taken or not, with its headers.
    pub fn mails(&self) -> Vec<String> {
        said(&self.said).mails.clone()
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.door.abort();
    }
}

fn said(said: &Mutex<Said>) -> std::sync::MutexGuard<'_, Said> {
    said.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn talk(socket: TcpStream, shared: Arc<Mutex<Said>>) -> std::io::Result<()> {
    let (reader, mut writer) = socket.into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut mail: Option<String> = None;
    writer.write_all(b"220 test ESMTP\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
        let answer = match (&mut mail, verb.as_str()) {
            (Some(text), ".") => {
                let mut said = said(&shared);
                said.mails.push(std::mem::take(text));
                mail = None;
                said.verdict
            }
            (Some(text), _) => {
                text.push_str(&line);
                text.push('\n');
                continue;
            }
            (None, "DATA") => {
                mail = Some(String::new());
                "354 go on"
            }
            (None, "EHLO") => "250-test\r\n250 8BITMIME",
            (None, "QUIT") => "221 bye",
            (None, _) => "250 ok",
        };
        writer.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
    Ok(())
}
