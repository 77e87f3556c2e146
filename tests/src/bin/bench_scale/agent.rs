//! A storage node without a disk: it speaks the protocol of the link and does nothing.
//!
//! It says hello, reports its status as often as an agent does, takes orders, reports the progress
//! of every admitted transfer once a second, tells the end of a session until that is recorded, has
//! each image that it is to copy at once, and dials again when its link is lost.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use foghorn_proto::http::EnrolResponse;
use foghorn_proto::link::agent_link_client::AgentLinkClient;
use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::controller_message::Message as FromController;
use foghorn_proto::link::session_ended::Outcome;
use foghorn_proto::link::{
    AgentMessage, Cancelled, CapturedImage, Completed, Hello, NodeStatus, OpenSession,
    ReplicaOrders, ReplicaPhase, ReplicaReport, SessionEnded, SessionKind, SessionProgress, Stage,
    StoredManifest,
};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval_at, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::board::{Board, Opened};

/// As an agent has them.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(5));
const STATUS_EVERY: Duration = Duration::from_secs(3);
const IN_FLIGHT: usize = 16;
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
const REDIAL_AFTER: Duration = Duration::from_secs(1);
/// The controller bounds the links of one address, and real nodes have one each.
const LINKS_EACH: usize = 50;

const GIB: u64 = 1 << 30;
/// What a transfer moves in a second, and all of it: none ends by itself.
const RATE: u64 = 100 << 20;
const TOTAL: u64 = 1 << 42;
/// Of the image.
const CHUNKS: u64 = 20_480;

/// What the bench wants of an agent.
pub(crate) enum Command {
    /// Its client is done.
    End { task: u32 },
}

/// What an agent gets when it joins.
pub(crate) struct Joined {
    pub(crate) enrolled: EnrolResponse,
    pub(crate) key_pem: String,
    pub(crate) ca_pem: String,
}

struct Session {
    order: OpenSession,
    admitted: bool,
    done: u64,
}

pub(crate) struct Agent {
    index: usize,
    joined: Joined,
    board: Arc<Board>,
    commands: mpsc::UnboundedReceiver<Command>,
    sessions: BTreeMap<u32, Session>,
    /// Ends that are not recorded yet.
    ended: BTreeMap<u32, SessionEnded>,
    holds: Vec<StoredManifest>,
    dialled: u64,
}

type Outgoing = mpsc::Sender<AgentMessage>;

impl Agent {
    pub(crate) fn new(
        index: usize,
        joined: Joined,
        board: Arc<Board>,
    ) -> (Self, mpsc::UnboundedSender<Command>) {
        let (sender, commands) = mpsc::unbounded_channel();
        let agent = Self {
            index,
            joined,
            board,
            commands,
            sessions: BTreeMap::new(),
            ended: BTreeMap::new(),
            holds: Vec::new(),
            dialled: 0,
        };
        (agent, sender)
    }

    /// Keeps a link up for as long as the bench runs.
    pub(crate) async fn run(mut self) {
        loop {
            match self.one_link().await {
                Ok(()) => return,
                Err(error) => self.board.lost_link(format!("{error:#}")),
            }
            sleep(REDIAL_AFTER).await;
        }
    }

    /// Ends without an error when nobody is left to give commands.
    async fn one_link(&mut self) -> Result<()> {
        let mut client = AgentLinkClient::new(self.dial().await?);
        let (outgoing, receiver) = mpsc::channel(IN_FLIGHT);
        self.dialled += 1;
        outgoing.send(wrap(Message::Hello(self.hello()))).await?;
        let answer = client.link(ReceiverStream::new(receiver)).await;
        let mut inbound = answer.context("the link was not accepted")?.into_inner();
        self.board.linked();
        for ended in self.ended.values() {
            outgoing.send(wrap(Message::Ended(ended.clone()))).await?;
        }
        // Not all in the same moment.
        let spread = Duration::from_millis(self.index as u64 * 37 % 1000);
        let first = tokio::time::Instant::now() + spread;
        let mut second = interval_at(first, Duration::from_secs(1));
        let mut status = interval_at(first, STATUS_EVERY);
        for timer in [&mut second, &mut status] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                message = inbound.message() => {
                    let message = message.context("the link was lost")?;
                    let message = message.context("the controller closed the link")?;
                    self.obey(message.message, &outgoing).await?;
                }
                command = self.commands.recv() => match command {
                    Some(command) => self.take(command, &outgoing).await?,
                    None => return Ok(()),
                },
                _ = second.tick() => self.report(&outgoing).await?,
                _ = status.tick() => {
                    outgoing.send(wrap(Message::Status(self.status()))).await?;
                }
            }
        }
    }

    /// As the agent's own `link::dial`, but from an address of this machine that few others use.
    async fn dial(&self) -> Result<Channel> {
        let Joined {
            enrolled,
            key_pem,
            ca_pem,
        } = &self.joined;
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ca_pem))
            .identity(Identity::from_pem(&enrolled.chain_pem, key_pem))
            .domain_name(&enrolled.link_server_name);
        let from = u8::try_from(1 + self.index / LINKS_EACH % 250).unwrap_or(1);
        let endpoint = Endpoint::from_shared(format!("https://{}", enrolled.link_address))?
            .tls_config(tls)?
            .local_address(Some(IpAddr::V4(Ipv4Addr::new(127, 0, 1, from))))
            .connect_timeout(CONNECT_WITHIN)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE.0)
            .keep_alive_timeout(KEEP_ALIVE.1)
            .keep_alive_while_idle(true);
        endpoint.connect().await.context("could not connect")
    }

    fn hello(&self) -> Hello {
        Hello {
            software: "foghorn-agent (simulated)".to_owned(),
            quic_address: format!("127.0.0.1:{}", 20_000 + self.index % 40_000),
            sessions: self.sessions.keys().copied().collect(),
            status: Some(self.status()),
            process: 1 + self.index as u64,
            dialled: self.dialled,
            gives_further: false,
        }
    }

    fn status(&self) -> NodeStatus {
        let running = self.sessions.values().filter(|session| session.admitted);
        NodeStatus {
            disk_total_bytes: 4096 * GIB,
            disk_free_bytes: 3000 * GIB,
            stored_bytes: 900 * GIB,
            chunks: 1_000_000,
            manifests: self.holds.clone(),
            active_transfers: u32::try_from(running.count()).unwrap_or(u32::MAX),
            keep_free_bytes: GIB,
            chunks_path: "/var/lib/foghorn-agent/chunks".to_owned(),
            ..NodeStatus::default()
        }
    }

    async fn obey(&mut self, message: Option<FromController>, outgoing: &Outgoing) -> Result<()> {
        match message {
            Some(FromController::Reconcile(all)) => {
                let known: Vec<u32> = all.sessions.iter().map(|order| order.task_id).collect();
                self.sessions.retain(|task, _| known.contains(task));
                all.sessions.into_iter().for_each(|order| self.open(order));
                let orders = all.replicas.unwrap_or_default();
                self.copy(orders, outgoing).await?;
            }
            Some(FromController::Replicas(orders)) => self.copy(orders, outgoing).await?,
            Some(FromController::Open(order)) => self.open(order),
            Some(FromController::Admit(admit)) => {
                if let Some(session) = self.sessions.get_mut(&admit.task_id) {
                    session.admitted = true;
                }
            }
            Some(FromController::Cancel(cancel)) => {
                let session = self.sessions.remove(&cancel.task_id);
                if let Some(session) = session.filter(|_| !cancel.withdrawn) {
                    let reason = cancel.reason;
                    let outcome = Outcome::Cancelled(Cancelled { reason });
                    self.end(&session.order, outcome, outgoing).await?;
                }
            }
            Some(FromController::EndedRecorded(recorded)) => {
                self.ended.remove(&recorded.task_id);
                self.board.recorded(recorded.task_id);
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, order: OpenSession) {
        let (task, host) = (order.task_id, order.host_id);
        if self.ended.contains_key(&task) {
            return;
        }
        let admitted = !order.client_fingerprint.is_empty();
        match self.sessions.get_mut(&task) {
            Some(session) => {
                session.admitted |= admitted;
                session.order = order;
            }
            None => {
                let done = 0;
                let session = Session {
                    order,
                    admitted,
                    done,
                };
                self.sessions.insert(task, session);
                let opened = Opened {
                    task,
                    agent: self.index,
                    at: Instant::now(),
                };
                self.board.opened(host, opened);
            }
        }
    }

    /// Has everything that it is to copy at once.
    async fn copy(&mut self, orders: ReplicaOrders, outgoing: &Outgoing) -> Result<()> {
        for fetch in orders.fetch {
            let what = fetch.what.unwrap_or_default();
            if !self.holds.contains(&what) {
                self.holds.push(what);
                outgoing.send(wrap(Message::Status(self.status()))).await?;
            }
            let done = ReplicaReport {
                copy_id: fetch.copy_id,
                phase: ReplicaPhase::Done.into(),
                chunks_verified: CHUNKS,
                chunks_total: CHUNKS,
                chunks_fetched: CHUNKS,
                ..ReplicaReport::default()
            };
            outgoing.send(wrap(Message::Replica(done))).await?;
        }
        Ok(())
    }

    async fn take(&mut self, command: Command, outgoing: &Outgoing) -> Result<()> {
        let Command::End { task } = command;
        let Some(session) = self.sessions.remove(&task) else {
            return Ok(());
        };
        let is_capture = session.order.kind() == SessionKind::Capture;
        if is_capture {
            self.holds.push(StoredManifest {
                image_id: session.order.image_id,
                manifest_id: manifest(),
                ..StoredManifest::default()
            });
        }
        let outcome = Outcome::Completed(Completed {
            r#final: Some(progress(task, session.done)),
            captured: is_capture.then(captured),
        });
        self.end(&session.order, outcome, outgoing).await
    }

    async fn end(
        &mut self,
        order: &OpenSession,
        outcome: Outcome,
        outgoing: &Outgoing,
    ) -> Result<()> {
        let ended = SessionEnded {
            task_id: order.task_id,
            incarnation: order.incarnation,
            outcome: Some(outcome),
        };
        self.ended.insert(order.task_id, ended.clone());
        outgoing.send(wrap(Message::Ended(ended))).await?;
        Ok(())
    }

    async fn report(&mut self, outgoing: &Outgoing) -> Result<()> {
        for (task, session) in self
            .sessions
            .iter_mut()
            .filter(|(_, session)| session.admitted)
        {
            session.done += RATE;
            outgoing
                .send(wrap(Message::Progress(progress(*task, session.done))))
                .await?;
            self.board.reported();
        }
        Ok(())
    }
}

fn wrap(message: Message) -> AgentMessage {
    AgentMessage {
        message: Some(message),
    }
}

fn progress(task: u32, done: u64) -> SessionProgress {
    SessionProgress {
        task_id: task,
        bytes_done: done,
        bytes_total: TOTAL,
        bytes_wire: done / 2,
        rate_bytes_per_second: RATE,
        eta_seconds: u32::try_from(TOTAL.saturating_sub(done) / RATE).unwrap_or(u32::MAX),
        limiting_stage: Stage::Network.into(),
        bytes_reused: 0,
    }
}

/// The manifest of the one image that there is.
fn manifest() -> Vec<u8> {
    blake3::hash(b"the image of the bench").as_bytes().to_vec()
}

fn captured() -> CapturedImage {
    CapturedImage {
        manifest_id: manifest(),
        logical_bytes: 64 * GIB,
        used_bytes: 20 * GIB,
        stored_bytes: 9 * GIB,
        new_bytes: 9 * GIB,
        ..CapturedImage::default()
    }
}
