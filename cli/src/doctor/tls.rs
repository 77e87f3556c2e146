//! A TLS handshake over TCP, and what it says about the other side.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::api::certificates;

pub(super) const PATIENCE: Duration = Duration::from_secs(5);

pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Whom to trust: the authorities in `pem`.
pub(super) fn roots(pem: &str) -> Result<RootCertStore, Cause> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(CertificateDer::from(certificate.der().to_vec()))?;
    }
    Ok(roots)
}

/// TLS for somebody without a certificate.
pub(super) fn config(pem: &str) -> Result<ClientConfig, Cause> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(pem)?)
        .with_no_client_auth())
}

/// Connects to one of the addresses of `host:port`.
pub(super) fn connect(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    let mut last = std::io::Error::other("the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Performs a handshake and returns when the certificate of the other side ends. Whether the other
/// side wants a certificate of ours, which comes later, does not matter.
pub(super) fn handshake(
    (host, port): (&str, u16),
    server_name: &str,
    pem: &str,
) -> Result<Timestamp, Cause> {
    let name = ServerName::try_from(server_name.to_owned())?;
    let mut connection = ClientConnection::new(Arc::new(config(pem)?), name)?;
    let mut socket = connect(host, port)?;
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

pub(super) fn end_of(der: &[u8]) -> Result<Timestamp, Cause> {
    let (_, certificate) = X509Certificate::from_der(der)?;
    Ok(Timestamp::from_second(
        certificate.validity().not_after.timestamp(),
    )?)
}

/// Host and port of `host:port`, `[v6]:port`, or a host with the port of HTTPS.
pub(super) fn split(authority: &str) -> (&str, u16) {
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

    #[test]
    fn an_authority_part_is_a_host_and_a_port() {
        assert_eq!(split("fog:8443"), ("fog", 8443));
        assert_eq!(split("fog"), ("fog", 443));
        assert_eq!(split("[::1]:8443"), ("::1", 8443));
        assert_eq!(split("[::1]"), ("::1", 443));
    }
}
