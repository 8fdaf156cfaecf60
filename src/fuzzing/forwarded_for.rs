//! What must hold for any `X-Forwarded-For`.

use crate::http::client_addr::{ClientAddr, client_of};
use axum::http::{HeaderMap, HeaderValue};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const PROXIES: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0), 8)),
];
/// Whom an attacker would like to be.
const VICTIM: &str = "203.0.113.66";

pub(super) fn find(input: &[u8]) -> bool {
    let mut lines = input.split(|byte| *byte == b'\n');
    let peer = lines.next().and_then(|line| std::str::from_utf8(line).ok()?.trim().parse().ok());
    let peer: IpAddr = peer.unwrap_or(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
    let values: Vec<HeaderValue> = lines.filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    let client = client_of(peer, &headers(&values), &PROXIES);
    let hops = hops(peer, &values);
    let trusted = hops.iter().take_while(|hop| hop.is_some_and(is_proxy)).count();
    // Whoever stands right of it is a proxy of ours, which wrote down whom it was asked by.
    let vouched = hops.iter().take(trusted + 1).flatten();
    assert!(vouched.clone().any(|hop| *hop == client), "{client} was chosen by no proxy of ours");
    assert_eq!(client, client.to_canonical(), "it has one form");
    assert_eq!(
        ClientAddr(client).bucket(),
        ClientAddr(ClientAddr(client).bucket()).bucket(),
        "so has its bucket"
    );
    if !is_proxy(client) {
        // A client may write whatever it likes in front of what the proxies add.
        let mut forged = values;
        forged.insert(0, HeaderValue::from_static(VICTIM));
        assert_eq!(client_of(peer, &headers(&forged), &PROXIES), client, "a client chose its own address");
    }
    client != peer.to_canonical()
}

fn is_proxy(address: IpAddr) -> bool {
    PROXIES.iter().any(|net| net.contains(&address))
}

fn headers(values: &[HeaderValue]) -> HeaderMap {
    values
        .iter()
        .map(|value| (axum::http::HeaderName::from_static("x-forwarded-for"), value.clone()))
        .collect()
}

/// The peer, then the hops from the last to the first; none for one that cannot be read.
fn hops(peer: IpAddr, values: &[HeaderValue]) -> Vec<Option<IpAddr>> {
    let mut hops = vec![Some(peer.to_canonical())];
    for value in values.iter().rev() {
        let Ok(text) = value.to_str() else {
            hops.push(None);
            continue;
        };
        hops.extend(text.split(',').rev().map(|hop| {
            let (hop, with_port) = (hop.trim().parse::<IpAddr>(), hop.trim().parse::<SocketAddr>());
            hop.ok().or(with_port.ok().map(|address| address.ip())).map(|hop| hop.to_canonical())
        }));
    }
    hops
}
