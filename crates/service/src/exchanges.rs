//! Exchanges: money of one currency for money of another at a quote's rate, which is used up in the
//! same commit. Two transfers, both or neither.

use caudal_domain::{
    AccountId, Chart, Quote, QuoteId, Rate, Refusal, Timestamp, Transfer, UsedQuote, text::Metadata,
};
use caudal_engine::{Command, Given, Job, JobReply};
use caudal_ledger::{Movement, movements::exchange};
use caudal_store::{quotes, rates};

use crate::{Asked, Caller, Done, ReceiptOf, Service, ServiceError};

/// How often an exchange is decided again when something else used its quote, or took from its
/// payer, meanwhile.
const ATTEMPTS: u32 = 8;

#[derive(Clone, Debug)]
pub struct NewExchange {
    pub quote: QuoteId,
    pub from: AccountId,
    pub to: AccountId,
    pub reference: Option<String>,
    pub metadata: Metadata,
}

/// What was exchanged.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Used up.
    pub quote: Quote,
    /// The payer's, then the payee's.
    pub transfers: [Transfer; 2],
}

impl Service {
    pub async fn exchange(
        &self,
        asked: Asked<'_>,
        new: NewExchange,
    ) -> Result<Done<Exchange>, ServiceError> {
        let Asked { caller, receipt } = asked;
        for _ in 0..ATTEMPTS {
            let Some(quote) = self.find_quote(caller, new.quote).await? else {
                return Err(self.refused(receipt, Refusal::QuoteNotFound).await);
            };
            self.require_step_up_for(caller, quote.amount)?;
            let at = self.now();
            let why_not = why_not(&quote, at);
            let market = self.market_of(&quote, at).await?;
            let mut job = match self.exchange_job(caller, &new, (&quote, market, at)).await {
                Ok(job) => job,
                Err(ServiceError::Refused(refusal)) => {
                    return Err(self.refused(receipt, refusal).await);
                }
                Err(error) => return Err(error),
            };
            job.receipt = Some(receipt);
            let turns = self.limit_alike(caller.tenant, &mut job.commands).await?;
            let reply = self.run(job).await?;
            drop(turns);
            // The engine was asked first, as the quote may have been used under this very key.
            match (&reply.refused_at, why_not) {
                (Some((_, Refusal::Conflict)), Some(refusal)) => {
                    return Err(self.refused(receipt, refusal).await);
                }
                (Some((_, Refusal::Conflict)), None) => {}
                _ => return self.exchanged(quote, reply, (market, at)).await,
            }
        }
        Err(Refusal::Conflict.into())
    }

    /// What the money is worth by the record now; by the quote's own, should it be the only one.
    async fn market_of(&self, quote: &Quote, at: Timestamp) -> Result<Rate, ServiceError> {
        let found = rates::find(self.store(), (quote.from, quote.to), at).await?;
        Ok(found.map_or(quote.rate, |on_record| on_record.rate))
    }

    async fn exchange_job(
        &self,
        caller: &Caller,
        new: &NewExchange,
        (quote, market, at): (&Quote, Rate, Timestamp),
    ) -> Result<Job, ServiceError> {
        let chart = |currency| Chart { tenant: caller.tenant, currency };
        let asked = exchange::Exchange {
            payer: (wallet_or_unknown(new.from), chart(quote.from)),
            payee: (wallet_or_unknown(new.to), chart(quote.to)),
            amount: quote.amount,
            rate: quote.rate,
            market,
        };
        let [mut paid, mut got] = asked.transfers()?;
        self.only_own_payers(caller, &mut [&mut paid]).await?;
        for transfer in [&mut paid, &mut got] {
            transfer.reference.clone_from(&new.reference);
            transfer.metadata.clone_from(&new.metadata);
        }
        let [mut paid, mut got] = [paid, got].map(|new| Command::new(Movement::Post(new)));
        let mut use_up = quotes::use_up(quote, at, market);
        if why_not(quote, at).is_some() {
            // No row has this version: only what was done before is said again.
            use_up.expected_version = 0;
        }
        paid.attachments.push(use_up);
        got.steps.push(quotes::credited(quote));
        let mut job = Job::one(caller.tenant, paid);
        job.commands.push(got);
        Ok(Job { atomic: true, ..job })
    }

    async fn exchanged(
        &self,
        mut quote: Quote,
        reply: JobReply,
        (market, at): (Rate, Timestamp),
    ) -> Result<Done<Exchange>, ServiceError> {
        let JobReply { replies, refused_at, replayed, position } = reply;
        match refused_at {
            Some((_, refusal)) if replayed => return Err(ServiceError::RefusedBefore(refusal)),
            Some((_, refusal)) => return Err(refusal.into()),
            None => {}
        }
        let mut transfers = Vec::with_capacity(2);
        for reply in replies {
            match reply.given {
                // What was refused without the engine.
                Given::Refused(refusal) => return Err(ServiceError::RefusedBefore(refusal)),
                given => transfers.push(self.transfer_of(quote.tenant, given).await?),
            }
        }
        let transfers: [Transfer; 2] = transfers
            .try_into()
            .map_err(|_| ServiceError::Broken("an exchange is two transfers".into()))?;
        let ids = transfers.each_ref().map(|transfer| transfer.id);
        quote.used = quote.used.or(Some(UsedQuote { at, market, transfers: ids }));
        Ok(Done { value: Exchange { quote, transfers }, replayed, position })
    }

    /// The refusal as it is told, and kept with the key.
    async fn refused(&self, receipt: ReceiptOf, refusal: Refusal) -> ServiceError {
        match self.refuse::<()>(receipt, refusal).await {
            Err(error) => error,
            Ok(_) => ServiceError::Broken("a refusal was kept as a success".into()),
        }
    }
}

fn why_not(quote: &Quote, at: Timestamp) -> Option<Refusal> {
    match quote.used {
        Some(_) => Some(Refusal::QuoteUsed),
        None if !quote.is_open(at) => Some(Refusal::QuoteExpired),
        None => None,
    }
}

/// A tenant's own accounts are no wallets: as good as unknown.
fn wallet_or_unknown(id: AccountId) -> AccountId {
    if id.is_system() { AccountId(0) } else { id }
}
