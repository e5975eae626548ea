//! Payouts as they are asked for and shown.

use caudal_domain::{
    AccountId, Amount, Currency, GatewayAccountId, PayoutId, Timestamp, TransferId, UserId,
    payment::PayoutStatus, text::Metadata,
};
use caudal_service::payouts::{NewPayout, PayoutRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{WalletId, check_metadata, check_name};
use crate::{problem::Problem, query::Shown};

#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewPayout, example = json!({
    "wallet": "wal_01h455vb4pex5vsknk084sn02q", "amount": 2500, "destination": "ba_ok"
}))]
pub(crate) struct PayoutRequest {
    #[schema(value_type = String)]
    wallet: WalletId,
    #[schema(value_type = i64, minimum = 1, maximum = 9007199254740991i64)]
    amount: Amount,
    /// The wallet's, if not given.
    #[schema(value_type = Option<String>)]
    currency: Option<Currency>,
    /// The gateway's token of a bank account, never its number.
    #[schema(min_length = 1, max_length = 200)]
    destination: String,
    /// The tenant's only active one, if not given.
    #[schema(value_type = Option<String>)]
    gateway_account: Option<GatewayAccountId>,
    #[schema(min_length = 1, max_length = 200)]
    description: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    metadata: Metadata,
}

impl PayoutRequest {
    pub fn into_new(self) -> Result<NewPayout, Problem> {
        check_name("destination", &self.destination)?;
        if let Some(description) = &self.description {
            check_name("description", description)?;
        }
        check_metadata("metadata", &self.metadata)?;
        Ok(NewPayout {
            wallet: self.wallet.0,
            amount: self.amount,
            currency: self.currency,
            destination: self.destination,
            gateway_account: self.gateway_account,
            description: self.description,
            metadata: self.metadata,
        })
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Payout, example = json!({
    "id": "po_01h455vb4pex5vsknk084sn02q", "object": "payout", "status": "in_transit",
    "wallet_id": "wal_01h455vb4pex5vsknk084sn02q", "user_id": null, "amount": 2500,
    "currency": "USD", "destination": "ba_ok",
    "gateway_account_id": "gwa_01h455vb4pex5vsknk084sn02q", "gateway_reference": "po_1",
    "transfer_id": "trf_01h455vb4pex5vsknk084sn02q", "failure": null, "description": null,
    "metadata": {}, "created_at": "2026-01-31T09:30:00.000000Z",
    "updated_at": "2026-01-31T09:30:01.000000Z"
}))]
pub(crate) struct PayoutShape<'a> {
    #[schema(value_type = String)]
    id: PayoutId,
    object: &'static str,
    /// `pending`, `unknown`, `in_transit`, `paid`, `returned`, `failed`, `canceled`.
    #[schema(value_type = String)]
    status: PayoutStatus,
    #[schema(value_type = String)]
    wallet_id: AccountId,
    #[schema(value_type = Option<String>)]
    user_id: Option<UserId>,
    amount: i64,
    #[schema(value_type = String)]
    currency: Currency,
    destination: &'a str,
    #[schema(value_type = Option<String>)]
    gateway_account_id: Option<GatewayAccountId>,
    /// The gateway's name for it.
    gateway_reference: Option<&'a str>,
    /// The transfer that holds or moved the money.
    #[schema(value_type = Option<String>)]
    transfer_id: Option<TransferId>,
    /// Why it failed or came back.
    failure: Option<&'a str>,
    description: Option<&'a str>,
    #[schema(value_type = std::collections::HashMap<String, String>)]
    metadata: &'a Metadata,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl<'a> From<&'a PayoutRow> for PayoutShape<'a> {
    fn from(payout: &'a PayoutRow) -> Self {
        Self {
            id: payout.id,
            object: "payout",
            status: payout.status,
            wallet_id: payout.wallet,
            user_id: payout.user,
            amount: payout.amount,
            currency: payout.currency,
            destination: &payout.destination,
            gateway_account_id: payout.gateway_account,
            gateway_reference: payout.gateway_reference.as_deref(),
            transfer_id: payout.transfer,
            failure: payout.failure.as_deref(),
            description: payout.description.as_deref(),
            metadata: &payout.metadata,
            created_at: payout.created_at,
            updated_at: payout.updated_at,
        }
    }
}

impl Shown for PayoutShape<'_> {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "object",
        "status",
        "wallet_id",
        "user_id",
        "amount",
        "currency",
        "destination",
        "gateway_account_id",
        "gateway_reference",
        "transfer_id",
        "failure",
        "description",
        "metadata",
        "created_at",
        "updated_at",
    ];
}
