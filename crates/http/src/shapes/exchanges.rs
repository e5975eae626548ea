//! Exchanges as they are asked for and shown.

use caudal_domain::{
    AccountId, Currency, QuoteId, Rate, Timestamp, Transfer, TransferId, text::Metadata,
};
use caudal_service::exchanges::{Exchange, NewExchange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{WalletId, check_metadata, check_name};
use crate::problem::Problem;

/// Money from one wallet to another in another currency, at a quote's rate.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewExchange, example = json!({
    "quote": "quo_01h455vb4pex5vsknk084sn02q", "from": "wal_01h455vb4pex5vsknk084sn02q",
    "to": "wal_01h455vb4pex5vsknk084sn02r"
}))]
pub(crate) struct ExchangeRequest {
    /// An open quote, which this uses up.
    #[schema(example = "quo_01h455vb4pex5vsknk084sn02q")]
    quote: String,
    /// The wallet that pays, in the quote's `from` currency.
    #[schema(value_type = String)]
    from: WalletId,
    /// The wallet that is paid, in its `to` currency.
    #[schema(value_type = String)]
    to: WalletId,
    /// Your own word for it, on both transfers.
    #[schema(max_length = 200)]
    reference: Option<String>,
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    metadata: Option<Metadata>,
}

impl ExchangeRequest {
    pub fn into_new(self) -> Result<NewExchange, Problem> {
        let Self { quote, from: WalletId(from), to: WalletId(to), reference, metadata } = self;
        if let Some(reference) = &reference {
            check_name("reference", reference)?;
        }
        let metadata = metadata.unwrap_or_default();
        check_metadata("metadata", &metadata)?;
        // A malformed id is as unknown as any other.
        let quote = quote.parse().unwrap_or(QuoteId(0));
        Ok(NewExchange { quote, from, to, reference, metadata })
    }
}

/// What was exchanged: two transfers of one commit.
#[derive(Serialize, ToSchema)]
#[schema(as = Exchange, example = json!({
    "object": "exchange", "quote": "quo_01h455vb4pex5vsknk084sn02q", "rate": "0.9231",
    "market_rate": "0.9231",
    "from": {"wallet_id": "wal_01h455vb4pex5vsknk084sn02q", "amount": 1050, "currency": "USD",
        "transfer_id": "trf_01h455vb4pex5vsknk084sn02s"},
    "to": {"wallet_id": "wal_01h455vb4pex5vsknk084sn02r", "amount": 969, "currency": "EUR",
        "transfer_id": "trf_01h455vb4pex5vsknk084sn02t"},
    "created_at": "2026-01-31T09:30:00.000000Z"
}))]
pub(crate) struct ExchangeShape {
    object: &'static str,
    #[schema(value_type = String)]
    quote: QuoteId,
    /// The customer's: a decimal in text.
    #[schema(value_type = String)]
    rate: Rate,
    /// The rate on record at that moment; the difference is the tenant's.
    #[schema(value_type = Option<String>)]
    market_rate: Option<Rate>,
    from: SideShape,
    to: SideShape,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// One currency's side of an exchange.
#[derive(Serialize, ToSchema)]
#[schema(as = ExchangeSide)]
struct SideShape {
    #[schema(value_type = Option<String>)]
    wallet_id: Option<AccountId>,
    amount: i64,
    #[schema(value_type = String)]
    currency: Currency,
    #[schema(value_type = String)]
    transfer_id: TransferId,
}

impl From<&Exchange> for ExchangeShape {
    fn from(exchange: &Exchange) -> Self {
        let Exchange { quote, transfers: [paid, got] } = exchange;
        // The first leg of each is the wallet's.
        let payer = paid.legs.first().map(|leg| leg.from);
        let payee = got.legs.first().map(|leg| leg.to);
        let side = |transfer: &Transfer, wallet_id, amount| SideShape {
            wallet_id,
            amount,
            currency: transfer.currency,
            transfer_id: transfer.id,
        };
        Self {
            object: "exchange",
            quote: quote.id,
            rate: quote.rate,
            market_rate: quote.used.map(|used| used.market),
            from: side(paid, payer, quote.amount),
            to: side(got, payee, quote.credit),
            created_at: paid.created_at,
        }
    }
}
