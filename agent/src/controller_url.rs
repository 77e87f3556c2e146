//! Where the controller's HTTPS side is.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Base address of the controller: `https://HOST[:PORT]`, or `http://` when the host is this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControllerUrl(String);

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseControllerUrlError {
    #[error("{0:?} is not https://HOST[:PORT]")]
    Form(String),
    #[error("{0:?} is not encrypted, which is allowed for loopback addresses only")]
    PlainHttp(String),
}

impl ControllerUrl {
    /// The address followed by `path`, which starts with `/`.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

impl FromStr for ControllerUrl {
    type Err = ParseControllerUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || ParseControllerUrlError::Form(text.to_owned());
        let trimmed = text.trim().trim_end_matches('/');
        let (scheme, authority) = trimmed.split_once("://").ok_or_else(form)?;
        if authority.is_empty() || authority.contains(['/', '@', '?', '#', ' ']) {
            return Err(form());
        }
        match scheme {
            "https" => {}
            "http" if is_loopback(host_of(authority)) => {}
            "http" => return Err(ParseControllerUrlError::PlainHttp(text.to_owned())),
            _ => return Err(form()),
        }
        Ok(Self(trimmed.to_owned()))
    }
}

impl fmt::Display for ControllerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn host_of(authority: &str) -> &str {
    match authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((v6, _)) => v6,
        None => authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_reaches_this_machine_only() {
        for text in [
            "https://fog.example",
            "https://10.0.0.1:8443/",
            "http://127.0.0.1:80",
            "http://localhost",
            "http://[::1]:8080",
        ] {
            assert!(text.parse::<ControllerUrl>().is_ok(), "{text} was refused");
        }
        for text in [
            "http://10.0.0.1",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "ftp://x",
            "fog.example",
            "https://",
            "https://u@h",
            "https://h/x",
        ] {
            assert!(text.parse::<ControllerUrl>().is_err(), "{text} was taken");
        }
    }

    #[test]
    fn paths_are_appended() {
        let url: ControllerUrl = "https://fog.example:8443/".parse().unwrap();
        assert_eq!(
            url.join("/foghorn/v1/ca"),
            "https://fog.example:8443/foghorn/v1/ca"
        );
    }
}
