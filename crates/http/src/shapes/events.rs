//! Events as messages of a stream, and the position it is resumed from.

use std::fmt::Write as _;

use caudal_domain::event::CloudEvent;
use caudal_service::events::{Heads, StoredEvent};

const RADIX: u32 = 36;
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// The position in all streams, as compact text.
pub(crate) fn position_text(position: &Heads) -> String {
    let mut text = String::with_capacity(96);
    for (place, seq) in position.iter().enumerate() {
        if place > 0 {
            text.push('-');
        }
        push_number(&mut text, seq.unsigned_abs());
    }
    text
}

fn push_number(text: &mut String, mut number: u64) {
    let start = text.len();
    loop {
        let digit = (number % u64::from(RADIX)) as usize;
        text.insert(start, char::from(DIGITS[digit]));
        number /= u64::from(RADIX);
        if number == 0 {
            return;
        }
    }
}

/// Reads what [`position_text`] wrote; `None` for anything else.
pub(crate) fn read_position(text: &str) -> Option<Heads> {
    let mut position = Heads::default();
    let mut parts = text.split('-');
    for slot in &mut position {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|byte| DIGITS.contains(&byte)) {
            return None;
        }
        *slot = i64::from_str_radix(part, RADIX).ok()?;
    }
    parts.next().is_none().then_some(position)
}

/// One event as a message of an event stream.
pub(crate) fn push_message(frame: &mut String, event: &StoredEvent, position: &Heads) {
    let json = CloudEvent::from(event).json();
    // A line's end would end the field; between JSON's words it means no more than a blank.
    let json = if json.contains(['\n', '\r']) { json.replace(['\n', '\r'], " ") } else { json };
    let id = position_text(position);
    // Writing to a String can't fail.
    let _ = write!(frame, "id: {id}\nevent: {}\ndata: {json}\n\n", event.kind);
}

#[cfg(test)]
mod tests {
    use caudal_domain::{EventId, TenantId, Timestamp};

    use super::*;

    #[test]
    fn positions_read_back_and_nothing_else_does() {
        let mut position = Heads::default();
        position[3] = 1_234_567;
        position[15] = i64::MAX;
        let text = position_text(&position);
        assert_eq!(read_position(&text), Some(position));
        let long = format!("{text}-0");
        let upper = text.to_uppercase();
        let sign = text.replacen('0', "+0", 1);
        for bad in ["", "0", "0-0", &long, &upper, &sign, "é", &"9".repeat(99)] {
            assert_eq!(read_position(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_message_is_one_line_of_cloud_event() {
        let event = StoredEvent {
            stream: 0,
            seq: 1,
            id: EventId(1),
            tenant: TenantId(2),
            kind: "wallet.created".into(),
            subject: "wal_1".into(),
            data: "{\"a\":\n1}".into(),
            occurred_at: Timestamp::from_micros(0),
        };
        let mut frame = String::new();
        push_message(&mut frame, &event, &Heads::default());
        let lines: Vec<_> = frame.lines().collect();
        assert_eq!(lines[0], "id: 0-0-0-0-0-0-0-0-0-0-0-0-0-0-0-0");
        assert_eq!(lines[1], "event: wallet.created");
        assert!(lines[2].starts_with("data: {\"specversion\":\"1.0\",\"id\":\"evt_"));
        assert!(lines[2].ends_with("\"data\":{\"a\": 1}}"), "{}", lines[2]);
        assert_eq!((lines[3], lines.len()), ("", 4));
    }
}
