//! Bodies of many lines: files of payments, as CSV or as one JSON object a line. A line that can't
//! be understood harms no other.

use std::collections::BTreeMap;

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use bytes::Bytes;
use caudal_domain::text::holds_card_number;
use serde_json::{Map, Value};

use crate::{
    api::Api,
    json::{parse, read_for},
    problem::Problem,
    shapes::payments::PaymentRequest,
};
use caudal_service::{
    payments::NewPayment,
    uploads::{LINES_MOST, NewLine, NewUpload},
};

/// 100,000 lines of 320 bytes.
const FILE_BYTES: usize = 32 << 20;
/// From the last header to the last byte; the rest of the request's time is for taking it in.
const FILE_SECONDS: u64 = 20;
/// Of what is told of a line, characters.
const DETAIL_CHARS: usize = 300;
const METADATA: &str = "metadata.";
const COLUMNS: &[&str] = &[
    "type",
    "amount",
    "currency",
    "to",
    "from",
    "payment_method",
    "capture",
    "return_url",
    "reference",
    "description",
];

/// What may be sent.
pub(crate) const MEDIA_TYPES: &[&str] = &["text/csv", "application/jsonl", "application/x-ndjson"];

/// A file, with the bytes it was made of.
pub(crate) struct File {
    pub bytes: Bytes,
    is_csv: bool,
}

impl FromRequest<Api> for File {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let is_csv = media_type(request.headers())? == MEDIA_TYPES[0];
        let limit = std::time::Duration::from_secs(FILE_SECONDS);
        let bytes = read_for(request, api, FILE_BYTES, limit).await?;
        Ok(Self { bytes, is_csv })
    }
}

fn media_type(headers: &HeaderMap) -> Result<&'static str, Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = given.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let known = MEDIA_TYPES.iter().find(|known| essence.eq_ignore_ascii_case(known));
    known.copied().ok_or_else(|| {
        let detail = format!("Content-Type must be one of {}", MEDIA_TYPES.join(", "));
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let problem = Problem::new(status, "unsupported_media_type", detail);
        Problem { param: Some("Content-Type".into()), ..problem }
    })
}

impl File {
    /// Every line, in order; refused as a whole only where there are none, or too many.
    pub fn read(&self) -> Result<NewUpload, Problem> {
        let lines = if self.is_csv { csv_lines(&self.bytes)? } else { json_lines(&self.bytes)? };
        match lines.len() {
            0 => Err(Problem::invalid("", "the file has no payment")),
            1..=LINES_MOST => {
                Ok(NewUpload { format: if self.is_csv { "csv" } else { "jsonl" }, lines })
            }
            _ => Err(too_many()),
        }
    }
}

fn too_many() -> Problem {
    let detail = format!("a file has {LINES_MOST} lines at most");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
}

fn json_lines(bytes: &[u8]) -> Result<Vec<NewLine>, Problem> {
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if lines.len() == LINES_MOST {
            return Err(too_many());
        }
        lines.push(NewLine { number, payment: payment(line) });
    }
    Ok(lines)
}

/// The first row names the columns. A row is a line: a quote that stays open harms its own only.
fn csv_lines(bytes: &[u8]) -> Result<Vec<NewLine>, Problem> {
    let rows = bytes.split(|byte| *byte == b'\n');
    let rows = rows.map(|row| row.strip_suffix(b"\r").unwrap_or(row));
    let mut rows = (1..).zip(rows).filter(|(_, row)| !row.is_empty());
    let header = rows.next().map_or(Ok(csv::StringRecord::new()), |(_, row)| cells(row));
    let header = header.map_err(|why| Problem::invalid("", format!("the header {why}")))?;
    let columns: Vec<String> = header.iter().map(str::to_owned).collect();
    check_columns(&columns)?;
    let mut lines = Vec::new();
    for (number, row) in rows {
        if lines.len() == LINES_MOST {
            return Err(too_many());
        }
        let payment = cells(row).and_then(|cells| of_cells(&columns, &cells));
        lines.push(NewLine { number, payment });
    }
    Ok(lines)
}

/// Those of one line. With an end of line behind it, a quote that is still open takes that in.
fn cells(row: &[u8]) -> Result<csv::StringRecord, String> {
    let line = [row, b"\n"].concat();
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(line.len())
        .from_reader(&*line);
    let mut cells = csv::StringRecord::new();
    reader.read_record(&mut cells).map_err(|_| "is not UTF-8")?;
    if cells.iter().any(|cell| cell.contains('\n')) {
        return Err("has a quote that is not closed".into());
    }
    let is_more = reader.read_record(&mut csv::StringRecord::new()).unwrap_or(true);
    if is_more || cells.iter().any(|cell| cell.contains('\r')) {
        return Err("has an end of line within".into());
    }
    cells.trim();
    Ok(cells)
}

fn check_columns(columns: &[String]) -> Result<(), Problem> {
    for (place, name) in columns.iter().enumerate() {
        let is_known = COLUMNS.contains(&name.as_str()) || name.starts_with(METADATA);
        if !is_known {
            let known = COLUMNS.join(", ");
            let detail = format!("the first row names columns: {known}, metadata.…");
            return Err(Problem::invalid(name.replace('\0', "?"), detail));
        }
        if columns[..place].contains(name) {
            return Err(Problem::invalid(name, "names two columns"));
        }
    }
    Ok(())
}

/// An empty cell is as good as none.
fn of_cells(columns: &[String], record: &csv::StringRecord) -> Result<NewPayment, String> {
    if record.len() != columns.len() {
        return Err(format!("has {} cells, the header {}", record.len(), columns.len()));
    }
    let (mut fields, mut metadata) = (Map::new(), BTreeMap::new());
    let given = columns.iter().zip(record).filter(|(_, cell)| !cell.is_empty());
    for (name, cell) in given {
        if let Some(key) = name.strip_prefix(METADATA) {
            metadata.insert(key, cell);
            continue;
        }
        let value = match (name.as_str(), cell.parse::<i64>()) {
            ("amount", Ok(amount)) => Value::from(amount),
            _ => Value::from(cell),
        };
        fields.insert(name.clone(), value);
    }
    if !metadata.is_empty() {
        fields.insert("metadata".into(), serde_json::json!(metadata));
    }
    payment(Value::Object(fields).to_string().as_bytes())
}

fn payment(json: &[u8]) -> Result<NewPayment, String> {
    let read = parse::<PaymentRequest>(json).and_then(|request| request.into_new(""));
    read.map_err(|problem| told(&problem))
}

/// What is wrong, without a card number that the line may hold.
fn told(problem: &Problem) -> String {
    let text = match &problem.param {
        Some(param) => format!("{param}: {}", problem.detail),
        None => problem.detail.clone(),
    };
    let text: String = text.chars().filter(|c| *c != '\0').take(DETAIL_CHARS).collect();
    if holds_card_number(&text) { "can't be read".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALLET: &str = "wal_00000000000000000000000001";

    fn file(text: &str, is_csv: bool) -> File {
        File { bytes: Bytes::copy_from_slice(text.as_bytes()), is_csv }
    }

    /// The numbers of lines, and what begins the words on those that are wrong.
    fn outcomes(upload: &NewUpload) -> Vec<(i64, Option<String>)> {
        let wrong = |line: &'_ NewLine| match &line.payment {
            Ok(_) => None,
            Err(why) => why.split(':').next().map(str::to_owned),
        };
        upload.lines.iter().map(|line| (line.number, wrong(line))).collect()
    }

    #[test]
    fn each_line_of_json_stands_for_itself() {
        let good = format!(r#"{{"type":"wallet","amount":5,"currency":"USD","to":"{WALLET}"}}"#);
        let text = format!("{good}\r\n\n{{\"type\": 7}}\nnonsense\n[1]\n{good}");
        let upload = file(&text, false).read().expect("a file");
        let found = outcomes(&upload);
        let numbers: Vec<_> = found.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 3, 4, 5, 6]);
        let are_wrong: Vec<_> = found.iter().map(|(_, wrong)| wrong.is_some()).collect();
        assert_eq!(are_wrong, [false, true, true, true, false], "{found:?}");
        assert_eq!(found[1].1.as_deref(), Some("type"));
    }

    #[test]
    fn each_row_of_csv_stands_for_itself() {
        let text = format!(
            "type,amount,currency,to,metadata.shop,description\n\
             wallet,5,USD,{WALLET},7,\" a, \"\"b \"\n\
             wallet,5.0,USD,{WALLET},,\n\
             wallet,,USD,{WALLET},,\n\
             wallet,5,USD\n\
             wallet,5,USD,{WALLET},,\"a\n\
             \n\
             wallet,5,USD,{WALLET},,\"\"\n\
             wallet,5,USD,{WALLET},,4242 4242 4242 4242\n"
        );
        for text in [text.clone(), text.replace("\n", "\r\n")] {
            each_row(&file(&text, true).read().expect("a file"));
        }
    }

    fn each_row(upload: &NewUpload) {
        let first = upload.lines[0].payment.as_ref().expect("a payment");
        assert_eq!(first.metadata.0.get("shop").map(String::as_str), Some("7"));
        assert_eq!(first.description.as_deref(), Some("a, \"b"));
        let wanted = [
            (2, None),
            (3, Some("amount")),
            (4, Some("amount")),
            (5, Some("has 3 cells, the header 6")),
            (6, Some("has a quote that is not closed")),
            (8, None),
            (9, Some("description")),
        ];
        assert_eq!(outcomes(upload), wanted.map(|(n, why)| (n, why.map(str::to_owned))));
    }

    #[test]
    fn a_file_of_nothing_or_of_unknown_columns_is_refused() {
        for (text, is_csv) in [
            ("", true),
            ("type,amount\n", true),
            ("\n\n", false),
            ("type,colour\na,b\n", true),
            ("type,type\na,b\n", true),
            ("type,\"amount\na,b\n", true),
            ("type,amount\ra,b\r", true),
        ] {
            let problem = file(text, is_csv).read().expect_err(text);
            assert_eq!(problem.status, StatusCode::BAD_REQUEST, "{text}");
        }
        let many = "{}\n".repeat(LINES_MOST + 1);
        let problem = file(&many, false).read().expect_err("too many");
        assert_eq!(problem.status, StatusCode::PAYLOAD_TOO_LARGE);
    }
}
