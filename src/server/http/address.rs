//! Where a client connects from, as far as that can be believed.

use crate::server::config::ProxyNet;
use axum::http::HeaderMap;
use std::net::IpAddr;

/// The other end of the connection, put into each request's extensions.
#[derive(Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// The client's address: the peer's, or when that is a trusted proxy, what it says in `X-Forwarded-For`.
///
/// Each proxy adds at the end whom it heard from, so the list is read from there, for as long as those are trusted;
/// what stands before may be made up by the client.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[ProxyNet]) -> IpAddr {
    let trusted = |address: IpAddr| proxies.iter().any(|net| net.contains(address.to_canonical()));
    let mut client = peer;
    let lines: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !trusted(client) {
            break;
        }
        match hop.trim().parse() {
            Ok(address) => client = address,
            Err(_) => break,
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str], proxies: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let proxies: Vec<ProxyNet> = proxies.iter().map(|net| net.parse().unwrap()).collect();
        client(peer.parse().unwrap(), &headers, &proxies).to_string()
    }

    #[test]
    fn without_a_trusted_proxy_the_header_says_nothing() {
        assert_eq!(seen("192.0.2.1", &["198.51.100.7"], &[]), "192.0.2.1");
        assert_eq!(seen("192.0.2.1", &["198.51.100.7"], &["10.0.0.0/8"]), "192.0.2.1");
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_what_the_client_made_up_is_not() {
        let proxies = &["10.0.0.0/8", "::1"];
        assert_eq!(seen("10.0.0.1", &["203.0.113.9"], proxies), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &["1.2.3.4, 203.0.113.9"], proxies), "203.0.113.9");
        assert_eq!(seen("::1", &["1.2.3.4, 203.0.113.9", "10.0.0.2"], proxies), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &["nonsense"], proxies), "10.0.0.1");
        assert_eq!(seen("::ffff:10.0.0.1", &["203.0.113.9"], proxies), "203.0.113.9");
    }
}
