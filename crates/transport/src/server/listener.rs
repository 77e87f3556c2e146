//! One UDP socket, handshakes in the background, and clients that have sent their hello.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use foghorn_types::{CertificateName, Digest, chain};
use quinn::{ConnectionError, Endpoint, ServerConfig, TokioRuntime};
use tokio::sync::mpsc;
use tokio::task::{self, JoinSet};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::endpoint::{Side, endpoint_config, socket, transport_config};
use crate::frame::{FrameReader, FrameWriter, OnDrop, StreamError};
use crate::identity::{Identity, IdentityError, PeerCertificate, PeerCertificateError};
use crate::link::QuicLink;
use crate::server::farewell::{Farewells, Guest};
use crate::server::resets;
use crate::server::session::Session;
use crate::session::{CLOSE_INTERRUPTED, CLOSE_VIOLATION, Hello, RefusalCode, SessionKind};
use crate::wire::{AgentMessage, DecodeMessageError, WireGoodbye, WireGoodbyeKind, decode_hello};

/// How long a client may take from its first packet to its hello.
const HELLO_PATIENCE: Duration = Duration::from_secs(10);
/// Handshakes under way at once; more are turned away at their first packet, before they cost a
/// signature.
const HANDSHAKES: usize = 256;
/// The same of one address. A site may be behind one.
const HANDSHAKES_EACH: usize = 128;
/// Above this number of handshakes, a client has to show that its address is its own before it gets
/// one, so that made-up addresses take no place.
const UNPROVED: usize = 32;
/// Connections that wait to be taken up, which takes moments, and what is kept of their packets.
const MOST_INCOMING: usize = 1024;
const INCOMING_BYTES: u64 = 16 << 10;
const ALL_INCOMING_BYTES: u64 = 4 << 20;
/// Clients that wait for [`Listener::accept`].
const BACKLOG: usize = 16;
/// How long closing waits until clients have heard of it.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// Takes connections of clients whose certificates come from our authority.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    incoming: mpsc::Receiver<Incoming>,
    farewells: Arc<Farewells>,
    /// Holds the acceptor; dropping the listener ends it and the handshakes under it.
    tasks: JoinSet<()>,
}

/// The listener did not come up.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum BindError {
    #[error("could not open UDP {address}")]
    Socket {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("the agent's key material cannot be used")]
    Identity(#[from] IdentityError),
}

impl Listener {
    /// Opens the socket and starts to take handshakes. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the address is taken or the key material cannot be used.
    pub fn bind(address: SocketAddr, identity: &Identity) -> Result<Self, BindError> {
        let config = server_config(identity)?;
        let failed = |source| BindError::Socket { address, source };
        let socket = socket(address).map_err(failed)?;
        let mut settings = endpoint_config();
        resets::configure(&mut settings, &identity.key);
        let endpoint = Endpoint::new(settings, Some(config), socket, Arc::new(TokioRuntime))
            .map_err(failed)?;
        let (sender, incoming) = mpsc::channel(BACKLOG);
        let mut tasks = JoinSet::new();
        let farewells = Arc::new(Farewells::default());
        tasks.spawn(accept_all(endpoint.clone(), farewells.clone(), sender));
        Ok(Self {
            endpoint,
            incoming,
            farewells,
            tasks,
        })
    }

    /// The next client that has proved who it is, or `None` after [`close`](Self::close).
    /// Cancel-safe.
    ///
    /// Connections without an acceptable certificate never get here; they are logged.
    pub async fn accept(&mut self) -> Option<Incoming> {
        self.incoming.recv().await
    }

    /// Uses other key material, such as a renewed certificate, for connections from now on. Present
    /// ones stay.
    ///
    /// # Errors
    /// When the key material cannot be used; the old one stays in use.
    pub fn set_identity(&self, identity: &Identity) -> Result<(), IdentityError> {
        self.endpoint
            .set_server_config(Some(server_config(identity)?));
        Ok(())
    }

    /// # Errors
    /// When the socket has no address any more.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Ends every connection, telling clients that they may come back, and waits a moment until
    /// they know. Sessions that were told something else before are not disturbed.
    pub async fn close(mut self) {
        self.tasks.shutdown().await;
        self.incoming.close();
        while let Some(incoming) = self.incoming.recv().await {
            incoming.refuse(RefusalCode::ShuttingDown, "the agent is shutting down");
        }
        self.farewells.end_all(&WireGoodbye::new(
            WireGoodbyeKind::Interrupted,
            "the agent is shutting down",
        ));
        self.farewells.drain().await;
        self.endpoint
            .close(CLOSE_INTERRUPTED, b"the agent is shutting down");
        let _ = timeout(CLOSE_PATIENCE, self.endpoint.wait_idle()).await;
    }
}

fn server_config(identity: &Identity) -> Result<ServerConfig, IdentityError> {
    let mut config = ServerConfig::with_crypto(Arc::new(identity.server_crypto()?));
    config.transport_config(transport_config(Side::Agent));
    // A client that changes its address in the middle of an image is a new client; nothing of ours
    // roams.
    config.migration(false);
    config.max_incoming(MOST_INCOMING);
    config.incoming_buffer_size(INCOMING_BYTES);
    config.incoming_buffer_size_total(ALL_INCOMING_BYTES);
    Ok(config)
}

async fn accept_all(endpoint: Endpoint, farewells: Arc<Farewells>, sender: mpsc::Sender<Incoming>) {
    let mut handshakes = JoinSet::new();
    let mut crowd = Crowd::default();
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.accept() => incoming,
            Some(ended) = handshakes.join_next_with_id() => {
                crowd.left(match &ended {
                    Ok((id, ())) => *id,
                    Err(error) => error.id(),
                });
                continue;
            }
        };
        let Some(incoming) = incoming else { break };
        let from = incoming.remote_address().ip();
        if handshakes.len() >= HANDSHAKES || crowd.of(from) >= HANDSHAKES_EACH {
            incoming.refuse();
            continue;
        }
        if handshakes.len() >= UNPROVED && incoming.may_retry() {
            // Fails only for those who have been asked before.
            let _asked = incoming.retry();
            continue;
        }
        let (sender, farewells) = (sender.clone(), farewells.clone());
        let handshake = handshakes.spawn(async move {
            let remote = incoming.remote_address();
            match timeout(HELLO_PATIENCE, greet(incoming, &farewells)).await {
                // Fails when the listener is gone; the connection then ends with the value.
                Ok(Ok(incoming)) => drop(sender.send(incoming).await),
                Ok(Err(error)) => {
                    warn!(%remote, error = %chain(&error), "refused a client");
                }
                Err(_) => debug!(%remote, "a client did not send its hello in time"),
            }
        });
        crowd.came(handshake.id(), from);
    }
}

/// Who is shaking hands.
#[derive(Default)]
struct Crowd(HashMap<task::Id, IpAddr>);

impl Crowd {
    fn came(&mut self, handshake: task::Id, from: IpAddr) {
        self.0.insert(handshake, from);
    }

    fn left(&mut self, handshake: task::Id) {
        self.0.remove(&handshake);
    }

    /// How many there are at this address. At most [`HANDSHAKES`] are looked at.
    fn of(&self, from: IpAddr) -> usize {
        self.0.values().filter(|address| **address == from).count()
    }
}

/// Why a connection did not become an [`Incoming`].
#[derive(Debug, thiserror::Error)]
enum GreetError {
    #[error("the handshake failed")]
    Handshake(#[from] ConnectionError),
    #[error("the certificate does not say who the client is")]
    Certificate(#[from] PeerCertificateError),
    #[error("the hello could not be read")]
    Hello(#[from] StreamError),
}

async fn greet(
    incoming: quinn::Incoming,
    farewells: &Arc<Farewells>,
) -> Result<Incoming, GreetError> {
    let connection = incoming.accept()?.await?;
    let certificate = PeerCertificate::of(&connection);
    // The answer to a hello is the surest way to say no, so even clients whose certificate is not
    // accepted may send theirs.
    let (send, receive) = connection.accept_bi().await?;
    let link = QuicLink::of_agent(connection);
    let writer = FrameWriter::new(link.clone(), send, OnDrop::Finish);
    let PeerCertificate { name, fingerprint } = match certificate {
        Ok(certificate) => certificate,
        Err(error) => {
            farewells.turn_away(link, writer, RefusalCode::NotOrdered, &error.to_string());
            return Err(error.into());
        }
    };
    let mut reader = FrameReader::new(link.clone(), receive);
    let hello = match reader.expect(|bytes| Ok(decode_hello(bytes))).await {
        Ok(Ok(hello)) => hello,
        Ok(Err(error)) => {
            match error {
                DecodeMessageError::Version(_) => {
                    farewells.turn_away(link, writer, RefusalCode::Version, &error.to_string())
                }
                _ => link
                    .connection
                    .close(CLOSE_VIOLATION, error.to_string().as_bytes()),
            }
            return Err(GreetError::Hello(StreamError::Malformed(error)));
        }
        Err(error) => return Err(error.into()),
    };
    let guest = farewells.guest(link);
    Ok(Incoming {
        peer: name,
        fingerprint,
        hello: hello.into(),
        guest,
        writer: Some(writer),
    })
}

/// A client that has proved who it is and waits to hear whether it is served. Dropping it ends the
/// connection with [`RefusalCode::NotReady`].
#[derive(Debug)]
pub struct Incoming {
    /// From the client's certificate.
    pub peer: CertificateName,
    /// BLAKE3 of the client's certificate (DER).
    pub fingerprint: Digest,
    /// What the client says of itself; only `peer` and `fingerprint` are proved.
    pub hello: Hello,
    guest: Guest,
    /// `None` once the client has its answer.
    writer: Option<FrameWriter>,
}

impl Incoming {
    /// Where the client connects from.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        self.guest.link.connection.remote_address()
    }

    /// Whether the client is still there to hear an answer.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.guest.link.connection.close_reason().is_none()
    }

    /// Takes the client on.
    ///
    /// # Errors
    /// When the client has gone in the meantime.
    pub async fn welcome(self, kind: SessionKind) -> Result<Session, StreamError> {
        self.answer_yes(kind, false).await
    }

    /// Takes the client on and tells it that the image is also sent to a group that it may join.
    ///
    /// # Errors
    /// When the client has gone in the meantime.
    pub async fn welcome_to_multicast(self, kind: SessionKind) -> Result<Session, StreamError> {
        self.answer_yes(kind, true).await
    }

    async fn answer_yes(
        mut self,
        kind: SessionKind,
        multicast: bool,
    ) -> Result<Session, StreamError> {
        let welcome = AgentMessage::Welcome {
            kind: kind.into(),
            multicast,
        };
        if let Some(writer) = &mut self.writer {
            writer.send(&welcome).await?;
        }
        self.writer = None;
        Ok(Session::start(self.guest.clone()))
    }

    /// Turns the client away, in the background. `reason` is for people and cut to 1 KiB.
    pub fn refuse(mut self, code: RefusalCode, reason: &str) {
        self.answer_no(code, reason);
    }

    fn answer_no(&mut self, code: RefusalCode, reason: &str) {
        if let Some(writer) = self.writer.take() {
            self.guest.refuse(writer, code, reason);
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.answer_no(RefusalCode::NotReady, "the agent did not get to an answer");
    }
}
