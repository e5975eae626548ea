//! Query parameters: known ones only, each once; pages, filters and fields of lists.

use std::{collections::BTreeMap, str::FromStr};

use axum::{
    extract::{FromRequestParts, Query},
    http::{StatusCode, Uri, request::Parts},
};
use caudal_domain::{Fingerprint, Timestamp};
use caudal_service::{Page, Span, Window};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    answer::{Answer, bytes},
    problem::{Problem, internal},
};

const LIMIT: usize = 20;
const LIMIT_MOST: usize = 100;
/// What every list knows.
pub(crate) const LIST: &[&str] = &["limit", "cursor", "fields", "created[gte]", "created[lt]"];

/// The parameters of a request, checked against those of its route.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // The endpoint put them there, unless there are none.
        Ok(parts.extensions.remove::<Self>().unwrap_or_default())
    }
}

impl Params {
    /// Refuses what the route does not know.
    pub fn read(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let Query(given) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| Problem::invalid("", "the query can't be read"))?;
        for (place, (name, value)) in given.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let known = if known.is_empty() { "none".into() } else { known.join(", ") };
                let detail = format!("unknown query parameter; known here: {known}");
                return Err(Problem::invalid(name.replace('\0', "?"), detail));
            }
            let is_list = name.ends_with("[]");
            if !is_list && given[..place].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::invalid(name, "given more than once"));
            }
            if value.contains('\0') {
                return Err(Problem::invalid(name, "holds the character U+0000"));
            }
        }
        Ok(Self(given))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter that may be given more than once.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// A value of a list of words.
    pub fn word<T>(
        &self,
        name: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.get(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| Problem::invalid(name, "not a known value"))
    }

    /// An id; a malformed one is as unknown as any other.
    pub fn id<T: FromStr>(&self, name: &'static str, noun: &str) -> Result<Option<T>, Problem> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| Problem::not_found(noun))
    }

    pub fn flag(&self, name: &'static str) -> Result<bool, Problem> {
        let read = |value: &str| value.parse::<bool>().ok();
        Ok(self.word(name, read)?.unwrap_or(false))
    }

    pub fn time(&self, name: &'static str) -> Result<Option<Timestamp>, Problem> {
        let Some(value) = self.get(name) else { return Ok(None) };
        // A plus sign that was not escaped has become a blank.
        let at = Timestamp::parse(&value.replace(' ', "+"));
        let wrong = "not an RFC 3339 time such as 2026-01-31T09:30:00Z";
        at.map(Some).ok_or_else(|| Problem::invalid(name, wrong))
    }

    pub fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = self.get("limit") else { return Ok(LIMIT) };
        let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MOST).contains(limit));
        limit.ok_or_else(|| Problem::invalid("limit", "a number from 1 to 100"))
    }

    pub fn window(&self, list: List) -> Result<Window, Problem> {
        let limit = self.limit()?;
        let read = |text| list.place(text);
        let no_cursor = |_| Problem::invalid("cursor", "not a next_cursor of this list");
        let cursor = self.get("cursor").map(|text| read(text).ok_or(())).transpose();
        let from = self.time("created[gte]")?;
        let before = self.time("created[lt]")?;
        let created = Span { from, before };
        Ok(Window { cursor: cursor.map_err(no_cursor)?, limit, created })
    }

    /// The fields asked for; `None` is all of them.
    pub fn fields(&self, known: &[&str]) -> Result<Option<Vec<String>>, Problem> {
        let Some(text) = self.get("fields") else { return Ok(None) };
        let fields: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        match fields.iter().find(|name| !known.contains(&name.as_str())) {
            Some(name) => {
                let detail = format!("{name:?} is no field here; there are {}", known.join(", "));
                Err(Problem::invalid("fields", detail))
            }
            None => Ok(Some(fields)),
        }
    }
}

/// What a cursor counts: one list's cursor means nothing to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    ApiKeys = 1,
    Wallets = 2,
    Entries = 3,
    Transfers = 4,
    WalletTransfers = 5,
    Sessions = 6,
    Users = 7,
    ServiceAccounts = 8,
    Roles = 9,
    Audit = 10,
    Tenants = 11,
    PaymentTypes = 12,
    GatewayAccounts = 13,
    Quotes = 14,
    Schedules = 60,
    Uploads = 61,
    Payments = 17,
    Refunds = 18,
    Payouts = 20,
    Disputes = 21,
    FraudRules = 40,
    Reviews = 41,
    WebhookEndpoints = 30,
    Deliveries = 31,
    Notifications = 32,
}

impl List {
    /// Opaque text of a place, with a check: what we did not write is refused.
    pub fn cursor(self, place: u128) -> String {
        format!("{:x}{place:032x}{:08x}", self as u8, self.check(place))
    }

    fn place(self, cursor: &str) -> Option<u128> {
        let digits = cursor.strip_prefix(&format!("{:x}", self as u8))?;
        let (place, _) = digits.split_at_checked(32)?;
        let place = u128::from_str_radix(place, 16).ok()?;
        (self.cursor(place) == cursor).then_some(place)
    }

    fn check(self, place: u128) -> u32 {
        Fingerprint::of(&[b"cursor", &[self as u8], &place.to_be_bytes()]).0 as u32
    }
}

/// The cursor of a list whose places are words, not ids: opaque text with a check.
pub(crate) fn text_cursor(list: &str, place: &str) -> String {
    let mut cursor = String::with_capacity(2 * place.len() + 8);
    for byte in place.bytes() {
        cursor.push_str(&format!("{byte:02x}"));
    }
    let check = Fingerprint::of(&[b"cursor", list.as_bytes(), place.as_bytes()]).0 as u32;
    cursor + &format!("{check:08x}")
}

/// Reads [`text_cursor`] back.
pub(crate) fn text_place(list: &str, cursor: &str) -> Option<String> {
    let (digits, _) = cursor.split_at_checked(cursor.len().checked_sub(8)?)?;
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Vec<u8> = digits.as_bytes().chunks(2).map(byte).collect::<Option<_>>()?;
    let place = String::from_utf8(bytes).ok()?;
    (text_cursor(list, &place) == cursor).then_some(place)
}

/// What can be listed and its fields chosen.
pub(crate) trait Shown: Serialize {
    /// All names on its top level.
    const FIELDS: &'static [&'static str];
}

type Members = BTreeMap<String, Box<RawValue>>;

#[derive(Serialize)]
struct ListShape<T> {
    data: Vec<T>,
    has_more: bool,
    next_cursor: Option<String>,
}

/// The body of a page; `fields` chooses what is said of each item.
pub(crate) fn list_body<T: Shown>(
    items: Vec<T>,
    next_cursor: Option<String>,
    fields: Option<&[String]>,
) -> Result<Vec<u8>, Problem> {
    let has_more = next_cursor.is_some();
    let body = match fields {
        None => serde_json::to_vec(&ListShape { data: items, has_more, next_cursor }),
        Some(fields) => {
            let data = items.iter().map(|item| pick(item, fields)).collect::<Result<_, _>>()?;
            serde_json::to_vec(&ListShape { data, has_more, next_cursor })
        }
    };
    body.map_err(|_| internal())
}

/// A page of a list; `fields` chooses what is said of each item.
pub(crate) fn listed<'a, T, S: Shown + From<&'a T>>(
    list: List,
    page: &'a Page<T>,
    fields: Option<&[String]>,
) -> Answer {
    let shapes: Vec<S> = page.items.iter().map(S::from).collect();
    Ok(bytes(StatusCode::OK, list_body(shapes, next_of(list, page), fields)?))
}

/// The body of one; `fields` chooses what is said of it.
pub(crate) fn one_body<T: Shown>(item: &T, fields: Option<&[String]>) -> Result<Vec<u8>, Problem> {
    let body = match fields {
        None => serde_json::to_vec(item),
        Some(fields) => serde_json::to_vec(&pick(item, fields)?),
    };
    body.map_err(|_| internal())
}

/// Each member as it is written whole: numbers may have more than 64 bits.
fn pick<T: Serialize>(item: &T, fields: &[String]) -> Result<Members, Problem> {
    let whole = serde_json::to_string(item).map_err(|_| internal())?;
    let mut members: Members = serde_json::from_str(&whole).map_err(|_| internal())?;
    members.retain(|name, _| fields.contains(name));
    Ok(members)
}

/// The cursor of the next page.
pub(crate) fn next_of<T>(list: List, page: &Page<T>) -> Option<String> {
    page.next.map(|place| list.cursor(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Result<Params, Problem> {
        let uri: Uri = format!("/x?{query}").parse().expect("a URI");
        Params::read(&uri, LIST)
    }

    #[test]
    fn unknown_repeated_and_unstorable_parameters_are_refused() {
        assert!(params("limit=5&fields=a").is_ok());
        assert!(params("").is_ok());
        for (query, param) in
            [("colour=red", "colour"), ("limit=5&limit=6", "limit"), ("cursor=%00", "cursor")]
        {
            let problem = params(query).expect_err(query);
            assert_eq!(problem.param.as_deref(), Some(param));
        }
    }

    #[test]
    fn what_is_picked_is_written_as_it_is_shown_whole() {
        #[derive(Serialize)]
        struct Sums {
            amount: i128,
            day: &'static str,
        }
        impl Shown for Sums {
            const FIELDS: &'static [&'static str] = &["amount", "day"];
        }
        // More than 64 bits.
        let sums = Sums { amount: 1 << 70, day: "2026-01-31" };
        let picked = one_body(&sums, Some(&["amount".to_owned()])).expect("a body");
        assert_eq!(String::from_utf8_lossy(&picked), r#"{"amount":1180591620717411303424}"#);
        let whole = one_body(&sums, None).expect("a body");
        let text = r#"{"amount":1180591620717411303424,"day":"2026-01-31"}"#;
        assert_eq!(String::from_utf8_lossy(&whole), text);
    }

    #[test]
    fn limits_are_one_to_a_hundred() {
        let window = |query| params(query).and_then(|params| params.window(List::Wallets));
        assert_eq!(window("").expect("the default").limit, 20);
        assert_eq!(window("limit=100").expect("the most").limit, 100);
        for bad in ["limit=0", "limit=101", "limit=-1", "limit=ten", "limit=", "limit=1.0"] {
            let problem = window(bad).expect_err(bad);
            assert_eq!(problem.param.as_deref(), Some("limit"));
        }
    }

    #[test]
    fn cursors_are_those_we_wrote_for_this_list() {
        for place in [0, 7, u128::MAX] {
            let cursor = List::Transfers.cursor(place);
            assert_eq!(List::Transfers.place(&cursor), Some(place));
            assert_eq!(List::Wallets.place(&cursor), None);
            assert_eq!(List::Transfers.place(&cursor[1..]), None);
            assert_eq!(List::Transfers.place(&cursor.to_uppercase().replace('4', "5")), None);
        }
        for bad in ["", "4", "é", "4ééééééééééééééééééééé", &"4".repeat(41), "null"]
        {
            assert_eq!(List::Transfers.place(bad), None, "{bad}");
        }
    }

    #[test]
    fn cursors_of_words_are_those_we_wrote_for_this_list() {
        for place in ["", "20484 USD succeeded card", "é"] {
            let cursor = text_cursor("reports", place);
            assert_eq!(text_place("reports", &cursor).as_deref(), Some(place));
            assert_eq!(text_place("others", &cursor), None);
            assert_eq!(text_place("reports", &cursor.to_uppercase().replace('2', "3")), None);
        }
        for bad in ["", "é", "00000000", "ééééééééé", "zz00000000", "+100000000"] {
            assert_eq!(text_place("reports", bad), None, "{bad}");
        }
    }

    #[test]
    fn times_may_have_lost_their_plus() {
        let times = params("created[gte]=2026-01-01T01:00:00+01:00").expect("known");
        let midnight = Timestamp::parse("2026-01-01T00:00:00Z");
        assert_eq!(times.time("created[gte]").expect("a time"), midnight);
        let problem = params("created[lt]=today").expect("known").time("created[lt]");
        assert!(problem.is_err());
    }

    #[derive(Serialize)]
    struct Pair {
        a: u8,
        b: u8,
    }

    impl Shown for Pair {
        const FIELDS: &'static [&'static str] = &["a", "b"];
    }

    #[test]
    fn fields_choose_what_is_said() {
        let fields = params("fields=b").expect("known").fields(Pair::FIELDS).expect("known");
        let body = list_body(vec![Pair { a: 1, b: 2 }], None, fields.as_deref()).expect("a body");
        let wanted = r#"{"data":[{"b":2}],"has_more":false,"next_cursor":null}"#;
        assert_eq!(String::from_utf8_lossy(&body), wanted);
        assert!(params("fields=a,c").expect("known").fields(Pair::FIELDS).is_err());
        assert!(params("fields=").expect("known").fields(Pair::FIELDS).is_err());
    }
}
