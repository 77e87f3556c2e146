//! The thread that receives a multicast session: packets in, chunks to the verifiers, messages to
//! the agent out.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foghorn_multicast::{
    ChunkSet, KeyMaterial, Opener, Receiver, ReceiverAction, ReceiverConfig, Stage, Time, Unheard,
};
use foghorn_transport::multicast::{GroupReceiver, SessionTerms, in_image, in_session};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use super::super::Queues;
use super::super::board::StreamNews;
use super::super::shared::Shared;
use super::super::verify::Arrived;
use super::ToAgent;
use crate::progress::Path;

/// The longest pause: after this time the thread looks for messages.
const LONGEST_PAUSE: Duration = Duration::from_millis(5);
/// Between packets that keep coming, how often everything else is looked after.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// How often the kernel is asked what it has dropped, and chunks that a scan has missed since are
/// asked for.
const COUNT_EVERY: Duration = Duration::from_millis(500);

/// A message from the agent to the thread.
pub(super) enum FromAgent {
    Key(KeyMaterial),
    /// These will not come any more.
    Fetch(ChunkSet),
}

/// See the module page.
pub(super) struct Listen {
    shared: Arc<Shared>,
    group: String,
    socket: GroupReceiver,
    opener: Opener,
    receiver: Receiver,
    queues: Queues,
    began: Instant,
    /// Right chunks that the agent has not been told, because the queue to it was full.
    have: ChunkSet,
    want: ChunkSet,
    counted: Instant,
    heard: bool,
}

impl Listen {
    /// `None` when no receiver can be made of the terms.
    pub(super) fn new(
        shared: Arc<Shared>,
        terms: &SessionTerms,
        chunks: u32,
        wants: ChunkSet,
        socket: GroupReceiver,
        queues: &Queues,
    ) -> Option<Self> {
        let config = ReceiverConfig::new(chunks, terms.symbol_size.into());
        // Only spreads reports over time; the standard library seeds its hashers well enough for
        // that.
        let seed = std::collections::hash_map::RandomState::new()
            .build_hasher()
            .finish();
        let receiver = Receiver::new(config, wants, seed, Time::default()).ok()?;
        let opener = Opener::new(&terms.key);
        let (began, group, queues) = (Instant::now(), terms.group.to_string(), queues.clone());
        let (have, want) = (ChunkSet::new(), ChunkSet::new());
        Some(Self {
            shared,
            group,
            socket,
            opener,
            receiver,
            queues,
            began,
            have,
            want,
            counted: began,
            heard: false,
        })
    }

    /// Runs until stopped, or until it is of no use.
    pub(super) fn run(
        mut self,
        to_agent: &mpsc::Sender<ToAgent>,
        mut from_agent: mpsc::Receiver<FromAgent>,
        stop: &CancellationToken,
    ) {
        tracing::debug!(group = self.group, "listening");
        while !stop.is_cancelled() && !self.shared.stop.is_cancelled() {
            self.hear_agent(&mut from_agent);
            self.hear_board();
            self.pass_on();
            self.count();
            let pause = match self.act(to_agent) {
                Ok(until) => until.since(self.now()).min(LONGEST_PAUSE),
                Err(reason) => {
                    // Full or closed: the end of the thread says the same.
                    let _ = to_agent.try_send(ToAgent::GiveUp(reason));
                    return;
                }
            };
            if let Err(error) = self.take_packets(pause) {
                let _ = to_agent.try_send(ToAgent::GiveUp(format!(
                    "could not receive from {}: {error}",
                    self.group
                )));
                return;
            }
        }
    }

    fn now(&self) -> Time {
        Time::from_micros(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Waits for packets, then takes those that keep coming for a while.
    fn take_packets(&mut self, mut pause: Duration) -> std::io::Result<()> {
        let look_at = self.now() + pause.max(LOOK_EVERY);
        loop {
            let now = self.now();
            let (opener, receiver) = (&mut self.opener, &mut self.receiver);
            let taken = self.socket.receive(pause, |datagram| {
                // What is rejected is counted and told with the reports.
                if let Some(Ok(packet)) = datagram.map(|datagram| opener.open(datagram)) {
                    receiver.packet(&packet, now);
                }
            })?;
            if taken == 0 || self.now() >= look_at {
                break;
            }
            pause = Duration::ZERO;
        }
        if !self.heard && self.opener.counts().opened > 0 {
            self.heard = true;
            tracing::debug!(group = self.group, "receiving packets of the group");
            self.shared.progress.set_path(Path::Multicast);
        }
        Ok(())
    }

    fn hear_agent(&mut self, from_agent: &mut mpsc::Receiver<FromAgent>) {
        while let Ok(message) = from_agent.try_recv() {
            match message {
                FromAgent::Key(key) => self.opener.add(&key),
                FromAgent::Fetch(chunks) => self.receiver.forgo(&chunks),
            }
        }
    }

    /// What became of chunks, and what is missing besides.
    fn hear_board(&mut self) {
        let (news, missed) = self.shared.board().take_stream_news();
        for news in news {
            match news {
                StreamNews::Right(number) => self.receiver.chunk_done(in_session(number)),
                StreamNews::Bad(number) => self.receiver.chunk_bad(in_session(number)),
            }
        }
        if !missed.is_empty() {
            self.receiver.want(&missed);
            self.want.union_with(&missed);
        }
    }

    /// Complete chunks go to the verifiers, as many as have room there.
    fn pass_on(&mut self) {
        while let Ok(place) = self.queues.verify.try_reserve() {
            let Some(chunk) = self.receiver.take_chunk() else {
                break;
            };
            let (session_chunk, number) = (chunk.number, in_image(chunk.number));
            let length = chunk.len() as u64;
            match self.shared.update(|board| board.streamed(number)) {
                Some(true) => {
                    self.shared.progress.add_multicast(length);
                    let plain_len =
                        u32::try_from(self.shared.plan.length(number)).unwrap_or(u32::MAX);
                    place.send(Arrived {
                        number,
                        source: None,
                        plain_len,
                        compressed: chunk.into_bytes(),
                    });
                }
                // It came by a lane as well: the board will say when it is right.
                Some(false) => {}
                // A scanner is looking at its place; should it not be there, it is still wanted.
                None => self.receiver.chunk_bad(session_chunk),
            }
        }
    }

    fn count(&mut self) {
        if self.counted.elapsed() >= COUNT_EVERY {
            self.counted = Instant::now();
            let rejected = self.opener.counts().rejected();
            self.receiver
                .count_datagrams(rejected, self.socket.dropped());
        }
        let fill = self.queues.fill();
        let stage = crate::progress::limiting_stage(
            [Stage::Network, Stage::Compression, Stage::Disk],
            fill,
        );
        self.receiver
            .pressure(stage, (fill.second.max(fill.last) * 100.0) as u8);
    }

    /// Sends what the receiver wants to send. Returns when to ask it again, or why to give up.
    fn act(&mut self, to_agent: &mpsc::Sender<ToAgent>) -> Result<Time, String> {
        loop {
            match self.receiver.poll(self.now()) {
                ReceiverAction::Report(report) => {
                    match to_agent.try_send(ToAgent::Report(report)) {
                        Ok(()) | Err(TrySendError::Full(_)) => {}
                        Err(TrySendError::Closed(_)) => return Ok(self.now()),
                    }
                }
                ReceiverAction::Have(chunks) => self.have.union_with(&chunks),
                ReceiverAction::NotHeard(unheard) => return Err(self.unheard(unheard)),
                ReceiverAction::Wait(until) => {
                    tell(to_agent, &mut self.want, ToAgent::Want);
                    tell(to_agent, &mut self.have, ToAgent::Have);
                    return Ok(until);
                }
            }
        }
    }

    fn unheard(&self, unheard: Unheard) -> String {
        let (group, counts) = (&self.group, self.opener.counts());
        match unheard {
            Unheard::Anything if counts.rejected() > 0 => {
                format!(
                    "packets of {group} arrive, but none belongs to this session: does somebody else use the group?"
                )
            }
            Unheard::Anything => format!(
                "no packet of {group} arrived within 2 s: likely causes are IGMP (or MLD) snooping on a switch without a querier, a \
                 firewall, or a router on the way and a TTL of 1"
            ),
            Unheard::LongPackets => {
                format!(
                    "short packets of {group} arrive but long ones do not: most likely the MTU on the path is below 1500 bytes"
                )
            }
            Unheard::NoLongPacketSent => {
                format!(
                    "packets of {group} arrive without a gap, but none that carries data came within 2 s: the rate limit of \
                     the session is too low, or the node is overloaded"
                )
            }
        }
    }
}

/// Sends what has gathered if there is room; otherwise it continues to gather.
fn tell(
    to_agent: &mpsc::Sender<ToAgent>,
    gathered: &mut ChunkSet,
    message: fn(ChunkSet) -> ToAgent,
) {
    if gathered.is_empty() {
        return;
    }
    if let Ok(place) = to_agent.try_reserve() {
        place.send(message(std::mem::take(gathered)));
    }
}
