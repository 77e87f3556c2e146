//! Connections of attackers: TLS without anything that would make them polite.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use foghorn_tests::net::connect_from;
use foghorn_tests::stack::Stack;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// An attacker waits this long for a socket.
const WAIT: Duration = Duration::from_millis(20);

pub(super) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// What is attacked, and the credentials of the reader.
pub(super) struct Target {
    pub(super) rest: SocketAddr,
    pub(super) link: SocketAddr,
    pub(super) credentials: [(&'static str, String); 2],
    h1: Arc<ClientConfig>,
    h2: Arc<ClientConfig>,
}

impl Target {
    pub(super) fn new(stack: &Stack, token: String) -> Result<Self> {
        let rest: SocketAddr = stack.rest.url.trim_start_matches("https://").parse()?;
        let with = |protocol: &[u8]| -> Result<_> {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(
                stack.rest.ca_pem.as_bytes(),
            )?)?;
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(&[&rustls::version::TLS13])?
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.alpn_protocols = vec![protocol.to_vec()];
            Ok(Arc::new(config))
        };
        Ok(Self {
            rest,
            link: SocketAddr::new(rest.ip(), stack.link_port()),
            credentials: [
                ("fog-api-token", stack.rest.api_token.clone()),
                ("fog-user-token", token),
            ],
            h1: with(b"http/1.1")?,
            h2: with(b"h2")?,
        })
    }

    pub(super) fn plain(source: Ipv4Addr, to: SocketAddr) -> Result<TcpStream> {
        let stream = connect_from(source, to)?;
        stream.set_read_timeout(Some(WAIT))?;
        stream.set_write_timeout(Some(WAIT))?;
        Ok(stream)
    }

    pub(super) fn h1(&self, source: Ipv4Addr) -> Result<Tls> {
        self.tls(&self.h1, source)
    }

    pub(super) fn h2(&self, source: Ipv4Addr) -> Result<Tls> {
        self.tls(&self.h2, source)
    }

    fn tls(&self, config: &Arc<ClientConfig>, source: Ipv4Addr) -> Result<Tls> {
        let name = ServerName::try_from("localhost")?;
        let mut connection = ClientConnection::new(config.clone(), name)?;
        let mut stream = connect_from(source, self.rest)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).context("handshake")?;
        }
        stream.set_read_timeout(Some(WAIT))?;
        stream.set_write_timeout(Some(WAIT))?;
        Ok(StreamOwned::new(connection, stream))
    }

    /// A head of a request over HTTP/1.1 with the reader's credentials.
    pub(super) fn head(&self, first: &str, more: &str) -> String {
        let mut head = format!("{first} HTTP/1.1\r\nhost: x\r\n{more}");
        for (name, value) in &self.credentials {
            head += &format!("{name}: {value}\r\n");
        }
        head + "\r\n"
    }
}

/// Sends what goes; `false` when the other end has closed the connection.
pub(super) fn push(stream: &mut impl Write, bytes: &[u8]) -> bool {
    match stream.write_all(bytes).and_then(|()| stream.flush()) {
        Ok(()) => true,
        // It does not read any more, and is still there.
        Err(error) => is_waiting(&error),
    }
}

/// Reads what there is; `None` when the other end has closed the connection.
pub(super) fn pull(stream: &mut impl Read, buffer: &mut [u8]) -> Option<usize> {
    match stream.read(buffer) {
        Ok(0) => None,
        Ok(read) => Some(read),
        Err(error) => is_waiting(&error).then_some(0),
    }
}

fn is_waiting(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}
