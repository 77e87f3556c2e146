//! Where machines of the lab reach the controller.

use std::net::{IpAddr, SocketAddr};

/// The URL for machines that are to be imaged: the first of the controller's names that is not this
/// machine only, otherwise the address that is listened on. `None` when only loopback is known.
pub(crate) fn machines_url(names: &[String], bound: SocketAddr) -> Option<String> {
    let named = names.iter().find(|name| is_for_others(name));
    let listened = || Some(bound.ip().to_string()).filter(|ip| is_for_others(ip));
    let host = named.cloned().or_else(listened)?;
    let port = bound.port();
    Some(match host.parse::<IpAddr>() {
        Ok(ip) => format!("https://{}", SocketAddr::new(ip, port)),
        Err(_) => format!("https://{host}:{port}"),
    })
}

fn is_for_others(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(ip) => !ip.is_loopback() && !ip.is_unspecified(),
        Err(_) => !host.is_empty() && !host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_never_sent_to_themselves() {
        let url = |names: &[&str], bound: &str| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            machines_url(&names, bound.parse().unwrap())
        };
        let is = |url: &str| Some(url.to_owned());
        let any = "0.0.0.0:8443";
        assert_eq!(url(&[], any), None);
        assert_eq!(url(&["127.0.0.1", "localhost", "::1"], any), None);
        assert_eq!(url(&["127.0.0.1"], "127.0.0.1:8443"), None);
        assert_eq!(url(&[], "10.0.0.2:443"), is("https://10.0.0.2:443"));
        let names = ["localhost", "fog.example", "10.0.0.2"];
        assert_eq!(url(&names, any), is("https://fog.example:8443"));
        assert_eq!(url(&["fd00::1"], any), is("https://[fd00::1]:8443"));
    }
}
