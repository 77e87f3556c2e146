//! The numbers that are promised, in virtual time and at realistic sizes.

use serde::Serialize;

use crate::network::{CableShape, Loss, PipeShape};
use crate::scenario::{
    AttackShape, Fate, ImageShape, MachineShape, Scenario, SessionShape, TrunkShape,
};
use crate::world::{RunOutcome, World};

/// Bytes per second of the line: 200 Mbit/s.
const LINE: u64 = 25_000_000;

/// MiB of payload in tests: the smallest with which what a session costs beside its stream does not
/// show in the ratios.
pub const TEST_MIB: u32 = 64;

/// One session.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// How many machines.
    pub clients: usize,
    /// Loss at each of them, in percent.
    pub loss_pct: f64,
    /// Seconds that the payload alone would take on the line.
    pub line_s: f64,
    /// Seconds until the last of the ordinary machines had everything.
    pub last_s: f64,
    /// `last_s` over `line_s`.
    pub over_line: f64,
    /// Bytes on the wire over bytes of payload.
    pub wire_share: f64,
    /// Parity over all packets sent.
    pub repair_share: f64,
    /// Packets that machines got and had no use for, over all that they got.
    pub duplicate_share: f64,
    /// Machines that were sent to unicast.
    pub demoted: Vec<String>,
}

/// A number that is promised.
#[derive(Clone, Debug, Serialize)]
pub struct Promise {
    /// What it is.
    pub name: String,
    /// What came out.
    pub measured: f64,
    /// The most that it may be.
    pub limit: f64,
}

/// All of them.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// MiB of payload.
    pub mib: u32,
    /// The sessions.
    pub cases: Vec<Case>,
    /// What they are held against.
    pub promises: Vec<Promise>,
}

impl Figures {
    /// Promises that are not kept, in words.
    #[must_use]
    pub fn missed(&self) -> Vec<String> {
        self.promises
            .iter()
            .filter(|promise| promise.measured > promise.limit || promise.measured.is_nan())
            .map(|promise| {
                format!(
                    "{}: {:.4}, at most {}",
                    promise.name, promise.measured, promise.limit
                )
            })
            .collect()
    }
}

/// Runs all cases with so many MiB of payload.
#[must_use]
pub fn measure(mib: u32) -> Figures {
    let mut bench = Bench {
        mib,
        cases: Vec::new(),
        promises: Vec::new(),
    };
    bench.flatness();
    bench.loss();
    bench.skewed();
    bench.misfits();
    Figures {
        mib,
        cases: bench.cases,
        promises: bench.promises,
    }
}

struct Bench {
    mib: u32,
    cases: Vec<Case>,
    promises: Vec<Promise>,
}

impl Bench {
    fn flatness(&mut self) {
        let one = self.run("one machine", scenario(self.mib, 1), 1);
        let eighty = self.run("80 machines", scenario(self.mib, 80), 80);
        self.promise("T(80) / T(1), no loss", eighty.last_s / one.last_s, 1.05);
        let eight = self.run("8 machines", scenario(self.mib, 8), 8);
        self.promise(
            "time over line time, 8 machines, no loss",
            eight.over_line,
            1.08,
        );
        self.promise(
            "wire over payload, 8 machines, no loss",
            eight.wire_share,
            1.08,
        );
    }

    fn loss(&mut self) {
        for (clients, percent, over, wire) in [(8, 1.0, 1.12, 1.12), (8, 5.0, 1.20, f64::INFINITY)]
        {
            let case = self.run("loss", lossy(self.mib, clients, percent), clients);
            self.promise(
                &format!("time over line time, {clients} machines, {percent} % loss"),
                case.over_line,
                over,
            );
            if wire.is_finite() {
                self.promise(
                    &format!("wire over payload, {clients} machines, {percent} % loss"),
                    case.wire_share,
                    wire,
                );
            }
        }
        let case = self.run("loss", lossy(self.mib, 80, 1.0), 80);
        self.promise(
            "repair share, 80 machines, 1 % loss",
            case.repair_share,
            0.05,
        );
    }

    fn skewed(&mut self) {
        let mut skewed = scenario(self.mib, 24);
        let third_ms = (self.line_s() * 1000.0 / 3.0) as u32;
        for (index, machine) in skewed.machines.iter_mut().enumerate() {
            machine.start_ms = third_ms * index as u32 / 23;
        }
        let case = self.run("starts skewed over a third", skewed, 24);
        self.promise(
            "duplicates, starts skewed over a third",
            case.duplicate_share,
            0.08,
        );
    }

    fn misfits(&mut self) {
        let well = self
            .run("8 machines, again", scenario(self.mib, 8), 8)
            .last_s;
        let middle_ms = (self.line_s() * 500.0) as u32;
        let mut dead = scenario(self.mib, 9);
        dead.machines[8].fate = Fate::Dies(middle_ms);
        let case = self.run("8 machines and one that dies", dead, 8);
        self.promise("seconds lost to one that dies", case.last_s - well, 1.0);
        let mut slow = scenario(self.mib, 9);
        slow.machines[8].cable.pipe.rate = LINE / 4;
        let case = self.run("8 machines and one with a line at a quarter", slow, 8);
        self.promise(
            "time with one slow line over time without",
            case.last_s / well,
            1.02,
        );
        let mut slow = scenario(self.mib, 9);
        slow.machines[8].disk_rate = LINE / 4;
        let case = self.run("8 machines and one with a disk at a quarter", slow, 8);
        self.promise(
            "time with one slow disk over time without",
            case.last_s / well,
            1.02,
        );
        let mut liar = scenario(self.mib, 9);
        liar.machines[8].fate = Fate::Lies;
        let case = self.run("8 machines and one that lies", liar, 8);
        self.promise(
            "time with one liar over time without",
            case.last_s / well,
            1.05,
        );
    }

    fn line_s(&self) -> f64 {
        f64::from(self.mib) * 1_048_576.0 / LINE as f64
    }

    fn promise(&mut self, name: &str, measured: f64, limit: f64) {
        self.promises.push(Promise {
            name: name.to_owned(),
            measured,
            limit,
        });
    }

    /// Runs a session; its first `ordinary` machines are timed.
    fn run(&mut self, name: &str, scenario: Scenario, ordinary: usize) -> Case {
        let outcome = World::new(&scenario).run();
        let case = self.case(name, &scenario, &outcome, ordinary);
        self.cases.push(case.clone());
        case
    }

    fn case(&self, name: &str, scenario: &Scenario, outcome: &RunOutcome, ordinary: usize) -> Case {
        let timed = &outcome.machines[..ordinary];
        let last_s = timed
            .iter()
            .map(|machine| machine.finished_at.map_or(f64::INFINITY, |at| at.as_secs()))
            .fold(0.0, f64::max);
        let sum = |count: fn(&crate::world::MachineOutcome) -> u64| {
            timed.iter().map(count).sum::<u64>() as f64
        };
        Case {
            name: name.to_owned(),
            clients: scenario.machines.len(),
            loss_pct: scenario.machines[0].cable.loss.mean() * 100.0,
            line_s: self.line_s(),
            last_s,
            over_line: last_s / self.line_s(),
            wire_share: outcome.stream_bytes as f64 / (f64::from(self.mib) * 1_048_576.0),
            repair_share: outcome.parity_packets as f64 / outcome.packets.max(1) as f64,
            duplicate_share: sum(|machine| machine.useless_packets)
                / sum(|machine| machine.packets).max(1.0),
            demoted: outcome
                .demoted
                .iter()
                .map(|(index, at, reason)| {
                    format!("machine {index} after {:.3} s: {reason}", at.as_secs())
                })
                .collect(),
        }
    }
}

fn lossy(mib: u32, clients: usize, percent: f64) -> Scenario {
    let mut scenario = scenario(mib, clients);
    for machine in &mut scenario.machines {
        machine.cable.loss = Loss::Independent(percent / 100.0);
    }
    scenario
}

/// A quiet LAN at 200 Mbit/s with disks that keep up.
#[must_use]
pub fn scenario(mib: u32, clients: usize) -> Scenario {
    let line = PipeShape {
        rate: LINE,
        queue: 512 << 10,
    };
    let machine = MachineShape {
        trunk: 0,
        cable: CableShape::clean(PipeShape {
            rate: LINE,
            queue: 512 << 10,
        }),
        disk_rate: 100 << 20,
        start_ms: 0,
        has: 0.0,
        report_loss: 0.0,
        fate: Fate::Works,
    };
    Scenario {
        seed: 1,
        image: ImageShape {
            chunks: mib * 2,
            chunk_bytes: 512 << 10,
            even: true,
            load_us: 500,
        },
        session: SessionShape {
            symbol_bytes: 1408,
            group_symbols: 192,
            max_rate: LINE * 99 / 100,
            floor: LINE / 2,
            window_bytes: 32 << 20,
            receiver_bytes: 64 << 20,
        },
        line,
        trunks: vec![TrunkShape {
            pipe: PipeShape {
                rate: LINE * 10,
                queue: 8 << 20,
            },
            loss: Loss::None,
        }],
        machines: vec![machine; clients],
        attack: AttackShape { per_second: 0 },
        agent_restart_ms: None,
    }
}
