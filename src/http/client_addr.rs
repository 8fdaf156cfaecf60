//! Where a request really comes from.

use crate::auth::accounts::Visitor;
use crate::auth::sessions::Origin;
use crate::config::Config;
use crate::error::{Error, Result};
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

const USER_AGENT_CHARS: usize = 256;

/// The client's own address, in the extensions of every request. IPv4 is never in its IPv6-mapped form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddr(pub(crate) IpAddr);

impl ClientAddr {
    /// What limits count: the address, or its /64, which is one customer.
    pub(crate) fn is_loopback(&self) -> bool {
        self.0.is_loopback()
    }

    pub(crate) fn bucket(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        }
    }
}

/// Finds out the client's address, once for everybody who asks.
pub(crate) async fn find_out(
    State(config): State<Arc<Config>>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        let client = client_of(peer.ip(), request.headers(), &config.trusted_proxies);
        request.extensions_mut().insert(ClientAddr(client));
    }
    next.run(request).await
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let addr = parts.extensions.get::<ClientAddr>().ok_or_else(|| Error::internal("no peer address"))?;
        let user_agent = parts
            .headers
            .get(header::USER_AGENT)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).chars().take(USER_AGENT_CHARS).collect());
        Ok(Self { origin: Origin { ip: addr.0, user_agent }, bucket: addr.bucket() })
    }
}

/// The rightmost hop of `X-Forwarded-For` that is not one of our own proxies. What stands left of it, its sender may
/// have made up; and a peer that is no proxy of ours may have made up all of it.
pub(crate) fn client_of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |ip: &IpAddr| trusted.iter().any(|net| net.contains(ip));
    let mut client = peer.to_canonical();
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let mut hops = lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(','));
    while is_trusted(&client) {
        // Behind a hop that cannot be read nothing is known: it is the last proxy's word that counts.
        let Some(hop) = hops.next().and_then(parse_hop) else { break };
        client = hop;
    }
    client
}

/// An address, some proxies add a port.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let ip = hop.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|addr| addr.ip()));
    ip.map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn client(peer: &str, forwarded: &[&'static str]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().unwrap());
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_static(line));
        }
        client_of(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(client("1.2.3.4", &["9.9.9.9"]), "1.2.3.4");
        assert_eq!(client("::ffff:1.2.3.4", &["9.9.9.9"]), "1.2.3.4");
    }

    #[test]
    fn behind_our_proxies_it_is_the_rightmost_stranger() {
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 9.9.9.9"]), "9.9.9.9");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 9.9.9.9, 10.0.0.2"]), "9.9.9.9");
        assert_eq!(client("10.0.0.1", &["6.6.6.6", "9.9.9.9 ,10.0.0.2", "fd00::2"]), "9.9.9.9");
        assert_eq!(client("::ffff:10.0.0.1", &["::ffff:9.9.9.9"]), "9.9.9.9");
        assert_eq!(client("fd00::1", &["2001:db8::7"]), "2001:db8::7");
    }

    #[test]
    fn a_port_is_left_off() {
        assert_eq!(client("10.0.0.1", &["9.9.9.9:4711"]), "9.9.9.9");
        assert_eq!(client("10.0.0.1", &["[2001:db8::7]:4711"]), "2001:db8::7");
    }

    #[test]
    fn without_a_readable_stranger_it_is_the_farthest_proxy() {
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(client("10.0.0.1", &["9.9.9.9, unknown, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(client("10.0.0.1", &["9.9.9.9, "]), "10.0.0.1");
    }

    #[test]
    fn limits_count_an_ipv6_customer_once() {
        let bucket = |ip: &str| ClientAddr(ip.parse().unwrap()).bucket().to_string();
        assert_eq!(bucket("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(bucket("1.2.3.4"), "1.2.3.4");
    }
}
