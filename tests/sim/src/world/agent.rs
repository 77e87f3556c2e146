//! The agent: its sender, its store, its line.

use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

use foghorn_multicast::{
    Epoch, Floor, IpVersion, KeyMaterial, Rate, ReceiverId, ReceiverStatus, Report, Sealer, Sender,
    SenderAction, SenderConfig, SenderStatus, SessionChunk, SessionTag, Suite, Time,
};

use super::message::{ToAgent, ToMachine};
use super::unicast::{Feed, SEGMENT_OVERHEAD, Segment, Share};
use super::{Event, NOTICE_DEATH, World};
use crate::clock::Nanos;
use crate::network::{DATAGRAM_OVERHEAD, Pipe};
use crate::scenario::Scenario;

/// How long the agent waits for the machines that are to be there at the start.
const START_LATEST: Nanos = Nanos::millis(500);
/// Share of the session's pace that fetches may have while the stream goes on.
const FETCH_SHARE: f64 = 0.01;
/// The stream does not need the line when it has been silent for so long.
const STREAM_PAUSE: Nanos = Nanos::millis(10);
/// How soon fetches try again when the line's queue is full.
const FEED_RETRY: Nanos = Nanos::millis(2);

/// What was counted at the agent, over all its lives.
#[derive(Clone, Debug, Default)]
pub(super) struct AgentCounts {
    /// Packets for the group, of any kind.
    pub(super) packets: u64,
    /// Parity symbols among them.
    pub(super) parity_packets: u64,
    /// Bytes of them on the wire.
    pub(super) stream_bytes: u64,
    /// The most bytes that the sender kept for repairs.
    pub(super) most_window: usize,
    /// When a receiver was dropped for silence.
    pub(super) dropped: Vec<(usize, Nanos)>,
    /// Receivers that were sent to unicast, when and why.
    pub(super) demoted: Vec<(usize, Nanos, String)>,
    /// When the sender last said that nobody wants anything any more.
    pub(super) over_at: Option<Nanos>,
    /// When each machine was last heard, as the sender must count.
    pub(super) heard_at: Vec<Nanos>,
    /// Keys given out.
    pub(super) keys: u32,
}

/// The agent.
pub(super) struct Agent {
    life: u32,
    sender: Option<Sender>,
    sealer: Sealer,
    key: Rc<KeyMaterial>,
    /// The connection of each machine that is a member.
    members: Vec<Option<u32>>,
    started: bool,
    first_join: Option<Nanos>,
    feeds: Vec<(u32, Feed)>,
    share: Share,
    next_feed: usize,
    feeds_at: Option<Nanos>,
    wake_at: Option<Nanos>,
    /// When the stream last had something to say.
    symbol_at: Nanos,
    described_at: Nanos,
    /// The line; it outlives the agent.
    pub(super) line: Pipe,
    /// What was counted.
    pub(super) counts: AgentCounts,
}

impl Agent {
    /// An agent with a new sender.
    #[must_use]
    pub(super) fn new(scenario: &Scenario, life: u32, now: Nanos) -> Self {
        let machines = scenario.machines.len();
        let key = Rc::new(key(scenario, life, 0));
        let sender = Sender::new(
            sender_config(scenario),
            scenario.seed ^ u64::from(life),
            now.machine_time(),
        );
        Self {
            life,
            sender: Some(sender.expect("a scenario's session is a valid one")),
            sealer: Sealer::new(&key),
            key,
            members: vec![None; machines],
            started: false,
            first_join: None,
            feeds: (0..machines).map(|_| (0, Feed::default())).collect(),
            share: Share::new(),
            next_feed: 0,
            feeds_at: None,
            wake_at: None,
            symbol_at: Nanos::ZERO,
            described_at: Nanos::ZERO,
            line: Pipe::new(scenario.line),
            counts: AgentCounts {
                heard_at: vec![Nanos::ZERO; machines],
                ..AgentCounts::default()
            },
        }
    }

    /// Counts its starts.
    #[must_use]
    pub(super) fn life(&self) -> u32 {
        self.life
    }

    /// Whether it runs.
    #[must_use]
    pub(super) fn is_up(&self) -> bool {
        self.sender.is_some()
    }

    /// Whether its sender has nothing to send to anybody.
    #[must_use]
    pub(super) fn is_idle(&self) -> bool {
        self.members.iter().all(Option::is_none)
    }

    fn rotate(&mut self, scenario: &Scenario) {
        self.counts.keys += 1;
        let epoch = self.sealer.epoch().0.wrapping_add(1);
        self.key = Rc::new(key(scenario, self.life, epoch));
        self.sealer.rotate(&self.key);
    }
}

fn key(scenario: &Scenario, life: u32, epoch: u8) -> KeyMaterial {
    let mut secret = [0; 32];
    fastrand::Rng::with_seed(scenario.seed ^ (u64::from(life) << 40) ^ (u64::from(epoch) << 50))
        .fill(&mut secret);
    // A new sender counts from the start again: its session has another tag.
    KeyMaterial {
        session: SessionTag(7 + life),
        epoch: Epoch(epoch),
        suite: Suite::for_this_processor(),
        secret,
    }
}

fn sender_config(scenario: &Scenario) -> SenderConfig {
    let shape = scenario.session;
    let mut config = SenderConfig::new(
        scenario.image.chunks,
        usize::from(shape.symbol_bytes),
        IpVersion::V4,
    );
    config.data_symbols = shape.group_symbols as u8;
    config.packet_overhead = DATAGRAM_OVERHEAD as u32;
    // Lines here are slow, for the sake of small scenarios; on a real one the search begins far
    // below its rate.
    config.first_rate = config
        .first_rate
        .min(Rate::from_bytes_per_second(shape.floor));
    config.max_rate = (shape.max_rate > 0).then(|| Rate::from_bytes_per_second(shape.max_rate));
    config.floor = Floor::Rate(Rate::from_bytes_per_second(shape.floor));
    config.window = shape.window_bytes as usize;
    config.catch_up = Duration::from_millis(5);
    config
}

impl World {
    pub(super) fn agent_hears(&mut self, index: usize, life: u32, message: ToAgent) {
        let now = self.agenda.now();
        if !matches!(message, ToAgent::Report(_)) {
            self.trace(|| format!("agent hears machine {index}: {message:?}"));
        }
        let receiver = ReceiverId(index as u32);
        let agent = &mut self.agent;
        let Some(sender) = &mut agent.sender else {
            return;
        };
        let known = agent.members[index] == Some(life);
        match message {
            ToAgent::Join(wants) => {
                agent.feeds[index] = (life, Feed::default());
                agent.counts.heard_at[index] = now;
                let answer = match sender.join(receiver, wants, now.machine_time()) {
                    Ok(()) => {
                        agent.members[index] = Some(life);
                        ToMachine::Joined(Rc::clone(&agent.key))
                    }
                    Err(_) => {
                        agent.members[index] = None;
                        ToMachine::Demoted
                    }
                };
                self.tell_machine(index, life, answer);
                self.start_when_due();
            }
            ToAgent::Report(bytes) if known => {
                let report = Report::decode(&bytes).expect("a report survives its encoding");
                agent.counts.heard_at[index] = now;
                sender.report(receiver, &report, now.machine_time());
            }
            ToAgent::Have(chunks) if known => sender.have(receiver, &chunks),
            ToAgent::Fetch(chunks) => self.fetch(index, life, chunks.iter()),
            ToAgent::Leave if known => {
                sender.leave(receiver);
                agent.members[index] = None;
            }
            ToAgent::Report(_) | ToAgent::Have(_) | ToAgent::Leave => {}
        }
        self.run_agent();
    }

    fn fetch(&mut self, index: usize, life: u32, chunks: impl Iterator<Item = SessionChunk>) {
        let (of, feed) = &mut self.agent.feeds[index];
        if *of != life {
            (*of, *feed) = (life, Feed::default());
        }
        for number in chunks {
            feed.want(number.0, self.payload.chunk(number.0).len() as u32);
        }
        self.run_feeds();
    }

    /// The stream begins when all are there that come at the start, or when the agent has waited
    /// long enough.
    fn start_when_due(&mut self) {
        let now = self.agenda.now();
        let agent = &mut self.agent;
        let first = *agent.first_join.get_or_insert_with(|| {
            self.agenda.at(now + START_LATEST, Event::WakeAgent);
            now
        });
        let expected = self
            .scenario
            .machines
            .iter()
            .filter(|shape| shape.start_ms == 0)
            .count()
            .max(1);
        let there = agent.members.iter().flatten().count();
        if !agent.started && (there >= expected || now.since(first) >= START_LATEST) {
            agent.started = true;
            if let Some(sender) = &mut agent.sender {
                sender.start(now.machine_time());
            }
        }
    }

    pub(super) fn wake_agent(&mut self) {
        let now = self.agenda.now();
        if self.agent.first_join.is_some() && !self.agent.started {
            self.start_when_due();
        }
        if self.agent.wake_at.is_none_or(|at| at <= now) {
            self.agent.wake_at = None;
            self.run_agent();
        }
    }

    /// Does what the sender says until it wants to wait.
    fn run_agent(&mut self) {
        let now = self.agenda.now();
        loop {
            let Some(sender) = &mut self.agent.sender else {
                return;
            };
            match sender.poll(now.machine_time()) {
                SenderAction::Send(packet) => {
                    let counts = &mut self.agent.counts;
                    counts.packets += 1;
                    if let foghorn_multicast::Body::Symbol(symbol) = &packet.body {
                        counts.parity_packets += u64::from(symbol.index >= symbol.data_symbols);
                        self.agent.symbol_at = now;
                    }
                    self.scratch.clear();
                    self.agent
                        .sealer
                        .seal(&packet, &mut self.scratch)
                        .expect("the sender's numbers ascend");
                    self.send_to_group();
                }
                SenderAction::Wait(until) => return self.agent_waits(until),
                SenderAction::Load(number) => {
                    let span = Nanos::micros(self.scenario.image.load_us.into());
                    self.agenda
                        .at(now + span, Event::Loaded(number.0, self.agent.life));
                }
                SenderAction::Demote { receiver, reason } => {
                    let index = receiver.0 as usize;
                    self.agent
                        .counts
                        .demoted
                        .push((index, now, reason.to_string()));
                    self.tell_member(index, ToMachine::Demoted, true);
                }
                SenderAction::Drop { receiver } => {
                    self.agent.counts.dropped.push((receiver.0 as usize, now));
                    self.tell_member(receiver.0 as usize, ToMachine::Dropped, true);
                }
                SenderAction::Unicast { receiver, chunks } => {
                    self.tell_member(receiver.0 as usize, ToMachine::Unicast(chunks), false);
                }
                SenderAction::Finished { receiver } => {
                    self.tell_member(receiver.0 as usize, ToMachine::Finished, true)
                }
                SenderAction::RotateKey => {
                    self.agent.rotate(&self.scenario);
                    for index in 0..self.machines.len() {
                        self.tell_member(index, ToMachine::Key(Rc::clone(&self.agent.key)), false);
                    }
                }
                SenderAction::Over => {
                    self.agent.counts.over_at = Some(now);
                    self.trace(|| "the sender is done".to_owned());
                }
            }
        }
    }

    fn agent_waits(&mut self, until: Time) {
        let now = self.agenda.now();
        let Some(sender) = &self.agent.sender else {
            return;
        };
        self.agent.counts.most_window = self.agent.counts.most_window.max(sender.window_bytes());
        if self.traced && now.since(self.agent.described_at) >= Nanos::millis(100) {
            self.trace(|| describe(&sender.status()));
            self.agent.described_at = now;
        }
        let soonest = Nanos::of_machine(now.machine_time()) + Nanos::micros(1);
        let at = Nanos::of_machine(until).max(soonest);
        if self.agent.wake_at.is_none_or(|before| at < before) {
            self.agent.wake_at = Some(at);
            self.agenda.at(at, Event::WakeAgent);
        }
    }

    /// Puts the sealed packet in `scratch` on the line.
    fn send_to_group(&mut self) {
        let now = self.agenda.now();
        let bytes = self.scratch.len() + DATAGRAM_OVERHEAD;
        self.agent.counts.stream_bytes += bytes as u64;
        let datagram: Rc<[u8]> = Rc::from(self.scratch.as_slice());
        if self.scenario.attack.per_second > 0 {
            self.overheard = Some(Rc::clone(&datagram));
        }
        if let Some(out) = self.agent.line.offer(now, bytes) {
            self.agenda.at(out, Event::AtSwitch(datagram));
        }
    }

    /// Tells a member something; `last`: it is none any more.
    fn tell_member(&mut self, index: usize, message: ToMachine, last: bool) {
        let Some(life) = self.agent.members[index] else {
            return;
        };
        if last {
            self.agent.members[index] = None;
        }
        self.trace(|| format!("agent tells machine {index}: {message:?}"));
        self.tell_machine(index, life, message);
    }

    pub(super) fn loaded(&mut self, number: u32, life: u32) {
        let now = self.agenda.now();
        if let (true, Some(sender)) = (life == self.agent.life, &mut self.agent.sender) {
            sender.chunk(
                SessionChunk(number),
                Ok(self.payload.chunk(number).clone()),
                now.machine_time(),
            );
            self.run_agent();
        }
    }

    pub(super) fn agent_dies(&mut self) {
        self.trace(|| "the agent dies".to_owned());
        let now = self.agenda.now();
        self.agent.sender = None;
        for index in 0..self.machines.len() {
            let machine = &self.machines[index];
            let at = machine.cable.whole_from(now) + NOTICE_DEATH;
            self.agenda.at(
                at,
                Event::ToMachine {
                    machine: index,
                    life: machine.life,
                    message: ToMachine::Dropped,
                },
            );
        }
    }

    pub(super) fn agent_starts(&mut self) {
        self.trace(|| "the agent is back".to_owned());
        let now = self.agenda.now();
        let mut agent = Agent::new(&self.scenario, self.agent.life + 1, now);
        std::mem::swap(&mut agent.line, &mut self.agent.line);
        std::mem::swap(&mut agent.counts, &mut self.agent.counts);
        self.agent = agent;
        self.agenda.at(now, Event::WakeAgent);
    }
}

fn describe(status: &SenderStatus) -> String {
    let mut line = format!(
        "sender: {:?}, pass {}, {}, {} packets, {} repair bytes;",
        status.phase, status.pass, status.rate, status.packets, status.repair_bytes
    );
    for receiver in &status.receivers {
        let ReceiverStatus {
            wanted,
            loss_ppm,
            groups_behind,
            fill_percent,
            ..
        } = receiver;
        let _ = write!(
            line,
            " {}: {wanted} -{loss_ppm} {groups_behind} {fill_percent}%;",
            receiver.receiver.0
        );
    }
    line
}

/// Fetches by unicast.
impl World {
    pub(super) fn wake_feeds(&mut self) {
        let now = self.agenda.now();
        if self.agent.feeds_at.is_some_and(|at| at <= now) {
            self.agent.feeds_at = None;
            self.run_feeds();
        }
    }

    /// Sends segments, one machine after the other, as long as their share of the line lasts.
    fn run_feeds(&mut self) {
        let now = self.agenda.now();
        if !self.agent.is_up() {
            return;
        }
        let rate = self.fetch_rate();
        let most = 4 * u32::from(self.scenario.session.symbol_bytes);
        let machines = self.machines.len();
        let mut idle = 0;
        while idle < machines {
            let index = self.agent.next_feed % machines;
            self.agent.next_feed = (index + 1) % machines;
            let (life, feed) = &mut self.agent.feeds[index];
            let (life, segment) = (*life, feed.peek(most));
            let Some(segment) = segment else {
                idle += 1;
                continue;
            };
            idle = 0;
            let bytes = segment.bytes as usize + SEGMENT_OVERHEAD;
            let taken = self.agent.share.take(now, rate, bytes);
            let waits = taken.and_then(|()| self.agent.line.offer(now, bytes).ok_or(FEED_RETRY));
            match waits {
                Ok(out) => {
                    self.agent.feeds[index].1.sent(segment);
                    self.agenda.at(
                        out,
                        Event::SegmentAtSwitch {
                            machine: index,
                            life,
                            segment,
                        },
                    );
                }
                Err(span) => {
                    let span = span.min(STREAM_PAUSE);
                    // The same machine's turn again.
                    self.agent.next_feed = index;
                    self.feeds_in(span);
                    return;
                }
            }
        }
    }

    fn feeds_in(&mut self, span: Nanos) {
        let at = self.agenda.now() + span;
        if self.agent.feeds_at.is_none_or(|before| at < before) {
            self.agent.feeds_at = Some(at);
            self.agenda.at(at, Event::WakeFeeds);
        }
    }

    /// Bytes per second that fetches may have: little while the stream needs the line, all that it
    /// leaves otherwise.
    fn fetch_rate(&self) -> f64 {
        let pace = self.scenario.pace() as f64;
        if self.agenda.now().since(self.agent.symbol_at) < STREAM_PAUSE {
            pace * FETCH_SHARE
        } else {
            pace
        }
    }

    pub(super) fn segment_done(&mut self, index: usize, life: u32) {
        let (of, feed) = &mut self.agent.feeds[index];
        if *of == life {
            feed.acknowledged();
            self.run_feeds();
        }
    }

    pub(super) fn segment_lost(&mut self, index: usize, life: u32, segment: Segment) {
        let (of, feed) = &mut self.agent.feeds[index];
        if *of == life {
            feed.lost(segment);
            self.run_feeds();
        }
    }
}
