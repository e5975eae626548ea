//! `/api/v1/config/{name}`: the platform's own, the same for everybody.

use std::str::FromStr;

use axum::http::HeaderMap;

use super::{InPath, Named};
use crate::{
    answer::{Answer, public},
    shapes::config::{Config, ConfigShape},
};

/// requirements.md §4, CDN.
const CACHED_SECONDS: u32 = 3600;

impl FromStr for Config {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::from_name(name).ok_or(())
    }
}

impl Named for Config {
    const NOUN: &'static str = "config";
}

pub(crate) async fn read(InPath(config, _): InPath<Config>, headers: HeaderMap) -> Answer {
    public(&headers, CACHED_SECONDS, &ConfigShape::from(config))
}
