//! Shows runs: as JSON for programs, as a chart for a page, as a table for a terminal.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Attribute, Cell, CellAlignment, Color as Colour, Table};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::options::{BenchError, RunResult};

const WIDTH: u32 = 960;
const ROW: u32 = 56;
const HEADER: u32 = 72;
/// Where bars begin and where the longest ends.
const LEFT: i32 = 24;
const LONGEST: f64 = 620.0;
const INK: RGBColor = RGBColor(31, 41, 55);
const PALE: RGBColor = RGBColor(100, 116, 139);
const BAR: RGBColor = RGBColor(37, 99, 235);
const BAR_UNPROVEN: RGBColor = RGBColor(220, 38, 38);
/// Follows the page into the dark; the colours drawn are those of the light.
const DARK: &str = "<style>text{font-family:system-ui,sans-serif}\
    @media(prefers-color-scheme:dark){svg>rect:first-of-type{fill:#0f172a}\
    text[fill=\"#1F2937\"]{fill:#e2e8f0}text[fill=\"#64748B\"]{fill:#94a3b8}\
    rect[fill=\"#2563EB\"]{fill:#60a5fa}rect[fill=\"#DC2626\"]{fill:#f87171}}</style>";

/// Writes `path.json` (`{"runs": […]}`) and `path.svg`; an ending `.json` or `.svg` is replaced.
///
/// # Errors
/// The files cannot be written.
pub fn write_report(path: &Path, runs: &[RunResult]) -> Result<(), BenchError> {
    if let Some(directory) = path.parent() {
        wrote(std::fs::create_dir_all(directory), directory)?;
    }
    let json = serde_json::json!({ "runs": runs });
    let file = ending(path, "json");
    wrote(std::fs::write(&file, format!("{json:#}\n")), &file)?;
    let file = ending(path, "svg");
    let svg = chart(runs).map_err(|error| BenchError::Draw(error.to_string()))?;
    wrote(std::fs::write(&file, svg), &file)
}

fn wrote(result: std::io::Result<()>, path: &Path) -> Result<(), BenchError> {
    result.map_err(|source| BenchError::Io { what: format!("writing {}", path.display()), source })
}

fn ending(path: &Path, ending: &str) -> PathBuf {
    if path.extension().is_some_and(|is| is == "json" || is == "svg") {
        return path.with_extension(ending);
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

type Drawn<T> = Result<T, Box<dyn std::error::Error>>;

/// One bar a run, its throughput and latencies beside it.
fn chart(runs: &[RunResult]) -> Drawn<String> {
    let mut svg = String::new();
    let height = HEADER + ROW * runs.len() as u32 + 16;
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE)?;
        let text = |size: i32, colour: &RGBColor| {
            let anchor = Pos::new(HPos::Left, VPos::Center);
            ("sans-serif", size).into_font().color(colour).pos(anchor)
        };
        root.draw(&Text::new("Transfers a second", (LEFT, 28), text(25, &INK)))?;
        let legend = "latency p50 / p95 / p99 of a request beside each bar";
        root.draw(&Text::new(legend, (LEFT, 52), text(16, &PALE)))?;
        let most = runs.iter().map(|run| run.tps).fold(1.0, f64::max);
        for (run, row) in runs.iter().zip(0_u32..) {
            let top = (HEADER + ROW * row) as i32;
            let right = LEFT + (run.tps / most * LONGEST).max(2.0) as i32;
            let colour = if run.verified { BAR } else { BAR_UNPROVEN };
            root.draw(&Text::new(run.name.clone(), (LEFT, top + 10), text(18, &INK)))?;
            let corners = [(LEFT, top + 22), (right, top + 44)];
            root.draw(&Rectangle::new(corners, colour.filled()))?;
            let speed = grouped(run.tps);
            let at = (right + 8, top + 33);
            root.draw(&Text::new(speed.clone(), at, text(19, &INK)))?;
            let at = (at.0 + 10 * speed.len() as i32 + 10, at.1);
            root.draw(&Text::new(latencies(run), at, text(16, &PALE)))?;
        }
        root.present()?;
    }
    let opened = svg.find("<svg").and_then(|at| svg[at..].find('>').map(|end| at + end + 1));
    svg.insert_str(opened.ok_or("no svg element was drawn")?, DARK);
    Ok(svg)
}

fn latencies(run: &RunResult) -> String {
    let mut text = format!("{:.1} / {:.1} / {:.1} ms", run.p50_ms, run.p95_ms, run.p99_ms);
    if !run.verified {
        text.push_str(" · NOT VERIFIED");
    }
    text
}

/// A whole number with its thousands apart.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::with_capacity(digits.len() + 4);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The runs as a table for a terminal, notes below.
#[must_use]
pub fn table(runs: &[RunResult]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header([
        "run",
        "transfers/s",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "transfers",
        "errors",
        "verified",
    ]);
    for run in runs {
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        let verdict = if run.verified {
            Cell::new("yes").fg(Colour::Green)
        } else {
            Cell::new("NO").fg(Colour::Red).add_attribute(Attribute::Bold)
        };
        table.add_row([
            Cell::new(&run.name),
            right(grouped(run.tps)),
            right(format!("{:.2}", run.p50_ms)),
            right(format!("{:.2}", run.p95_ms)),
            right(format!("{:.2}", run.p99_ms)),
            right(grouped(run.transfers as f64)),
            right(run.errors.to_string()),
            verdict,
        ]);
    }
    let mut text = table.to_string();
    for run in runs {
        for note in &run.notes {
            let _ = write!(text, "\n{}: {note}", run.name);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, tps: f64, verified: bool) -> RunResult {
        RunResult {
            name: name.into(),
            tps,
            p50_ms: 8.25,
            p95_ms: 14.5,
            p99_ms: 21.0,
            errors: 0,
            verified,
            batch: 1,
            connections: 256,
            hot_percent: 0,
            duration_s: 20.0,
            transfers: 365_000,
            refused: 0,
            rate: None,
            notes: vec!["a note".into()],
        }
    }

    #[test]
    fn a_report_can_be_read_back() {
        let directory = std::env::temp_dir().join(format!("caudal-report-{}", std::process::id()));
        let runs = [run("uniform <1>", 18_250.0, true), run("hot", 940.0, false)];
        write_report(&directory.join("v1.2"), &runs).unwrap();
        let json = std::fs::read(directory.join("v1.2.json")).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["runs"][0]["tps"], 18_250.0);
        assert_eq!(json["runs"][1]["verified"], false);
        let svg = std::fs::read_to_string(directory.join("v1.2.svg")).unwrap();
        assert!(svg.contains("18,250") && svg.contains("NOT VERIFIED"));
        assert!(svg.contains("uniform &lt;1&gt;") && svg.contains("prefers-color-scheme"));
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_table_names_runs_verdicts_and_notes() {
        let text = table(&[run("hot", 940.0, false)]);
        assert!(text.contains("hot") && text.contains("NO") && text.contains("hot: a note"));
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(grouped(1_234_567.4), "1,234,567");
        assert_eq!(grouped(999.0), "999");
    }
}
