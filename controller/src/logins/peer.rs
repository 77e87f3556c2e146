//! The address of the client. `X-Forwarded-For` counts only when it comes from a configured proxy.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::HeaderMap;

use crate::config::{TrustedProxy, is_one_of};

/// The address of the client. `0.0.0.0` for a caller in this process, which has none.
pub(super) fn address(
    connection: Option<IpAddr>,
    headers: &HeaderMap,
    proxies: &[TrustedProxy],
) -> IpAddr {
    connection.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| {
        behind(peer.to_canonical(), headers, proxies)
    })
}

/// The last address of `X-Forwarded-For` that is not a trusted proxy. Earlier addresses cannot be
/// trusted.
fn behind(peer: IpAddr, headers: &HeaderMap, proxies: &[TrustedProxy]) -> IpAddr {
    let mut address = peer;
    let lists: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    for told in lists.iter().rev().flat_map(|list| list.rsplit(',')) {
        if !is_one_of(proxies, address) {
            break;
        }
        match told.trim().parse::<IpAddr>() {
            Ok(told) => address = told.to_canonical(),
            Err(_) => break,
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_proxies_are_believed() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "9.9.9.9, 10.1.1.1".parse().unwrap());
        headers.append("x-forwarded-for", "10.0.0.3".parse().unwrap());
        let proxies: [TrustedProxy; 2] = ["10.0.0.2", "10.0.0.3"].map(|text| text.parse().unwrap());
        assert_eq!(
            behind(ip("10.0.0.9"), &headers, &proxies),
            ip("10.0.0.9"),
            "a stranger says what it likes"
        );
        assert_eq!(behind(ip("10.0.0.2"), &headers, &proxies), ip("10.1.1.1"));
        assert_eq!(behind(ip("10.0.0.2"), &headers, &[]), ip("10.0.0.2"));
        assert_eq!(
            behind(ip("10.0.0.2"), &HeaderMap::new(), &proxies),
            ip("10.0.0.2")
        );
        let pods: [TrustedProxy; 1] = ["10.0.0.0/29".parse().unwrap()];
        assert_eq!(behind(ip("10.0.0.2"), &headers, &pods), ip("10.1.1.1"));
        assert_eq!(behind(ip("10.0.0.8"), &headers, &pods), ip("10.0.0.8"));
    }
}
