//! The comparison as a picture, readable on a light page and on a dark one.

use std::fmt::Write as _;

use super::{Measured, figure};

const WIDTH: u32 = 960;
const ROW: u32 = 52;
const HEADER: u32 = 84;
const LONGEST: f64 = 560.0;

const STYLE: &str = "<style>\
    text{font:15px system-ui,sans-serif;fill:#1f2937}.title{font-size:21px;font-weight:600}\
    .pale{fill:#64748b;font-size:14px}.page{fill:#fff}.caudal{fill:#2563eb}.hand{fill:#94a3b8}\
    @media(prefers-color-scheme:dark){text{fill:#e2e8f0}.pale{fill:#94a3b8}.page{fill:#0f172a}\
    .caudal{fill:#60a5fa}.hand{fill:#64748b}}</style>";

/// A bar a part: grey is written by hand, blue is Caudal.
pub(super) fn chart(parts: &[(&str, &str)], measured: &Measured) -> String {
    let tps = |key: &str| figure(measured, key, "tps").unwrap_or_default();
    let most = parts.iter().map(|(key, _)| tps(key)).fold(1.0, f64::max);
    let height = HEADER + ROW * parts.len() as u32 + 12;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Transfers a second\">{STYLE}\n\
         <rect class=\"page\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"title\" x=\"24\" y=\"38\">Transfers a second, durable on disk</text>\n\
         <text class=\"pale\" x=\"24\" y=\"62\">one machine for driver, server and database; \
         latency p50 / p99 beside each bar</text>\n"
    );
    for ((key, name), row) in parts.iter().zip(0_u32..) {
        let top = HEADER + ROW * row;
        let class = if key.starts_with('a') { "hand" } else { "caudal" };
        let width = (tps(key) / most * LONGEST).max(2.0);
        let p = |name| figure(measured, key, name).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(
            svg,
            "<text x=\"24\" y=\"{}\">{name}</text>\
             <rect class=\"{class}\" x=\"24\" y=\"{}\" width=\"{width:.0}\" height=\"18\" \
             rx=\"3\"/>\
             <text x=\"{:.0}\" y=\"{}\">{:.0}/s <tspan class=\"pale\" dx=\"8\">\
             {:.1} / {:.1} ms</tspan></text>",
            top + 14,
            top + 22,
            width + 34.0,
            top + 37,
            tps(key),
            p("p50_ms"),
            p("p99_ms"),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_its_bar_and_figures() {
        let row = serde_json::json!({"tps": 5_100.4, "p50_ms": 8.0, "p99_ms": 20.0});
        let measured = Measured::from([("a", row.as_object().unwrap().clone())]);
        let svg = chart(&[("a", "by hand"), ("b", "not measured")], &measured);
        assert!(svg.contains("5100/s") && svg.contains("8.0 / 20.0 ms"));
        assert_eq!(svg.matches("<rect class=\"caudal\"").count(), 1);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    }
}
