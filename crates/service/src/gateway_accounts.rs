//! A tenant's accounts at gateways: made, changed, opened. What opens them is sealed by the vault
//! and shown to nobody.
//!
//! An account is opened once in a process, so that its breaker and its places are one, and again
//! when its row has changed. Switched off, it takes no new payments; what was paid through it can
//! still be asked for and given back.

use std::{sync::Arc, time::Duration};

use caudal_domain::{Event, GatewayAccountId, Mode, Refusal, TenantId, Timestamp, event::kinds};
pub use caudal_gateway::{Credentials, GatewayKind};
use caudal_gateway::{OpenError, Surroundings, port::Gateway};
use caudal_identity::Binding;
use caudal_store::{
    UnitOfWork, UnitOutcome,
    gateway_accounts::{self, GatewayAccountRow},
    tenants,
};
use moka::future::Cache;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Asked, Caller, Done, Edit, Page, Service, ServiceError,
    asked::Window,
    audit::Did,
    personal::{SEALED, not_opened},
    unit::{Creation, Subject},
};

/// How long an account's row is believed when no event tells otherwise.
const KNOWN_FOR_S: i64 = 10 * 60;
/// Accounts open at once.
const OPEN_MOST: u64 = 10_000;
/// Before each further try to tell a gateway where webhooks go.
const POINT_PAUSES: [Duration; 4] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
];
/// Random bytes of what the simulator knows an account by, and of what it signs with.
const SECRET_BYTES: usize = 16;

/// As it is shown: without its credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayAccount {
    pub id: GatewayAccountId,
    pub tenant: TenantId,
    pub kind: GatewayKind,
    pub name: String,
    /// Whether it takes new payments.
    pub active: bool,
    /// Counts changes, for `If-Match`.
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Clone, Debug)]
pub struct NewGatewayAccount {
    pub kind: GatewayKind,
    pub name: String,
    /// The simulator takes any, so it needs none.
    pub credentials: Option<Credentials>,
}

/// What is not given stays.
#[derive(Clone, Debug, Default)]
pub struct GatewayAccountChange {
    pub name: Option<String>,
    pub active: Option<bool>,
    pub credentials: Option<Credentials>,
}

impl GatewayAccountChange {
    /// The names of what it changes.
    fn fields(&self) -> Vec<&'static str> {
        let given = [
            ("name", self.name.is_some()),
            ("active", self.active.is_some()),
            ("credentials", self.credentials.is_some()),
        ];
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect()
    }
}

#[derive(Serialize)]
struct AccountData {
    gateway_account_id: GatewayAccountId,
    kind: GatewayKind,
    active: bool,
}

/// Accounts that are open in this process.
pub(crate) struct Gateways {
    surroundings: Surroundings,
    /// Where gateways reach this platform.
    webhooks_url: String,
    open: Cache<GatewayAccountId, Arc<Opened>>,
}

struct Opened {
    tenant: TenantId,
    active: bool,
    version: i64,
    read_at: Timestamp,
    gateway: Arc<dyn Gateway>,
}

impl Gateways {
    pub fn new(surroundings: Surroundings, webhooks_url: String) -> Self {
        Self { surroundings, webhooks_url, open: Cache::new(OPEN_MOST) }
    }

    pub async fn forget(&self, account: GatewayAccountId) {
        self.open.invalidate(&account).await;
    }

    fn open(
        &self,
        kind: GatewayKind,
        mode: Mode,
        credentials: Credentials,
    ) -> Result<Arc<dyn Gateway>, OpenError> {
        let account = caudal_gateway::GatewayAccount { kind, mode, credentials };
        caudal_gateway::open(&account, &self.surroundings)
    }
}

/// Where an account's credentials stand. Used, too, when master keys are rotated.
pub(crate) fn gateway_account_row(id: GatewayAccountId) -> String {
    format!("gateway_accounts/{id}")
}

impl Service {
    /// The gateway behind the account, for what concerns payments that it has taken.
    pub(crate) async fn gateway(
        &self,
        tenant: TenantId,
        id: GatewayAccountId,
    ) -> Result<Arc<dyn Gateway>, ServiceError> {
        Ok(self.opened_account(tenant, id).await?.gateway.clone())
    }

    /// The same for new payments: `None` when the account is switched off.
    pub(crate) async fn charging_gateway(
        &self,
        tenant: TenantId,
        id: GatewayAccountId,
    ) -> Result<Option<Arc<dyn Gateway>>, ServiceError> {
        let opened = self.opened_account(tenant, id).await?;
        Ok(opened.active.then(|| opened.gateway.clone()))
    }

    async fn opened_account(
        &self,
        tenant: TenantId,
        id: GatewayAccountId,
    ) -> Result<Arc<Opened>, ServiceError> {
        let (known, now) = (&self.inner.gateways.open, self.now());
        let seen = known.get(&id).await;
        let opened = match seen {
            Some(seen) if now < seen.read_at.plus_seconds(KNOWN_FOR_S) => seen,
            seen => self.open_again(tenant, id, seen).await?,
        };
        // A foreign account is as unknown as one that is not there.
        if opened.tenant == tenant { Ok(opened) } else { Err(not_found()) }
    }

    /// Reads the row, and keeps what is open if it has not changed.
    async fn open_again(
        &self,
        tenant: TenantId,
        id: GatewayAccountId,
        seen: Option<Arc<Opened>>,
    ) -> Result<Arc<Opened>, ServiceError> {
        let known = &self.inner.gateways.open;
        let before = self.changes();
        let opened = if let Some(seen) = seen {
            let opened = Arc::new(self.open_row(tenant, id, Some(&seen)).await?);
            known.insert(id, opened.clone()).await;
            opened
        } else {
            // Many at once open it once.
            let open = async { self.open_row(tenant, id, None).await.map(Arc::new) };
            known.try_get_with(id, open).await.map_err(|error| ServiceError::clone(&error))?
        };
        if self.changes() != before {
            // What was read may be what has just changed.
            known.invalidate(&id).await;
        }
        Ok(opened)
    }

    async fn open_row(
        &self,
        tenant: TenantId,
        id: GatewayAccountId,
        seen: Option<&Opened>,
    ) -> Result<Opened, ServiceError> {
        let row = gateway_accounts::find(self.store(), tenant, id).await?.ok_or_else(not_found)?;
        let gateway = match seen.filter(|seen| seen.version == row.version) {
            Some(seen) => seen.gateway.clone(),
            None => self.open_gateway(&row).await?,
        };
        let (active, version, read_at) = (row.active, row.version, self.now());
        Ok(Opened { tenant, active, version, read_at, gateway })
    }

    async fn open_gateway(
        &self,
        row: &GatewayAccountRow,
    ) -> Result<Arc<dyn Gateway>, ServiceError> {
        let tenant = tenants::find(self.store(), row.tenant).await?;
        let tenant = tenant.ok_or(ServiceError::NotFound("tenant"))?;
        let place = gateway_account_row(row.id);
        let bound_to = Binding { tenant: row.tenant, row: &place, field: SEALED };
        let plain = self.vault().open(&bound_to, &row.sealed).map_err(not_opened)?;
        let kind = kind_of(row)?;
        let opened = self.inner.gateways.open(kind, tenant.mode, Credentials::new(plain.to_vec()));
        let gateway = opened.map_err(|error| {
            ServiceError::Unavailable(format!("the gateway account can't be used: {error}"))
        })?;
        self.point_webhooks(row.id, &gateway).await;
        Ok(gateway)
    }

    /// Before the first payment, so that nothing that is told of it gets lost. A gateway that does
    /// not hear now is told later; meanwhile it is asked after what is open.
    async fn point_webhooks(&self, id: GatewayAccountId, gateway: &Arc<dyn Gateway>) {
        let base = self.inner.gateways.webhooks_url.trim_end_matches('/');
        let url = format!("{base}/api/v1/gateway-accounts/{id}/webhooks");
        let Err(fault) = gateway.point_webhooks(&url).await else { return };
        tracing::warn!(account = %id, %fault, "the gateway was not told where webhooks go");
        let gateway = gateway.clone();
        tokio::spawn(async move {
            for pause in POINT_PAUSES {
                tokio::time::sleep(pause).await;
                if gateway.point_webhooks(&url).await.is_ok() {
                    return;
                }
            }
            tracing::warn!(account = %id, "the gateway does not know where webhooks go");
        });
    }

    pub async fn create_gateway_account(
        &self,
        asked: Asked<'_>,
        new: NewGatewayAccount,
    ) -> Result<Done<GatewayAccount>, ServiceError> {
        let Asked { caller, receipt } = asked;
        caller.reach.require_tenant()?;
        self.require_step_up(caller)?;
        let NewGatewayAccount { kind, name, credentials } = new;
        let credentials = match (kind, credentials) {
            (_, Some(given)) => given,
            (GatewayKind::Simulator, None) => self.simulator_credentials(),
            (GatewayKind::Stripe, None) => {
                return Err(ServiceError::invalid("credentials", "is missing"));
            }
        };
        self.check_opens(kind, caller.mode, &credentials)?;
        let account = self.new_gateway_account(caller.tenant, (kind, name), self.now());
        let mut unit = self.gateway_account_unit(&account, &credentials)?;
        let did = did(kinds::GATEWAY_ACCOUNT_CREATED, account.id, &[]);
        unit.steps.push(self.audit(caller, did, unit.at));
        let creation = Creation { unit, receipt: Some(receipt), value: account };
        match self.create_or(creation, |_| Refusal::NameTaken.into()).await {
            Err(ServiceError::Refused(Refusal::NameTaken)) => {
                self.refuse(receipt, Refusal::NameTaken).await
            }
            result => result,
        }
    }

    /// Of an account that nobody else uses.
    pub(crate) fn simulator_credentials(&self) -> Credentials {
        let secret = || {
            let mut random = [0; SECRET_BYTES];
            self.fill_random(&mut random);
            format!("{:032x}", u128::from_be_bytes(random))
        };
        let api_key = format!("sim_test_{}", secret());
        let json = json!({"api_key": api_key, "webhook_secrets": [secret()]});
        Credentials::new(json.to_string().into_bytes())
    }

    fn check_opens(
        &self,
        kind: GatewayKind,
        mode: Mode,
        credentials: &Credentials,
    ) -> Result<(), ServiceError> {
        let opened = self.inner.gateways.open(kind, mode, credentials.clone());
        opened.map(|_| ()).map_err(|error| {
            let param = match error {
                OpenError::Credentials(_) | OpenError::WrongMode => "credentials",
                OpenError::SimulatorIsForTests | OpenError::NoSimulator => "kind",
            };
            ServiceError::invalid(param, error.to_string())
        })
    }

    pub(crate) fn new_gateway_account(
        &self,
        tenant: TenantId,
        (kind, name): (GatewayKind, String),
        at: Timestamp,
    ) -> GatewayAccount {
        GatewayAccount {
            id: GatewayAccountId(self.next_id(at, tenant.bucket())),
            tenant,
            kind,
            name,
            active: true,
            version: 1,
            created_at: at,
            updated_at: at,
        }
    }

    /// What makes an account, but for who made it.
    pub(crate) fn gateway_account_unit(
        &self,
        account: &GatewayAccount,
        credentials: &Credentials,
    ) -> Result<UnitOfWork, ServiceError> {
        let at = account.created_at;
        let event = self.gateway_account_event(kinds::GATEWAY_ACCOUNT_CREATED, account, at)?;
        let row = row(account, self.sealed_credentials(account, credentials));
        let steps = vec![gateway_accounts::insert(&row)];
        Ok(UnitOfWork { at, steps, events: vec![event], receipt: None })
    }

    fn sealed_credentials(&self, account: &GatewayAccount, credentials: &Credentials) -> String {
        let place = gateway_account_row(account.id);
        let bound_to = Binding { tenant: account.tenant, row: &place, field: SEALED };
        self.vault().seal(self.chance(), &bound_to, credentials.as_json())
    }

    pub async fn gateway_account(
        &self,
        caller: &Caller,
        id: GatewayAccountId,
    ) -> Result<GatewayAccount, ServiceError> {
        from_row(&self.gateway_account_of(caller, id).await?)
    }

    async fn gateway_account_of(
        &self,
        caller: &Caller,
        id: GatewayAccountId,
    ) -> Result<GatewayAccountRow, ServiceError> {
        caller.reach.require_tenant()?;
        let found = gateway_accounts::find(self.store(), caller.tenant, id).await?;
        found.ok_or_else(not_found)
    }

    pub async fn list_gateway_accounts(
        &self,
        caller: &Caller,
        window: &Window,
    ) -> Result<Page<GatewayAccount>, ServiceError> {
        caller.reach.require_tenant()?;
        let before = GatewayAccountId(window.cursor.unwrap_or(u128::MAX));
        let db = self.store();
        let rows = gateway_accounts::list(db, caller.tenant, before, window.rows()).await?;
        let accounts = rows.iter().map(from_row).collect::<Result<_, _>>()?;
        Ok(window.page(accounts, |account: &GatewayAccount| (account.id.0, account.created_at)))
    }

    pub async fn update_gateway_account(
        &self,
        caller: &Caller,
        id: GatewayAccountId,
        edit: Edit<'_, GatewayAccount, GatewayAccountChange>,
    ) -> Result<Done<GatewayAccount>, ServiceError> {
        let before = self.gateway_account_of(caller, id).await?;
        self.require_step_up(caller)?;
        let mut account = from_row(&before)?;
        let Edit { change, is_met } = edit;
        if is_met.is_some_and(|is_met| !is_met(&account)) {
            return Err(ServiceError::Stale);
        }
        let (at, fields, kind) = (self.now(), change.fields(), kinds::GATEWAY_ACCOUNT_UPDATED);
        let has_new_name = change.name.as_ref().is_some_and(|name| *name != account.name);
        account.name = change.name.unwrap_or(account.name);
        account.active = change.active.unwrap_or(account.active);
        account.version += 1;
        account.updated_at = at;
        let sealed = match &change.credentials {
            None => before.sealed,
            Some(new) => {
                self.check_opens(account.kind, caller.mode, new)?;
                self.sealed_credentials(&account, new)
            }
        };
        let steps = vec![
            gateway_accounts::update(&row(&account, sealed)),
            self.audit(caller, did(kind, id, &fields), at),
        ];
        let events = vec![self.gateway_account_event(kind, &account, at)?];
        match self.commit(UnitOfWork { at, steps, events, receipt: None }).await? {
            (UnitOutcome::Done, position) => Ok(Done { value: account, replayed: false, position }),
            _ => {
                Err(self.why_not_changed(caller, &account, (has_new_name, is_met.is_some())).await)
            }
        }
    }

    /// Another change came between, or another account has the name.
    async fn why_not_changed(
        &self,
        caller: &Caller,
        account: &GatewayAccount,
        (has_new_name, has_seen): (bool, bool),
    ) -> ServiceError {
        match self.gateway_account(caller, account.id).await {
            Ok(now) if now.version == account.version - 1 && has_new_name => {
                Refusal::NameTaken.into()
            }
            Ok(_) if has_seen => ServiceError::Stale,
            Ok(_) => Refusal::Conflict.into(),
            Err(error) => error,
        }
    }

    fn gateway_account_event(
        &self,
        kind: &'static str,
        account: &GatewayAccount,
        at: Timestamp,
    ) -> Result<Event, ServiceError> {
        let GatewayAccount { id, tenant, active, .. } = *account;
        let subject = Subject { kind, tenant, id: id.0, text: &id, at };
        let data = AccountData { gateway_account_id: id, kind: account.kind, active };
        self.event(&subject, &data)
    }
}

fn not_found() -> ServiceError {
    ServiceError::NotFound("gateway_account")
}

fn kind_of(row: &GatewayAccountRow) -> Result<GatewayKind, ServiceError> {
    let kind = GatewayKind::from_name(&row.kind);
    kind.ok_or_else(|| ServiceError::Broken(format!("no gateway is called {:?}", row.kind)))
}

/// Nothing of it is kept but in the columns.
const NO_CONFIG: &str = "{}";

fn row(account: &GatewayAccount, sealed: String) -> GatewayAccountRow {
    GatewayAccountRow {
        id: account.id,
        tenant: account.tenant,
        kind: account.kind.name().to_owned(),
        name: account.name.clone(),
        active: account.active,
        config: NO_CONFIG.to_owned(),
        sealed,
        version: account.version,
        created_at: account.created_at,
        updated_at: account.updated_at,
    }
}

fn from_row(row: &GatewayAccountRow) -> Result<GatewayAccount, ServiceError> {
    Ok(GatewayAccount {
        id: row.id,
        tenant: row.tenant,
        kind: kind_of(row)?,
        name: row.name.clone(),
        active: row.active,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

fn did<'a>(action: &'a str, id: GatewayAccountId, fields: &'a [&'a str]) -> Did<'a> {
    Did { action, object_kind: "gateway_account", object_id: id.to_string(), fields }
}
