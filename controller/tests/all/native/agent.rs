//! An agent's end of the link, at the level of messages.

use foghorn_proto::http::EnrolResponse;
use foghorn_proto::link::agent_link_client::AgentLinkClient;
use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::controller_message::Message as Order;
use foghorn_proto::link::{AgentMessage, ControllerMessage, Hello, NodeStatus, Reconcile};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Status, Streaming};

use crate::native::fleet::{Fleet, Keys, PATIENCE};

pub(crate) struct Agent {
    outgoing: mpsc::Sender<AgentMessage>,
    orders: Streaming<ControllerMessage>,
    pub(crate) first: Reconcile,
}

pub(crate) async fn channel(
    fleet: &Fleet,
    identity: Option<(&str, &str)>,
) -> Result<Channel, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(fleet.controller.ca_pem()))
        .domain_name("controller.foghorn.internal");
    if let Some((chain, key)) = identity {
        tls = tls.identity(Identity::from_pem(chain, key));
    }
    let url = format!("https://{}", fleet.controller.link_address());
    Endpoint::from_shared(url)
        .unwrap()
        .tls_config(tls)?
        .connect_timeout(PATIENCE)
        .timeout(PATIENCE)
        .connect()
        .await
}

fn hello(status: Option<NodeStatus>, process: u64) -> AgentMessage {
    let hello = Hello {
        software: "test agent".into(),
        quic_address: "127.0.0.1:4433".into(),
        sessions: vec![],
        status,
        process,
        dialled: 0,
        gives_further: false,
    };
    AgentMessage {
        message: Some(Message::Hello(hello)),
    }
}

impl Agent {
    pub(crate) async fn connect(fleet: &Fleet, keys: &Keys, enrolled: &EnrolResponse) -> Self {
        Self::try_connect(fleet, &enrolled.chain_pem, &keys.key_pem)
            .await
            .unwrap()
    }

    /// The first error, whether the handshake or the call met it.
    pub(crate) async fn try_connect(fleet: &Fleet, chain: &str, key: &str) -> Result<Self, String> {
        let status = NodeStatus {
            disk_total_bytes: 100,
            disk_free_bytes: 60,
            ..NodeStatus::default()
        };
        Self::try_connect_saying(fleet, (chain, key), Some(status)).await
    }

    /// One of several agent processes with this certificate.
    pub(crate) async fn try_connect_as(
        fleet: &Fleet,
        (chain, key): (&str, &str),
        process: u64,
    ) -> Result<Self, String> {
        let status = NodeStatus {
            disk_total_bytes: 100,
            disk_free_bytes: 60,
            ..NodeStatus::default()
        };
        Self::try_connect_with(fleet, (chain, key), Some(status), process).await
    }

    /// An agent that says in its hello what it holds, or has not gathered it yet.
    pub(crate) async fn try_connect_saying(
        fleet: &Fleet,
        (chain, key): (&str, &str),
        status: Option<NodeStatus>,
    ) -> Result<Self, String> {
        Self::try_connect_with(fleet, (chain, key), status, 0).await
    }

    async fn try_connect_with(
        fleet: &Fleet,
        (chain, key): (&str, &str),
        status: Option<NodeStatus>,
        process: u64,
    ) -> Result<Self, String> {
        let channel = channel(fleet, Some((chain, key)))
            .await
            .map_err(|error| format!("{error:?}"))?;
        let (outgoing, messages) = mpsc::channel(16);
        outgoing.send(hello(status, process)).await.unwrap();
        let mut client = AgentLinkClient::new(channel);
        let answer = client
            .link(ReceiverStream::new(messages))
            .await
            .map_err(|status: Status| format!("{status:?}"))?;
        let mut orders = answer.into_inner();
        let first = tokio::time::timeout(PATIENCE, orders.message())
            .await
            .map_err(|_| "no order in time".to_owned())?;
        match first
            .map_err(|status| format!("{status:?}"))?
            .and_then(|message| message.message)
        {
            Some(Order::Reconcile(first)) => Ok(Self {
                outgoing,
                orders,
                first,
            }),
            other => Err(format!("expected the whole picture first, found {other:?}")),
        }
    }

    /// Opens a link, says hello when `meanwhile` is over, and gives what the controller says first.
    pub(crate) async fn try_connect_slowly(
        fleet: &Fleet,
        identity: (&str, &str),
        meanwhile: impl Future<Output = ()>,
    ) -> Option<Order> {
        let channel = channel(fleet, Some(identity)).await.unwrap();
        let (outgoing, messages) = mpsc::channel(16);
        let mut client = AgentLinkClient::new(channel);
        let answer = client.link(ReceiverStream::new(messages)).await.unwrap();
        meanwhile.await;
        outgoing.send(hello(None, 1)).await.unwrap();
        let mut orders = answer.into_inner();
        let first = tokio::time::timeout(PATIENCE, orders.message()).await;
        first.expect("an answer in time").ok()??.message
    }

    pub(crate) async fn send(&self, message: Message) {
        self.outgoing
            .send(AgentMessage {
                message: Some(message),
            })
            .await
            .unwrap();
    }

    /// The next order that `wanted` takes; others (repeated ones) are passed over.
    pub(crate) async fn order<T>(&mut self, mut wanted: impl FnMut(Order) -> Option<T>) -> T {
        let search = async {
            loop {
                let message = self
                    .orders
                    .message()
                    .await
                    .unwrap()
                    .expect("the link is up");
                if let Some(found) = message.message.and_then(&mut wanted) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, search)
            .await
            .expect("the order came in time")
    }

    /// Waits until the controller ends the link.
    pub(crate) async fn cut(mut self) {
        let end = async { while matches!(self.orders.message().await, Ok(Some(_))) {} };
        tokio::time::timeout(PATIENCE, end)
            .await
            .expect("the link was cut in time");
    }
}

pub(crate) fn opened(order: Order) -> Option<foghorn_proto::link::OpenSession> {
    if let Order::Open(open) = order {
        Some(open)
    } else {
        None
    }
}
