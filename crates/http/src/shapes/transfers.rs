//! Transfers as they are asked for and shown.

use caudal_domain::{
    AccountId, Amount, Currency, Leg, Timestamp, Transfer, TransferId, TransferKind,
    TransferStatus, text::Metadata, transfer::MAX_LEGS,
};
use caudal_service::transfers::{Follow, HoldUntil, NewTransfer};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::{WalletId, check_metadata, check_name};
use crate::{
    json::{objects, some_objects},
    problem::{Problem, ProblemShape},
    query::Shown,
};

/// A hold lasts so long if nothing else is said: seven days, in seconds.
const HOLD_SECONDS: i64 = 7 * 86_400;
/// And no longer than this: ninety days.
const HOLD_SECONDS_MOST: i64 = 90 * 86_400;
/// Items of a batch.
pub(crate) const BATCH_MOST: usize = 1000;

macro_rules! transfer_request {
    ($(#[$meta:meta])* $name:ident { $($(#[$field:meta])* $extra:ident: $type:ty,)* }) => {
        #[derive(Debug, Deserialize, Serialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        $(#[$meta])*
        pub(crate) struct $name {
            /// The wallet that pays.
            #[schema(value_type = Option<String>, example = "wal_01h455vb4pex5vsknk084sn02q")]
            from: Option<WalletId>,
            /// The wallet that is paid; another one than `from`.
            #[schema(value_type = Option<String>, example = "wal_01h455vb4pex5vsknk084sn02r")]
            to: Option<WalletId>,
            /// In minor units: 1050 is 10.50 USD.
            #[schema(value_type = Option<i64>, minimum = 1, maximum = 9007199254740991i64,
                example = 1050)]
            amount: Option<Amount>,
            /// Instead of `from`, `to` and `amount`: all of these or none. In order.
            #[serde(default, deserialize_with = "some_objects")]
            legs: Option<Vec<LegRequest>>,
            /// ISO 4217.
            #[schema(value_type = String, example = "USD")]
            currency: Currency,
            /// Your own word for it; lists can be filtered by it.
            #[schema(max_length = 200)]
            reference: Option<String>,
            #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
            metadata: Option<Metadata>,
            /// Set the money aside now and take it later by a capture.
            hold: Option<bool>,
            /// Seconds after which a hold ends by itself.
            #[schema(minimum = 1, maximum = 7776000i64)]
            expires_in: Option<i64>,
            $($(#[$field])* $extra: $type,)*
        }
    };
}

transfer_request! {
    /// Money from one wallet to another, at once or held.
    #[schema(as = NewTransfer, example = json!({
        "from": "wal_01h455vb4pex5vsknk084sn02q", "to": "wal_01h455vb4pex5vsknk084sn02r",
        "amount": 1050, "currency": "USD", "reference": "order 17"
    }))]
    TransferRequest {}
}

transfer_request! {
    /// A transfer in a batch.
    #[schema(as = BatchItem)]
    BatchItem {
        /// In the same scope as the header of a single transfer.
        #[schema(min_length = 1, max_length = 255)]
        idempotency_key: Option<String>,
    }
}

/// One part of a transfer.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewLeg)]
pub(crate) struct LegRequest {
    #[schema(value_type = String, example = "wal_01h455vb4pex5vsknk084sn02q")]
    from: WalletId,
    #[schema(value_type = String, example = "wal_01h455vb4pex5vsknk084sn02r")]
    to: WalletId,
    #[schema(value_type = i64, minimum = 1, maximum = 9007199254740991i64, example = 1050)]
    amount: Amount,
}

/// Up to 1,000 transfers, committed together.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewBatch)]
pub(crate) struct BatchRequest {
    #[schema(min_items = 1, max_items = 1000)]
    #[serde(deserialize_with = "objects")]
    pub transfers: Vec<BatchItem>,
    /// The first refusal undoes all.
    #[serde(default)]
    pub atomic: bool,
}

#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Capture, example = json!({"amount": 500, "final": false}))]
pub(crate) struct CaptureRequest {
    /// All that is left, if not given.
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub amount: Option<Amount>,
    /// Whether the rest is released; true, if not given.
    #[serde(rename = "final")]
    pub is_final: Option<bool>,
}

#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Reverse, example = json!({"amount": 500}))]
pub(crate) struct ReverseRequest {
    /// All that is left, if not given.
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub amount: Option<Amount>,
    /// Why it is taken back by force, below the floor and from who is frozen; needs
    /// `transfers:force`. It stands in the new transfer's metadata.
    #[schema(min_length = 1, max_length = 200)]
    pub reason: Option<String>,
}

impl ReverseRequest {
    pub fn into_follow(self) -> Result<Follow, Problem> {
        if let Some(reason) = &self.reason {
            check_name("reason", reason)?;
        }
        Ok(Follow::Reverse { amount: self.amount.map(Amount::minor), reason: self.reason })
    }
}

impl BatchItem {
    /// The key, and what a single transfer of the same words would have asked.
    pub fn split(self) -> (Option<String>, TransferRequest) {
        let Self { from, to, amount, legs, currency, reference, metadata, .. } = self;
        let Self { hold, expires_in, idempotency_key, .. } = self;
        let request = TransferRequest {
            from,
            to,
            amount,
            legs,
            currency,
            reference,
            metadata,
            hold,
            expires_in,
        };
        (idempotency_key, request)
    }
}

impl TransferRequest {
    /// What the ledger is asked. `at` begins the names of fields in problems.
    pub fn into_new(mut self, at: &str) -> Result<NewTransfer, Problem> {
        let legs = self.legs(at)?;
        if let Some(reference) = &self.reference {
            check_name(&format!("{at}reference"), reference)?;
        }
        let metadata = self.metadata.take().unwrap_or_default();
        check_metadata(&format!("{at}metadata"), &metadata)?;
        Ok(NewTransfer {
            kind: TransferKind::Transfer,
            currency: self.currency,
            legs,
            hold_until: self.hold_until(at)?,
            reference: self.reference,
            metadata,
            terms: None,
        })
    }

    fn legs(&self, at: &str) -> Result<Vec<Leg>, Problem> {
        let invalid = |param: &str, detail: &str| Problem::invalid(format!("{at}{param}"), detail);
        let single = (self.from, self.to, self.amount);
        let Some(legs) = &self.legs else {
            let needed = "is needed, unless there are legs";
            let from = single.0.ok_or_else(|| invalid("from", needed))?;
            let to = single.1.ok_or_else(|| invalid("to", needed))?;
            let amount = single.2.ok_or_else(|| invalid("amount", needed))?;
            return Ok(vec![leg(&LegRequest { from, to, amount }, &|| format!("{at}to"))?]);
        };
        if single != (None, None, None) {
            return Err(invalid("legs", "stands instead of from, to and amount"));
        }
        if !(1..=MAX_LEGS).contains(&legs.len()) {
            return Err(invalid("legs", &format!("has 1 to {MAX_LEGS} items")));
        }
        let numbered = legs.iter().enumerate();
        numbered.map(|(index, asked)| leg(asked, &|| format!("{at}legs[{index}].to"))).collect()
    }

    fn hold_until(&self, at: &str) -> Result<Option<HoldUntil>, Problem> {
        let param = || format!("{at}expires_in");
        match (self.hold.unwrap_or(false), self.expires_in) {
            (false, None) => Ok(None),
            (false, Some(_)) => Err(Problem::invalid(param(), "belongs to a hold only")),
            (true, seconds) => {
                let seconds = seconds.unwrap_or(HOLD_SECONDS);
                if !(1..=HOLD_SECONDS_MOST).contains(&seconds) {
                    let detail = format!("a number of seconds from 1 to {HOLD_SECONDS_MOST}");
                    return Err(Problem::invalid(param(), detail));
                }
                Ok(Some(HoldUntil::Seconds(seconds)))
            }
        }
    }
}

fn leg(asked: &LegRequest, param: &dyn Fn() -> String) -> Result<Leg, Problem> {
    let LegRequest { from, to, amount } = *asked;
    // Two malformed ids are not one wallet: they are unknown.
    if from == to && from != WalletId::UNKNOWN {
        return Err(Problem::invalid(param(), "money moves from one wallet to another one"));
    }
    Ok(Leg::new(from.0, to.0, amount.minor()))
}

/// A transfer as it stands.
#[derive(Serialize, ToSchema)]
#[schema(as = Transfer, example = json!({
    "id": "trf_01h455vb4pex5vsknk084sn02s", "object": "transfer", "kind": "transfer",
    "status": "posted", "amount": 1050, "currency": "USD",
    "from": "wal_01h455vb4pex5vsknk084sn02q", "to": "wal_01h455vb4pex5vsknk084sn02r",
    "legs": [{"from": "wal_01h455vb4pex5vsknk084sn02q", "to": "wal_01h455vb4pex5vsknk084sn02r",
        "amount": 1050, "amount_captured": 0, "amount_reversed": 0}],
    "amount_captured": 0, "amount_reversed": 0, "expires_at": null, "reference": "order 17",
    "metadata": {}, "reverses": null, "created_at": "2026-01-31T09:30:00.000000Z"
}))]
pub(crate) struct TransferShape<'a> {
    #[schema(value_type = String)]
    id: TransferId,
    object: &'static str,
    /// `transfer`, `fund`, `withdrawal` or `reversal`.
    #[schema(value_type = String)]
    kind: TransferKind,
    /// `posted`, `held`, `captured`, `voided`, `expired`, `partially_reversed` or `reversed`.
    #[schema(value_type = String)]
    status: TransferStatus,
    /// Sum of the legs, in minor units.
    amount: i64,
    #[schema(value_type = String)]
    currency: Currency,
    /// Null where the legs have several.
    #[schema(value_type = Option<String>)]
    from: Option<AccountId>,
    /// Null where the legs have several.
    #[schema(value_type = Option<String>)]
    to: Option<AccountId>,
    #[schema(value_type = Vec<LegShape>)]
    legs: Legs<'a>,
    amount_captured: i64,
    amount_reversed: i64,
    /// When a hold ends by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    reference: Option<&'a str>,
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    metadata: &'a Metadata,
    /// The transfer that this one gives back.
    #[schema(value_type = Option<String>)]
    reverses: Option<TransferId>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// Each leg as a [`LegShape`], written without a list in between.
struct Legs<'a>(&'a [Leg]);

impl Serialize for Legs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|leg| LegShape {
            from: leg.from,
            to: leg.to,
            amount: leg.amount,
            amount_captured: leg.captured,
            amount_reversed: leg.reversed,
        }))
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Leg)]
pub(crate) struct LegShape {
    #[schema(value_type = String)]
    from: AccountId,
    #[schema(value_type = String)]
    to: AccountId,
    amount: i64,
    amount_captured: i64,
    amount_reversed: i64,
}

impl<'a> From<&'a Transfer> for TransferShape<'a> {
    fn from(transfer: &'a Transfer) -> Self {
        let Transfer { id, kind, status, amount, currency, reverses, created_at, .. } = *transfer;
        Self {
            id,
            object: "transfer",
            kind,
            status,
            amount,
            currency,
            from: same(&transfer.legs, |leg| leg.from),
            to: same(&transfer.legs, |leg| leg.to),
            legs: Legs(&transfer.legs),
            amount_captured: transfer.amount_captured,
            amount_reversed: transfer.amount_reversed,
            expires_at: transfer.expires_at,
            reference: transfer.reference.as_deref(),
            metadata: &transfer.metadata,
            reverses,
            created_at,
        }
    }
}

impl Shown for TransferShape<'_> {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "object",
        "kind",
        "status",
        "amount",
        "currency",
        "from",
        "to",
        "legs",
        "amount_captured",
        "amount_reversed",
        "expires_at",
        "reference",
        "metadata",
        "reverses",
        "created_at",
    ];
}

/// The one account on this side of all legs.
fn same(legs: &[Leg], side: impl Fn(&Leg) -> AccountId) -> Option<AccountId> {
    let first = legs.first().map(&side)?;
    legs.iter().all(|leg| side(leg) == first).then_some(first)
}

/// What came of a batch, in its order.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchResults)]
pub(crate) struct BatchShape<'a> {
    pub results: Vec<ItemShape<'a>>,
}

/// What came of one item: `transfer` or `error`.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchResult)]
pub(crate) struct ItemShape<'a> {
    /// As HTTP's: 201 where the transfer was made.
    pub status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer: Option<TransferShape<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ProblemShape<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "wal_00000000000000000000000001";
    const B: &str = "wal_00000000000000000000000002";

    fn read(json: &serde_json::Value) -> Result<NewTransfer, Problem> {
        let request: TransferRequest = serde_json::from_value(json.clone()).expect("its fields");
        request.into_new("transfers[3].")
    }

    #[test]
    fn requests_say_one_thing_or_are_refused() {
        let usd = |mut json: serde_json::Value| {
            json["currency"] = "USD".into();
            read(&json)
        };
        let one = usd(serde_json::json!({"from": A, "to": B, "amount": 5})).expect("one leg");
        assert_eq!((one.legs.len(), one.hold_until), (1, None));
        let leg = serde_json::json!({"from": A, "to": B, "amount": 5});
        assert_eq!(usd(serde_json::json!({"legs": [leg, leg]})).expect("two").legs.len(), 2);
        let table = [
            (serde_json::json!({"from": A, "to": A, "amount": 5}), "to"),
            (serde_json::json!({"to": A, "amount": 5}), "from"),
            (serde_json::json!({"from": A, "to": B}), "amount"),
            (serde_json::json!({"legs": []}), "legs"),
            (serde_json::json!({"legs": [leg], "amount": 5}), "legs"),
            (serde_json::json!({"legs": [leg], "reference": ""}), "reference"),
            (serde_json::json!({"legs": [leg], "expires_in": 5}), "expires_in"),
            (serde_json::json!({"legs": [leg], "hold": true, "expires_in": 0}), "expires_in"),
        ];
        for (json, param) in table {
            let problem = usd(json.clone()).expect_err("refused");
            assert_eq!(problem.param, Some(format!("transfers[3].{param}")), "{json}");
        }
    }

    #[test]
    fn malformed_ids_are_unknown_wallets() {
        let json = serde_json::json!({"from": "me", "to": "you", "amount": 5, "currency": "USD"});
        let leg = read(&json).expect("decided later").legs.remove(0);
        assert_eq!((leg.from, leg.to), (AccountId(0), AccountId(0)));
    }

    #[test]
    fn the_names_of_fields_are_those_shown() {
        let transfer = Transfer {
            id: TransferId(1),
            tenant: caudal_domain::TenantId(1),
            kind: TransferKind::Transfer,
            status: TransferStatus::Posted,
            currency: Currency::USD,
            legs: vec![Leg::new(AccountId(1), AccountId(2), 5)],
            amount: 5,
            amount_captured: 0,
            amount_reversed: 0,
            hold: false,
            expires_at: None,
            available_at: None,
            reference: None,
            metadata: Metadata::default(),
            reverses: None,
            created_at: Timestamp::default(),
        };
        super::super::tests::assert_fields(&TransferShape::from(&transfer));
    }
}
