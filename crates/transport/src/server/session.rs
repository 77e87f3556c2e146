//! One client's session: its streams, read in tasks of their own, become a queue of requests.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use foghorn_multicast::{IpVersion, Report};
use foghorn_types::chain;
use quinn::Connection;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tracing::debug;

use crate::frame::{FrameReader, FrameWriter, OnDrop, StreamError};
use crate::link::QuicLink;
use crate::server::farewell::Guest;
use crate::server::lanes::{FetchLane, StoreLane};
use crate::server::multicast::MulticastLane;
use crate::server::requests::{
    FinishedReply, ManifestReply, PartReply, Request, StoreManifestReply, StorePartReply,
    WhichAreStoredReply,
};
use crate::session::{ClientProgress, EndReason};
use crate::wire::{
    ClientMessage, WireDatagram, WireGoodbye, WireGoodbyeKind, decode_client_message,
    decode_datagram,
};

/// Requests that wait to be looked at; a client that asks faster waits on its own streams.
const QUEUE: usize = 8;

/// A welcomed client. Dropping it ends the connection; the client may then come back.
#[derive(Debug)]
pub struct Session {
    guest: Guest,
    requests: mpsc::Receiver<Request>,
    /// Readers of streams and datagrams; they end with the session.
    _tasks: JoinSet<()>,
}

impl Session {
    pub(super) fn start(guest: Guest) -> Self {
        let (sender, requests) = mpsc::channel(QUEUE);
        let mut tasks = JoinSet::new();
        tasks.spawn(read_streams(guest.link.clone(), sender.clone()));
        tasks.spawn(read_reports(guest.link.connection.clone(), sender));
        Self {
            guest,
            requests,
            _tasks: tasks,
        }
    }

    /// What the client wants next. Cancel-safe.
    ///
    /// # Errors
    /// When the connection has ended: why. [`EndReason::Closed`] is what a client does after it has
    /// finished.
    pub async fn next_request(&mut self) -> Result<Request, EndReason> {
        if let Some(reason) = self.guest.link.told() {
            return Err(reason);
        }
        match self.requests.recv().await {
            Some(request) => Ok(request),
            None => Err(self.guest.link.ended().await),
        }
    }

    /// Ends the session because the task was cancelled: the client must not come back. `reason` is
    /// cut to 1 KiB.
    ///
    /// Like the other two: the first word counts, lanes fail from now on, and the client is told in
    /// the background, however much it has not read yet.
    pub fn cancel(&self, reason: &str) {
        self.guest
            .part(WireGoodbye::new(WireGoodbyeKind::Cancelled, reason));
    }

    /// Ends the session although the task stands, so that the client comes back here or goes to
    /// another node.
    pub fn interrupt(&self, reason: &str) {
        self.guest
            .part(WireGoodbye::new(WireGoodbyeKind::Interrupted, reason));
    }

    /// Ends the session because this node has ended the task as failed: the client must not come
    /// back.
    pub fn fail(&self, reason: &str) {
        self.guest
            .part(WireGoodbye::new(WireGoodbyeKind::Failed, reason));
    }

    /// Waits until the connection has ended and says why. Cancel-safe.
    pub async fn ended(&self) -> EndReason {
        self.guest.link.ended().await
    }

    /// Where the client connects from.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        self.guest.link.connection.remote_address()
    }

    /// This node's address on the connection; `None` where the system does not tell.
    #[must_use]
    pub fn local_ip(&self) -> Option<IpAddr> {
        self.guest.link.connection.local_ip()
    }

    /// Bytes sent so far as they are on an Ethernet, headers included.
    #[must_use]
    pub fn carried(&self) -> u64 {
        let connection = &self.guest.link.connection;
        let ip = if connection.remote_address().ip().to_canonical().is_ipv4() {
            IpVersion::V4
        } else {
            IpVersion::V6
        };
        let sent = connection.stats().udp_tx;
        sent.bytes + sent.datagrams * ip.frame_headers() as u64
    }

    /// Bytes of UDP payload received and sent so far.
    #[must_use]
    pub fn wire_bytes(&self) -> (u64, u64) {
        let stats = self.guest.link.connection.stats();
        (stats.udp_rx.bytes, stats.udp_tx.bytes)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.guest.part(WireGoodbye::new(
            WireGoodbyeKind::Interrupted,
            "the agent ended the session",
        ));
    }
}

async fn read_streams(link: QuicLink, sender: mpsc::Sender<Request>) {
    // One manifest is read at a time: several together could fill the memory.
    let manifests = Arc::new(Semaphore::new(1));
    let mut openings = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = link.connection.accept_bi() => accepted,
            Some(_) = openings.join_next() => continue,
        };
        let Ok((send, receive)) = accepted else { break };
        // Made here and not in the task: a task that is ended before it was ever run drops what
        // it was given, and a bare stream that is dropped looks as if it had ended properly.
        let writer = FrameWriter::new(link.clone(), send, OnDrop::Reset);
        let reader = FrameReader::new(link.clone(), receive);
        let (sender, manifests) = (sender.clone(), manifests.clone());
        openings.spawn(async move {
            if let Err(error) = read_opening(writer, reader, sender, &manifests).await {
                debug!(error = %chain(&error), "a stream failed");
            }
        });
    }
}

async fn read_opening(
    writer: FrameWriter,
    mut reader: FrameReader,
    sender: mpsc::Sender<Request>,
    manifests: &Semaphore,
) -> Result<(), StreamError> {
    let mut turn = None;
    let request = match reader.expect(decode_client_message).await? {
        ClientMessage::FetchManifest => Request::FetchManifest(ManifestReply::new(writer)),
        ClientMessage::OpenFetch => Request::Fetch(FetchLane::new(writer, reader)),
        ClientMessage::WhichAreStored { ids } => {
            Request::WhichAreStored(ids, WhichAreStoredReply::new(writer))
        }
        ClientMessage::OpenStore => Request::Store(StoreLane::new(writer, reader)),
        ClientMessage::StoreManifest { len } => {
            turn = manifests.acquire().await.ok();
            let bytes = reader.raw(len as usize).await?;
            Request::StoreManifest(bytes, StoreManifestReply::new(writer))
        }
        ClientMessage::FetchPart { number } => Request::FetchPart(number, PartReply::new(writer)),
        ClientMessage::StorePart { disk, len } => {
            turn = manifests.acquire().await.ok();
            let bytes = reader.raw(len as usize).await?;
            Request::StorePart(disk, bytes, StorePartReply::new(writer))
        }
        ClientMessage::Finished { outcome, progress } => {
            if let Some(progress) = progress {
                let _ = sender.send(Request::Progress(progress.into())).await;
            }
            Request::Finished(outcome.into(), FinishedReply::new(writer))
        }
        ClientMessage::JoinMulticast { chunks, wants } => {
            Request::JoinMulticast(MulticastLane::new(writer, reader, chunks, &wants)?)
        }
        ClientMessage::Want { .. }
        | ClientMessage::Chunk { .. }
        | ClientMessage::MulticastHave { .. }
        | ClientMessage::MulticastWant { .. }
        | ClientMessage::MulticastLeave { .. } => {
            return Err(reader.unexpected("a message that opens a stream"));
        }
    };
    // Fails only when the session is gone, and then the reply's writer resets the stream.
    let _ = sender.send(request).await;
    drop(turn);
    Ok(())
}

async fn read_reports(connection: Connection, sender: mpsc::Sender<Request>) {
    let mut latest = 0;
    while let Ok(datagram) = connection.read_datagram().await {
        match decode_datagram(&datagram) {
            Ok(WireDatagram::Progress(report)) if report.number > latest => {
                latest = report.number;
                // A full queue means that the agent is busy with this client; the next report says
                // more.
                let _ = sender.try_send(Request::Progress(ClientProgress::from(report.progress)));
            }
            Ok(WireDatagram::Progress(_)) => {}
            Ok(WireDatagram::Elsewhere(bytes)) => drop(sender.try_send(Request::Elsewhere(bytes))),
            Ok(WireDatagram::Multicast(bytes)) => match Report::decode(&bytes) {
                // As above.
                Ok(report) => drop(sender.try_send(Request::MulticastReport(report))),
                Err(error) => debug!(error = %chain(&error), "a report could not be read"),
            },
            Err(error) => debug!(error = %chain(&error), "a report could not be read"),
        }
    }
}
