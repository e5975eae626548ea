//! The walks of the documentation, typed into a shell as a reader would, against `caudal serve`.
//!
//! Of each page every `sh` block below the walk's heading is run, all in one bash. A `text` block
//! right behind it is what it must print at its end; a block without one must not be told of a
//! problem. `KEY=…`, `API=…` and `PASSWORD=…` are where the reader puts in what `make run` printed.

#![expect(clippy::unwrap_used, reason = "a walk that can't go on has failed")]

use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const KEY: &str = "sk_test_walks_0123456789abcdef0123456789abcdef";
const PASSWORD: &str = "a walk through every door 9";
/// Stands between the outputs of two blocks.
const BETWEEN: &str = "-- the next block --";

struct Server {
    child: Child,
    addr: SocketAddr,
    folder: PathBuf,
}

impl Server {
    fn start(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = File::create(folder.join("serve.log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_caudal"));
        for (variable, _) in std::env::vars().filter(|(name, _)| name.starts_with("CAUDAL_")) {
            command.env_remove(variable);
        }
        let child = command
            .arg("serve")
            .current_dir(&folder)
            .env("CAUDAL_HTTP_ADDR", addr.to_string())
            .env("CAUDAL_BOOTSTRAP_API_KEY", KEY)
            .env("CAUDAL_BOOTSTRAP_ADMIN_PASSWORD", PASSWORD)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self { child, addr, folder };
        let ready = Command::new("curl")
            .args(["-sf", "--retry", "60", "--retry-delay", "1", "--retry-connrefused"])
            .arg(format!("http://{addr}/readyz"))
            .output();
        assert!(ready.unwrap().status.success(), "not ready:\n{}", server.log());
        server
    }

    fn log(&self) -> String {
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

/// What is typed, and what must come of it.
#[derive(Default)]
struct Block {
    typed: String,
    expected: Option<String>,
}

/// The blocks from this heading to the next of its level.
fn blocks(page: &str, heading: &str) -> Vec<Block> {
    let (_, rest) = page.split_once(&format!("\n{heading}\n")).expect("the heading");
    let walk = rest.split("\n## ").next().unwrap_or(rest);
    let mut blocks: Vec<Block> = Vec::new();
    for part in walk.split("```").skip(1).step_by(2) {
        let (language, text) = part.split_once('\n').expect("a language");
        match language {
            "sh" => blocks.push(Block { typed: text.to_owned(), expected: None }),
            "text" => blocks.last_mut().unwrap().expected = Some(text.to_owned()),
            other => panic!("a block of {other}"),
        }
    }
    blocks
}

/// As a reader would put them in.
fn filled(typed: &str, server: &Server) -> String {
    let line = |line: &str| match line.split('=').next() {
        Some("KEY") => format!("KEY={KEY}\n"),
        Some("API") => format!("API=http://{}/api/v1\n", server.addr),
        Some("PASSWORD") => format!("PASSWORD='{PASSWORD}'\n"),
        _ => format!("{line}\n"),
    };
    typed.lines().map(line).collect()
}

fn walk(page: &str, heading: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    let blocks = blocks(&std::fs::read_to_string(path).unwrap(), heading);
    assert!(!blocks.is_empty(), "{page} has nothing to type");
    let server = Server::start(&format!("walk-{}", page.replace(['/', '.'], "-")));
    let script: String = blocks
        .iter()
        .map(|block| format!("{}echo '{BETWEEN}'\n", filled(&block.typed, &server)))
        .collect();
    let file = server.folder.join("walk.sh");
    std::fs::write(&file, script).unwrap();
    let done = Command::new("bash").arg(&file).current_dir(&server.folder).output().unwrap();
    let printed = String::from_utf8(done.stdout).unwrap();
    let complaints = String::from_utf8_lossy(&done.stderr);
    let outputs: Vec<&str> = printed.split(BETWEEN).map(str::trim).collect();
    assert_eq!(outputs.len(), blocks.len() + 1, "{page} stops midway:\n{printed}\n{complaints}");
    for (block, output) in blocks.iter().zip(outputs) {
        let told = format!("{page}:\n{}\nprinted:\n{output}\n{complaints}", block.typed);
        match &block.expected {
            Some(expected) => assert!(output.ends_with(expected.trim()), "{expected} not: {told}"),
            None => assert!(!output.contains("\"request_id\""), "a problem: {told}"),
        }
    }
    assert!(!server.log().contains('\u{1b}'), "colours in a file:\n{}", server.log());
}

#[test]
fn five_minutes_of_the_readme() {
    walk("README.md", "## Five minutes");
}

#[test]
fn ten_minutes_of_people() {
    walk("docs/people-walk.md", "## The walk");
}

#[test]
fn ten_minutes_of_payments() {
    walk("docs/payments-walk.md", "## The walk");
}
