//! Transfers: posted, held, captured, voided, reversed; one by one or in batches.

use caudal_domain::{
    AccountId, AccountKind, Chart, Currency, Leg, Refusal, TenantId, Transfer, TransferId,
    TransferKind, TransferStatus, access::Scope, account::system_account, event::kinds,
    text::Metadata,
};
use caudal_engine::{Command, Given, Job, Reply};
use caudal_ledger::{Movement, movements::Return};
pub use caudal_ledger::{NewTransfer, movements::HoldUntil};
use caudal_store::{Answer, Receipt, UnitOfWork, UnitOutcome, transfers};
use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    Asked, Caller, Done, Page, Reach, ReceiptOf, Service, ServiceError, asked::Window, audit::Did,
    id_range, limits::LimitClass,
};

/// Replays of a batch that are read at once.
const READS_AT_ONCE: usize = 8;
/// How often an empty part of a wallet's history is skipped before the page is given as it is.
const PARTS: usize = 10;

/// As the audit names them.
const WRITTEN_OFF: &str = "wallet.arrears_written_off";
const APPLIED: &str = "wallet.unapplied_applied";
const FORCED: &str = "transfer.reversed_by_force";

/// Which transfers to list.
#[derive(Clone, Debug, Default)]
pub struct TransferFilter {
    pub status: Option<TransferStatus>,
    pub reference: Option<String>,
    pub wallet: Option<AccountId>,
}

/// Money between a wallet and one of the tenant's own accounts.
#[derive(Clone, Copy, Debug)]
pub struct WalletMoney {
    pub wallet: AccountId,
    pub amount: i64,
    /// The wallet's, if not given.
    pub currency: Option<Currency>,
}

/// Many transfers as one job.
#[derive(Debug)]
pub struct Batch {
    pub items: Vec<(NewTransfer, ReceiptOf)>,
    /// The first refusal undoes all.
    pub atomic: bool,
    pub receipt: Option<ReceiptOf>,
}

/// What came of a batch.
#[derive(Debug)]
pub enum BatchOutcome {
    /// In order, each with its own fate.
    Items(Vec<Result<Transfer, Refusal>>),
    /// All-or-none: nothing was done, because of this item.
    RefusedAt(usize, Refusal),
}

/// What is done to a transfer that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Follow {
    /// `None` takes all that is left; `last` releases what remains.
    Capture {
        amount: Option<i64>,
        last: bool,
    },
    Void,
    /// `None` gives back all that is left. With a reason it passes floors and freezes.
    Reverse {
        amount: Option<i64>,
        reason: Option<String>,
    },
}

impl Follow {
    fn movement(self, transfer: TransferId) -> Movement {
        match self {
            Self::Capture { amount, last } => {
                Movement::Capture { transfer, amount, last, limits: Vec::new() }
            }
            Self::Void => Movement::Void { transfer },
            Self::Reverse { amount, reason: None } => Movement::Reverse { transfer, amount },
            Self::Reverse { amount, reason: Some(reason) } => {
                Movement::Return(Box::new(Return::by_force(transfer, amount, reason)))
            }
        }
    }
}

impl Service {
    /// Posts or holds.
    pub async fn post(
        &self,
        asked: Asked<'_>,
        mut new: NewTransfer,
    ) -> Result<Done<Transfer>, ServiceError> {
        self.only_own_payers(asked.caller, &mut [&mut new]).await?;
        self.require_step_up_for(asked.caller, amount_of(&new))?;
        self.submit_transfer(asked.caller, post_command(new, asked.receipt)).await
    }

    /// What posting would give. Nothing is written, so there is no key and no position.
    pub async fn dry_run(
        &self,
        caller: &Caller,
        mut new: NewTransfer,
    ) -> Result<Transfer, ServiceError> {
        self.only_own_payers(caller, &mut [&mut new]).await?;
        let mut command = Command::new(Movement::Post(only_wallets(new)));
        let _turns = self.limit_alike(caller.tenant, std::slice::from_mut(&mut command)).await?;
        let job = Job { dry_run: true, ..Job::one(caller.tenant, command) };
        let mut reply = self.run(job).await?;
        match reply.replies.pop().map(|reply| reply.given) {
            Some(Given::Transfer(transfer)) => Ok(*transfer),
            Some(Given::Refused(refusal)) => Err(refusal.into()),
            _ => Err(ServiceError::Broken("a dry run gave no transfer".into())),
        }
    }

    /// All in one job, so in one commit.
    pub async fn batch(
        &self,
        caller: &Caller,
        batch: Batch,
    ) -> Result<Done<BatchOutcome>, ServiceError> {
        let Batch { mut items, atomic, receipt } = batch;
        let mut transfers: Vec<&mut NewTransfer> = items.iter_mut().map(|(new, _)| new).collect();
        self.only_own_payers(caller, &mut transfers).await?;
        self.check_items(caller, &items)?;
        let mut commands: Vec<Command> =
            items.into_iter().map(|(new, receipt)| post_command(new, receipt)).collect();
        if !atomic && self.is_tiered(caller.tenant, &commands).await? {
            return self.one_by_one(caller, commands, receipt).await;
        }
        let _turns = match atomic {
            true => self.limit_alike(caller.tenant, &mut commands).await?,
            false => Vec::new(),
        };
        let job = Job { tenant: caller.tenant, commands, atomic, dry_run: false, receipt };
        let reply = self.run(job).await?;
        let value = match reply.refused_at {
            Some((index, refusal)) => BatchOutcome::RefusedAt(index, refusal),
            None => BatchOutcome::Items(self.items_of(caller.tenant, reply.replies).await?),
        };
        Ok(Done { value, replayed: reply.replayed, position: reply.position })
    }

    /// Items that fall alone and count against a limit are decided one after the other: each must
    /// know what those before it took. What became of them is kept with their own keys.
    async fn one_by_one(
        &self,
        caller: &Caller,
        commands: Vec<Command>,
        receipt: Option<ReceiptOf>,
    ) -> Result<Done<BatchOutcome>, ServiceError> {
        let replayed = match receipt {
            Some(receipt) => self.is_known_batch(receipt).await?,
            None => false,
        };
        let mut items = Vec::with_capacity(commands.len());
        let mut reached = std::collections::BTreeMap::new();
        for command in commands {
            items.push(match self.submit_transfer(caller, command).await {
                Ok(done) => {
                    for (stream, seq) in done.position {
                        reached
                            .entry(stream)
                            .and_modify(|last| *last = seq.max(*last))
                            .or_insert(seq);
                    }
                    Ok(done.value)
                }
                Err(ServiceError::Refused(refusal) | ServiceError::RefusedBefore(refusal)) => {
                    Err(refusal)
                }
                Err(error) => return Err(error),
            });
        }
        let position = reached.into_iter().collect();
        Ok(Done { value: BatchOutcome::Items(items), replayed, position })
    }

    /// Keeps the batch's key before any of its items is decided, with an empty group, as the
    /// engine knows it; whether it was kept before. Another batch under it is refused.
    async fn is_known_batch(&self, receipt: ReceiptOf) -> Result<bool, ServiceError> {
        let ReceiptOf { key, fingerprint } = receipt;
        let kept = Some(Receipt { key, fingerprint, answer: Answer::Group(Vec::new()) });
        let unit = UnitOfWork { at: self.now(), receipt: kept, ..UnitOfWork::default() };
        match self.commit(unit).await?.0 {
            UnitOutcome::Replayed(first) if first.fingerprint != fingerprint => {
                Err(Refusal::IdempotencyMismatch.into())
            }
            outcome => Ok(outcome != UnitOutcome::Done),
        }
    }

    /// Of a user's batch each item counts, and all their amounts together: else a batch would be
    /// the way around limit and step-up.
    fn check_items(
        &self,
        caller: &Caller,
        items: &[(NewTransfer, ReceiptOf)],
    ) -> Result<(), ServiceError> {
        let sum = items.iter().fold(0, |sum: i64, (new, _)| sum.saturating_add(amount_of(new)));
        self.require_step_up_for(caller, sum)?;
        self.check_limit_of_items(caller, LimitClass::Transfer, items.len())
    }

    async fn items_of(
        &self,
        tenant: TenantId,
        replies: Vec<Reply>,
    ) -> Result<Vec<Result<Transfer, Refusal>>, ServiceError> {
        stream::iter(replies)
            .map(|reply| async move {
                match reply.given {
                    Given::Refused(refusal) => Ok(Err(refusal)),
                    given => self.transfer_of(tenant, given).await.map(Ok),
                }
            })
            .buffered(READS_AT_ONCE)
            .try_collect()
            .await
    }

    /// From the tenant's own money to a wallet.
    pub async fn fund(
        &self,
        asked: Asked<'_>,
        money: WalletMoney,
    ) -> Result<Done<Transfer>, ServiceError> {
        asked.caller.reach.require_tenant()?;
        self.require_step_up(asked.caller)?;
        self.move_wallet_money(asked, TransferKind::Fund, money).await
    }

    /// From a wallet to the world outside.
    pub async fn withdraw(
        &self,
        asked: Asked<'_>,
        money: WalletMoney,
    ) -> Result<Done<Transfer>, ServiceError> {
        self.require_step_up_for(asked.caller, money.amount)?;
        self.move_wallet_money(asked, TransferKind::Withdrawal, money).await
    }

    /// The tenant bears what a wallet owes, up to all of it.
    pub async fn write_off(
        &self,
        asked: Asked<'_>,
        money: WalletMoney,
    ) -> Result<Done<Transfer>, ServiceError> {
        asked.caller.reach.require_tenant()?;
        self.require_step_up(asked.caller)?;
        self.move_wallet_money(asked, TransferKind::WriteOff, money).await
    }

    /// From what came too late for a closed wallet to whom it belongs.
    pub async fn apply_unapplied(
        &self,
        asked: Asked<'_>,
        money: WalletMoney,
    ) -> Result<Done<Transfer>, ServiceError> {
        asked.caller.reach.require_tenant()?;
        self.require_step_up(asked.caller)?;
        self.move_wallet_money(asked, TransferKind::Applied, money).await
    }

    /// The system account is that of the wallet's currency, so that another currency is refused
    /// for what it is. An unknown wallet is refused by the engine, and that is kept with the key.
    async fn move_wallet_money(
        &self,
        asked: Asked<'_>,
        kind: TransferKind,
        money: WalletMoney,
    ) -> Result<Done<Transfer>, ServiceError> {
        let Asked { caller, receipt } = asked;
        let found = self.find_wallet(caller, money.wallet).await?;
        let (wallet, currency) = match found {
            Some(wallet) => (money.wallet, wallet.account.currency),
            // No account has this id, not even one of the tenant's own.
            None => (AccountId(0), money.currency.unwrap_or(Currency::USD)),
        };
        let system = |kind| system_account(caller.tenant, kind, currency);
        let leg = match kind {
            TransferKind::Fund => Leg::new(system(AccountKind::Treasury), wallet, money.amount),
            TransferKind::WriteOff => {
                self.chart(caller.tenant, currency, None).await?;
                Leg::new(system(AccountKind::DisputeLoss), wallet, money.amount)
            }
            TransferKind::Applied => Leg::new(system(AccountKind::Unapplied), wallet, money.amount),
            _ => Leg::new(wallet, system(AccountKind::External), money.amount),
        };
        let mut command = Command::new(Movement::Post(NewTransfer {
            kind,
            currency: money.currency.unwrap_or(currency),
            legs: vec![leg],
            hold_until: None,
            reference: None,
            metadata: Metadata::default(),
            terms: None,
        }));
        command.receipt = Some(receipt);
        let privileged = match kind {
            TransferKind::Fund => Some(kinds::WALLET_FUNDED),
            TransferKind::WriteOff => Some(WRITTEN_OFF),
            TransferKind::Applied => Some(APPLIED),
            _ => None,
        };
        if let Some(act) = privileged {
            command.steps.push(self.audit_wallet(caller, wallet, (act, &["balance"])));
        }
        self.submit_transfer(caller, command).await
    }

    /// Captures, voids or reverses: for staff, as it decides over money of both sides. An unknown
    /// transfer is refused by the engine, so that the refusal is kept with the key like any other.
    pub async fn follow(
        &self,
        asked: Asked<'_>,
        id: TransferId,
        follow: Follow,
    ) -> Result<Done<Transfer>, ServiceError> {
        let Asked { caller, receipt } = asked;
        caller.reach.require_tenant()?;
        let is_forced = matches!(follow, Follow::Reverse { reason: Some(_), .. });
        let mut command = Command::new(follow.movement(id));
        command.receipt = Some(receipt);
        if is_forced {
            caller.require(Scope::TransfersForce)?;
            self.require_step_up(caller)?;
            let object_id = id.to_string();
            let fields = &["amount_reversed"][..];
            let did = Did { action: FORCED, object_kind: "transfer", object_id, fields };
            command.steps.push(self.audit(caller, did, self.now()));
        }
        if let Some(transfer) = transfers::find(self.store(), caller.tenant, id).await? {
            if !transfer.kind.is_changed_by_itself() {
                return self.refuse(receipt, Refusal::TransferOfPayment).await;
            }
            command.accounts = accounts_of(&transfer);
            if let Some(Movement::Capture { limits, .. }) = &mut command.movement {
                let chart = Chart { tenant: caller.tenant, currency: transfer.currency };
                let payees = transfer.legs.iter().map(|leg| leg.to);
                *limits = self.limits_of_payees(chart, payees).await?;
            }
        }
        self.submit_transfer(caller, command).await
    }

    pub(crate) async fn submit_transfer(
        &self,
        caller: &Caller,
        command: Command,
    ) -> Result<Done<Transfer>, ServiceError> {
        let done = self.submit_within_tiers(caller.tenant, command).await?;
        let Done { value, replayed, position } = done;
        let value = self.transfer_of(caller.tenant, value).await?;
        Ok(Done { value, replayed, position })
    }

    /// A creation that was repeated is read and shown as it was first given.
    pub(crate) async fn transfer_of(
        &self,
        tenant: TenantId,
        given: Given,
    ) -> Result<Transfer, ServiceError> {
        match given {
            Given::Transfer(transfer) => Ok(*transfer),
            Given::Created(id) => {
                let found = transfers::find(self.store(), tenant, id).await?;
                let lost = || ServiceError::Broken(format!("{id} has a receipt but no row"));
                found.map(Transfer::as_created).ok_or_else(lost)
            }
            Given::Refused(refusal) => Err(refusal.into()),
            // Another use case's key: paths are in the fingerprint, so it can't be met.
            Given::Account { .. } | Given::Done | Given::Kept(_) => {
                Err(ServiceError::Broken("a transfer gave something else".into()))
            }
        }
    }

    pub async fn transfer(
        &self,
        caller: &Caller,
        id: TransferId,
    ) -> Result<Transfer, ServiceError> {
        let unknown = ServiceError::NotFound("transfer");
        match transfers::find(self.store(), caller.tenant, id).await? {
            Some(transfer) if self.touches(caller, &transfer).await? => Ok(transfer),
            _ => Err(unknown),
        }
    }

    pub async fn list_transfers(
        &self,
        caller: &Caller,
        filter: &TransferFilter,
        window: &Window,
    ) -> Result<Page<Transfer>, ServiceError> {
        if let Some(wallet) = filter.wallet {
            self.wallet(caller, wallet).await?;
            return self.list_wallet_transfers(filter, wallet, window).await;
        }
        if caller.reach != Reach::Tenant {
            return Err(ServiceError::invalid("wallet", "is needed: name one of your wallets"));
        }
        let (from, before) = id_range(&window.created);
        let filter = transfers::Filter {
            tenant: caller.tenant,
            status: filter.status,
            reference: filter.reference.clone(),
            before: window.cursor.map_or(before, |cursor| cursor.min(before)),
            from,
            limit: window.rows(),
        };
        let rows = transfers::list(self.store(), &filter).await?;
        Ok(window.page(rows, |transfer| (transfer.id.0, transfer.created_at)))
    }

    /// Along the wallet's entries, whose version is the cursor. The other filters are few enough
    /// to be held against what was read; parts where none is met are skipped.
    async fn list_wallet_transfers(
        &self,
        filter: &TransferFilter,
        wallet: AccountId,
        window: &Window,
    ) -> Result<Page<Transfer>, ServiceError> {
        let versions = self.versions_within(wallet, window).await?;
        let (from, mut before) = (versions.start, versions.end);
        let mut items: Vec<Transfer> = Vec::new();
        for _ in 0..PARTS {
            let limit = (window.limit - items.len()) as i64;
            let rows = transfers::list_of_wallet(self.store(), wallet, before, limit).await?;
            // Versions have no gaps: what is left lies below the last one read.
            before = rows.last().map_or(from, |(version, _)| *version);
            let met = rows.into_iter().filter_map(|(_, transfer)| transfer).filter(|transfer| {
                filter.status.is_none_or(|status| transfer.status == status)
                    && (filter.reference.is_none() || transfer.reference == filter.reference)
                    && window.created.holds(transfer.created_at)
            });
            items.extend(met);
            if before <= from || items.len() >= window.limit {
                break;
            }
        }
        let next = (before > from).then_some(before.unsigned_abs().into());
        Ok(Page { items, next })
    }
}

/// What all legs move together.
fn amount_of(new: &NewTransfer) -> i64 {
    new.legs.iter().fold(0, |sum: i64, leg| sum.saturating_add(leg.amount))
}

fn post_command(new: NewTransfer, receipt: ReceiptOf) -> Command {
    let mut command = Command::new(Movement::Post(only_wallets(new)));
    command.receipt = Some(receipt);
    command
}

/// A tenant's own accounts are reached by funding and withdrawing only, whose scopes are others:
/// here their ids are as good as unknown.
fn only_wallets(mut new: NewTransfer) -> NewTransfer {
    for leg in &mut new.legs {
        for id in [&mut leg.from, &mut leg.to] {
            if id.is_system() {
                *id = AccountId(0);
            }
        }
    }
    new
}

/// The accounts that a change of the transfer locks.
pub(crate) fn accounts_of(transfer: &Transfer) -> Vec<AccountId> {
    transfer.legs.iter().flat_map(|leg| [leg.from, leg.to]).collect()
}
