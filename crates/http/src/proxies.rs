//! Where a request really comes from: a proxy's word for it counts only if the proxy is trusted.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName},
};
use ipnet::IpNet;

use crate::auth::ClientAddress;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Hops looked at; a longer list is nobody's honest one.
const HOPS_MOST: usize = 32;

/// The proxies whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// What is neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotANetwork(String);

impl std::error::Error for NotANetwork {}

impl std::fmt::Display for NotANetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} is neither an address nor a network such as 10.0.0.0/8", self.0)
    }
}

/// `10.0.0.0/8, 192.0.2.7`; nothing trusts nobody.
impl FromStr for TrustedProxies {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let read = |part: &str| {
            let net = part.parse::<IpNet>().ok();
            net.or_else(|| part.parse::<IpAddr>().ok().map(IpNet::from))
                .ok_or_else(|| NotANetwork(part.to_owned()))
        };
        parts.map(read).collect::<Result<_, _>>().map(Self)
    }
}

impl TrustedProxies {
    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }

    /// The nearest hop that is no trusted proxy: what stands left of it, anybody may have written.
    /// Where the list can't be read, the last hop that could be is as far as is known.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let values = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let hops = values.flat_map(|value| value.to_str().unwrap_or("?").rsplit(','));
        for hop in hops.take(HOPS_MOST) {
            let Some(address) = read(hop.trim()).filter(|_| self.trusts(client)) else { break };
            client = address;
        }
        client
    }

    /// Puts the client's address in the peer's place.
    pub(crate) fn resolve(&self, request: &mut Request) {
        if self.0.is_empty() {
            return;
        }
        if let Some(ClientAddress(peer)) = request.extensions().get().copied() {
            let client = self.client(peer, request.headers());
            request.extensions_mut().insert(ClientAddress(client));
        }
    }
}

/// Some proxies write the port as well.
fn read(hop: &str) -> Option<IpAddr> {
    let address = hop.parse().ok();
    let address = address.or_else(|| hop.parse::<SocketAddr>().ok().map(|hop| hop.ip()));
    let bare = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    address.or_else(bare).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client(trusted: &str, peer: &str, lists: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_static(list));
        }
        let proxies: TrustedProxies = trusted.parse().expect("networks");
        proxies.client(peer.parse().expect("an address"), &headers).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let trusted = "10.0.0.0/8, 192.0.2.7, fd00::/8";
        let table: &[(&str, &[&str], &str)] = &[
            ("203.0.113.5", &[], "203.0.113.5"),
            ("203.0.113.5", &["198.51.100.1"], "203.0.113.5"),
            ("203.0.113.5", &["10.0.0.1"], "203.0.113.5"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            // What the client wrote itself stands left of what the proxy added.
            ("10.0.0.1", &["127.0.0.1, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.2.3.4, 198.51.100.1, 192.0.2.7"], "198.51.100.1"),
            ("10.0.0.1", &["1.2.3.4", "198.51.100.1", "192.0.2.7, 10.9.9.9"], "198.51.100.1"),
            ("10.0.0.1", &["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
            ("10.0.0.1", &["1.2.3.4, unknown, 10.0.0.3"], "10.0.0.3"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("fd00::1", &["[2001:db8::1]:443"], "2001:db8::1"),
            ("fd00::1", &["[2001:db8::1]"], "2001:db8::1"),
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
        ];
        for (peer, lists, wanted) in table {
            assert_eq!(client(trusted, peer, lists), *wanted, "{peer} {lists:?}");
        }
        assert_eq!(client("", "10.0.0.1", &["198.51.100.1"]), "10.0.0.1");
    }

    #[test]
    fn an_endless_list_ends() {
        let list = "10.0.0.2,".repeat(100_000) + "10.0.0.2";
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, HeaderValue::try_from(list).expect("a header"));
        let proxies: TrustedProxies = "10.0.0.0/8".parse().expect("a network");
        assert_eq!(proxies.client([10, 0, 0, 1].into(), &headers), IpAddr::from([10, 0, 0, 2]));
    }

    #[test]
    fn what_is_no_network_is_named() {
        for bad in ["proxy", "10.0.0.0/33", "10.0.0", "10.0.0.1;10.0.0.2"] {
            let error = bad.parse::<TrustedProxies>().expect_err(bad);
            assert!(error.to_string().contains(bad), "{error}");
        }
    }
}
