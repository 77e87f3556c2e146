//! The server's certificate: is it signed by the authority that the context trusts, and when does
//! it expire.

use std::io::Write as _;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Finding;
use crate::api::certificates;
use crate::context::Context;

const PATIENCE: Duration = Duration::from_secs(10);
/// The controller renews its own certificates long before this; a certificate this close to its
/// expiry was not renewed.
const SOON: SignedDuration = SignedDuration::from_hours(3 * 24);

type Cause = Box<dyn std::error::Error + Send + Sync>;

pub(super) fn check(context: &Context) -> Vec<Finding> {
    let Some(authority) = context.server.strip_prefix("https://") else {
        let todo = "plain HTTP is allowed on this machine only; use https:// from other machines";
        return vec![Finding::warn(
            "tls",
            "the connection is not encrypted",
            todo,
        )];
    };
    let Some(pem) = &context.ca_pem else {
        return vec![Finding::ok(
            "tls",
            "no authority is pinned; the public authorities are used",
        )];
    };
    let now = Timestamp::now();
    let mut findings = match end_of_authority(pem) {
        Ok(end) => vec![judge(
            "authority",
            end,
            now,
            "replace the authority and enrol nodes again",
        )],
        Err(error) => vec![Finding::fail(
            "authority",
            error.to_string(),
            "log in again with --ca or --ca-fingerprint",
        )],
    };
    findings.push(match end_of_server(authority, pem) {
        Ok(end) => judge("certificate", end, now,
            "see the controller's log: it should have renewed the certificate"),
        Err(error) => Finding::fail(
            "certificate",
            error.to_string(),
            "check the address and the clock; if the server has a new authority, log in again with --ca-fingerprint",
        ),
    });
    findings
}

fn judge(check: &'static str, end: Timestamp, now: Timestamp, todo: &str) -> Finding {
    let left = end.duration_since(now);
    let found = format!("valid until {end}");
    if left.is_negative() {
        Finding::fail(check, format!("expired on {end}"), todo)
    } else if left < SOON {
        Finding::warn(check, found, todo)
    } else {
        Finding::ok(check, found)
    }
}

fn end_of(der: &[u8]) -> Result<Timestamp, Cause> {
    let (_, certificate) = X509Certificate::from_der(der)?;
    Ok(Timestamp::from_second(
        certificate.validity().not_after.timestamp(),
    )?)
}

fn end_of_authority(pem: &str) -> Result<Timestamp, Cause> {
    let all = certificates(pem)?;
    let ends = all
        .iter()
        .map(|certificate| end_of(certificate.der()))
        .collect::<Result<Vec<_>, _>>()?;
    ends.into_iter()
        .min()
        .ok_or_else(|| "the context has no certificate authority".into())
}

/// Performs the same handshake as every other command and examines the server's certificate.
fn end_of_server(authority: &str, pem: &str) -> Result<Timestamp, Cause> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(CertificateDer::from(certificate.der().to_vec()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (host, port) = split(authority);
    let name = ServerName::try_from(host.to_owned())?;
    let mut connection = ClientConnection::new(Arc::new(config), name)?;
    let address = (host, port)
        .to_socket_addrs()?
        .next()
        .ok_or("could not resolve the name")?;
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    socket.flush()?;
    let leaf = connection
        .peer_certificates()
        .and_then(|chain| chain.first())
        .ok_or("the server sent no certificate")?;
    end_of(leaf)
}

fn split(authority: &str) -> (&str, u16) {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => match port.parse() {
            Ok(port) => (host, port),
            Err(_) => (authority, 443),
        },
        None => (authority, 443),
    };
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn an_authority_part_is_a_host_and_a_port() {
        assert_eq!(split("fog:8443"), ("fog", 8443));
        assert_eq!(split("fog"), ("fog", 443));
        assert_eq!(split("[::1]:8443"), ("::1", 8443));
        assert_eq!(split("[::1]"), ("::1", 443));
    }

    #[test]
    fn what_ends_soon_is_said_in_time() {
        let now: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        let verdict = |end: &str| judge("certificate", end.parse().unwrap(), now, "x").verdict;
        assert_eq!(verdict("2026-12-21T00:00:00Z"), Verdict::Ok);
        assert_eq!(verdict("2026-11-22T00:00:00Z"), Verdict::Warn);
        assert_eq!(verdict("2026-11-20T00:00:00Z"), Verdict::Fail);
    }
}
