//! `caudal` as a process of its own, in a folder of its own.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

pub const KEY: &str = "sk_test_walks_0123456789abcdef0123456789abcdef";
pub const PASSWORD: &str = "a walk through every door 9";

/// A command without settings of whoever runs the tests.
pub fn caudal(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caudal"));
    for (variable, _) in std::env::vars().filter(|(name, _)| name.starts_with("CAUDAL_")) {
        command.env_remove(variable);
    }
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// An empty folder of this name.
pub fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Nobody listens there yet.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// What the command printed, both ways, and whether it succeeded.
pub fn said(command: &mut Command) -> (bool, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = [stdout, stderr].map(|it| String::from_utf8_lossy(&it).into_owned()).concat();
    (status.success(), text)
}

/// The status and the body of a request.
pub fn asked(method: &str, url: &str, rest: &[&str]) -> (u16, String) {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-X", method, "-w", "\n%{http_code}", url]).args(rest);
    let (_, text) = said(&mut curl);
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

pub struct Server {
    child: Child,
    pub addr: SocketAddr,
    pub folder: PathBuf,
}

impl Server {
    /// Once it is ready, at an address that has the probes.
    pub fn start(name: &str, settings: &[(&str, &str)]) -> Self {
        let folder = folder(name);
        let addr = free_address();
        let log = File::create(folder.join("serve.log")).unwrap();
        let child = caudal(&folder)
            .arg("serve")
            .env("CAUDAL_HTTP_ADDR", addr.to_string())
            .env("CAUDAL_BOOTSTRAP_API_KEY", KEY)
            .env("CAUDAL_BOOTSTRAP_ADMIN_PASSWORD", PASSWORD)
            .envs(settings.iter().copied())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let admin = settings.iter().find(|(name, _)| *name == "CAUDAL_ADMIN_ADDR");
        let probed = admin.map_or_else(|| addr.to_string(), |(_, admin)| (*admin).to_owned());
        let server = Self { child, addr, folder };
        let ready = Command::new("curl")
            .args(["-sf", "--retry", "60", "--retry-delay", "1", "--retry-connrefused"])
            .arg(format!("http://{probed}/readyz"))
            .output();
        assert!(ready.unwrap().status.success(), "not ready:\n{}", server.log());
        server
    }

    /// Ends it as a deployment would; SQLite then serves whoever comes next.
    pub fn stop(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success(), "it did not end well:\n{}", self.log());
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("serve.log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}
