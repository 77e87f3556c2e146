#![allow(dead_code)] // each test uses a part of it

//! A link without delay, with loss, and a clock that jumps.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use foghorn_multicast::{
    ChunkSet, Deficit, Epoch, GroupNumber, IpVersion, KeyMaterial, Opener, Rate, Receiver,
    ReceiverAction, ReceiverConfig, ReceiverId, Report, Sealer, Sender, SenderAction, SenderConfig,
    SessionChunk, SessionTag, Stage, Suite, Time,
};

/// What to run.
#[derive(Clone)]
pub(crate) struct Spec {
    pub(crate) receivers: u32,
    /// How many of them join when about a third has been sent.
    pub(crate) late: u32,
    pub(crate) chunks: u32,
    pub(crate) chunk_size: usize,
    pub(crate) loss: f64,
    pub(crate) rate: Rate,
    pub(crate) suite: Suite,
    /// Whether packets are sealed and opened; many receivers take long to open them all.
    pub(crate) sealed: bool,
    /// What every receiver wants; all when `None`.
    pub(crate) wants: Option<ChunkSet>,
    pub(crate) seed: u64,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            receivers: 1,
            late: 0,
            chunks: 24,
            chunk_size: 300_000,
            loss: 0.0,
            rate: Rate::from_megabits(200),
            suite: Suite::Aes128Gcm,
            sealed: true,
            wants: None,
            seed: 1,
        }
    }
}

/// What is wrong with a machine.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Trouble {
    Nothing,
    /// Is gone after so long.
    DiesAfter(Duration),
    /// Loses so many more of a thousand.
    Loses(u32),
    /// Its disk takes so many bytes per second of compressed chunks.
    SlowDisk(u64),
    /// Says about every group that much of it is missing.
    Lies,
}

/// One machine.
pub(crate) struct Machine {
    pub(crate) opener: Opener,
    pub(crate) receiver: Receiver,
    pub(crate) got: BTreeMap<SessionChunk, Bytes>,
    pub(crate) completed: Option<Time>,
    pub(crate) trouble: Trouble,
    pub(crate) sent_away: Option<String>,
    pub(crate) most_memory: usize,
    disk_free: Time,
    joined: bool,
    wake: Time,
    member: bool,
}

/// Sender, receivers and the link between them.
pub(crate) struct Lan {
    pub(crate) spec: Spec,
    pub(crate) sender: Sender,
    pub(crate) machines: Vec<Machine>,
    pub(crate) now: Time,
    began: Time,
    sealer: Sealer,
    chunks: Vec<Bytes>,
    random: fastrand::Rng,
}

const SYMBOL: usize = 1432;

impl Lan {
    pub(crate) fn new(spec: Spec) -> Self {
        let mut random = fastrand::Rng::with_seed(spec.seed);
        let chunks = (0..spec.chunks).map(|_| {
            let size = random.usize(spec.chunk_size / 2..spec.chunk_size);
            (0..size).map(|_| random.u8(..)).collect()
        });
        let chunks = chunks.collect();
        let material = KeyMaterial {
            session: SessionTag(7),
            epoch: Epoch(0),
            suite: spec.suite,
            secret: [9; 32],
        };
        let now = Time::from_micros(5_000_000);
        let config = SenderConfig {
            max_rate: Some(spec.rate),
            ..SenderConfig::new(spec.chunks, SYMBOL, IpVersion::V4)
        };
        let wants = spec.wants.clone().unwrap_or(ChunkSet::all(spec.chunks));
        let machines = (0..spec.receivers).map(|id| Machine {
            opener: Opener::new(&material),
            receiver: Receiver::new(
                ReceiverConfig::new(spec.chunks, SYMBOL),
                wants.clone(),
                u64::from(id),
                now,
            )
            .unwrap(),
            got: BTreeMap::new(),
            completed: None,
            trouble: Trouble::Nothing,
            sent_away: None,
            most_memory: 0,
            disk_free: now,
            joined: false,
            wake: now,
            member: false,
        });
        let machines = machines.collect();
        let sender = Sender::new(config, 3, now).unwrap();
        Self {
            spec,
            sender,
            machines,
            now,
            began: now,
            sealer: Sealer::new(&material),
            chunks,
            random,
        }
    }

    pub(crate) fn payload(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }

    fn join(&mut self, id: usize) {
        let wants = self.machines[id].receiver.missing().clone();
        self.sender
            .join(ReceiverId(id as u32), wants, self.now)
            .unwrap();
        let machine = &mut self.machines[id];
        (machine.joined, machine.member, machine.wake) = (true, true, self.now);
    }

    /// Runs until the sender says that it is over.
    pub(crate) fn run(&mut self) {
        let early = (self.spec.receivers - self.spec.late) as usize;
        (0..early).for_each(|id| self.join(id));
        self.sender.start(self.now);
        let deadline = self.now + Duration::from_secs(60);
        let mut datagram = Vec::new();
        while self.now < deadline {
            let third = self.sender.status().payload_bytes > self.payload() / 3;
            if third && !self.machines.iter().all(|machine| machine.joined) {
                (early..self.machines.len()).for_each(|id| self.join(id));
            }
            let Some(wake) = self.serve_sender(&mut datagram) else {
                return;
            };
            self.serve_receivers();
            let next = self
                .machines
                .iter()
                .filter(|machine| machine.joined)
                .map(|machine| machine.wake)
                .min();
            self.now = next
                .map_or(wake, |next| next.min(wake))
                .max(self.now + Duration::from_micros(1));
        }
        panic!("not over in time: {:?}", self.sender.status());
    }

    /// `None` when the session is over.
    fn serve_sender(&mut self, datagram: &mut Vec<u8>) -> Option<Time> {
        loop {
            match self.sender.poll(self.now) {
                SenderAction::Send(packet) => {
                    datagram.clear();
                    if self.spec.sealed {
                        self.sealer.seal(&packet, datagram).unwrap();
                    }
                    for machine in self.machines.iter_mut().filter(|machine| machine.joined) {
                        let more = match machine.trouble {
                            Trouble::DiesAfter(time) if self.now.since(self.began) > time => 1.0,
                            Trouble::Loses(thousandths) => f64::from(thousandths) / 1000.0,
                            _ => 0.0,
                        };
                        if self.random.f64() < self.spec.loss + more {
                            continue;
                        }
                        if self.spec.sealed {
                            let mut datagram = datagram.clone();
                            machine
                                .receiver
                                .packet(&machine.opener.open(&mut datagram).unwrap(), self.now);
                        } else {
                            machine.receiver.packet(&packet, self.now);
                        }
                        machine.wake = self.now;
                    }
                }
                SenderAction::Load(number) => {
                    let bytes = self.chunks[number.0 as usize].clone();
                    self.sender.chunk(number, Ok(bytes), self.now);
                }
                SenderAction::Wait(until) => return Some(until),
                SenderAction::Over => return None,
                SenderAction::Unicast { receiver, chunks } => {
                    let machine = &mut self.machines[receiver.0 as usize];
                    machine.receiver.forgo(&chunks);
                    for number in chunks.iter() {
                        machine
                            .got
                            .insert(number, self.chunks[number.0 as usize].clone());
                        machine.receiver.chunk_done(number);
                    }
                }
                SenderAction::Demote { receiver, reason } => {
                    self.send_away(receiver, reason.to_string())
                }
                SenderAction::Drop { receiver } => self.send_away(receiver, "silent".to_owned()),
                SenderAction::Finished { receiver } => {
                    self.machines[receiver.0 as usize].member = false
                }
                SenderAction::RotateKey => {}
            }
        }
    }

    fn send_away(&mut self, receiver: ReceiverId, reason: String) {
        let machine = &mut self.machines[receiver.0 as usize];
        machine.sent_away = Some(format!("{reason} after {:?}", self.now.since(self.began)));
        (machine.joined, machine.member) = (false, false);
    }

    fn serve_receivers(&mut self) {
        let now = self.now;
        for (id, machine) in self
            .machines
            .iter_mut()
            .enumerate()
            .filter(|(_, m)| m.joined && m.wake <= now)
        {
            if matches!(machine.trouble, Trouble::DiesAfter(time) if now.since(self.began) > time) {
                machine.wake = now + Duration::from_secs(1);
                continue;
            }
            machine.most_memory = machine.most_memory.max(machine.receiver.memory());
            while let Some(chunk) = (machine.disk_free <= now)
                .then(|| machine.receiver.take_chunk())
                .flatten()
            {
                if let Trouble::SlowDisk(rate) = machine.trouble {
                    machine.disk_free =
                        now + Duration::from_micros(chunk.len() as u64 * 1_000_000 / rate);
                    machine.receiver.pressure(Stage::Disk, 100);
                }
                let number = chunk.number;
                let bytes = chunk.into_bytes();
                assert_eq!(bytes, self.chunks[number.0 as usize], "chunk {number:?}");
                assert!(
                    machine.got.insert(number, bytes).is_none(),
                    "chunk {number:?} came twice"
                );
                machine.receiver.chunk_done(number);
            }
            loop {
                match machine.receiver.poll(now) {
                    ReceiverAction::Report(mut report) => {
                        if machine.trouble == Trouble::Lies {
                            let newest = (report.as_of / 200) as u32;
                            let groups = newest.saturating_sub(40)..newest + 40;
                            let missing = Some(60);
                            report.deficits = groups
                                .map(|n| Deficit {
                                    group: GroupNumber(n),
                                    missing,
                                })
                                .collect();
                        }
                        let report = Report::decode(&report.encode()).unwrap();
                        self.sender.report(ReceiverId(id as u32), &report, now);
                    }
                    ReceiverAction::Have(chunks) => {
                        let chunks = ChunkSet::decode(&chunks.encode(), self.spec.chunks).unwrap();
                        self.sender.have(ReceiverId(id as u32), &chunks);
                    }
                    ReceiverAction::NotHeard(unheard) => panic!("receiver {id}: {unheard:?}"),
                    ReceiverAction::Wait(until) => {
                        break machine.wake =
                            until.min(machine.disk_free.max(now + Duration::from_millis(1)));
                    }
                }
            }
            if machine.receiver.is_complete() {
                machine.completed.get_or_insert(now);
            }
        }
    }

    /// From the start to the last chunk of the last receiver that has no trouble.
    pub(crate) fn slowest(&self) -> Duration {
        let healthy = self
            .machines
            .iter()
            .filter(|machine| machine.trouble == Trouble::Nothing);
        let ends = healthy.map(|machine| machine.completed.map(|at| at.since(self.began)));
        ends.collect::<Option<Vec<_>>>()
            .unwrap()
            .into_iter()
            .max()
            .unwrap()
    }

    pub(crate) fn assert_all_complete(&self) {
        let healthy = self
            .machines
            .iter()
            .enumerate()
            .filter(|(_, machine)| machine.trouble == Trouble::Nothing);
        for (id, machine) in healthy {
            assert_eq!(machine.sent_away, None, "receiver {id}");
            assert!(
                machine.receiver.is_complete(),
                "receiver {id} lacks {:?}",
                machine.receiver.missing()
            );
            let wanted = self
                .spec
                .wants
                .clone()
                .unwrap_or(ChunkSet::all(self.spec.chunks));
            assert!(
                wanted.iter().eq(machine.got.keys().copied()),
                "receiver {id}"
            );
            assert!(!machine.member, "receiver {id} is still a member");
        }
    }
}
