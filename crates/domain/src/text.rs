//! What free text from outside may hold, in one place.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Customers' own labels on an object: at most 50 pairs, keys ≤ 40, values ≤ 500 characters
/// (Stripe's limits, which their users expect).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metadata(pub BTreeMap<String, String>);

pub const METADATA_PAIRS: usize = 50;
pub const METADATA_KEY_CHARS: usize = 40;
pub const METADATA_VALUE_CHARS: usize = 500;

impl Metadata {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Says what is wrong, or nothing.
    pub fn check(&self) -> Result<(), String> {
        if self.0.len() > METADATA_PAIRS {
            return Err(format!("metadata holds at most {METADATA_PAIRS} pairs"));
        }
        for (key, value) in &self.0 {
            check_text(key, METADATA_KEY_CHARS).map_err(|e| format!("a metadata key {e}"))?;
            check_text(value, METADATA_VALUE_CHARS)
                .map_err(|e| format!("the metadata value of {key:?} {e}"))?;
        }
        Ok(())
    }
}

/// Text may hold anything but U+0000 (PostgreSQL can't store it) up to `max_chars` characters.
pub fn check_text(text: &str, max_chars: usize) -> Result<(), String> {
    if text.contains('\0') {
        return Err("holds the character U+0000".into());
    }
    if text.len() > max_chars && text.chars().count() > max_chars {
        return Err(format!("is longer than {max_chars} characters"));
    }
    Ok(())
}

/// The same of one line that is shown among others: no control characters, and nothing unseen that
/// makes it look like another or turns around what stands beside it.
pub fn check_line(text: &str, max_chars: usize) -> Result<(), String> {
    check_text(text, max_chars)?;
    // Scripts and emoji are written with these.
    let is_joiner = |c| matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe0e}' | '\u{fe0f}');
    match text.chars().find(|c| c.is_control() || is_unseen(*c) && !is_joiner(*c)) {
        Some(c) => Err(format!("holds the unseen character U+{:04X}", u32::from(c))),
        None => Ok(()),
    }
}

/// Unicode's format characters, fillers and the like, by which two texts could look the same or
/// read backwards.
pub fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Digits of a card number (ISO/IEC 7812).
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;
/// Cards are written in groups of so many digits at least; dates and times are not.
const GROUP_DIGITS: usize = 3;

/// Whether the text holds 13 to 19 digits that are valid by Luhn, together or in groups parted by
/// single blanks or hyphens: a card number, which is to be kept nowhere here.
pub fn holds_card_number(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_digit() || c == ' ' || c == '-';
    let is_long = |stretch: &&str| stretch.len() >= *CARD_DIGITS.start();
    text.split(|c| !is_part(c)).filter(is_long).any(|stretch| {
        let groups: Vec<&str> = stretch.split([' ', '-']).collect();
        (0..groups.len()).any(|first| begins_card_number(&groups[first..]))
    })
}

/// Whether the first of the groups, alone or with those behind it, is a card number.
fn begins_card_number(groups: &[&str]) -> bool {
    let mut number = String::new();
    for group in groups {
        let is_group = number.is_empty() || group.len() >= GROUP_DIGITS;
        if group.is_empty() || !is_group || number.len() + group.len() > *CARD_DIGITS.end() {
            return false;
        }
        number.push_str(group);
        if is_card_number(&number) {
            return true;
        }
    }
    false
}

fn is_card_number(digits: &str) -> bool {
    let doubled = |(place, digit): (usize, u8)| match (place % 2, u32::from(digit - b'0')) {
        (0, value) => value,
        (_, value) if value > 4 => 2 * value - 9,
        (_, value) => 2 * value,
    };
    CARD_DIGITS.contains(&digits.len())
        && digits.bytes().rev().enumerate().map(doubled).sum::<u32>().is_multiple_of(10)
}

/// Numbers of lines as people count them, for records of a file that are met in their order. (A
/// reader of CSV stands between the two characters of a line's end, or before an empty line.)
pub struct LineNumbers<'a> {
    bytes: &'a [u8],
    at: usize,
    line: i64,
}

impl<'a> LineNumbers<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, line: 1 }
    }

    /// Of the record that begins at this byte, or after the ends of lines that stand there.
    pub fn of(&mut self, byte: u64) -> i64 {
        let byte = usize::try_from(byte).unwrap_or(usize::MAX).min(self.bytes.len());
        let ends = self.bytes[byte..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
        let start = (byte + ends).max(self.at);
        let passed = self.bytes[self.at..start].iter().filter(|byte| **byte == b'\n').count();
        self.line += passed as i64;
        self.at = start;
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_as_people_do() {
        for text in ["a\nb\n\nc", "a\r\nb\r\n\r\nc"] {
            let mut numbers = LineNumbers::new(text.as_bytes());
            let place = |of: char| text.find(of).expect("it is there") as u64;
            assert_eq!(numbers.of(0), 1);
            // Between the two characters of an end, or behind them.
            assert_eq!(numbers.of(place('b') - 1), 2);
            assert_eq!(numbers.of(place('b')), 2);
            assert_eq!(numbers.of(place('b') + 1), 4);
            assert_eq!(numbers.of(place('c')), 4);
            assert_eq!(numbers.of(u64::MAX), 4);
        }
    }

    #[test]
    fn card_numbers_are_seen_in_text() {
        for text in [
            "4242424242424242",
            "card 4242 4242 4242 4242, thanks",
            "4242-4242-4242-4242",
            "3782 822463 10005",
            "é6011111111111117é",
            "5555555555554444 ok",
            "4242424242424242 12",
        ] {
            assert!(holds_card_number(text), "{text}");
        }
        for text in [
            "",
            "order 17",
            "4242424242424241",
            "424242424242",
            "42424242424242424242424242",
            "2026-11-21 07-05-33",
            "4242 4242",
            "wal_4242424242424241",
        ] {
            assert!(!holds_card_number(text), "{text}");
        }
    }

    #[test]
    fn limits_count_characters_and_nul_is_refused() {
        assert!(check_text("ééé", 3).is_ok());
        assert!(check_text("éééé", 3).is_err());
        assert!(check_text("a\0", 3).is_err());
    }

    #[test]
    fn lines_hold_nothing_unseen() {
        for text in ["Zoë Ærø", "علی\u{200c}رضا", "👩\u{200d}💻 ❤\u{fe0f} שלום", "a-b_c 1"]
        {
            assert_eq!(check_line(text, 40), Ok(()), "{text}");
        }
        let bad = [
            "a\nb",
            "a\tb",
            "\u{1b}[2J",
            "\u{7f}",
            "pay\u{202e}lla",
            "owner\u{200b}",
            "\u{2066}x",
            "own\u{ad}er",
            "\u{3164}",
            "a\u{200f}",
            "\u{e0061}",
        ];
        for text in bad {
            assert!(check_line(text, 40).is_err(), "{text:?}");
        }
        assert_eq!(check_line("a\rb", 40), Err("holds the unseen character U+000D".into()));
        assert!(check_line("ab", 1).is_err());
    }
}
