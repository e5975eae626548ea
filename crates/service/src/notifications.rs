//! What people are told in the app: each their own, of what concerns them.
//!
//! To tell of one more kind of event: its line in [`TOLD`].

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use caudal_domain::{
    AccountId, NotificationId, SystemRole, TenantId, Timestamp, UserId,
    event::{StoredEvent, kinds},
};
pub use caudal_store::notifications::NotificationRow as Notification;
use caudal_store::{Step, UnitOfWork, UnitOutcome, notifications, roles};

use crate::{
    Caller, Page, Service, ServiceError,
    asked::Window,
    id_range,
    whose_event::{Heard, seen_by},
};

/// Whom an event is told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    /// The people it names, and the holders of the wallets it names.
    Concerned,
    /// The person it names: a payee need not know what a payer tried.
    Named,
    /// Those who run the tenant.
    Staff,
}

/// A kind of two audiences has two lines.
const TOLD: &[(&str, Audience)] = &[
    (kinds::WALLET_FUNDED, Audience::Concerned),
    (kinds::WALLET_DEDUCTED, Audience::Concerned),
    (kinds::WALLET_FROZEN, Audience::Concerned),
    (kinds::WALLET_UNFROZEN, Audience::Concerned),
    (kinds::WALLET_CLOSED, Audience::Concerned),
    (kinds::PASSWORD_CHANGED, Audience::Concerned),
    (kinds::SECOND_FACTOR_ENABLED, Audience::Concerned),
    (kinds::SECOND_FACTOR_DISABLED, Audience::Concerned),
    (kinds::USER_ROLES_CHANGED, Audience::Concerned),
    (kinds::PAYMENT_PROCESSED, Audience::Concerned),
    (kinds::PAYMENT_ACTION_REQUIRED, Audience::Named),
    (kinds::PAYMENT_FAILED, Audience::Named),
    (kinds::PAYMENT_CANCELED, Audience::Named),
    (kinds::REFUND_SUCCEEDED, Audience::Concerned),
    (kinds::REFUND_FAILED, Audience::Named),
    (kinds::DISPUTE_OPENED, Audience::Concerned),
    (kinds::DISPUTE_OPENED, Audience::Staff),
    (kinds::DISPUTE_WON, Audience::Concerned),
    (kinds::DISPUTE_WON, Audience::Staff),
    (kinds::DISPUTE_LOST, Audience::Concerned),
    (kinds::DISPUTE_LOST, Audience::Staff),
    (kinds::PAYOUT_PAID, Audience::Concerned),
    (kinds::PAYOUT_CANCELED, Audience::Concerned),
    (kinds::PAYOUT_FAILED, Audience::Concerned),
    (kinds::PAYOUT_FAILED, Audience::Staff),
    (kinds::PAYOUT_RETURNED, Audience::Concerned),
    (kinds::PAYOUT_RETURNED, Audience::Staff),
    (kinds::PAYOUT_LOST_FROM_SIGHT, Audience::Staff),
    (kinds::PAYOUT_NEEDS_DECISION, Audience::Staff),
    (kinds::PAYMENT_IN_REVIEW, Audience::Staff),
    (kinds::PAYMENT_NEEDS_DECISION, Audience::Staff),
    (kinds::DISPUTE_NEEDS_DECISION, Audience::Staff),
    (kinds::GATEWAY_WEBHOOK_UNCLAIMED, Audience::Staff),
    (kinds::ACTIVITY_SUSPICIOUS, Audience::Staff),
    (kinds::WEBHOOK_ENDPOINT_DISABLED, Audience::Staff),
];

/// The kinds that are told at all.
pub(crate) const KINDS: &[&str] = &kinds_of();

const fn kinds_of() -> [&'static str; TOLD.len()] {
    let mut kinds = [""; TOLD.len()];
    let mut place = 0;
    while place < TOLD.len() {
        kinds[place] = TOLD[place].0;
        place += 1;
    }
    kinds
}

/// What a tenant may not keep from people: it is about their own safety.
const ALWAYS_TOLD: &[&str] = &[
    kinds::PASSWORD_CHANGED,
    kinds::SECOND_FACTOR_ENABLED,
    kinds::SECOND_FACTOR_DISABLED,
    kinds::USER_ROLES_CHANGED,
];

/// Whether a tenant may have nobody told of this kind; `None`: nobody is told anyway.
pub fn may_be_muted(kind: &str) -> Option<bool> {
    KINDS.contains(&kind).then(|| !ALWAYS_TOLD.contains(&kind))
}

/// Of a tenant's staff, those who are told.
const STAFF_MOST: i64 = 100;
/// An unread count does not go on for ever.
pub const UNREAD_MOST: i64 = 100;

impl Service {
    /// One's own, newest first.
    pub async fn list_notifications(
        &self,
        caller: &Caller,
        (unread, window): (bool, &Window),
    ) -> Result<Page<Notification>, ServiceError> {
        let (_, before) = id_range(&window.created);
        let filter = notifications::Filter {
            tenant: caller.tenant,
            user: caller.signed_in()?.user,
            unread,
            before: window.cursor.map_or(before, |cursor| cursor.min(before)),
            limit: window.rows(),
        };
        let rows = notifications::list(self.store(), &filter).await?;
        Ok(window.page(rows, |row| (row.id.0, row.created_at)))
    }

    /// How many of one's own are new, counted up to [`UNREAD_MOST`].
    pub async fn count_unread(&self, caller: &Caller) -> Result<i64, ServiceError> {
        let user = caller.signed_in()?.user;
        Ok(notifications::unread(self.store(), caller.tenant, user, UNREAD_MOST).await?)
    }

    /// Once read, it stays read since then.
    pub async fn read_notification(
        &self,
        caller: &Caller,
        id: NotificationId,
    ) -> Result<Notification, ServiceError> {
        let (tenant, user) = (caller.tenant, caller.signed_in()?.user);
        let at = self.now();
        let steps = vec![notifications::read_one(tenant, (user, id), at)];
        let unknown = || ServiceError::NotFound("notification");
        match self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await?.0 {
            UnitOutcome::Done => {}
            _ => return Err(unknown()),
        }
        let found = notifications::find(self.store(), tenant, (user, id)).await?;
        found.ok_or_else(unknown)
    }

    pub async fn read_all_notifications(&self, caller: &Caller) -> Result<(), ServiceError> {
        let at = self.now();
        let user = caller.signed_in()?.user;
        let steps = vec![notifications::read_all(caller.tenant, user, at)];
        self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await.map(drop)
    }

    /// The steps that tell of the event.
    pub(crate) async fn notifications_of(
        &self,
        event: &Arc<StoredEvent>,
        at: Timestamp,
    ) -> Result<Vec<Step>, ServiceError> {
        let mut steps = Vec::new();
        for (_, audience) in TOLD.iter().filter(|(kind, _)| *kind == event.kind) {
            if self.is_muted(event).await? {
                break;
            }
            steps.extend(match audience {
                Audience::Concerned => self.tell_concerned(event, (true, at)).await?,
                Audience::Named => self.tell_concerned(event, (false, at)).await?,
                Audience::Staff => self.tell_staff(event, at).await?,
            });
        }
        Ok(steps)
    }

    /// Whether the tenant wants nobody to be told.
    async fn is_muted(&self, event: &StoredEvent) -> Result<bool, ServiceError> {
        let config = self.tenant_config(event.tenant).await?;
        let muted = config.notifications.iter().flat_map(|it| &it.muted);
        Ok(muted.into_iter().any(|kind| *kind == event.kind))
    }

    /// Each holder, if they are told, is told their own side of it.
    async fn tell_concerned(
        &self,
        event: &Arc<StoredEvent>,
        (holders_too, at): (bool, Timestamp),
    ) -> Result<Vec<Step>, ServiceError> {
        let heard = Heard::new(event.clone());
        let names = heard.names();
        let mut wallets_of: Vec<(AccountId, UserId)> = Vec::new();
        for wallet in names.wallets().filter(|_| holders_too) {
            let owners = &self.inner.owners;
            let holder = owners.read(self.store(), event.tenant, wallet).await?;
            wallets_of.extend(holder.map(|user| (wallet, user)));
        }
        let people: BTreeSet<UserId> =
            wallets_of.iter().map(|(_, user)| *user).chain(names.user_id).collect();
        let steps = people.into_iter().map(|user| {
            let own: HashSet<_> =
                wallets_of.iter().filter(|(_, of)| *of == user).map(|(it, _)| *it).collect();
            let seen = seen_by(&heard.stored, user, &own);
            notifications::insert(&self.notification((event.tenant, user), &seen, at))
        });
        Ok(steps.collect())
    }

    async fn tell_staff(
        &self,
        event: &StoredEvent,
        at: Timestamp,
    ) -> Result<Vec<Step>, ServiceError> {
        let asked = [SystemRole::Owner, SystemRole::Admin];
        let staff = roles::holders(self.store(), event.tenant, asked, STAFF_MOST).await?;
        let told = staff
            .into_iter()
            .map(|user| notifications::insert(&self.notification((event.tenant, user), event, at)));
        Ok(told.collect())
    }

    fn notification(
        &self,
        (tenant, user): (TenantId, UserId),
        event: &StoredEvent,
        at: Timestamp,
    ) -> Notification {
        Notification {
            id: NotificationId(self.next_id(at, tenant.bucket())),
            tenant,
            user,
            event: event.id,
            kind: event.kind.clone(),
            subject: event.subject.clone(),
            data: event.data.clone(),
            created_at: at,
            read_at: None,
        }
    }
}
