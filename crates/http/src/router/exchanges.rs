//! The routes of foreign exchange: rates, quotes, exchanges.

use caudal_domain::access::Scope::{RatesWrite, TransfersRead, TransfersWrite};

use super::{CREATED, MONEY, OK};
use crate::{
    endpoint::{Access, Routes, get, post, put},
    routes::{exchanges, quotes, rates},
    shapes::{
        exchanges::{ExchangeRequest, ExchangeShape},
        quotes::{QuoteRequest, QuoteShape},
        rates::{RatesRequest, RatesShape},
    },
};

pub(super) fn exchange_routes(routes: Routes) -> Routes {
    routes
        .add(
            get("/api/v1/rates/{base}", Access::Open)
                .summary("Read what a currency is worth in others; cacheable for five minutes")
                .gives::<RatesShape>(OK)
                .errors(&[404]),
            rates::read,
        )
        .add(
            put("/api/v1/rates/{base}", RatesWrite)
                .summary("Write rates down, for all tenants")
                .takes::<RatesRequest>()
                .gives::<RatesShape>(OK)
                .errors(&[404, 409]),
            rates::write,
        )
        .add(
            post("/api/v1/quotes", TransfersWrite)
                .summary("Have a rate promised for a minute")
                .takes::<QuoteRequest>()
                .gives::<QuoteShape>(CREATED)
                .errors(&[404, 409, 422])
                .once(),
            quotes::create,
        )
        .add(
            get("/api/v1/quotes", TransfersRead)
                .summary("List quotes, newest first")
                .lists::<QuoteShape>(),
            quotes::list,
        )
        .add(
            get("/api/v1/quotes/{id}", TransfersRead)
                .summary("Read a quote and what became of it")
                .gives::<QuoteShape>(OK)
                .errors(&[404]),
            quotes::read,
        )
        .add(
            post("/api/v1/exchanges", TransfersWrite)
                .summary("Move money between wallets of two currencies at a quote's rate")
                .takes::<ExchangeRequest>()
                .gives::<ExchangeShape>(CREATED)
                .errors(MONEY)
                .once()
                .money(),
            exchanges::create,
        )
}
