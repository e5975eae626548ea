//! What a wallet may do: freeze, unfreeze, close, and its floor. No money moves.
//!
//! | asked | when | else |
//! |---|---|---|
//! | freeze | active (frozen: nothing changes) | closed: `wallet_closed` |
//! | unfreeze | frozen (active: nothing changes) | closed: `wallet_closed` |
//! | close | total, held and pending are 0 | `wallet_state` |
//! | floor | not closed | `wallet_closed` |

use caudal_domain::{Account, AccountId, AccountKind, AccountStatus, Refusal, TenantId};

use crate::book::{Book, Outcome};

pub(crate) fn set_status(
    book: &mut Book,
    tenant: TenantId,
    id: AccountId,
    status: AccountStatus,
) -> Result<Outcome, Refusal> {
    let mut account = open_wallet(book, tenant, id)?;
    if status == AccountStatus::Closed {
        require_empty(&account)?;
    }
    account.status = status;
    book.write_account(account);
    Ok(Outcome::Account(account))
}

pub(crate) fn set_floor(
    book: &mut Book,
    tenant: TenantId,
    id: AccountId,
    floor: i64,
) -> Result<Outcome, Refusal> {
    let mut account = open_wallet(book, tenant, id)?;
    account.floor = Some(floor);
    book.write_account(account);
    Ok(Outcome::Account(account))
}

fn open_wallet(book: &Book, tenant: TenantId, id: AccountId) -> Result<Account, Refusal> {
    let account = book.owned_account(tenant, id)?;
    if account.kind != AccountKind::Wallet {
        return Err(Refusal::WalletNotFound { account: id });
    }
    match account.status {
        AccountStatus::Closed => Err(Refusal::WalletClosed { account: id }),
        _ => Ok(account),
    }
}

fn require_empty(account: &Account) -> Result<(), Refusal> {
    if account.held != 0 || account.pending != 0 {
        return Err(Refusal::WalletState { status: account.status });
    }
    match account.total {
        0 => Ok(()),
        total => Err(Refusal::WalletNotEmpty { total }),
    }
}
