//! The house rules as a program. Every message says why, and what to do instead.
//!
//! One pass over the files that git knows, all findings at once. Each rule is a function from a
//! file (or the packages) to findings, with a test beside it that shows it can fail.
//!
//! How to add a rule: a function in [`text`] (any file), [`rust`] (Rust, with strings and comments
//! told apart), [`links`], [`metrics`] or [`rooms`]; its name in the list there; a test; a line in
//! STYLE.md.

mod links;
mod metrics;
mod rooms;
mod rust;
mod scan;
mod text;

use std::collections::BTreeSet;
use std::fmt;

use anyhow::Result;

use crate::say;
use crate::workspace::Workspace;
use scan::Scan;

/// A breach of a rule, where it is and what to do about it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// A file of the project. What is not UTF-8 (images, fonts) has no rules and is left out.
struct Source {
    path: String,
    text: String,
    /// Of Rust files only.
    scan: Option<Scan>,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let scan = path.ends_with(".rs").then(|| Scan::new(text));
        Self { path: path.to_owned(), text: text.to_owned(), scan }
    }

    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Whether it lies in the room `crates/ROOM`.
    fn is_in(&self, room: &str) -> bool {
        self.path
            .strip_prefix("crates/")
            .is_some_and(|rest| rest.strip_prefix(room).is_some_and(|rest| rest.starts_with('/')))
    }

    /// Written by a program, which has a style of its own.
    fn is_generated(&self) -> bool {
        let names = ["Cargo.lock", "package-lock.json"];
        let ends = [".svg", ".snap", ".min.js", ".min.css"];
        names.contains(&self.name()) || ends.iter().any(|end| self.path.ends_with(end))
    }

    /// A file that holds nothing but tests.
    fn is_test_file(&self) -> bool {
        let dirs = ["/tests/", "/benches/", "/fuzz/"];
        let names = ["tests.rs", "test.rs"];
        dirs.iter().any(|dir| format!("/{}", self.path).contains(dir))
            || names.contains(&self.name())
            || self.name().ends_with("_test.rs")
            || self.name().ends_with("_tests.rs")
    }

    /// Whether line `line`, counted from 1, is compiled for tests only.
    fn is_test_line(&self, line: usize) -> bool {
        self.is_test_file() || self.scan.as_ref().is_some_and(|scan| scan.is_test_line(line))
    }

    fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, message: message.into() }
    }
}

/// Prints all findings; true if there are none.
pub fn run(workspace: &Workspace) -> Result<bool> {
    let files = workspace.files()?;
    let mut findings = rooms::check(&workspace.packages()?);
    let paths: BTreeSet<String> = files.iter().cloned().collect();
    let read = |path: &String| {
        let text = std::fs::read_to_string(workspace.join(path)).ok()?;
        Some(Source::new(path, &text))
    };
    let sources: Vec<_> = files.iter().filter_map(read).collect();
    for source in &sources {
        findings.extend(check(source));
        findings.extend(links::check(source, &paths));
    }
    findings.extend(metrics::check(&sources));
    findings.sort();
    for finding in &findings {
        say(finding);
    }
    say(format!("tidy: {} files, {} findings", files.len(), findings.len()));
    Ok(findings.is_empty())
}

fn check(source: &Source) -> Vec<Finding> {
    let rules = text::RULES.iter().chain(rust::RULES);
    rules.flat_map(|rule| rule(source)).collect()
}

/// What `rule` says about a file of this path and text, a message a line.
#[cfg(test)]
fn said(rule: fn(&Source) -> Vec<Finding>, path: &str, text: &str) -> String {
    let findings = rule(&Source::new(path, text));
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n")
}
