//! Have I Been Pwned's Pwned Passwords: is a password known from a breach?
//!
//! The protocol: `GET {base}/range/{prefix}` with the first five hexadecimal digits of the
//! password's SHA-1, upper case. The answer, always 200, has a line `SUFFIX:COUNT` for each known
//! hash with that prefix, so that the service learns 20 of 160 bits only. With `Add-Padding: true`
//! it is filled up to 800–1,000 lines, the false ones with a count of 0, so that its size does not
//! tell the prefix. Any other status, and anything that is not such lines, is no answer.
//!
//! SHA-1 is the protocol's look-up key here; no password is kept by it.

use std::{sync::Arc, time::Duration};

use moka::future::Cache;
use reqwest::Url;
use sha1::{Digest, Sha1};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::{
    client::{Client, HttpFault, Request},
    guard::{Guard, GuardOptions, Refused, World},
};

/// The public service; mirrors that speak the protocol serve as well.
pub const PUBLIC: &str = "https://api.pwnedpasswords.com/";

/// Answers are kept for a day: the list grows by the month.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Bytes of answers kept, about 800 of them.
const KEPT_BYTES: u64 = 16 << 20;

type Sha1Digest = [u8; 20];

/// What is known of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    Clean,
    /// Seen so many times in breaches.
    Breached(u32),
    /// Nobody could tell; whether the password passes is the caller's to decide.
    Unavailable,
}

#[derive(Clone, Debug)]
pub struct BreachedPasswordsOptions {
    /// `{base}range/{prefix}` is asked; ends with a slash.
    pub base: Url,
    /// Times a password must have been seen to be called breached; at least 1.
    pub threshold: u32,
    pub guard: GuardOptions,
}

impl BreachedPasswordsOptions {
    pub fn at(base: Url) -> Self {
        Self { base, threshold: 1, guard: GuardOptions::default() }
    }
}

pub struct BreachedPasswords {
    client: Client,
    guard: Guard,
    base: Url,
    threshold: u32,
    ranges: Cache<String, Arc<[Known]>>,
}

/// A line of an answer.
struct Known {
    digest: Sha1Digest,
    count: u32,
}

impl BreachedPasswords {
    pub fn new(client: Client, options: BreachedPasswordsOptions, world: World) -> Self {
        let weight = |_: &String, range: &Arc<[Known]>| {
            u32::try_from(range.len() * size_of::<Known>()).unwrap_or(u32::MAX)
        };
        let ranges =
            Cache::builder().max_capacity(KEPT_BYTES).weigher(weight).time_to_live(KEPT).build();
        let guard = Guard::new("breached_passwords", options.guard, world);
        let threshold = options.threshold.max(1);
        Self { client, guard, base: options.base, threshold, ranges }
    }

    /// Looks the password up: in a kept answer, else at the service.
    pub async fn check(&self, password: &str) -> Breach {
        let digest: Sha1Digest = Sha1::digest(password).into();
        let prefix = format!("{:02X}{:02X}{:X}", digest[0], digest[1], digest[2] >> 4);
        // Many asking for one prefix make one call; a fault is not kept.
        match self.ranges.try_get_with_by_ref(&prefix, self.ask(&prefix)).await {
            Ok(range) => self.verdict(&digest, &range),
            Err(fault) => {
                tracing::warn!(%fault, "breached passwords cannot be looked up");
                Breach::Unavailable
            }
        }
    }

    /// Goes through the whole range whatever it finds, so that the time taken tells nothing.
    fn verdict(&self, digest: &Sha1Digest, range: &[Known]) -> Breach {
        let mut count = 0;
        for known in range {
            count.conditional_assign(&known.count, known.digest.ct_eq(digest));
        }
        if count >= self.threshold { Breach::Breached(count) } else { Breach::Clean }
    }

    async fn ask(&self, prefix: &str) -> Result<Arc<[Known]>, Refused<HttpFault>> {
        self.guard.call_idempotent(|| self.fetch(prefix)).await
    }

    async fn fetch(&self, prefix: &str) -> Result<Arc<[Known]>, HttpFault> {
        let url = self.base.join(&format!("range/{prefix}"));
        let url = url.map_err(|error| HttpFault::Malformed(error.to_string()))?;
        let headers = vec![("add-padding", "true".to_owned())];
        let request = Request { headers, ..Request::get(url) };
        let body = self.client.send(request).await?.success()?;
        let nonsense = HttpFault::Nonsense("a line is not SUFFIX:COUNT");
        let text = str::from_utf8(&body).map_err(|_| nonsense.clone())?;
        let lines = text.lines().map(|line| read(prefix, line)).collect::<Option<Vec<_>>>();
        match lines {
            Some(range) if !range.is_empty() => {
                Ok(range.into_iter().filter(|known| known.count > 0).collect())
            }
            _ => Err(nonsense),
        }
    }
}

/// Reads a line `SUFFIX:COUNT`, its suffix 35 hexadecimal digits.
fn read(prefix: &str, line: &str) -> Option<Known> {
    let (suffix, count) = line.trim_end().split_once(':')?;
    let hash = format!("{prefix}{suffix}");
    let all_hex = hash.bytes().all(|c| c.is_ascii_hexdigit());
    if hash.len() != 40 || !all_hex {
        return None;
    }
    let mut digest = Sha1Digest::default();
    for (n, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hash[2 * n..2 * n + 2], 16).ok()?;
    }
    let count = count.parse::<u64>().ok()?;
    Some(Known { digest, count: u32::try_from(count).unwrap_or(u32::MAX) })
}
