//! What was answered to a refund's maker: kept with the refund, for it changes when its gateway
//! speaks, and said again under the same key. Whoever answers first notes it.

use caudal_domain::{RefundId, Refusal, TenantId, Timestamp, payment::RefundStatus};
use caudal_engine::{Command, Given, Job};
use caudal_store::refunds::{self, RefundRow};
use serde::{Deserialize, Serialize};

use crate::{Service, ServiceError, unit::broken};

/// [`RefundRow::data`].
#[derive(Default, Serialize, Deserialize)]
struct Data {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answered: Option<Snapshot>,
}

/// The part of a refund that changes, as it was shown.
#[derive(Serialize, Deserialize)]
struct Snapshot {
    status: RefundStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gateway_reference: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    updated_at: Timestamp,
}

fn data(refund: &RefundRow) -> Result<Data, ServiceError> {
    serde_json::from_str(&refund.data).map_err(broken)
}

/// The refund as it was answered first, if it was.
pub(super) fn first(refund: &RefundRow) -> Result<Option<RefundRow>, ServiceError> {
    Ok(data(refund)?.answered.map(|then| RefundRow {
        status: then.status,
        gateway_reference: then.gateway_reference,
        failure: then.failure,
        updated_at: then.updated_at,
        ..refund.clone()
    }))
}

/// Keeps that the refund is answered as it is, unless something was answered before.
pub(crate) fn note(refund: &mut RefundRow) -> Result<(), ServiceError> {
    if data(refund)?.answered.is_some() {
        return Ok(());
    }
    let answered = Some(Snapshot {
        status: refund.status,
        gateway_reference: refund.gateway_reference.clone(),
        failure: refund.failure.clone(),
        updated_at: refund.updated_at,
    });
    refund.data = serde_json::to_string(&Data { answered }).map_err(broken)?;
    Ok(())
}

impl Service {
    /// What was answered first; where nothing was, the refund as it stands, noted.
    pub(super) async fn first_refund_answer(
        &self,
        tenant: TenantId,
        id: RefundId,
    ) -> Result<RefundRow, ServiceError> {
        loop {
            let mut refund = self.refund_row(tenant, id).await?;
            if let Some(first) = first(&refund)? {
                return Ok(first);
            }
            note(&mut refund)?;
            refund.version += 1;
            let mut command = Command::writing();
            command.attachments.push(refunds::attachment(&refund));
            let reply = self.run(Job::one(tenant, command)).await?;
            match reply.replies.into_iter().next().map(|reply| reply.given) {
                Some(Given::Refused(Refusal::Conflict)) => {}
                Some(Given::Refused(refusal)) => return Err(refusal.into()),
                _ => return Ok(refund),
            }
        }
    }
}
