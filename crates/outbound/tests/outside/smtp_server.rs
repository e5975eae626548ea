//! A small SMTP server: it keeps what it is told and insists on the order of RFC 5321.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

#[derive(Clone, Default)]
pub struct SmtpServer {
    pub port: u16,
    /// Every line of every client.
    heard: Arc<Mutex<Vec<String>>>,
    /// Its answer to DATA's end.
    verdict: &'static str,
}

impl SmtpServer {
    pub async fn start(verdict: &'static str) -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Self { port, verdict, ..Self::default() };
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().talk(socket));
            }
        });
        server
    }

    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    async fn talk(self, socket: TcpStream) -> std::io::Result<()> {
        let (reader, mut writer) = socket.into_split();
        let mut lines = BufReader::new(reader).lines();
        let mut at = "start";
        writer.write_all(b"220 test ESMTP\r\n").await?;
        while let Some(line) = lines.next_line().await? {
            self.heard.lock().unwrap().push(line.clone());
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
            let answer = match (at, verb.as_str()) {
                ("data", ".") => {
                    at = "greeted";
                    self.verdict
                }
                ("data", _) => continue,
                (_, "EHLO") => {
                    at = "greeted";
                    "250-test\r\n250-8BITMIME\r\n250 AUTH PLAIN"
                }
                ("greeted", "AUTH") => "235 welcome",
                ("greeted", "MAIL") => {
                    at = "mail";
                    "250 ok"
                }
                ("mail" | "rcpt", "RCPT") => {
                    at = "rcpt";
                    "250 ok"
                }
                ("rcpt", "DATA") => {
                    at = "data";
                    "354 go on"
                }
                (_, "NOOP" | "RSET") => "250 ok",
                (_, "QUIT") => "221 bye",
                _ => "503 bad sequence",
            };
            writer.write_all(format!("{answer}\r\n").as_bytes()).await?;
        }
        Ok(())
    }
}
