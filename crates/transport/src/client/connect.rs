//! From an address to a welcomed connection.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, ConnectionError, Endpoint, TokioRuntime};
use tokio::time::timeout;
use tracing::subscriber::{NoSubscriber, with_default};

use crate::endpoint::{Side, endpoint_config, socket, transport_config};
use crate::frame::{FrameReader, FrameWriter, OnDrop, StreamError};
use crate::identity::{Identity, IdentityError};
use crate::link::QuicLink;
use crate::session::{EndReason, Hello, RefusalCode, SessionKind, is_about_trust};
use crate::wire::{AgentMessage, decode_agent_message, encode_hello};

/// How long a handshake may take on one address.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(5);
/// How long an agent may take to decide; it may have to wait for the controller's word.
const WELCOME_PATIENCE: Duration = Duration::from_secs(30);

/// Where an agent is, and the name its certificate must have.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Source {
    /// `host:port`, a name or an address; all addresses of a name are tried.
    pub address: String,
    /// Name to verify in the agent's certificate.
    pub server_name: String,
}

/// No session came about.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum ConnectError {
    #[error("could not resolve {address}")]
    Resolve { address: String, source: io::Error },
    #[error("the name {address} has no address")]
    NoAddress { address: String },
    #[error("could not open a UDP socket")]
    Socket(#[source] io::Error),
    #[error("the client's key material cannot be used")]
    Identity(#[source] IdentityError),
    #[error("could not start a connection to {address}")]
    Start {
        address: SocketAddr,
        source: quinn::ConnectError,
    },
    #[error("nobody answered at {address} within {HANDSHAKE_PATIENCE:?}")]
    NoAnswer { address: SocketAddr },
    /// Includes an agent that is not who it should be.
    #[error("the connection to {address} failed")]
    Handshake {
        address: SocketAddr,
        source: ConnectionError,
    },
    #[error("the agent refused ({code:?}): {reason}")]
    Refused { code: RefusalCode, reason: String },
    /// Includes an agent that did not accept the client's certificate: in TLS 1.3 the client learns
    /// it only here.
    #[error("the agent did not welcome the client")]
    Welcome(#[source] StreamError),
    #[error("the agent did not answer within {WELCOME_PATIENCE:?}")]
    NoWelcome,
}

impl ConnectError {
    /// Whether the same attempt may succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Identity(_) | Self::Start { .. } => false,
            Self::Refused { code, .. } => code.is_transient(),
            Self::Handshake { source, .. } => {
                !is_about_trust(source) && !matches!(source, ConnectionError::VersionMismatch)
            }
            // An agent has nothing to close a connection for before it has said anything: its process
            // has ended.
            Self::Welcome(StreamError::Ended(EndReason::Closed)) => true,
            Self::Welcome(error) => error.is_transient(),
            Self::Resolve { .. }
            | Self::NoAddress { .. }
            | Self::Socket(_)
            | Self::NoAnswer { .. }
            | Self::NoWelcome => true,
        }
    }
}

/// What the agent says to a client that it takes on.
pub(super) struct Welcome {
    pub(super) kind: SessionKind,
    pub(super) multicast: bool,
}

pub(super) async fn connect(
    source: &Source,
    identity: &Identity,
    hello: &Hello,
) -> Result<(Endpoint, QuicLink, Welcome), ConnectError> {
    let mut config = quinn::ClientConfig::new(Arc::new(
        identity.client_crypto().map_err(ConnectError::Identity)?,
    ));
    config.transport_config(transport_config(Side::Client));
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(&source.address)
        .await
        .map_err(|error| ConnectError::Resolve {
            address: source.address.clone(),
            source: error,
        })?
        .collect();
    let mut last = ConnectError::NoAddress {
        address: source.address.clone(),
    };
    for address in addresses {
        match handshake(address, &source.server_name, config.clone()).await {
            Ok((endpoint, connection)) => {
                let link = QuicLink::of_client(connection);
                let welcome = say_hello(&link, hello).await?;
                return Ok((endpoint, link, welcome));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn handshake(
    address: SocketAddr,
    server_name: &str,
    config: quinn::ClientConfig,
) -> Result<(Endpoint, Connection), ConnectError> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // The tasks of the connection would keep the caller's span, and they may outlive it: it would not be
    // over, and not exported, when the program ends.
    let (endpoint, connecting) = with_default(NoSubscriber::default(), || {
        let socket = socket(any).map_err(ConnectError::Socket)?;
        let endpoint = Endpoint::new(endpoint_config(), None, socket, Arc::new(TokioRuntime))
            .map_err(ConnectError::Socket)?;
        let connecting = endpoint
            .connect_with(config, address, server_name)
            .map_err(|source| ConnectError::Start { address, source })?;
        Ok((endpoint, connecting))
    })?;
    match timeout(HANDSHAKE_PATIENCE, connecting).await {
        Ok(Ok(connection)) => Ok((endpoint, connection)),
        Ok(Err(source)) => Err(ConnectError::Handshake { address, source }),
        Err(_) => Err(ConnectError::NoAnswer { address }),
    }
}

async fn say_hello(link: &QuicLink, hello: &Hello) -> Result<Welcome, ConnectError> {
    let exchange = async {
        let (send, receive) = link
            .connection
            .open_bi()
            .await
            .map_err(|error| link.lost(&error))?;
        let mut writer = FrameWriter::new(link.clone(), send, OnDrop::Finish);
        let mut reader = FrameReader::new(link.clone(), receive);
        writer.send_body(encode_hello(hello)).await?;
        match reader.expect(decode_agent_message).await? {
            AgentMessage::Welcome { kind, multicast } => Ok(Welcome {
                kind: SessionKind::from(kind),
                multicast,
            }),
            AgentMessage::Refused { code, reason } => {
                let reason = EndReason::Refused {
                    code: code.into(),
                    reason,
                };
                link.end_and_close(reason.clone());
                Err(StreamError::Ended(reason))
            }
            _ => Err(reader.unexpected("a welcome")),
        }
    };
    match timeout(WELCOME_PATIENCE, exchange).await {
        Ok(Ok(welcome)) => Ok(welcome),
        Ok(Err(StreamError::Ended(EndReason::Refused { code, reason }))) => {
            Err(ConnectError::Refused { code, reason })
        }
        Ok(Err(error)) => Err(ConnectError::Welcome(error)),
        Err(_) => Err(ConnectError::NoWelcome),
    }
}
