//! The audit: what was done, by whom, from where. Written in the commit of what was done.

use caudal_domain::{Actor, AuditId, AuditRecord, TenantId, Timestamp};
use caudal_store::{Step, audit};

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
