//! The sending machine: reports in, packets out.

mod action;
mod config;
mod members;
mod policy;
mod rate_control;
mod repair;
mod source;
mod status;
mod upkeep;
mod window;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

pub use action::{DemoteReason, JoinError, ReceiverId, SenderAction, Unavailable};
pub use config::{Floor, IpVersion, SenderConfig, symbol_size_for};
pub use status::{ReceiverStatus, SenderStatus};

use crate::chunks::{ChunkSet, SessionChunk};
use crate::pacer::Pacer;
use crate::packet::{Body, Packet, Phase, SYMBOL_HEAD, Tick};
use crate::rate::Rate;
use crate::receiver::InvalidConfig;
use crate::report::Report;
use crate::seal::{HEADER, TAG};
use crate::time::Time;
use members::Members;
use rate_control::RateControl;
use repair::Proactive;
use source::Source;
use window::{Chosen, Window};

/// How often ticks go out between other packets.
const TICK_SENDING: Duration = Duration::from_millis(50);
/// How soon the first ticks after a pause follow each other; each gap is twice the last, up to
/// [`TICK_IDLE`].
const TICK_FIRST: Duration = Duration::from_millis(5);
const TICK_IDLE: Duration = Duration::from_millis(100);
/// How soon the probe goes out again while a receiver has not heard the group: one that has just
/// joined needs a moment to tell the network. Each gap is twice the last, up to [`PROBE_IDLE`].
const PROBE_FIRST: Duration = Duration::from_millis(5);
const PROBE_IDLE: Duration = Duration::from_millis(50);
/// How often receivers are looked after.
const UPKEEP_INTERVAL: Duration = Duration::from_millis(20);
/// How much is sent for each time the driver wakes: what the kernel takes in one call, as far as
/// that is no longer than the second and no shorter than the first of these.
const QUANTUM_BYTES: u64 = 60_000;
const QUANTUM_LEAST: Duration = Duration::from_millis(1);
const QUANTUM_MOST: Duration = Duration::from_millis(4);
/// Packet numbers begin here: zero means "none yet" in reports.
const FIRST_SEQUENCE: u64 = 1;

/// What `poll` has settled on, before the packet is borrowed from the window.
enum Next {
    Event(Event),
    Load(SessionChunk),
    Tick(Tick),
    Probe,
    Symbol(Chosen),
    Wait(Time),
}

#[derive(Debug)]
enum Event {
    Demote(ReceiverId, DemoteReason),
    Drop(ReceiverId),
    Unicast(ReceiverId, ChunkSet),
    Finished(ReceiverId),
    RotateKey,
    Over,
}

/// Sends the chunks that its receivers want to a multicast group.
///
/// It waits until [`start`](Self::start); receivers may join before and at any time after. Whatever
/// [`poll`](Self::poll) says is to be done at once, and `poll` called again until it says `Wait`.
#[derive(Debug)]
pub struct Sender {
    config: SenderConfig,
    phase: Phase,
    pass: u32,
    members: Members,
    source: Source,
    window: Window,
    pacer: Pacer,
    rate: RateControl,
    proactive: Proactive,
    /// Symbols of the stream sent so far, repairs not counted.
    fresh: u64,
    /// The pacer held packets back since the last look at the rate.
    was_held: bool,
    events: VecDeque<Event>,
    sequence: u64,
    tick_at: Time,
    tick_gap: Duration,
    probe_at: Time,
    probe_gap: Duration,
    upkeep_at: Time,
    /// Number of the first packet after the pass, and when that was.
    settling: (u64, Time),
    wire_bytes: u64,
    repair_bytes: u64,
}

impl Sender {
    /// A session that waits for its start. `seed`: so that sessions that share a link do not test
    /// its rate in step.
    ///
    /// # Errors
    /// What the session cannot be.
    pub fn new(config: SenderConfig, seed: u64, now: Time) -> Result<Self, InvalidConfig> {
        config.check()?;
        let rate = RateControl::new(config.max_rate, config.first_rate, seed, now);
        Ok(Self {
            phase: Phase::Waiting,
            pass: 1,
            members: Members::new(config.chunks),
            source: Source::new(config.group_size(), config.symbol_size, config.read_ahead),
            window: Window::new(config.symbol_size, config.window),
            pacer: Pacer::new(rate.rate(), config.catch_up, now),
            rate,
            proactive: Proactive::default(),
            fresh: 0,
            was_held: false,
            events: VecDeque::new(),
            sequence: FIRST_SEQUENCE,
            tick_at: now,
            tick_gap: TICK_FIRST,
            probe_at: now,
            probe_gap: PROBE_FIRST,
            upkeep_at: now,
            settling: (0, now),
            wire_bytes: 0,
            repair_bytes: 0,
            config,
        })
    }

    /// Begins to send.
    pub fn start(&mut self, now: Time) {
        if self.phase == Phase::Waiting {
            self.phase = Phase::Sending;
            self.tick_soon(now);
        }
    }

    /// A receiver wants `wants`. Who is a member already begins anew.
    ///
    /// # Errors
    /// Why not; it continues by unicast.
    pub fn join(
        &mut self,
        receiver: ReceiverId,
        wants: ChunkSet,
        now: Time,
    ) -> Result<(), JoinError> {
        let credit = repair::first_credit(self.config.data_symbols, self.members.len());
        self.members
            .join(receiver, wants, (credit, self.fresh), now)?;
        (self.probe_at, self.probe_gap) = (now, PROBE_FIRST);
        self.tick_soon(now);
        if self.phase == Phase::Over {
            self.begin_pass(1, None, now);
        }
        Ok(())
    }

    /// A receiver goes, with or without all it wanted.
    pub fn leave(&mut self, receiver: ReceiverId) {
        self.members.remove(receiver);
    }

    /// A receiver is shut out for good: the key changes.
    pub fn expel(&mut self, receiver: ReceiverId) {
        if self.members.expel(receiver) {
            self.events.push_back(Event::RotateKey);
        }
    }

    /// A receiver has these chunks, verified.
    pub fn have(&mut self, receiver: ReceiverId, chunks: &ChunkSet) {
        self.members.unwant(receiver, chunks);
        if let Some(member) = self.members.get_mut(receiver) {
            member.declared = member.declared.wrapping_add(chunks.len());
        }
    }

    /// A receiver wants these chunks, too. Ignored for a receiver that is not a member.
    pub fn want(&mut self, receiver: ReceiverId, chunks: &ChunkSet) {
        self.members.want(receiver, chunks);
    }

    /// A receiver's report.
    pub fn report(&mut self, receiver: ReceiverId, report: &Report, now: Time) {
        let members = self.members.len();
        let Some(member) = self.members.get_mut(receiver) else {
            return;
        };
        if report.as_of >= self.sequence {
            self.demote(receiver, DemoteReason::Contradiction, now);
            return;
        }
        member.heard_at = now;
        if report.as_of < member.report.as_of {
            return;
        }
        if member.report.as_of == 0 {
            // Who comes back has counted before, too.
            member.begin_counting(report, now);
        }
        member.report.clone_from(report);
        policy::look(
            member,
            self.config.data_symbols,
            symbol_wire_size(&self.config),
            now,
        );
        repair::schedule(
            &mut self.window,
            member,
            report,
            self.config.data_symbols,
            (self.fresh, members),
            now,
        );
    }

    /// The store's answer to [`SenderAction::Load`].
    pub fn chunk(&mut self, number: SessionChunk, bytes: Result<Bytes, Unavailable>, _now: Time) {
        self.source.loaded(number, bytes.ok());
    }

    /// Bounds the rate from now on, for instance because other sessions share the node's budget.
    pub fn set_max_rate(&mut self, max: Option<Rate>, now: Time) {
        self.rate.set_max(max, now);
        self.pacer.set_rate(self.rate.rate(), now);
    }

    /// So many bytes, headers included, have gone to the session's receivers beside the stream. The
    /// stream leaves them room on the line, up to a fiftieth of its own.
    pub fn beside(&mut self, bytes: u64) {
        self.pacer.beside(bytes);
    }

    /// How the session is doing.
    #[must_use]
    pub fn status(&self) -> SenderStatus {
        let next = policy::next_to_go(&self.members);
        let receivers = self
            .members
            .iter()
            .map(|(receiver, member)| ReceiverStatus {
                receiver,
                hears: member.hears(),
                loss_ppm: member.loss_ppm,
                parity_used: member.report.repaired,
                rejected: member.report.rejected,
                socket_drops: member.report.socket_drops,
                limiting: member.report.stage,
                fill_percent: member.report.fill_percent,
                wanted: member.wants.len(),
                groups_behind: member.report.deficits.len() as u32,
                next_unicast: next == Some(receiver),
            });
        SenderStatus {
            phase: self.phase,
            pass: self.pass,
            rate: self.pacer.rate(),
            payload_bytes: self.source.payload_bytes(),
            wire_bytes: self.wire_bytes,
            repair_bytes: self.repair_bytes,
            packets: self.sequence - FIRST_SEQUENCE,
            window_bytes: self.window.memory(),
            receivers: receivers.collect(),
        }
    }

    /// Bytes kept for repairs.
    #[must_use]
    pub const fn window_bytes(&self) -> usize {
        self.window.memory()
    }

    /// What to do now. Call it again after every action but `Wait`.
    pub fn poll(&mut self, now: Time) -> SenderAction<'_> {
        let next = self.next(now);
        let sequence = self.sequence;
        let body = match next {
            Next::Event(event) => return event.into(),
            Next::Load(number) => return SenderAction::Load(number),
            Next::Wait(until) => return SenderAction::Wait(until),
            Next::Tick(tick) => Body::Tick(tick),
            Next::Probe => Body::Probe {
                padding: self.config.symbol_size as u16,
            },
            Next::Symbol(chosen) => Body::Symbol(
                self.window
                    .symbol(chosen)
                    .expect("the window holds the group that was chosen"),
            ),
        };
        let wire =
            u64::from(self.config.packet_overhead) + (HEADER + body.encoded_len() + TAG) as u64;
        self.pacer.sent(wire);
        self.wire_bytes += wire;
        if matches!(next, Next::Symbol(chosen) if chosen.is_parity || chosen.is_repair) {
            self.repair_bytes += wire;
        }
        self.sequence += 1;
        SenderAction::Send(Packet { sequence, body })
    }

    fn next(&mut self, now: Time) -> Next {
        if now >= self.upkeep_at {
            self.forgive_absence(now);
            self.upkeep(now);
            self.upkeep_at = now + UPKEEP_INTERVAL;
        }
        if let Some(event) = self.events.pop_front() {
            return Next::Event(event);
        }
        if self.phase == Phase::Sending
            && let Some(number) = self.source.next_load(&self.members)
        {
            return Next::Load(number);
        }
        if !self.pacer.is_open(now) {
            self.was_held = true;
            let quantum = self
                .pacer
                .rate()
                .time_for(QUANTUM_BYTES)
                .clamp(QUANTUM_LEAST, QUANTUM_MOST);
            return Next::Wait(self.pacer.opens_at(quantum).min(self.upkeep_at));
        }
        if now >= self.tick_at {
            return Next::Tick(self.make_tick(now));
        }
        if now >= self.probe_at {
            self.probe_at = now + self.probe_gap;
            self.probe_gap = (self.probe_gap * 2).min(PROBE_IDLE);
            if self.members.iter().any(|(_, member)| !member.hears()) {
                return Next::Probe;
            }
        }
        match self.next_symbol(now) {
            Some(chosen) => Next::Symbol(chosen),
            None => Next::Wait(self.tick_at.min(self.upkeep_at).max(now)),
        }
    }

    fn next_symbol(&mut self, now: Time) -> Option<Chosen> {
        if let Some(repair) = self.window.take_repair(self.sequence) {
            return Some(repair);
        }
        if let Some(first) = self.take_first(now) {
            if self.window.is_sent() && self.source.is_empty() {
                self.settle(now);
            }
            return Some(first);
        }
        if self.phase != Phase::Sending {
            return None;
        }
        let Some((data, first_chunk)) = self.source.next_group(&self.members) else {
            if self.source.is_empty() {
                self.settle(now);
            }
            return None;
        };
        let upper_loss = policy::upper_loss(&self.members);
        self.proactive
            .update(upper_loss, self.config.data_symbols, now);
        let proactive = if self.source.is_empty() {
            let data_symbols = (data.len() / self.config.symbol_size) as u8;
            self.proactive.count_for_last(upper_loss, data_symbols)
        } else {
            self.proactive.count()
        };
        self.window
            .push(data, first_chunk, self.pass as u8, proactive);
        self.tick_gap = TICK_FIRST;
        self.take_first(now)
    }

    fn make_tick(&mut self, now: Time) -> Tick {
        let gap = if self.phase == Phase::Sending && !self.window.is_sent() {
            TICK_SENDING
        } else {
            self.tick_gap
        };
        self.tick_gap = (self.tick_gap * 2).min(TICK_IDLE);
        self.tick_at = now + gap;
        Tick {
            phase: self.phase,
            pass: self.pass as u8,
            next_group: self.window.next_group(),
            oldest_group: self.window.oldest_group(),
            report_interval_ms: self.report_interval().as_millis() as u16,
        }
    }

    /// How far apart reports should be so that all of them together stay cheap.
    fn report_interval(&self) -> Duration {
        let members = self.members.len() as u64;
        match self.phase {
            Phase::Settling => Duration::from_micros((members * 100).clamp(5_000, 100_000)),
            _ => Duration::from_micros((members * 250).clamp(20_000, 200_000)),
        }
    }

    fn tick_soon(&mut self, now: Time) {
        self.tick_at = self.tick_at.min(now);
        self.tick_gap = TICK_FIRST;
    }

    fn take_first(&mut self, now: Time) -> Option<Chosen> {
        let first = self.window.take_first(self.sequence, now)?;
        self.fresh += 1;
        Some(first)
    }
}

impl From<Event> for SenderAction<'_> {
    fn from(event: Event) -> Self {
        match event {
            Event::Demote(receiver, reason) => Self::Demote { receiver, reason },
            Event::Drop(receiver) => Self::Drop { receiver },
            Event::Unicast(receiver, chunks) => Self::Unicast { receiver, chunks },
            Event::Finished(receiver) => Self::Finished { receiver },
            Event::RotateKey => Self::RotateKey,
            Event::Over => Self::Over,
        }
    }
}

/// Wire bytes of a packet with a symbol of this size.
#[must_use]
pub const fn symbol_wire_size(config: &SenderConfig) -> u64 {
    config.packet_overhead as u64 + (HEADER + SYMBOL_HEAD + config.symbol_size + TAG) as u64
}
