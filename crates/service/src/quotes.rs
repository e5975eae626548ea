//! Quotes: the rate on record, promised for a minute.

use caudal_domain::{Chart, Currency, MAX_AMOUNT, Quote, QuoteId, Refusal};
use caudal_store::{UnitOfWork, quotes, rates, wallets};

use crate::{
    Asked, Caller, Done, Page, Reach, Service, ServiceError, asked::Window, id_range,
    unit::Creation,
};

/// Long enough to read it and say yes; short, as the tenant bears what the rate does meanwhile.
const QUOTE_SECONDS: i64 = 60;

#[derive(Clone, Copy, Debug)]
pub struct NewQuote {
    pub from: Currency,
    pub to: Currency,
    /// In minor units of `from`.
    pub amount: i64,
}

impl Service {
    /// Promises the rate on record. What cannot be promised is refused, and kept with the key.
    pub async fn create_quote(
        &self,
        asked: Asked<'_>,
        new: NewQuote,
    ) -> Result<Done<Quote>, ServiceError> {
        let Asked { caller, receipt } = asked;
        let NewQuote { from, to, amount } = new;
        let at = self.now();
        let Some(on_record) = rates::find(self.store(), (from, to), at).await? else {
            return self.refuse(receipt, Refusal::RateNotFound).await;
        };
        let credit = match on_record.rate.down(amount, from, to) {
            Some(0) => return self.refuse(receipt, Refusal::ExchangeTooSmall).await,
            Some(credit) => credit,
            None => {
                let detail = format!("is worth more than {MAX_AMOUNT} minor units of {to}");
                return Err(ServiceError::invalid("amount", detail));
            }
        };
        let quote = Quote {
            id: QuoteId(self.scattered_id(at)),
            tenant: caller.tenant,
            user: own_user(caller),
            from,
            to,
            rate: on_record.rate,
            amount,
            credit,
            expires_at: at.plus_seconds(QUOTE_SECONDS),
            used: None,
            created_at: at,
            version: 1,
        };
        let [from, to] = [from, to].map(|currency| Chart { tenant: caller.tenant, currency });
        let mut steps = wallets::insert_exchange_accounts(from, to, at).to_vec();
        steps.push(quotes::insert(&quote));
        let unit = UnitOfWork { at, steps, ..UnitOfWork::default() };
        self.create(Creation { unit, receipt: Some(receipt), value: quote }).await
    }

    pub async fn quote(&self, caller: &Caller, id: QuoteId) -> Result<Quote, ServiceError> {
        self.find_quote(caller, id).await?.ok_or(ServiceError::NotFound("quote"))
    }

    pub(crate) async fn find_quote(
        &self,
        caller: &Caller,
        id: QuoteId,
    ) -> Result<Option<Quote>, ServiceError> {
        let found = quotes::find(self.store(), caller.tenant, id).await?;
        Ok(found.filter(|quote| caller.reach.holds_of(quote.user)))
    }

    /// Newest first. Those that expired unused are kept for a day.
    pub async fn list_quotes(
        &self,
        caller: &Caller,
        window: &Window,
    ) -> Result<Page<Quote>, ServiceError> {
        let (from, before) = id_range(&window.created);
        let filter = quotes::Filter {
            tenant: caller.tenant,
            user: own_user(caller),
            before: window.cursor.map_or(before, |cursor| cursor.min(before)),
            from,
            limit: window.rows(),
        };
        let rows = quotes::list(self.store(), &filter).await?;
        Ok(window.page(rows, |quote| (quote.id.0, quote.created_at)))
    }
}

/// Of a wallet holder; staff act for the tenant.
fn own_user(caller: &Caller) -> Option<caudal_domain::UserId> {
    match caller.reach {
        Reach::Own(user) => Some(user),
        Reach::Tenant => None,
    }
}
