//! Wallets, their balances and entries as they are asked for and shown.

use caudal_domain::{
    AccountId, AccountStatus, Amount, Currency, Entry, Timestamp, TransferId, UserId, Wallet,
    text::Metadata,
};
use caudal_service::wallets::{Balance, NewWallet, WalletChange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{check_metadata, check_name, given};
use crate::{problem::Problem, query::Shown};

#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewWallet, example = json!({"currency": "USD", "name": "Ada's wallet"}))]
pub(crate) struct WalletRequest {
    /// ISO 4217.
    #[schema(value_type = String, example = "USD")]
    currency: Currency,
    /// Whose it is.
    user_id: Option<String>,
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// The lowest available balance allowed, in minor units. Below zero is credit and needs the
    /// scope `wallets:credit`.
    #[serde(default)]
    #[schema(minimum = -9007199254740991i64, maximum = 9007199254740991i64)]
    floor: i64,
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    metadata: Option<Metadata>,
}

impl WalletRequest {
    pub fn into_new(self) -> Result<NewWallet, Problem> {
        let Self { currency, user_id, name, floor, metadata } = self;
        if let Some(name) = &name {
            check_name("name", name)?;
        }
        let metadata = metadata.unwrap_or_default();
        check_metadata("metadata", &metadata)?;
        let user = user_id.map(|id| id.parse::<UserId>()).transpose();
        let user = user.map_err(|_| Problem::not_found("user"))?;
        Ok(NewWallet { currency, user, name, floor, metadata })
    }
}

/// What is not given stays; null empties it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WalletChange, example = json!({"name": "Savings"}))]
pub(crate) struct WalletPatch {
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 200)]
    name: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    metadata: Option<Option<Metadata>>,
    /// Needs the scope `wallets:credit`.
    floor: Option<i64>,
}

impl WalletPatch {
    pub fn into_change(self) -> Result<WalletChange, Problem> {
        let Self { name, metadata, floor } = self;
        if let Some(Some(name)) = &name {
            check_name("name", name)?;
        }
        let metadata = metadata.map(Option::unwrap_or_default);
        if let Some(metadata) = &metadata {
            check_metadata("metadata", metadata)?;
        }
        Ok(WalletChange { name, metadata, floor })
    }
}

/// Where the money of a funding comes from.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    Treasury,
}

#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Fund, example = json!({"amount": 10000, "currency": "USD", "source": "treasury"}))]
pub(crate) struct FundRequest {
    #[schema(value_type = i64, minimum = 1, maximum = 9007199254740991i64)]
    pub amount: Amount,
    /// The wallet's, if not given.
    #[schema(value_type = Option<String>)]
    pub currency: Option<Currency>,
    pub source: Source,
}

/// For what moves between a wallet and one of the tenant's own accounts.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WalletMoney, example = json!({"amount": 2500, "currency": "USD"}))]
pub(crate) struct WalletMoneyRequest {
    #[schema(value_type = i64, minimum = 1, maximum = 9007199254740991i64)]
    pub amount: Amount,
    /// The wallet's, if not given.
    #[schema(value_type = Option<String>)]
    pub currency: Option<Currency>,
}

/// In minor units. What can be spent is `available` less the wallet's floor.
#[derive(Serialize, ToSchema)]
#[schema(as = Balance)]
pub(crate) struct BalanceShape {
    available: i64,
    held: i64,
    pending: i64,
    total: i64,
}

impl From<&Balance> for BalanceShape {
    fn from(balance: &Balance) -> Self {
        let Balance { total, held, pending, .. } = *balance;
        Self { available: balance.available(), held, pending, total }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Wallet, example = json!({
    "id": "wal_01h455vb4pex5vsknk084sn02q", "object": "wallet", "user_id": null,
    "name": "Ada's wallet", "currency": "USD", "status": "active", "floor": 0,
    "balance": {"available": 10000, "held": 0, "pending": 0, "total": 10000},
    "in_arrears": false, "version": 1, "metadata": {},
    "created_at": "2026-01-31T09:30:00.000000Z"
}))]
pub(crate) struct WalletShape<'a> {
    #[schema(value_type = String)]
    id: AccountId,
    object: &'static str,
    #[schema(value_type = Option<String>)]
    user_id: Option<UserId>,
    name: Option<&'a str>,
    #[schema(value_type = String)]
    currency: Currency,
    /// `active`, `frozen` or `closed`.
    #[schema(value_type = String)]
    status: AccountStatus,
    floor: i64,
    balance: BalanceShape,
    /// A chargeback or a reversal by force took it below its floor: nothing can be taken from it,
    /// and what comes in repays first.
    in_arrears: bool,
    /// Number of the last entry.
    version: i64,
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    metadata: &'a Metadata,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl<'a> From<&'a Wallet> for WalletShape<'a> {
    fn from(wallet: &'a Wallet) -> Self {
        let account = &wallet.account;
        Self {
            id: account.id,
            object: "wallet",
            user_id: wallet.user,
            name: wallet.name.as_deref(),
            currency: account.currency,
            status: account.status,
            // Wallets always have one; only a tenant's own accounts may go without.
            floor: account.floor.unwrap_or_default(),
            balance: (&Balance::of(account)).into(),
            in_arrears: account.arrears() > 0,
            version: account.version,
            metadata: &wallet.metadata,
            created_at: wallet.created_at,
        }
    }
}

impl Shown for WalletShape<'_> {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "object",
        "user_id",
        "name",
        "currency",
        "status",
        "floor",
        "balance",
        "in_arrears",
        "version",
        "metadata",
        "created_at",
    ];
}

/// The version of what can be changed, for `If-Match`. Money that moves does not change it.
pub(crate) fn version_of(wallet: &Wallet) -> String {
    format!("{}-{}", wallet.version, wallet.account.status)
}

#[derive(Serialize, ToSchema)]
#[schema(as = WalletBalance, example = json!({
    "wallet_id": "wal_01h455vb4pex5vsknk084sn02q", "currency": "USD",
    "balance": {"available": 10000, "held": 0, "pending": 0, "total": 10000}, "version": 1
}))]
pub(crate) struct WalletBalanceShape {
    #[schema(value_type = String)]
    pub wallet_id: AccountId,
    #[schema(value_type = String)]
    pub currency: Currency,
    pub balance: BalanceShape,
    /// Number of the last entry that counts.
    pub version: i64,
}

/// One change of a wallet.
#[derive(Serialize, ToSchema)]
#[schema(as = Entry, example = json!({
    "id": "ent_01h455vb4pex5vsknk084sn02q_1", "transfer_id": "trf_01h455vb4pex5vsknk084sn02s",
    "amount": 10000, "balance_after": 10000, "held_after": 0, "version": 1,
    "created_at": "2026-01-31T09:30:00.000000Z"
}))]
pub(crate) struct EntryShape {
    id: String,
    #[schema(value_type = String)]
    transfer_id: TransferId,
    /// Signed: a credit is positive; 0 when only the hold changed.
    amount: i64,
    balance_after: i64,
    held_after: i64,
    /// 1, 2, 3, … per wallet, without a gap.
    version: i64,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<&Entry> for EntryShape {
    fn from(entry: &Entry) -> Self {
        let Entry { account, version, transfer, .. } = *entry;
        let wallet = account.to_string();
        let wallet = wallet.trim_start_matches(AccountId::PREFIX);
        Self {
            id: format!("ent_{wallet}_{version}"),
            transfer_id: transfer,
            amount: entry.amount,
            balance_after: entry.balance_after,
            held_after: entry.held_after,
            version,
            created_at: entry.created_at,
        }
    }
}

impl Shown for EntryShape {
    const FIELDS: &'static [&'static str] =
        &["id", "transfer_id", "amount", "balance_after", "held_after", "version", "created_at"];
}

#[cfg(test)]
mod tests {
    use caudal_domain::{Account, AccountKind, TenantId};

    use super::*;
    use crate::shapes::tests::assert_fields;

    #[test]
    fn the_names_of_fields_are_those_shown() {
        let account = Account {
            id: AccountId(1),
            tenant: TenantId(1),
            kind: AccountKind::Wallet,
            currency: Currency::USD,
            status: AccountStatus::Active,
            floor: Some(0),
            total: 10,
            held: 3,
            pending: 2,
            version: 4,
            updated_at: Timestamp::default(),
        };
        let wallet = Wallet {
            account,
            user: None,
            name: None,
            metadata: Metadata::default(),
            version: 1,
            created_at: Timestamp::default(),
        };
        assert_fields(&WalletShape::from(&wallet));
        assert_eq!(WalletShape::from(&wallet).balance.available, 5);
        let entry = Entry {
            account: AccountId(1),
            version: 4,
            transfer: TransferId(1),
            amount: 5,
            balance_after: 5,
            held_after: 0,
            pending_after: 0,
            created_at: Timestamp::default(),
        };
        assert_fields(&EntryShape::from(&entry));
    }

    #[test]
    fn a_patch_tells_null_from_nothing() {
        let read = |text| serde_json::from_str::<WalletPatch>(text).expect("a patch");
        assert_eq!(read("{}").name, None);
        assert_eq!(read(r#"{"name": null}"#).name, Some(None));
        assert_eq!(read(r#"{"name": "a"}"#).name, Some(Some("a".into())));
    }
}
