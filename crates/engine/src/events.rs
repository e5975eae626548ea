//! What an accepted movement tells the world: ids and amounts, enough to rebuild balances.

use caudal_domain::{
    Account, AccountId, AccountStatus, Currency, Entry, Event, EventId, IdSource, TenantId,
    Timestamp, Transfer, TransferId, TransferKind, TransferStatus, event::kinds,
};
use caudal_ledger::{Book, Movement, Outcome, Posting};
use serde::Serialize;

use crate::Telling;

/// What the event of a posting holds.
#[derive(Serialize)]
struct PostingData<'a> {
    transfer_id: TransferId,
    kind: TransferKind,
    status: TransferStatus,
    amount: i64,
    currency: Currency,
    amount_captured: i64,
    amount_reversed: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reverses: Option<TransferId>,
    entries: Vec<EntryData>,
}

#[derive(Serialize)]
struct EntryData {
    wallet_id: AccountId,
    amount: i64,
    balance: i64,
    held: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pending: i64,
    version: i64,
}

impl From<&Entry> for EntryData {
    fn from(entry: &Entry) -> Self {
        Self {
            wallet_id: entry.account,
            amount: entry.amount,
            balance: entry.balance_after,
            held: entry.held_after,
            pending: entry.pending_after,
            version: entry.version,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(amount: &i64) -> bool {
    *amount == 0
}

#[derive(Serialize)]
struct AccountData {
    wallet_id: AccountId,
    status: AccountStatus,
    floor: Option<i64>,
}

pub(crate) fn of(movement: &Movement, outcome: &Outcome, ids: &mut dyn IdSource) -> Event {
    match outcome {
        Outcome::Posting(posting) => of_posting(movement, posting, ids),
        Outcome::Account(account) => of_account(movement, account, ids),
    }
}

fn of_posting(movement: &Movement, posting: &Posting, ids: &mut dyn IdSource) -> Event {
    let transfer = &posting.transfer;
    let data = PostingData {
        transfer_id: transfer.id,
        kind: transfer.kind,
        status: transfer.status,
        amount: transfer.amount,
        currency: transfer.currency,
        amount_captured: transfer.amount_captured,
        amount_reversed: transfer.amount_reversed,
        reference: transfer.reference.as_deref(),
        reverses: transfer.reverses,
        entries: posting.entries.iter().map(EntryData::from).collect(),
    };
    let at = posting.entries.last().map_or(transfer.created_at, |entry| entry.created_at);
    Event {
        id: EventId(ids.next(at, transfer.id.bucket())),
        tenant: transfer.tenant,
        kind: kind_of(movement, transfer),
        subject: transfer.id.to_string(),
        data: json(&data),
        occurred_at: at,
    }
}

/// The caller's own words, and what the movement entered.
pub(crate) fn told_of(telling: &Telling, posting: &Posting, ids: &mut dyn IdSource) -> Event {
    let transfer = &posting.transfer;
    let at = posting.entries.last().map_or(transfer.created_at, |entry| entry.created_at);
    let entered = Entered {
        transfer_id: transfer.id,
        entries: posting.entries.iter().map(EntryData::from).collect(),
    };
    let own = telling.data.strip_suffix('}').unwrap_or(&telling.data);
    let data = format!("{own},{}", &json(&entered)[1..]);
    event_of((transfer.tenant, at), telling, data, ids)
}

#[derive(Serialize)]
struct Entered {
    transfer_id: TransferId,
    entries: Vec<EntryData>,
}

/// The caller's own words alone.
pub(crate) fn told(
    tenant: TenantId,
    telling: &Telling,
    book: &Book,
    ids: &mut dyn IdSource,
) -> Event {
    event_of((tenant, book.now()), telling, telling.data.clone(), ids)
}

fn event_of(
    (tenant, at): (TenantId, Timestamp),
    telling: &Telling,
    data: String,
    ids: &mut dyn IdSource,
) -> Event {
    Event {
        id: EventId(ids.next(at, telling.bucket)),
        tenant,
        kind: telling.kind,
        subject: telling.subject.clone(),
        data,
        occurred_at: at,
    }
}

fn kind_of(movement: &Movement, transfer: &Transfer) -> &'static str {
    match movement {
        Movement::Capture { .. } => kinds::TRANSFER_CAPTURED,
        Movement::Void { .. } => kinds::TRANSFER_VOIDED,
        Movement::Expire { .. } => kinds::TRANSFER_EXPIRED,
        Movement::Reverse { .. } | Movement::Return(_) => kinds::TRANSFER_REVERSED,
        Movement::MakeAvailable { .. } => kinds::TRANSFER_AVAILABLE,
        _ if transfer.hold => kinds::TRANSFER_HELD,
        _ => match transfer.kind {
            TransferKind::Fund => kinds::WALLET_FUNDED,
            TransferKind::Withdrawal => kinds::WALLET_DEDUCTED,
            _ => kinds::TRANSFER_COMPLETED,
        },
    }
}

fn of_account(movement: &Movement, account: &Account, ids: &mut dyn IdSource) -> Event {
    let kind = match movement {
        Movement::SetStatus { status: AccountStatus::Active, .. } => kinds::WALLET_UNFROZEN,
        Movement::SetStatus { status: AccountStatus::Frozen, .. } => kinds::WALLET_FROZEN,
        Movement::SetStatus { status: AccountStatus::Closed, .. } => kinds::WALLET_CLOSED,
        _ => kinds::WALLET_UPDATED,
    };
    let data = AccountData { wallet_id: account.id, status: account.status, floor: account.floor };
    Event {
        id: EventId(ids.next(account.updated_at, account.id.bucket())),
        tenant: account.tenant,
        kind,
        subject: account.id.to_string(),
        data: json(&data),
        occurred_at: account.updated_at,
    }
}

fn json<T: Serialize>(data: &T) -> String {
    serde_json::to_string(data).unwrap_or_else(|error| unreachable!("plain data: {error}"))
}
