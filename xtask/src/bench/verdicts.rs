//! What is required of each part, relative to the double entry written by hand, and whether it
//! was reached.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{Measured, figure};

/// One required figure.
pub(crate) struct Verdict {
    /// What was compared, e.g. `b / a`.
    what: &'static str,
    /// `None`: a part it needs was not run.
    value: Option<f64>,
    required: String,
    met: bool,
}

pub(crate) struct All(Vec<Verdict>);

/// Holds what was measured against what is required: the middle of what each round says, so that
/// what is compared was measured within minutes.
pub(crate) fn verdicts(rounds: &[Measured]) -> All {
    let of = |part, name| middle(rounds, |round| figure(round, part, name));
    let tps = |part| of(part, "tps");
    let ratio = |above, below| {
        middle(rounds, |round| Some(figure(round, above, "tps")? / figure(round, below, "tps")?))
    };
    let mut all = All(Vec::new());
    all.least("b / a", ratio("b", "a"), 3.5);
    all.most("b p99 ms", of("b", "p99_ms"), 60.0);
    all.least("c / a-hot", ratio("c", "a-hot"), 15.0);
    all.least("c / b", ratio("c", "b"), 0.9);
    all.least("d / b", ratio("d", "b"), 2.0);
    all.or_least(tps("d"), 25_000.0);
    all.least("e / b", ratio("e", "b"), 1.2);
    all.or_least(tps("e"), 17_000.0);
    all.least("f / b", ratio("f", "b"), 1.0);
    all.least("f-hot / b", ratio("f-hot", "b"), 1.0);
    all.least("p / b", ratio("p", "b"), 0.65);
    all.shown("p-20 / p", ratio("p-20", "p"));
    all.least("cards / s", tps("cards"), 2_000.0);
    let beyond = middle(rounds, |round| {
        Some(figure(round, "g", "p50_ms")? - figure(round, "a-1", "p50_ms")?)
    });
    all.most("g p50 - a-1 p50 ms", beyond, 0.5);
    all.most("start-up ms", of("b", "start_up_ms"), 1_000.0);
    all.most("memory MB", of("b", "rss_mb"), 200.0);
    // Speed without proof is worth nothing: no figure of such a part is reached.
    let broken = |part| {
        let mut runs = rounds.iter().filter_map(|round| round.get(part));
        runs.any(|run| run.get("verified") == Some(&json!(false)))
    };
    for verdict in &mut all.0 {
        verdict.met &= !verdict.what.split(' ').any(broken);
    }
    all
}

/// The lower one where two are in the middle.
fn middle(rounds: &[Measured], value: impl Fn(&Measured) -> Option<f64>) -> Option<f64> {
    let mut values: Vec<f64> = rounds.iter().filter_map(value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

impl All {
    fn least(&mut self, what: &'static str, value: Option<f64>, least: f64) {
        let met = value.is_some_and(|value| value >= least);
        self.0.push(Verdict { what, value, required: format!(">= {least}"), met });
    }

    /// Nothing is required of it.
    fn shown(&mut self, what: &'static str, value: Option<f64>) {
        self.0.push(Verdict { what, value, required: "-".into(), met: value.is_some() });
    }

    /// What was said last is also met with so many transfers a second.
    fn or_least(&mut self, tps: Option<f64>, least: f64) {
        if let Some(last) = self.0.last_mut() {
            let _ = write!(last.required, " or {least}/s");
            last.met |= tps.is_some_and(|tps| tps >= least);
        }
    }

    fn most(&mut self, what: &'static str, value: Option<f64>, most: f64) {
        let met = value.is_some_and(|value| value < most);
        self.0.push(Verdict { what, value, required: format!("< {most}"), met });
    }

    fn measured(&self) -> impl Iterator<Item = (&Verdict, f64)> {
        self.0.iter().filter_map(|verdict| Some((verdict, verdict.value?)))
    }

    pub(crate) fn ratios(&self) -> Value {
        let round = |value: f64| json!((value * 1_000.0).round() / 1_000.0);
        let pairs = self.measured().map(|(verdict, value)| (verdict.what.into(), round(value)));
        Value::Object(pairs.collect::<Map<_, _>>())
    }

    pub(crate) fn json(&self) -> Value {
        let row = |(verdict, value): (&Verdict, f64)| {
            json!({
                "what": verdict.what,
                "measured": (value * 1_000.0).round() / 1_000.0,
                "required": verdict.required,
                "met": verdict.met,
            })
        };
        self.measured().map(row).collect()
    }
}

/// Everything measured and required, for a terminal.
pub(crate) fn table(parts: &[(&str, &str)], measured: &Measured, verdicts: &All) -> String {
    let mut text = format!(
        "\n{:<6} {:<40} {:>9} {:>8} {:>8} {:>8} {:>7} {:>9}\n",
        "part", "", "tps", "p50 ms", "p95 ms", "p99 ms", "errors", "verified"
    );
    for (key, name) in parts {
        let of = |name| figure(measured, key, name).unwrap_or(f64::NAN);
        let figures = measured.get(key);
        let proven = figures.and_then(|figures| figures.get("verified"));
        let verified = if proven == Some(&json!(true)) { "yes" } else { "NO" };
        let _ = writeln!(
            text,
            "{key:<6} {name:<40} {:>9.0} {:>8.2} {:>8.2} {:>8.2} {:>7} {verified:>9}",
            of("tps"),
            of("p50_ms"),
            of("p95_ms"),
            of("p99_ms"),
            of("errors")
        );
        let notes = figures.and_then(|figures| figures.get("notes")?.as_array());
        for note in notes.into_iter().flatten() {
            let _ = writeln!(text, "       {}", note.as_str().unwrap_or_default());
        }
    }
    let _ = writeln!(text, "\n{:<20} {:>10}   {:<20}", "compared", "measured", "required");
    for (verdict, value) in verdicts.measured() {
        let word = if verdict.met { "ok" } else { "MISSED" };
        let Verdict { what, required, .. } = verdict;
        let _ = writeln!(text, "{what:<20} {value:>10.2}   {required:<20} {word}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(rows: &[(&'static str, Value)]) -> Measured {
        let row = |(key, value): &(&'static str, Value)| (*key, value.as_object().unwrap().clone());
        rows.iter().map(row).collect()
    }

    fn words(round: Measured) -> Vec<(&'static str, bool)> {
        verdicts(&[round]).measured().map(|(verdict, _)| (verdict.what, verdict.met)).collect()
    }

    #[test]
    fn only_what_was_measured_is_judged() {
        let rows = [
            ("a", json!({"tps": 5_000.0})),
            ("b", json!({"tps": 17_499.0, "p99_ms": 59.9, "start_up_ms": 1_000, "rss_mb": 80.5})),
        ];
        let expected =
            [("b / a", false), ("b p99 ms", true), ("start-up ms", false), ("memory MB", true)];
        assert_eq!(words(measured(&rows)), expected);
    }

    #[test]
    fn an_absolute_figure_will_do_where_one_is_named() {
        let rows = [
            ("b", json!({"tps": 16_000.0})),
            ("d", json!({"tps": 25_001.0})),
            ("e", json!({"tps": 16_999.0})),
        ];
        assert_eq!(words(measured(&rows)), [("d / b", true), ("e / b", false)]);
    }

    #[test]
    fn the_middle_of_the_rounds_counts() {
        // The machine was slow in the second, and the third's b had luck.
        let rounds =
            [(4_000.0, 14_400.0), (2_000.0, 7_000.0), (4_000.0, 30_000.0)].map(|(a, b)| {
                measured(&[("a", json!({"tps": a})), ("b", json!({"tps": b, "verified": true}))])
            });
        let all = verdicts(&rounds);
        assert_eq!(all.ratios(), json!({"b / a": 3.6}));
        assert_eq!(all.measured().map(|(verdict, _)| verdict.met).collect::<Vec<_>>(), [true]);
    }

    #[test]
    fn what_was_not_verified_reaches_nothing() {
        let rows = [
            ("a", json!({"tps": 1.0, "verified": true})),
            ("b", json!({"tps": 9.0, "verified": false})),
        ];
        assert_eq!(words(measured(&rows)), [("b / a", false)]);
    }

    #[test]
    fn the_table_says_what_was_missed() {
        let rows = [("a", json!({"tps": 5_000.0})), ("b", json!({"tps": 9_000.0}))];
        let measured = measured(&rows);
        let verdicts = verdicts(std::slice::from_ref(&measured));
        let text = table(&[("a", "by hand"), ("b", "one")], &measured, &verdicts);
        assert!(text.contains("by hand") && text.contains("MISSED") && text.contains("1.80"));
    }
}
