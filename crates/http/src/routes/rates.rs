//! `/api/v1/rates`.

use std::str::FromStr;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use caudal_domain::Currency;

use super::{InPath, Named};
use crate::{
    answer::{Answer, done, public},
    api::Api,
    auth::By,
    json::Json,
    shapes::rates::{RatesRequest, RatesShape},
};

/// requirements.md §4, CDN.
const CACHED_SECONDS: u32 = 300;

/// A currency in the path.
pub(crate) struct Base(Currency);

impl FromStr for Base {
    type Err = ();

    fn from_str(code: &str) -> Result<Self, ()> {
        Currency::from_code(code).map(Self).ok_or(())
    }
}

impl Named for Base {
    const NOUN: &'static str = "rate";
}

pub(crate) async fn read(
    State(api): State<Api>,
    InPath(Base(base), _): InPath<Base>,
    headers: HeaderMap,
) -> Answer {
    let rates = api.service.rates(base).await?;
    public(&headers, CACHED_SECONDS, &RatesShape::new(base, &rates))
}

pub(crate) async fn write(
    State(api): State<Api>,
    By(caller): By,
    InPath(Base(base), _): InPath<Base>,
    Json(request): Json<RatesRequest>,
) -> Answer {
    let written = api.service.write_rates(&caller, request.into_new(base)?).await?;
    done(StatusCode::OK, &written, &RatesShape::new(base, &written.value))
}
