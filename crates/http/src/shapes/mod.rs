//! What is heard and said, a file per noun: the JSON of requests and answers, and nothing else.
//!
//! Every request refuses fields it does not know. Every answer always has all of its fields.

pub(crate) mod api_keys;
pub(crate) mod audit;
pub(crate) mod bank_movements;
pub(crate) mod config;
pub(crate) mod deliveries;
pub(crate) mod disputes;
pub(crate) mod events;
pub(crate) mod exchanges;
pub(crate) mod fraud_rules;
pub(crate) mod gateway_accounts;
pub(crate) mod mails;
pub(crate) mod notifications;
pub(crate) mod payment_types;
pub(crate) mod payments;
pub(crate) mod payouts;
pub(crate) mod quotes;
pub(crate) mod rates;
pub(crate) mod refunds;
pub(crate) mod reports;
pub(crate) mod reviews;
pub(crate) mod roles;
pub(crate) mod schedules;
pub(crate) mod second_factor;
pub(crate) mod service_accounts;
pub(crate) mod sessions;
pub(crate) mod settlements;
pub(crate) mod signing_keys;
pub(crate) mod tenants;
pub(crate) mod transfers;
pub(crate) mod uploads;
pub(crate) mod users;
pub(crate) mod wallet_tiers;
pub(crate) mod wallets;
pub(crate) mod webhook_endpoints;

use std::fmt;

use caudal_domain::{
    AccountId,
    text::{Metadata, check_line, holds_card_number},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};
use utoipa::ToSchema;

use crate::problem::Problem;

/// Characters of names and references at most.
pub(crate) const NAME_CHARS: usize = 200;

/// A request without fields.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NoFields)]
pub(crate) struct NoFields {}

/// A wallet's id in a request. A malformed one is as unknown as any other, so it becomes an id
/// that no wallet has, and the answer is decided (and kept) where all others are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WalletId(pub AccountId);

impl WalletId {
    pub const UNKNOWN: Self = Self(AccountId(0));

    pub fn read(text: &str) -> Self {
        text.parse().map_or(Self::UNKNOWN, Self)
    }
}

impl Serialize for WalletId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for WalletId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = WalletId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the id of a wallet, wal_…")
            }

            fn visit_str<E>(self, text: &str) -> Result<WalletId, E> {
                Ok(WalletId::read(text))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A field that was given, if only as null.
pub(crate) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Checks a text that says something in one line: 1 to [`NAME_CHARS`] characters.
pub(crate) fn check_name(param: &str, text: &str) -> Result<(), Problem> {
    if text.trim().is_empty() {
        return Err(Problem::invalid(param, "is empty"));
    }
    check_line(text, NAME_CHARS).map_err(|why| Problem::invalid(param, why))?;
    refuse_card_number(param, text)
}

/// Card numbers are kept nowhere: whoever writes one into free text is told.
pub(crate) fn refuse_card_number(param: &str, text: &str) -> Result<(), Problem> {
    if !holds_card_number(text) {
        return Ok(());
    }
    let code = std::borrow::Cow::Borrowed("card_number_in_text");
    let detail = "holds what looks like a card number; send a gateway's token instead";
    Err(Problem { code, ..Problem::invalid(param, detail) })
}

pub(crate) fn check_metadata(param: &str, metadata: &Metadata) -> Result<(), Problem> {
    metadata.check().map_err(|why| Problem::invalid(param, why))?;
    let texts = metadata.0.iter().flat_map(|(key, value)| [key, value]);
    texts.into_iter().try_for_each(|text| refuse_card_number(param, text))
}

#[cfg(test)]
mod tests {
    use crate::query::Shown;

    /// The list of names is that of what is written.
    pub fn assert_fields<T: Shown>(shape: &T) {
        let json = serde_json::to_value(shape).expect("plain data");
        let mut names: Vec<_> = json.as_object().expect("an object").keys().cloned().collect();
        names.sort_unstable();
        let mut fields = T::FIELDS.to_vec();
        fields.sort_unstable();
        assert_eq!(names, fields);
    }
}
