//! The thread of a session: performs the actions of the sender when they are due.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use foghorn_multicast::{
    Epoch, JoinError, KeyMaterial, Phase, ReceiverId, Sealer, Sender, SenderAction, Time,
};
use foghorn_transport::multicast::{GroupSender, SessionTerms, session_rate};
use foghorn_types::{Timestamp, chain};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, trace, warn};

use super::burst::Burst;
use super::control::{Command, News, SessionStatus};
use super::key::new_key;
use super::members::Members;
use super::start::StartRule;

/// The longest pause: after this time the thread checks whether it should end.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Commands that are heard before packets are looked after again.
const COMMANDS_AT_ONCE: usize = 256;
/// How often the status is shown.
const SHOW_EVERY: Duration = Duration::from_millis(250);
/// How long a new key is given to reach the members before packets are sealed with it.
const KEY_TRAVELS: Duration = Duration::from_millis(100);
/// How long a member may take to hear the group before the start does not wait for it any more. A
/// member that has heard nothing after 2 s leaves.
const PREFLIGHT: Duration = Duration::from_millis(2500);
/// A session that has started and has no members is kept for so long.
const LINGER: Duration = Duration::from_secs(5);
/// When a member that fell silent may come back.
const SILENCE_REST: Duration = Duration::from_secs(1);
/// When a member that was too slow may come back; the sender refuses it for longer when that
/// happens again.
const SLOW_REST: Duration = Duration::from_secs(10);

/// See the module page.
pub(super) struct Drive {
    sender: Sender,
    sealer: Sealer,
    socket: GroupSender,
    /// What members are told; has the present key.
    terms: SessionTerms,
    start: StartRule,
    inbox: Receiver<Command>,
    wanted: mpsc::Sender<foghorn_multicast::SessionChunk>,
    status: watch::Sender<SessionStatus>,
    cancel: CancellationToken,
    began: Instant,
    members: Members,
    burst: Burst,
    /// A key that was handed out and is not used yet, and since when.
    next_key: Option<(Instant, KeyMaterial)>,
    empty_since: Option<Instant>,
    shown: Instant,
}

impl Drive {
    #[expect(
        clippy::too_many_arguments,
        reason = "called once, with all that a session is made of"
    )]
    pub(super) fn new(
        sender: Sender,
        socket: GroupSender,
        terms: SessionTerms,
        start: StartRule,
        inbox: Receiver<Command>,
        wanted: mpsc::Sender<foghorn_multicast::SessionChunk>,
        status: watch::Sender<SessionStatus>,
        cancel: CancellationToken,
    ) -> Self {
        let sealer = Sealer::new(&terms.key);
        let (members, burst, began) = (Members::default(), Burst::default(), Instant::now());
        Self {
            sender,
            sealer,
            socket,
            terms,
            start,
            inbox,
            wanted,
            status,
            cancel,
            began,
            members,
            burst,
            next_key: None,
            empty_since: None,
            shown: began,
        }
    }

    /// Runs until cancelled, or until nobody is left.
    pub(super) fn run(mut self) {
        let mut reason = "the node ended the session";
        while !self.cancel.is_cancelled() {
            let Some(until) = self.act() else {
                reason = "the session has used up its packet numbers";
                break;
            };
            self.burst.flush(&self.socket);
            if self.burst.is_broken() {
                error!("packets can no longer be sent to the group; ending the session");
                reason = "the node can no longer send to the group";
                break;
            }
            self.look_after();
            if self.is_deserted() {
                break;
            }
            self.hear(until);
        }
        foghorn_faults::point!("agent.multicast.before-end");
        self.members.end(reason);
        self.show();
        self.cancel.cancel();
    }

    fn now(&self) -> Time {
        Time::from_micros(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Performs all actions that are due and returns when to look again. `None`: the session cannot
    /// continue.
    fn act(&mut self) -> Option<Time> {
        // The clock is not asked for every packet: this ends when what the time allows has been
        // sent.
        let now = self.now();
        loop {
            match self.sender.poll(now) {
                SenderAction::Send(packet) => {
                    if !self.burst.push(&packet, &mut self.sealer, &self.socket) {
                        return None;
                    }
                }
                // As many can be under way as the sender reads ahead, which is far less than fits.
                SenderAction::Load(number) => drop(self.wanted.try_send(number)),
                SenderAction::Demote { receiver, reason } => {
                    info!(task = receiver.0, %reason, "a receiver continues by unicast");
                    let rest = (!reason.is_fault()).then_some(SLOW_REST);
                    self.members.dismiss(
                        receiver,
                        News::Demoted {
                            reason: reason.to_string(),
                            rest,
                        },
                    );
                    if reason.is_fault() {
                        self.sender.expel(receiver);
                    }
                    // It will fetch at once, and is to leave the line to the others.
                    self.show();
                }
                SenderAction::Drop { receiver } => {
                    info!(
                        task = receiver.0,
                        "a receiver stopped reporting; the others continue without it"
                    );
                    let reason = "the receiver sent no report for a second".to_owned();
                    self.members.dismiss(
                        receiver,
                        News::Demoted {
                            reason,
                            rest: Some(SILENCE_REST),
                        },
                    );
                }
                SenderAction::Unicast { receiver, chunks } => {
                    debug!(
                        task = receiver.0,
                        chunks = chunks.len(),
                        "only a few receivers lack these chunks; they fetch them by unicast"
                    );
                    self.members.tell(receiver, News::Fetch(chunks));
                }
                SenderAction::Finished { receiver } => {
                    let reason =
                        "the session sends nothing more that the receiver lacks".to_owned();
                    self.members.dismiss(receiver, News::Over { reason });
                }
                SenderAction::RotateKey => self.make_key(),
                SenderAction::Over => debug!("every receiver has the chunks that it wanted"),
                SenderAction::Wait(until) => return Some(until),
            }
        }
    }

    fn make_key(&mut self) {
        let epoch = self
            .next_key
            .as_ref()
            .map_or(self.terms.key.epoch, |(_, key)| key.epoch);
        match new_key(self.terms.key.session, Epoch(epoch.0.wrapping_add(1))) {
            Ok(key) => {
                self.members.hand_out(&key);
                self.next_key = Some((Instant::now(), key));
            }
            Err(problem) => {
                error!(error = %chain(&problem), "could not make another key; ending the session");
                self.cancel.cancel();
            }
        }
    }

    /// Handles what the sender does not know about: the start, a key that is due, the status.
    fn look_after(&mut self) {
        if let Some((_, key)) = self
            .next_key
            .take_if(|(since, _)| since.elapsed() >= KEY_TRAVELS)
        {
            self.sealer.rotate(&key);
            self.terms.key = key;
        }
        if self.status.borrow().sender.phase == Phase::Waiting
            && self.start.is_due(self.members.arrived(), Timestamp::now())
        {
            let all_hear = self
                .sender
                .status()
                .receivers
                .iter()
                .all(|receiver| receiver.hears);
            if all_hear || self.members.had(PREFLIGHT) {
                info!(receivers = self.members.arrived(), "sending started");
                self.sender.start(self.now());
                self.show();
            }
        }
        if self.shown.elapsed() >= SHOW_EVERY {
            self.show();
        }
    }

    fn show(&mut self) {
        self.shown = Instant::now();
        let unicast = self.members.unicast().clone();
        let sender = self.sender.status();
        trace!(
            phase = ?sender.phase,
            pass = sender.pass,
            rate = %sender.rate,
            payload = sender.payload_bytes,
            wire = sender.wire_bytes,
            repairs = sender.repair_bytes,
            loss_ppm = ?sender.receivers.iter().map(|receiver| receiver.loss_ppm).collect::<Vec<_>>(),
            socket_drops = sender.receivers.iter().map(|receiver| receiver.socket_drops).sum::<u64>(),
            "status"
        );
        self.status.send_replace(SessionStatus { sender, unicast });
    }

    fn is_deserted(&mut self) -> bool {
        if !self.members.is_empty() || self.status.borrow().sender.phase == Phase::Waiting {
            self.empty_since = None;
            return false;
        }
        self.empty_since.get_or_insert_with(Instant::now).elapsed() >= LINGER
    }

    /// Waits for commands, at most until `until`, and executes them.
    fn hear(&mut self, until: Time) {
        let pause = until.since(self.now()).min(LONGEST_PAUSE);
        match self.inbox.recv_timeout(pause) {
            Ok(command) => self.obey(command),
            Err(RecvTimeoutError::Timeout) => return,
            // Nobody can say anything any more.
            Err(RecvTimeoutError::Disconnected) => return self.cancel.cancel(),
        }
        for _ in 0..COMMANDS_AT_ONCE {
            let Ok(command) = self.inbox.try_recv() else {
                return;
            };
            self.obey(command);
        }
    }

    fn obey(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Join {
                receiver,
                membership,
                wants,
                news,
                answer,
            } => {
                let joined = self.sender.join(receiver, wants, now);
                self.joined(receiver, membership, news, joined, answer);
            }
            Command::Want { receiver, chunks } => self.sender.want(receiver, &chunks),
            Command::Have { receiver, chunks } => self.sender.have(receiver, &chunks),
            Command::Report {
                receiver,
                report,
                carried,
            } => {
                self.sender.beside(self.members.carried(receiver, carried));
                self.sender.report(receiver, &report, now);
            }
            Command::Beside { bytes } => self.sender.beside(bytes),
            Command::Leave {
                receiver,
                membership,
                reason,
            } => {
                if let Some(reason) = &reason {
                    warn!(task = receiver.0, reason, "a receiver continues by unicast");
                }
                if self.members.leave(receiver, membership, reason) {
                    self.sender.leave(receiver);
                }
            }
            Command::Expel { receiver } => {
                if self.members.has_had_key(receiver) {
                    info!(
                        task = receiver.0,
                        "a receiver was expelled; the others get a new key"
                    );
                    self.make_key();
                }
            }
            Command::Chunk { number, bytes } => self.sender.chunk(number, bytes, now),
            Command::Settings { max_rate, start } => {
                self.start = start;
                self.sender.set_max_rate(max_rate.map(session_rate), now);
            }
        }
    }

    fn joined(
        &mut self,
        receiver: ReceiverId,
        membership: u64,
        news: mpsc::Sender<News>,
        joined: Result<(), JoinError>,
        answer: oneshot::Sender<Result<SessionTerms, JoinError>>,
    ) {
        if joined.is_ok() {
            info!(task = receiver.0, "a receiver has joined");
            self.members.join(receiver, membership, news);
            // Packets under this key may come before those that are told of it are sealed with it.
            if let Some((_, key)) = &self.next_key {
                self.members.tell(receiver, News::Key(key.clone()));
            }
        }
        // Fails when the client has gone in the meantime; then it leaves by itself.
        let _ = answer.send(joined.map(|()| self.terms.clone()));
    }
}
