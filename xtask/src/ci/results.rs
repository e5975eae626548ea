//! Reads what `cargo test` prints and makes a suite of each test binary that holds a test.
//!
//! A test that lacks what it needs writes `SKIPPED: why` to `std::io::stderr()` and returns; what
//! `println!` and `eprintln!` write is kept back when a test passes. Each reason gets a line in the
//! summary, so that nothing is left out in silence.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Outcome, Package, Suite};

#[derive(Default)]
pub struct Results {
    packages: Vec<Package>,
    open: Option<Open>,
    suites: Vec<Suite>,
}

/// A binary that runs and has not said how it ended.
struct Open {
    name: String,
    started: Instant,
    /// Why some of its tests were skipped.
    skipped: Vec<String>,
}

impl Results {
    pub fn new(packages: Vec<Package>) -> Self {
        Self { packages, ..Self::default() }
    }

    pub fn read(&mut self, line: &str) {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("Running ") {
            if let Some(name) = self.name(rest) {
                self.begin(name);
            }
        } else if let Some(package) = line.strip_prefix("Doc-tests ") {
            self.begin(format!("{} (examples)", package.replace('_', "-")));
        } else if let Some((_, why)) = line.split_once("SKIPPED: ") {
            self.open.iter_mut().for_each(|open| open.skipped.push(why.to_owned()));
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.end(result);
        }
    }

    pub fn finish(mut self) -> Vec<Suite> {
        self.abort();
        self.suites
    }

    /// `unittests src/lib.rs (target/debug/deps/caudal_domain-0123)` is of the package
    /// `caudal-domain`; `tests/books.rs (…/books-0123)` of the package that has a test `books`.
    fn name(&self, rest: &str) -> Option<String> {
        let (what, binary) = rest.strip_suffix(')')?.split_once(" (")?;
        let stem = Path::new(binary).file_name()?.to_str()?.rsplit_once('-')?.0;
        if what.starts_with("unittests ") {
            let main = if what.ends_with("main.rs") { " (main)" } else { "" };
            return Some(format!("{}{main}", stem.replace('_', "-")));
        }
        let is_its = |name: &String| name.replace('-', "_") == stem.replace('-', "_");
        // Two packages may have a test of one name; cargo runs packages in order.
        let named = |package: &&Package| {
            package.tests.iter().any(is_its)
                && !self.suites.iter().any(|suite| suite.name == full(package, stem))
        };
        Some(self.packages.iter().find(named).map_or(stem.into(), |package| full(package, stem)))
    }

    fn begin(&mut self, name: String) {
        self.abort();
        self.open = Some(Open { name, started: Instant::now(), skipped: Vec::new() });
    }

    fn end(&mut self, result: &str) {
        // Documentation is tested in several parts under one heading; one line each is enough.
        let Some(open) = self.open.take() else { return };
        let number = |what: &str| -> usize {
            let before = result.split(what).next().unwrap_or_default();
            before.split_whitespace().last().and_then(|n| n.parse().ok()).unwrap_or_default()
        };
        let (passed, failed) = (number(" passed"), number(" failed"));
        let ignored = number(" ignored");
        if result.starts_with("ok") && passed + failed + ignored == 0 {
            return;
        }
        let mut note = format!("{} tests", passed + failed);
        for (count, word) in [(failed, "failed"), (ignored, "ignored")] {
            if count > 0 {
                note = format!("{note}, {count} {word}");
            }
        }
        let ok = result.starts_with("ok");
        let outcome = if ok { Outcome::Passed } else { Outcome::Failed };
        self.push(open, outcome, note);
    }

    /// A binary that crashed, or that was killed, says nothing: that is a failure too.
    fn abort(&mut self) {
        if let Some(open) = self.open.take() {
            let note = "ended without a result: it crashed or was killed".to_owned();
            self.push(open, Outcome::Failed, note);
        }
    }

    fn push(&mut self, mut open: Open, outcome: Outcome, note: String) {
        let took = open.started.elapsed();
        open.skipped.sort();
        open.skipped.dedup();
        for note in open.skipped {
            let name = open.name.clone();
            self.suites.push(Suite { name, outcome: Outcome::Skipped, took: Duration::ZERO, note });
        }
        self.suites.push(Suite { name: open.name, outcome, took, note });
    }
}

fn full(package: &Package, test: &str) -> String {
    format!("{}::{test}", package.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        let tests = vec!["books".to_owned()];
        let store =
            |name: &str| Package { name: name.into(), tests: tests.clone(), ..<_>::default() };
        let mut results = Results::new(vec![store("caudal-store"), store("caudal-testkit")]);
        text.lines().for_each(|line| results.read(line));
        results.finish().iter().map(Suite::line).collect()
    }

    #[test]
    fn each_binary_becomes_a_suite() {
        let found = lines(
            "     Running unittests src/lib.rs (t/debug/deps/caudal_domain-0a)\n\
             test id ... ok\n\
             test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
             Running tests/books.rs (t/debug/deps/books-0b)\n\
             test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured\n\
             Running tests/books.rs (t/debug/deps/books-0c)\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured\n\
             Running unittests src/main.rs (t/debug/deps/caudal-0d)\n\
             test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured\n",
        );
        let words: Vec<Vec<&str>> = found.iter().map(|s| s.split_whitespace().collect()).collect();
        assert_eq!(words[0][..2], ["caudal-domain", "passed"]);
        assert_eq!(words[0][4..], ["2", "tests,", "1", "ignored"]);
        assert_eq!(words[1][..2], ["caudal-store::books", "FAILED"]);
        assert_eq!(words[1][4..], ["4", "tests,", "1", "failed"]);
        assert_eq!(words[2][..2], ["caudal-testkit::books", "passed"]);
        assert_eq!(words.len(), 3);
    }

    #[test]
    fn what_was_skipped_is_named_once() {
        let found = lines(
            "Running tests/books.rs (t/debug/deps/books-0b)\n\
             test a ... SKIPPED: no server\nSKIPPED: no server\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured\n",
        );
        assert!(found[0].contains("SKIPPED") && found[0].ends_with("no server"), "{found:?}");
        assert!(found[1].ends_with("3 tests") && found.len() == 2, "{found:?}");
    }

    #[test]
    fn a_crash_is_a_failure() {
        let found = lines("Running unittests src/lib.rs (t/debug/deps/caudal_store-0a)\n");
        assert!(found[0].contains("caudal-store") && found[0].contains("FAILED"), "{found:?}");
    }
}
