//! The audit: what was done, by whom, from where. Written in the commit of what was done.

use std::time::Duration;

use caudal_cache::limits::{Limit, LimitKey};
use caudal_domain::{Actor, AuditId, AuditRecord, TenantId, Timestamp};
use caudal_store::{Step, UnitOfWork, audit};

use crate::{Caller, Origin, Page, Service, ServiceError, asked::Window, id_range};

/// Who did something, for a record of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct By<'a> {
    pub tenant: TenantId,
    pub actor: Actor,
    /// `None`: Caudal itself.
    pub origin: Option<&'a Origin>,
}

impl<'a> From<&'a Caller> for By<'a> {
    fn from(caller: &'a Caller) -> Self {
        Self { tenant: caller.tenant, actor: caller.actor, origin: Some(&caller.origin) }
    }
}

/// What was done: an action as events are named, the noun it was done to, its id as text, and the
/// names (never the values) of what changed.
pub(crate) struct Did<'a> {
    pub action: &'a str,
    pub object_kind: &'a str,
    pub object_id: String,
    pub fields: &'a [&'a str],
}

/// What somebody is refused is recorded once a minute and route, and so often in all: nobody fills
/// the table by asking for what they may not.
const REFUSED_AT_A_ROUTE: Limit = Limit { most: 1, per: MINUTE };
const REFUSED: Limit = Limit { most: 10, per: MINUTE };
const MINUTE: Duration = Duration::from_secs(60);

/// Which records to list.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    pub actor: Option<Actor>,
    pub action: Option<String>,
    /// An id as text.
    pub object: Option<String>,
}

impl Service {
    /// What was done in the caller's tenant, newest first.
    pub async fn list_audit(
        &self,
        caller: &Caller,
        filter: AuditFilter,
        window: &Window,
    ) -> Result<Page<AuditRecord>, ServiceError> {
        caller.reach.require_tenant()?;
        let (from, before) = id_range(&window.created);
        let AuditFilter { actor, action, object } = filter;
        let filter = audit::Filter {
            tenant: caller.tenant,
            actor,
            action,
            object,
            before: window.cursor.map_or(before, |cursor| cursor.min(before)),
            from,
            limit: window.rows(),
        };
        let rows = audit::list(self.store(), &filter).await?;
        Ok(window.page(rows, |record| (record.id.0, record.at)))
    }

    /// Records that somebody known was refused what they asked of a route.
    pub async fn record_refused(&self, caller: &Caller, method: &str, path: &'static str) {
        let at = self.now();
        let key = |action| LimitKey { tenant: caller.tenant, principal: caller.owner, action };
        let counts = [(key(path), REFUSED_AT_A_ROUTE), (key("refused"), REFUSED)];
        let limiter = &self.people().limiter;
        if !counts.into_iter().all(|(key, limit)| limiter.check(key, limit, at).allowed) {
            return;
        }
        let object_id = format!("{method} {path}");
        let did = Did { action: "access.refused", object_kind: "route", object_id, fields: &[] };
        let steps = vec![self.audit(caller, did, at)];
        let unit = UnitOfWork { at, steps, ..UnitOfWork::default() };
        if let Err(error) = self.commit(unit).await {
            tracing::warn!(%error, "what was refused is not in the audit");
        }
    }

    /// The step that records it.
    pub(crate) fn audit<'a>(&self, by: impl Into<By<'a>>, did: Did<'_>, at: Timestamp) -> Step {
        let By { tenant, actor, origin } = by.into();
        audit::insert(&AuditRecord {
            id: AuditId(self.next_id(at, tenant.bucket())),
            tenant,
            at,
            actor,
            address: origin.and_then(|origin| origin.address).map(|address| address.to_string()),
            request_id: origin.map(|origin| origin.request_id.to_string()),
            action: did.action.to_owned(),
            object_kind: did.object_kind.to_owned(),
            object_id: did.object_id,
            fields: did.fields.iter().map(|name| (*name).to_owned()).collect(),
        })
    }
}
