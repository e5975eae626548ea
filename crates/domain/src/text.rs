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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_count_characters_and_nul_is_refused() {
        assert!(check_text("ééé", 3).is_ok());
        assert!(check_text("éééé", 3).is_err());
        assert!(check_text("a\0", 3).is_err());
    }
}
