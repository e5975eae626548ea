//! Rules for Rust: size, a first line that says what a file is for, and words that do harm.

use super::scan::Scan;
use super::{Finding, Source};

const LINE_MAX: usize = 100;
const FILE_MAX: usize = 800;
const FUNCTION_MAX: usize = 70;

pub const RULES: &[fn(&Source) -> Vec<Finding>] = &[
    purpose,
    only_modules,
    tabs,
    line_length,
    file_length,
    function_length,
    unfinished,
    sleeping_tests,
    back_ends,
    sql,
];

fn purpose(source: &Source) -> Vec<Finding> {
    if source.scan.is_none() || source.text.starts_with("//!") {
        return Vec::new();
    }
    let message = "a reader cannot tell what this file is for; open it with a `//!` line";
    vec![source.finding(1, message)]
}

fn only_modules(source: &Source) -> Vec<Finding> {
    let mut lines = source.text.lines().filter(|line| !line.trim().is_empty()).peekable();
    let bare = source.name() == "lib.rs"
        && lines.peek().is_some()
        && lines.all(|line| line.trim_start().starts_with("pub mod "));
    if !bare {
        return Vec::new();
    }
    let message = "a lib.rs that only lists modules is a room without a door; say with `//!` what \
                   the room is for and in which order to read it";
    vec![source.finding(1, message)]
}

fn tabs(source: &Source) -> Vec<Finding> {
    each_line(
        source,
        |line| line.contains('\t'),
        "a tab is as wide as each editor likes; use \\t \
        in a string and spaces elsewhere",
    )
}

fn line_length(source: &Source) -> Vec<Finding> {
    // A URL cannot be broken.
    let long = |line: &str| line.chars().count() > LINE_MAX && !line.contains("://");
    each_line(
        source,
        long,
        "longer than 100 characters, which two windows side by side cannot \
        show; break it",
    )
}

fn file_length(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    if source.scan.is_none() || lines <= FILE_MAX {
        return Vec::new();
    }
    let message = format!(
        "{lines} lines are too many to keep in mind (at most {FILE_MAX}, better half of it); move \
         one noun to a module of its own"
    );
    vec![source.finding(FILE_MAX, message)]
}

fn function_length(source: &Source) -> Vec<Finding> {
    let functions = source.scan.iter().flat_map(|scan| &scan.functions);
    functions
        .filter(|function| function.lines > FUNCTION_MAX)
        .filter(|function| !source.is_test_line(function.first_line))
        .map(|function| {
            let message = format!(
                "`{}` has {} lines and does not fit a screen (at most {FUNCTION_MAX}); name its \
                 parts and make each a function",
                function.name, function.lines
            );
            source.finding(function.first_line, message)
        })
        .collect()
}

fn unfinished(source: &Source) -> Vec<Finding> {
    const WORDS: [(&str, &str); 4] = [
        ("todo!", "panics in production; write it, or leave the path out"),
        ("unimplemented!", "panics in production; write it, or leave the path out"),
        ("dbg!", "prints what may be a secret; use tracing"),
        ("#[ignore", "hides a test that nobody runs; mend it, or remove it and say why"),
    ];
    let Some(scan) = in_a_room(source, "src/") else { return Vec::new() };
    let mut found = Vec::new();
    for (number, line) in scan.lines() {
        for (word, why) in WORDS.iter().filter(|(word, _)| has_word(line, word)) {
            found.push(source.finding(number, format!("`{word}` {why}")));
        }
    }
    found
}

fn sleeping_tests(source: &Source) -> Vec<Finding> {
    let Some(scan) = in_a_room(source, "") else { return Vec::new() };
    scan.lines()
        .filter(|(_, line)| ["thread::sleep(", "time::sleep("].iter().any(|s| line.contains(s)))
        .filter(|(number, _)| source.is_test_line(*number))
        .map(|(number, _)| {
            let message = "a test that sleeps is slow on a quick machine and fails on a slow one; \
                           move the test's clock, or wait for the event itself";
            source.finding(number, message)
        })
        .collect()
}

fn back_ends(source: &Source) -> Vec<Finding> {
    let Some(scan) = &source.scan else { return Vec::new() };
    scan.lines()
        .filter(|(_, line)| has_word(line, "if postgres") || has_word(line, "is_postgres"))
        .map(|(number, _)| {
            let message = "a question about the back end here has to be asked everywhere; match \
                           it once, where the store is made, and put the difference behind \
                           `store::Backend`";
            source.finding(number, message)
        })
        .collect()
}

fn sql(source: &Source) -> Vec<Finding> {
    let Some(scan) = &source.scan else { return Vec::new() };
    if source.is_in("store") || source.path.starts_with("xtask/") {
        return Vec::new();
    }
    scan.strings
        .iter()
        .filter(|literal| is_sql(&literal.text) && !source.is_test_line(literal.line))
        .map(|literal| {
            let message = "SQL outside `store` binds this room to one schema and one database; \
                           add a method to the store and call that";
            source.finding(literal.line, message)
        })
        .collect()
}

/// A statement is written small or in capitals: `Update the wallet.` is a sentence.
fn is_sql(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    let follows = words.len() == 2 || text.ends_with(char::is_whitespace);
    match words.first() {
        Some(&("select" | "SELECT" | "update" | "UPDATE")) => follows,
        Some(&("insert" | "INSERT")) => matches!(words.get(1), Some(&("into" | "INTO"))),
        Some(&("delete" | "DELETE")) => matches!(words.get(1), Some(&("from" | "FROM"))),
        _ => false,
    }
}

/// The scan of a file below `crates/ROOM/DIR`.
fn in_a_room<'a>(source: &'a Source, dir: &str) -> Option<&'a Scan> {
    let (_, rest) = source.path.strip_prefix("crates/")?.split_once('/')?;
    source.scan.as_ref().filter(|_| rest.starts_with(dir))
}

/// Whether `word` stands in `line` and is not the end of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

fn each_line(source: &Source, is_bad: impl Fn(&str) -> bool, message: &str) -> Vec<Finding> {
    if source.scan.is_none() {
        return Vec::new();
    }
    let lines = source.text.lines().enumerate();
    lines.filter(|(_, line)| is_bad(line)).map(|(n, _)| source.finding(n + 1, message)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::said;
    use super::*;

    const ENGINE: &str = "crates/engine/src/queue.rs";

    #[test]
    fn a_file_without_a_purpose_fails() {
        assert!(said(purpose, ENGINE, "use x;\n").contains("`//!`"));
        assert_eq!(said(purpose, ENGINE, "//! The queue.\n"), "");
        assert_eq!(said(purpose, "Makefile", "all:\n"), "");
    }

    #[test]
    fn a_bare_list_of_modules_fails() {
        assert!(
            said(only_modules, "crates/cache/src/lib.rs", "pub mod a;\n\npub mod b;\n")
                .contains("door")
        );
        assert_eq!(said(only_modules, "crates/cache/src/lib.rs", "//! Cache.\npub mod a;\n"), "");
    }

    #[test]
    fn tabs_fail() {
        assert!(said(tabs, ENGINE, "\tx").contains("tab"));
        assert_eq!(said(tabs, "Makefile", "\tx"), "");
    }

    #[test]
    fn long_lines_fail() {
        assert!(said(line_length, ENGINE, &"é".repeat(101)).contains("100"));
        assert_eq!(said(line_length, ENGINE, &"é".repeat(100)), "");
        assert_eq!(said(line_length, ENGINE, &format!("// http://{}", "x".repeat(100))), "");
    }

    #[test]
    fn long_files_fail() {
        assert!(said(file_length, ENGINE, &"x\n".repeat(801)).contains("801 lines"));
        assert_eq!(said(file_length, ENGINE, &"x\n".repeat(800)), "");
    }

    #[test]
    fn long_functions_fail() {
        let long = format!("fn f() {{\n{}}}\n", "x;\n".repeat(69));
        assert!(said(function_length, ENGINE, &long).contains("`f` has 71 lines"));
        let fits = format!("fn f() {{\n{}}}\n", "x;\n".repeat(68));
        assert_eq!(said(function_length, ENGINE, &fits), "");
        assert_eq!(said(function_length, ENGINE, &format!("#[test]\n{long}")), "");
        assert_eq!(said(function_length, "crates/engine/tests/a.rs", &long), "");
    }

    #[test]
    fn unfinished_work_fails() {
        for word in ["todo!()", "unimplemented!()", "dbg!(x)", "#[ignore = \"slow\"]"] {
            assert!(said(unfinished, ENGINE, word).starts_with(ENGINE), "{word}");
        }
        assert_eq!(said(unfinished, ENGINE, "// todo!()\nf(\"dbg!\");"), "");
    }

    #[test]
    fn a_test_that_sleeps_fails() {
        let sleep = "tokio::time::sleep(x).await;\n";
        let test = format!("#[cfg(test)]\nmod tests {{\n{sleep}}}\n");
        assert!(said(sleeping_tests, "crates/http/tests/a.rs", sleep).contains("sleeps"));
        assert!(said(sleeping_tests, ENGINE, &test).starts_with("crates/engine/src/queue.rs:3:"));
        assert!(
            said(sleeping_tests, "crates/http/tests/a.rs", "std::thread::sleep(x)")
                .contains("slow")
        );
        assert_eq!(said(sleeping_tests, ENGINE, sleep), "");
    }

    #[test]
    fn a_question_about_the_back_end_fails() {
        assert!(said(back_ends, "crates/store/src/lib.rs", "if postgres { a }").contains("match"));
        assert!(said(back_ends, ENGINE, "if store.is_postgres() { a }").contains("match"));
        assert_eq!(said(back_ends, ENGINE, "// if postgres is slow"), "");
    }

    #[test]
    fn sql_outside_the_store_fails() {
        for statement in [
            "\"select 1\"",
            "r#\"\n  SELECT id\n  from x\"#",
            "\"insert into x values (1)\"",
            "\"update x set y = 1\"",
            "\"delete from x\"",
        ] {
            assert!(said(sql, ENGINE, statement).contains("outside `store`"), "{statement}");
            assert_eq!(said(sql, "crates/store/src/sqlite/accounts.rs", statement), "");
            assert_eq!(said(sql, "crates/engine/tests/a.rs", statement), "");
        }
        for text in ["\"Update the wallet.\"", "\"select\"", "\"delete the key\"", "select(a, b)"] {
            assert_eq!(said(sql, ENGINE, text), "");
        }
    }
}
