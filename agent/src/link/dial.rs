//! Reaching the controller: mutual TLS, and noticing within seconds when it is gone.

use std::time::Duration;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::identity::NodeIdentity;

/// With the handshake: the kernel of a machine takes connections for a process that hangs.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// A dead peer is noticed after the sum of these two.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3));

#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("the address or the certificate of the link is not valid")]
    Settings(#[source] tonic::transport::Error),
    #[error("could not connect")]
    Connect(#[source] tonic::transport::Error),
    #[error("it takes connections and says nothing")]
    Silent,
}

pub(super) async fn dial(identity: &NodeIdentity, address: &str) -> Result<Channel, DialError> {
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&identity.ca_pem))
        .identity(Identity::from_pem(&identity.chain_pem, &identity.key_pem))
        .domain_name(&identity.link_server_name);
    let endpoint = Endpoint::from_shared(format!("https://{address}"))
        .and_then(|endpoint| endpoint.tls_config(tls))
        .map_err(DialError::Settings)?
        .connect_timeout(CONNECT_WITHIN)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1)
        .keep_alive_while_idle(true);
    let connecting = tokio::time::timeout(CONNECT_WITHIN, endpoint.connect());
    connecting
        .await
        .map_err(|_| DialError::Silent)?
        .map_err(DialError::Connect)
}
