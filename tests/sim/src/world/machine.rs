//! A machine that is imaged: its receiver, its disk, and what it tells the agent.

use std::collections::BTreeMap;

use bytes::Bytes;
use foghorn_multicast::{
    Body, ChunkSet, Deficit, GroupNumber, KeyMaterial, Opener, Receiver, ReceiverAction,
    ReceiverConfig, Report, SessionChunk, Stage,
};

use super::control::Channel;
use super::message::{ToAgent, ToMachine};
use crate::clock::Nanos;
use crate::disk::Disk;
use crate::network::Cable;
use crate::payload::Payload;
use crate::scenario::{Fate, MachineShape, Scenario};

/// What a machine is at.
#[derive(Debug)]
pub(super) enum MachineState {
    /// Not there: not yet, or not at the moment.
    Absent,
    /// Has asked to join.
    Joining,
    /// Listens to the group.
    Listening(Box<Listener>),
    /// Fetches what it lacks over its connection.
    Fetching,
    /// Has everything.
    Finished,
    /// Gone for good.
    Dead,
}

/// The receiver and its keys.
#[derive(Debug)]
pub(super) struct Listener {
    receiver: Receiver,
    opener: Opener,
    highest_group: Option<u32>,
}

/// What a machine wants done after it has been given the processor.
#[derive(Debug)]
pub(super) enum Wish {
    /// A message on its connection.
    Tell(ToAgent),
    /// A chunk will have been written then.
    Written(Nanos),
    /// The processor again, then.
    Wake(Nanos),
}

/// What was counted on one machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// When it came.
    pub(super) started_at: Option<Nanos>,
    /// When its disk was right.
    pub(super) finished_at: Option<Nanos>,
    /// Authentic packets of the group with payload.
    pub(super) packets: u64,
    /// Those of them that it had no use for.
    pub(super) useless_packets: u64,
    /// Datagrams that were not authentic.
    pub(super) rejected: u64,
    /// Chunks from the group that were not what the manifest says.
    pub(super) bad_chunks: u64,
    /// Bytes of chunks that came by unicast.
    pub(super) unicast_bytes: u64,
    /// The most that its receiver ever held, in bytes.
    pub(super) most_held: usize,
    /// How often it was told to go on by unicast.
    pub(super) demoted: u32,
    /// How often it heard that it was dropped, or lost its agent.
    pub(super) rejoined: u32,
}

/// A machine.
#[derive(Debug)]
pub(super) struct Machine {
    /// What it is like.
    pub(super) shape: MachineShape,
    /// Its cable.
    pub(super) cable: Cable,
    /// Its connection, towards the agent.
    pub(super) up: Channel,
    /// Its connection, from the agent.
    pub(super) down: Channel,
    /// Counts its connections: what was said on an earlier one is not heard any more.
    pub(super) life: u32,
    /// What it is at.
    pub(super) state: MachineState,
    /// What was counted.
    pub(super) counts: Counts,
    /// When it has asked for the processor.
    pub(super) wake_at: Option<Nanos>,
    /// Counts its boots: what lay in its memory before the last one is gone.
    pub(super) boot: u32,
    wants: ChunkSet,
    disk: Disk,
    /// Chunks asked for by unicast.
    fetching: ChunkSet,
    /// Bytes that have come of each of them.
    fetched: BTreeMap<u32, u32>,
    memory: usize,
    seed: u64,
}

impl Machine {
    /// A machine that has not come yet.
    #[must_use]
    pub(super) fn new(scenario: &Scenario, index: usize, payload: &Payload) -> Self {
        let shape = scenario.machines[index].clone();
        let seed = scenario.seed ^ (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut wants = ChunkSet::new();
        for number in 0..payload.count() {
            if rng.f64() >= shape.has {
                wants.insert(SessionChunk(number));
            }
        }
        Self {
            cable: Cable::new(shape.cable.clone(), seed ^ 1),
            up: Channel::default(),
            down: Channel::default(),
            life: 0,
            state: MachineState::Absent,
            counts: Counts::default(),
            wake_at: None,
            wants,
            boot: 0,
            disk: Disk::new(shape.disk_rate),
            fetching: ChunkSet::new(),
            fetched: BTreeMap::new(),
            memory: scenario.session.receiver_bytes as usize,
            seed,
            shape,
        }
    }

    /// Chunks that are not on its disk.
    #[must_use]
    pub(super) fn wants(&self) -> &ChunkSet {
        &self.wants
    }

    /// Whether it has its disk right.
    #[must_use]
    pub(super) fn is_finished(&self) -> bool {
        matches!(self.state, MachineState::Finished)
    }

    /// Whether it listens to the group.
    #[must_use]
    pub(super) fn is_listening(&self) -> bool {
        matches!(self.state, MachineState::Listening(_))
    }

    /// It comes, or comes back: what lay in memory is gone, what is on its disk is still there.
    pub(super) fn start(&mut self, now: Nanos) -> ToAgent {
        self.life += 1;
        self.counts.started_at.get_or_insert(now);
        self.boot += 1;
        self.disk = Disk::new(self.shape.disk_rate);
        self.fetching = ChunkSet::new();
        self.fetched.clear();
        self.state = MachineState::Joining;
        ToAgent::Join(self.wants.clone())
    }

    /// Its connection is gone: it will ask again, on a new one. What waits for the disk is written
    /// all the same.
    pub(super) fn rejoin(&mut self) -> ToAgent {
        self.life += 1;
        self.counts.rejoined += 1;
        self.fetching = ChunkSet::new();
        self.fetched.clear();
        self.state = MachineState::Joining;
        ToAgent::Join(self.lacks())
    }

    /// The group's key and shape have come.
    pub(super) fn joined(
        &mut self,
        scenario: &Scenario,
        payload: &Payload,
        material: &KeyMaterial,
        now: Nanos,
    ) {
        let mut config =
            ReceiverConfig::new(payload.count(), usize::from(scenario.session.symbol_bytes));
        config.memory = self.memory;
        let seed = self.seed ^ u64::from(self.life);
        let receiver = Receiver::new(config, self.lacks(), seed, now.machine_time())
            .expect("a scenario's session is a valid one");
        self.state = MachineState::Listening(Box::new(Listener {
            receiver,
            opener: Opener::new(material),
            highest_group: None,
        }));
    }

    /// A datagram of the group has come.
    pub(super) fn datagram(&mut self, datagram: &mut [u8], now: Nanos) {
        let MachineState::Listening(listener) = &mut self.state else {
            return;
        };
        let Ok(packet) = listener.opener.open(datagram) else {
            self.counts.rejected += 1;
            let rejected = listener.opener.counts().rejected();
            listener.receiver.count_datagrams(rejected, 0);
            return;
        };
        if let Body::Symbol(symbol) = &packet.body {
            listener.highest_group = listener.highest_group.max(Some(symbol.group.0));
            self.counts.packets += 1;
        }
        let useless = listener.receiver.useless();
        listener.receiver.packet(&packet, now.machine_time());
        self.counts.useless_packets += listener.receiver.useless() - useless;
        self.counts.most_held = self.counts.most_held.max(listener.receiver.memory());
    }

    /// A message of the agent, other than [`ToMachine::Joined`].
    pub(super) fn message(&mut self, message: &ToMachine) -> Option<ToAgent> {
        match message {
            ToMachine::Key(material) => {
                if let MachineState::Listening(listener) = &mut self.state {
                    listener.opener.add(material);
                }
                None
            }
            ToMachine::Unicast(chunks) => {
                let MachineState::Listening(listener) = &mut self.state else {
                    return None;
                };
                listener.receiver.forgo(chunks);
                self.request(|lacks, chunk| lacks.contains(chunk) && chunks.contains(chunk))
            }
            ToMachine::Demoted => {
                self.counts.demoted += 1;
                self.fetch_all()
            }
            ToMachine::Finished => self.fetch_all(),
            ToMachine::Dropped => matches!(
                self.state,
                MachineState::Listening(_) | MachineState::Fetching | MachineState::Joining
            )
            .then(|| self.rejoin()),
            ToMachine::Joined(_) => None,
        }
    }

    /// Leaves the group and asks for all that is left.
    fn fetch_all(&mut self) -> Option<ToAgent> {
        if !matches!(
            self.state,
            MachineState::Listening(_) | MachineState::Joining
        ) {
            return None;
        }
        self.state = MachineState::Fetching;
        self.request(|lacks, chunk| lacks.contains(chunk))
    }

    /// Asks for those chunks that are not already on their way.
    fn request(&mut self, which: impl Fn(&ChunkSet, SessionChunk) -> bool) -> Option<ToAgent> {
        let lacks = self.lacks();
        let chunks: ChunkSet = lacks
            .iter()
            .filter(|&chunk| which(&lacks, chunk) && !self.fetching.contains(chunk))
            .collect();
        self.fetching.union_with(&chunks);
        (!chunks.is_empty()).then_some(ToAgent::Fetch(chunks))
    }

    /// Chunks that are neither on the disk nor wait for it.
    fn lacks(&self) -> ChunkSet {
        let mut wants = self.wants.clone();
        for number in self.disk.numbers() {
            wants.remove(SessionChunk(number));
        }
        wants
    }

    /// A segment of a chunk has come by unicast; its bytes are the agent's.
    pub(super) fn segment(
        &mut self,
        payload: &Payload,
        chunk: u32,
        bytes: u32,
        now: Nanos,
    ) -> Option<Wish> {
        let right = payload.chunk(chunk);
        let got = self.fetched.entry(chunk).or_default();
        *got += bytes;
        if (*got as usize) < right.len() {
            return None;
        }
        self.fetched.remove(&chunk);
        self.counts.unicast_bytes += right.len() as u64;
        Some(Wish::Written(self.disk.push(now, chunk, right.clone())))
    }

    /// The chunk at the head of the disk's queue has been written.
    pub(super) fn written(&mut self, payload: &Payload) {
        let Some((number, bytes)) = self.disk.written() else {
            return;
        };
        assert!(
            payload.is_right(number, &bytes),
            "chunk {number} was written wrong"
        );
        let number = SessionChunk(number);
        self.wants.remove(number);
        if let MachineState::Listening(listener) = &mut self.state {
            listener.receiver.chunk_done(number);
        }
    }

    /// Whether it has just now become complete.
    pub(super) fn finish(&mut self, now: Nanos) -> bool {
        let complete = self.wants.is_empty()
            && !matches!(
                self.state,
                MachineState::Absent | MachineState::Finished | MachineState::Dead
            );
        if complete {
            self.counts.finished_at.get_or_insert(now);
            self.state = MachineState::Finished;
        }
        complete
    }

    /// Gives the receiver the processor: chunks go to the disk, reports to the agent.
    pub(super) fn run(&mut self, payload: &Payload, now: Nanos, wishes: &mut Vec<Wish>) {
        let MachineState::Listening(listener) = &mut self.state else {
            return;
        };
        while let Some(chunk) = listener.receiver.take_chunk() {
            let number = chunk.number;
            let bytes: Bytes = chunk.into_bytes();
            if payload.is_right(number.0, &bytes) {
                wishes.push(Wish::Written(self.disk.push(now, number.0, bytes)));
            } else {
                self.counts.bad_chunks += 1;
                listener.receiver.chunk_bad(number);
            }
        }
        let waiting = self.disk.waiting_bytes();
        let fill = (waiting * 100 / self.memory.max(1) as u64).min(100) as u8;
        listener.receiver.pressure(
            if fill > 0 {
                Stage::Disk
            } else {
                Stage::Network
            },
            fill,
        );
        loop {
            match listener.receiver.poll(now.machine_time()) {
                ReceiverAction::Report(report) => {
                    let report = if self.shape.fate == Fate::Lies {
                        lie(report, listener.highest_group)
                    } else {
                        report
                    };
                    wishes.push(Wish::Tell(ToAgent::Report(report.encode())));
                }
                ReceiverAction::Have(have) if self.shape.fate != Fate::Lies => {
                    wishes.push(Wish::Tell(ToAgent::Have(have)))
                }
                ReceiverAction::Have(_) => {}
                ReceiverAction::NotHeard(_) => {
                    wishes.push(Wish::Tell(ToAgent::Leave));
                    wishes.extend(self.fetch_all().map(Wish::Tell));
                    return;
                }
                ReceiverAction::Wait(until) => {
                    let soonest = Nanos::of_machine(now.machine_time()) + Nanos::micros(1);
                    wishes.push(Wish::Wake(Nanos::of_machine(until).max(soonest)));
                    return;
                }
            }
        }
    }
}

/// A report that claims that nothing has come, ever.
fn lie(mut report: Report, highest: Option<u32>) -> Report {
    let end = highest.map_or(0, |group| group + 1);
    report.deficits = (end.saturating_sub(200)..end)
        .map(|group| Deficit {
            group: GroupNumber(group),
            missing: Some(if group % 2 == 0 { u8::MAX } else { 40 }),
        })
        .collect();
    report
}
