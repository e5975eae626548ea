//! Quotes as they are asked for and shown.

use caudal_domain::{Amount, Currency, Quote, QuoteId, Rate, Timestamp, TransferId, UserId};
use caudal_service::quotes::NewQuote;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{problem::Problem, query::Shown};

/// What an exchange would give.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewQuote, example = json!({
    "from_currency": "USD", "to_currency": "EUR", "amount": 1050
}))]
pub(crate) struct QuoteRequest {
    #[schema(value_type = String)]
    from_currency: Currency,
    #[schema(value_type = String)]
    to_currency: Currency,
    /// To be paid, in minor units of `from_currency`.
    #[schema(value_type = i64, minimum = 1, maximum = 9007199254740991i64)]
    amount: Amount,
}

impl QuoteRequest {
    pub fn to_new(&self) -> Result<NewQuote, Problem> {
        let Self { from_currency: from, to_currency: to, amount } = *self;
        if from == to {
            return Err(Problem::invalid("to_currency", "is another currency than from_currency"));
        }
        Ok(NewQuote { from, to, amount: amount.minor() })
    }
}

/// A rate that is promised until it expires, for one exchange.
#[derive(Serialize, ToSchema)]
#[schema(as = Quote, example = json!({
    "id": "quo_01h455vb4pex5vsknk084sn02q", "object": "quote", "status": "open", "rate": "0.9231",
    "from": {"amount": 1050, "currency": "USD"}, "to": {"amount": 969, "currency": "EUR"},
    "user_id": null, "expires_at": "2026-01-31T09:31:00.000000Z", "used_at": null,
    "market_rate": null, "transfers": null, "created_at": "2026-01-31T09:30:00.000000Z"
}))]
pub(crate) struct QuoteShape {
    #[schema(value_type = String)]
    id: QuoteId,
    object: &'static str,
    /// `open`, `used` or `expired`.
    status: &'static str,
    /// What one unit of the one currency gives in the other: a decimal in text.
    #[schema(value_type = String)]
    rate: Rate,
    from: MoneyShape,
    /// Rounded down to a whole minor unit.
    to: MoneyShape,
    /// Whom it was promised to; null: to the tenant.
    #[schema(value_type = Option<String>)]
    user_id: Option<UserId>,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    used_at: Option<Timestamp>,
    /// The rate on record when it was used.
    #[schema(value_type = Option<String>)]
    market_rate: Option<Rate>,
    /// The payer's and the payee's.
    #[schema(value_type = Option<Vec<String>>)]
    transfers: Option<[TransferId; 2]>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// An amount in minor units.
#[derive(Serialize, ToSchema)]
#[schema(as = Money)]
pub(crate) struct MoneyShape {
    amount: i64,
    #[schema(value_type = String)]
    currency: Currency,
}

impl QuoteShape {
    /// As it stands at this instant.
    pub fn at(quote: &Quote, now: Timestamp) -> Self {
        Self {
            id: quote.id,
            object: "quote",
            status: quote.status(now),
            rate: quote.rate,
            from: MoneyShape { amount: quote.amount, currency: quote.from },
            to: MoneyShape { amount: quote.credit, currency: quote.to },
            user_id: quote.user,
            expires_at: quote.expires_at,
            used_at: quote.used.map(|used| used.at),
            market_rate: quote.used.map(|used| used.market),
            transfers: quote.used.map(|used| used.transfers),
            created_at: quote.created_at,
        }
    }
}

impl Shown for QuoteShape {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "object",
        "status",
        "rate",
        "from",
        "to",
        "user_id",
        "expires_at",
        "used_at",
        "market_rate",
        "transfers",
        "created_at",
    ];
}

#[cfg(test)]
mod tests {
    use caudal_domain::TenantId;

    use super::*;

    #[test]
    fn the_names_of_fields_are_those_shown() {
        let quote = Quote {
            id: QuoteId(1),
            tenant: TenantId(1),
            user: None,
            from: Currency::USD,
            to: Currency::USD,
            rate: "1".parse().expect("a rate"),
            amount: 1,
            credit: 1,
            expires_at: Timestamp::default(),
            used: None,
            created_at: Timestamp::default(),
            version: 1,
        };
        super::super::tests::assert_fields(&QuoteShape::at(&quote, Timestamp::default()));
    }
}
