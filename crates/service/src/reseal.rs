//! Secrets at rest under the first master key: what another one sealed is opened and sealed anew,
//! page by page. What was done stays done, so it can be stopped and started again at any time.
//!
//! Mails and one-time codes are sealed by the key of their person, which is what is sealed anew.
//!
//! To add a table that the vault seals: a variant of [`Shelf`] and its page in
//! [`Service::shelf_page`].

use caudal_domain::{Actor, GatewayAccountId, TenantId, UserId, WebhookEndpointId};
use caudal_identity::Binding;
use caudal_store::{
    Step, UnitOfWork, UnitOutcome, gateway_accounts, person_keys, second_factors, signing_keys,
    vault_keys, webhook_endpoints,
};

use crate::{
    Service, ServiceError,
    audit::{By, Did},
    gateway_accounts::gateway_account_row,
    personal::{SEALED, not_opened, person_key_row, vault_key_row},
    second_factor::{SEED, totp_row},
    signing_keys::signing_key_row,
    webhook_endpoints::endpoint_place,
};

/// Rows in one commit.
const PAGE: i64 = 200;
/// A page is read again when one of its rows changed meanwhile, so often.
const ATTEMPTS: u32 = 10;

/// Where the vault's sealed texts stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    VaultKeys,
    SigningKeys,
    PersonKeys,
    Totp,
    GatewayAccounts,
    WebhookEndpoints,
}

impl Shelf {
    pub const ALL: [Self; 6] = [
        Self::VaultKeys,
        Self::SigningKeys,
        Self::PersonKeys,
        Self::Totp,
        Self::GatewayAccounts,
        Self::WebhookEndpoints,
    ];

    /// Of its table.
    pub fn name(self) -> &'static str {
        match self {
            Self::VaultKeys => "vault_keys",
            Self::SigningKeys => "signing_keys",
            Self::PersonKeys => "person_keys",
            Self::Totp => "totp",
            Self::GatewayAccounts => "gateway_accounts",
            Self::WebhookEndpoints => "webhook_endpoints",
        }
    }
}

/// How far it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    pub looked_at: u64,
    pub resealed: u64,
}

/// A part of a table.
struct ShelfPage {
    rows: u64,
    steps: Vec<Step>,
    /// Where the next one starts.
    next: Option<u128>,
}

impl Service {
    /// Goes through everything; `told` is called after each page, with what it came to so far.
    pub async fn reseal(
        &self,
        mut told: impl FnMut(Shelf, &Resealed),
    ) -> Result<Resealed, ServiceError> {
        let mut done = Resealed::default();
        for shelf in Shelf::ALL {
            let mut after = Some(0);
            while let Some(start) = after {
                let (rows, resealed, next) = self.reseal_page(shelf, start).await?;
                done.looked_at += rows;
                done.resealed += resealed;
                told(shelf, &done);
                after = next;
            }
        }
        self.audit_reseal(&done).await?;
        Ok(done)
    }

    async fn reseal_page(
        &self,
        shelf: Shelf,
        after: u128,
    ) -> Result<(u64, u64, Option<u128>), ServiceError> {
        for _ in 0..ATTEMPTS {
            let ShelfPage { rows, steps, next } = self.shelf_page(shelf, after).await?;
            let count = steps.len() as u64;
            if count == 0 {
                return Ok((rows, 0, next));
            }
            let unit = UnitOfWork { at: self.now(), steps, ..UnitOfWork::default() };
            if self.commit(unit).await?.0 == UnitOutcome::Done {
                return Ok((rows, count, next));
            }
            // A row is not as it was read: somebody was erased, or another process reseals too.
        }
        Err(ServiceError::Unavailable(format!("{} changes all the time; try again", shelf.name())))
    }

    async fn shelf_page(&self, shelf: Shelf, after: u128) -> Result<ShelfPage, ServiceError> {
        match shelf {
            Shelf::VaultKeys => self.vault_keys_page().await,
            Shelf::SigningKeys => self.signing_keys_page().await,
            Shelf::PersonKeys => self.person_keys_page(UserId(after)).await,
            Shelf::Totp => self.totp_page(UserId(after)).await,
            Shelf::GatewayAccounts => self.gateway_accounts_page(GatewayAccountId(after)).await,
            Shelf::WebhookEndpoints => self.endpoints_page(WebhookEndpointId(after)).await,
        }
    }

    async fn vault_keys_page(&self) -> Result<ShelfPage, ServiceError> {
        let rows = vault_keys::all(self.store()).await?;
        let mut steps = Vec::new();
        for row in &rows {
            let place = vault_key_row(&row.name);
            let bound_to = Binding { tenant: TenantId(0), row: &place, field: SEALED };
            let sealed = self.sealed_anew(&bound_to, &row.sealed)?;
            steps.extend(sealed.map(|sealed| vault_keys::reseal(row, &sealed)));
        }
        Ok(ShelfPage { rows: rows.len() as u64, steps, next: None })
    }

    async fn signing_keys_page(&self) -> Result<ShelfPage, ServiceError> {
        let rows = signing_keys::all(self.store()).await?;
        let mut steps = Vec::new();
        for row in &rows {
            let place = signing_key_row(&row.kid);
            let bound_to = Binding { tenant: TenantId(0), row: &place, field: SEALED };
            let sealed = self.sealed_anew(&bound_to, &row.sealed)?;
            steps.extend(sealed.map(|sealed| signing_keys::reseal(row, &sealed)));
        }
        Ok(ShelfPage { rows: rows.len() as u64, steps, next: None })
    }

    async fn person_keys_page(&self, after: UserId) -> Result<ShelfPage, ServiceError> {
        let rows = person_keys::after(self.store(), after, PAGE).await?;
        let mut steps = Vec::new();
        for row in &rows {
            let place = person_key_row(row.user);
            let bound_to = Binding { tenant: row.tenant, row: &place, field: SEALED };
            let sealed = self.sealed_anew(&bound_to, &row.sealed)?;
            steps.extend(sealed.map(|sealed| person_keys::reseal(row, &sealed)));
        }
        let next = rows.last().map(|row| row.user.0);
        Ok(ShelfPage { rows: rows.len() as u64, steps, next })
    }

    async fn totp_page(&self, after: UserId) -> Result<ShelfPage, ServiceError> {
        let rows = second_factors::totp_after(self.store(), after, PAGE).await?;
        let mut steps = Vec::new();
        for row in &rows {
            let place = totp_row(row.user);
            let bound_to = Binding { tenant: row.tenant, row: &place, field: SEED };
            let sealed = self.sealed_anew(&bound_to, &row.seed)?;
            steps.extend(sealed.map(|sealed| second_factors::reseal_totp(row, &sealed)));
        }
        let next = rows.last().map(|row| row.user.0);
        Ok(ShelfPage { rows: rows.len() as u64, steps, next })
    }

    async fn gateway_accounts_page(
        &self,
        after: GatewayAccountId,
    ) -> Result<ShelfPage, ServiceError> {
        let rows = gateway_accounts::after(self.store(), after, PAGE).await?;
        let mut steps = Vec::new();
        for row in &rows {
            let place = gateway_account_row(row.id);
            let bound_to = Binding { tenant: row.tenant, row: &place, field: SEALED };
            let sealed = self.sealed_anew(&bound_to, &row.sealed)?;
            steps.extend(sealed.map(|sealed| gateway_accounts::reseal(row, &sealed)));
        }
        let next = rows.last().map(|row| row.id.0);
        Ok(ShelfPage { rows: rows.len() as u64, steps, next })
    }

    async fn endpoints_page(&self, after: WebhookEndpointId) -> Result<ShelfPage, ServiceError> {
        let rows = webhook_endpoints::after(self.store(), after, PAGE).await?;
        let mut steps = Vec::new();
        for row in &rows {
            let place = endpoint_place(row.id);
            let bound_to = Binding { tenant: row.tenant, row: &place, field: SEALED };
            let sealed = self.sealed_anew(&bound_to, &row.sealed)?;
            steps.extend(sealed.map(|sealed| webhook_endpoints::reseal(row, &sealed)));
        }
        let next = rows.last().map(|row| row.id.0);
        Ok(ShelfPage { rows: rows.len() as u64, steps, next })
    }

    /// `None`: the first master key has sealed it already.
    fn sealed_anew(
        &self,
        bound_to: &Binding<'_>,
        sealed: &str,
    ) -> Result<Option<String>, ServiceError> {
        if !self.vault().needs_reseal(sealed) {
            return Ok(None);
        }
        let plain = self.vault().open(bound_to, sealed).map_err(|error| {
            tracing::error!(row = bound_to.row, %error, "a sealed text does not open");
            not_opened(error)
        })?;
        Ok(Some(self.vault().seal(self.chance(), bound_to, &plain)))
    }

    /// Of the instance, so of no tenant.
    async fn audit_reseal(&self, done: &Resealed) -> Result<(), ServiceError> {
        if done.resealed == 0 {
            return Ok(());
        }
        let at = self.now();
        let by = By { tenant: TenantId(0), actor: Actor::System, origin: None };
        let did = Did {
            action: "master_key.resealed",
            object_kind: "master_key",
            object_id: "first".into(),
            fields: &Shelf::ALL.map(Shelf::name),
        };
        let steps = vec![self.audit(by, did, at)];
        self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await?;
        Ok(())
    }
}
