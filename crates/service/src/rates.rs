//! Rates of exchange: written down by the platform for all its tenants, read by anybody.

use std::collections::BTreeMap;

use caudal_domain::{Currency, Rate, RateOnRecord, Refusal, event::kinds};
use caudal_store::{UnitOfWork, UnitOutcome, rates};
use serde::Serialize;

use crate::{Caller, Done, Service, ServiceError, audit::Did, unit::Subject};

/// Rates of one currency, all of one instant.
#[derive(Clone, Debug)]
pub struct NewRates {
    pub base: Currency,
    /// What one unit of `base` is worth.
    pub rates: BTreeMap<Currency, Rate>,
    /// Whose word it is.
    pub source: String,
}

#[derive(Serialize)]
struct RatesData {
    base: Currency,
    currencies: Vec<Currency>,
}

impl Service {
    /// What the currency is worth now in each other that it has a rate for, by code.
    pub async fn rates(&self, base: Currency) -> Result<Vec<RateOnRecord>, ServiceError> {
        let found = rates::list(self.store(), base, self.now()).await?;
        if found.is_empty() { Err(ServiceError::NotFound("rate")) } else { Ok(found) }
    }

    /// Adds to the record; what was written before stays there, and counts no more.
    pub async fn write_rates(
        &self,
        caller: &Caller,
        new: NewRates,
    ) -> Result<Done<Vec<RateOnRecord>>, ServiceError> {
        caller.reach.require_tenant()?;
        let NewRates { base, rates: given, source } = new;
        let at = self.now();
        let on_record = |(quote, rate): (&Currency, &Rate)| {
            let source = source.clone();
            rates::insert(&RateOnRecord { base, quote: *quote, rate: *rate, at, source })
        };
        let currencies: Vec<Currency> = given.keys().copied().collect();
        let fields: Vec<&str> = given.keys().map(Currency::code).collect();
        let did = Did {
            action: kinds::RATE_UPDATED,
            object_kind: "rate",
            object_id: base.to_string(),
            fields: &fields,
        };
        let mut steps: Vec<_> = given.iter().map(on_record).collect();
        steps.push(self.audit(caller, did, at));
        let tenant = caller.tenant;
        let kind = kinds::RATE_UPDATED;
        let subject = Subject { kind, tenant, id: tenant.0, text: &base, at };
        let events = vec![self.event(&subject, &RatesData { base, currencies })?];
        let unit = UnitOfWork { at, steps, events, receipt: None };
        match self.commit(unit).await? {
            (UnitOutcome::Done, position) => {
                let value = rates::list(self.store(), base, at).await?;
                Ok(Done { value, replayed: false, position })
            }
            // Another rate of the same pair and instant.
            _ => Err(Refusal::Conflict.into()),
        }
    }
}
