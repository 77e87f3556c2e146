//! How another controller is called.

use std::time::Duration;

use foghorn_proto::link::peer_link_client::PeerLinkClient;
use foghorn_proto::link::{PeerEvent, PeerOrder};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::ctx::Ctx;
use crate::trust::{CONTROLLER_TLS_NAME, IssueError};

const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// Why a call did not begin.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("could not make a certificate for the call")]
    Issue(#[from] IssueError),
    #[error("could not reach the other controller")]
    Connect(#[from] tonic::transport::Error),
    #[error("the other controller did not take the call")]
    Refused(#[source] Box<Status>),
    #[error("the other controller says nothing")]
    Silent,
}

/// A call that was taken.
pub struct Call {
    /// What the other one tells, until the call breaks off.
    pub events: BoxStream<'static, Result<PeerEvent, Status>>,
    /// For calls that transfer files; `None` where that is not possible.
    pub client: Option<PeerLinkClient<Channel>>,
}

/// Calls other controllers: over the network, or as a simulation has it.
pub trait Dial: Send + Sync + 'static {
    /// Calls the controller at this address (`host:port`), and lets it have `orders` from now on.
    fn call<'a>(
        &'a self,
        ctx: &'a Ctx,
        address: &'a str,
        orders: mpsc::Receiver<PeerOrder>,
    ) -> BoxFuture<'a, Result<Call, DialError>>;
}

/// By gRPC with mutual TLS.
pub(crate) struct OverTls;

impl Dial for OverTls {
    fn call<'a>(
        &'a self,
        ctx: &'a Ctx,
        address: &'a str,
        orders: mpsc::Receiver<PeerOrder>,
    ) -> BoxFuture<'a, Result<Call, DialError>> {
        Box::pin(async move {
            // With the handshake: the kernel takes connections for a process that hangs.
            let connecting = timeout(CONNECT_WITHIN, connect(ctx, address));
            let mut client = connecting.await.map_err(|_| DialError::Silent)??;
            let answer = client.talk(ReceiverStream::new(orders)).await;
            let events = answer.map_err(|status| DialError::Refused(Box::new(status)))?;
            Ok(Call {
                events: events.into_inner().boxed(),
                client: Some(client),
            })
        })
    }
}

async fn connect(ctx: &Ctx, address: &str) -> Result<PeerLinkClient<Channel>, DialError> {
    let (certificate, key) = ctx.trust.issue_caller()?;
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(ctx.trust.ca_pem()))
        .identity(Identity::from_pem(certificate.chain_pem, key))
        .domain_name(CONTROLLER_TLS_NAME);
    let channel = Endpoint::from_shared(format!("https://{address}"))?
        .tls_config(tls)?
        .connect_timeout(CONNECT_WITHIN)
        .tcp_nodelay(true)
        .connect()
        .await?;
    Ok(PeerLinkClient::new(channel))
}
