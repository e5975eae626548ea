//! The walks of the documentation, typed into a shell as a reader would, against `caudal serve`.
//!
//! Of each page every `sh` block below the walk's heading is run, all in one bash. A `text` block
//! right behind it is what it must print at its end; a block without one must not be told of a
//! problem. `KEY=…`, `API=…` and `PASSWORD=…` are where the reader puts in what `make run` printed.

use std::{path::Path, process::Command};

use crate::server::{KEY, PASSWORD, Server, caudal, said};

/// Stands between the outputs of two blocks.
const BETWEEN: &str = "-- the next block --";

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
    let mut server = Server::start(&format!("walk-{}", page.replace(['/', '.'], "-")), &[]);
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
    server.stop();
    let (is_proven, told) = said(caudal(&server.folder).arg("reconcile"));
    assert!(is_proven && told.contains("The books are proven."), "{page}: {told}");
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
