//! Metrics: what is measured is explained in one document, and nothing else is.

use super::{Finding, Source};

const DOCUMENT: &str = "docs/metrics.md";
/// What a metric's name stands behind. `Open` counts what is open.
const MEASURES: [&str; 4] = ["counter!(", "gauge!(", "histogram!(", "Open::new("];

pub fn check(sources: &[Source]) -> Vec<Finding> {
    let Some(document) = sources.iter().find(|source| source.path == DOCUMENT) else {
        return Vec::new();
    };
    let explained = explained(document);
    let measured: Vec<_> = sources.iter().flat_map(measured).collect();
    let unexplained = measured
        .iter()
        .filter(|(name, ..)| explained.iter().all(|(other, _)| other != name))
        .map(|(name, source, line)| {
            let message =
                format!("nobody can read what `{name}` measures; give it a line in {DOCUMENT}");
            source.finding(*line, message)
        });
    let gone = explained
        .iter()
        .filter(|(name, _)| measured.iter().all(|(other, ..)| other != name))
        .map(|(name, line)| {
            let message = format!("`{name}` is measured nowhere; take its line away");
            document.finding(*line, message)
        });
    unexplained.chain(gone).collect()
}

/// The names in the first cell of each row, and their lines.
fn explained(document: &Source) -> Vec<(&str, usize)> {
    let rows = document.text.lines().zip(1..).filter(|(line, _)| line.starts_with("| `"));
    rows.flat_map(|(line, number)| {
        let cell = line[1..].split('|').next().unwrap_or_default();
        cell.split('`').skip(1).step_by(2).map(move |name| (name, number))
    })
    .collect()
}

fn measured(source: &Source) -> Vec<(&str, &Source, usize)> {
    if !source.path.starts_with("crates/") || source.scan.is_none() {
        return Vec::new();
    }
    let text = source.text.as_str();
    let places = MEASURES
        .iter()
        .flat_map(|measure| text.match_indices(measure).map(|(at, found)| at + found.len()));
    places
        .filter_map(|at| {
            let name = text[at..].trim_start().strip_prefix('"')?.split('"').next()?;
            let line = text[..at].matches('\n').count() + 1;
            (!source.is_test_line(line)).then_some((name, source, line))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_and_explained_are_the_same() {
        let code =
            "gauge!(\"open\").set(1.0);\ncounter!(\n  \"asked\", \"by\" => who);\nOpen::new(name)";
        let said = |table: &str| {
            let sources = [Source::new("crates/a/src/b.rs", code), Source::new(DOCUMENT, table)];
            let findings = check(&sources);
            findings
                .iter()
                .map(|found| format!("{}:{}", found.path, found.line))
                .collect::<Vec<_>>()
        };
        let none: Vec<String> = Vec::new();
        assert_eq!(said("| `open`, `asked` | | `x` |"), none);
        assert_eq!(said("# M\n| `open` | |"), ["crates/a/src/b.rs:2"]);
        assert_eq!(said("| `asked` | |\n| `open`, `shut` | |"), [format!("{DOCUMENT}:2")]);
    }
}
