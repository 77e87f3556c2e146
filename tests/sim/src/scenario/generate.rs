//! A scenario from a seed.

use fastrand::Rng;

use super::{AttackShape, Fate, ImageShape, MachineShape, Scenario, SessionShape, TrunkShape};
use crate::network::{CableShape, DATAGRAM_OVERHEAD, Loss, PipeShape};

/// Deliveries of packets in a run, about: what keeps a run short enough to make ten thousand of
/// them in a test.
const DELIVERIES: u32 = 6500;

/// Bytes of a packet beside its symbol, about.
const PACKET_OVERHEAD: u64 = DATAGRAM_OVERHEAD as u64 + 40;

impl Scenario {
    /// The scenario of a seed, always the same one.
    #[must_use]
    pub fn generate(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let receivers = receivers(&mut rng);
        let packets = rng.u32(80..=1600).min(DELIVERIES / receivers).max(60);
        let symbol_bytes = rng.u16(32..=128) * 2;
        let group_symbols = rng.u16(8..=48);
        let chunk_bytes = rng.u32(1..=20) * u32::from(symbol_bytes);
        let payload = u64::from(packets) * u64::from(symbol_bytes);
        let chunks = (payload / (u64::from(chunk_bytes) * 5 / 8)).clamp(3, 2000) as u32;
        let wire = u64::from(packets) * (u64::from(symbol_bytes) + PACKET_OVERHEAD);
        // From 1.6 Mbit/s: no session is slower than 1 Mbit/s. The search for a rate begins at 100.
        let searched = rng.f64() < 0.3;
        let rate = (200_000.0 * if searched { 40_f64 } else { 10_f64 }.powf(rng.f64())) as u64;
        let seconds = wire as f64 / rate as f64;
        let line = PipeShape {
            rate,
            queue: (rate / 20).max(16 * 1500),
        };
        let max_rate = if searched {
            0
        } else {
            rate * rng.u64(80..=98) / 100
        };
        let image = ImageShape {
            chunks,
            chunk_bytes,
            even: rng.bool(),
            load_us: rng.u32(0..=2000),
        };
        let session = SessionShape {
            symbol_bytes,
            group_symbols,
            max_rate,
            floor: rate * rng.u64(30..=60) / 100,
            window_bytes: (rate / 2).max(16 * u64::from(group_symbols) * u64::from(symbol_bytes))
                as u32,
            receiver_bytes: (payload / 4)
                .max(16 * u64::from(group_symbols) * u64::from(symbol_bytes))
                as u32,
        };
        let trunks = trunks(&mut rng, line);
        let behaviour = Behaviour::draw(&mut rng, rate, seconds);
        let machines = (0..receivers)
            .map(|_| behaviour.machine(&mut rng, trunks.len()))
            .collect();
        let attack = AttackShape {
            per_second: if rng.f64() < 0.2 { rng.u32(1..=300) } else { 0 },
        };
        let agent_restart_ms = (rng.f64() < 0.08).then(|| {
            let down = rng.u32(10..=(seconds * 1200.0) as u32 + 20);
            (down, down + rng.u32(50..=3000))
        });
        Self {
            seed,
            image,
            session,
            line,
            trunks,
            machines,
            attack,
            agent_restart_ms,
        }
    }
}

fn receivers(rng: &mut Rng) -> u32 {
    match rng.u32(0..100) {
        0..25 => rng.u32(1..=3),
        25..75 => rng.u32(3..=12),
        75..93 => rng.u32(12..=40),
        93..99 => rng.u32(40..=120),
        _ => rng.u32(120..=500),
    }
}

fn trunks(rng: &mut Rng, line: PipeShape) -> Vec<TrunkShape> {
    let pipe = PipeShape {
        rate: line.rate * 4,
        queue: line.queue * 4,
    };
    (0..rng.u32(1..=3))
        .map(|_| TrunkShape {
            pipe,
            loss: if rng.f64() < 0.25 {
                some_loss(rng, 0.04)
            } else {
                Loss::None
            },
        })
        .collect()
}

/// A loss of up to so much on average.
fn some_loss(rng: &mut Rng, most: f64) -> Loss {
    let mean = rng.f64() * most;
    if rng.f64() < 0.6 {
        return Loss::Independent(mean);
    }
    let (bad, to_good) = (0.3 + rng.f64() * 0.7, 0.05 + rng.f64() * 0.4);
    Loss::Bursty {
        to_bad: (mean * to_good / (bad - mean)).min(1.0),
        to_good,
        bad,
    }
}

/// What the machines of a scenario have in common.
struct Behaviour {
    rate: u64,
    /// Milliseconds that the transfer takes when nothing goes wrong.
    span_ms: u32,
    loss: f64,
    untidy: bool,
    skew_ms: u32,
    misfits: f64,
    previous: f64,
    report_loss: f64,
}

impl Behaviour {
    fn draw(rng: &mut Rng, rate: u64, seconds: f64) -> Self {
        let span_ms = (seconds * 1000.0) as u32 + 20;
        let sometimes = |rng: &mut Rng, share: f64, value: f64| {
            if rng.f64() < share {
                value * rng.f64()
            } else {
                0.0
            }
        };
        Self {
            rate,
            span_ms,
            loss: sometimes(rng, 0.5, 0.08),
            untidy: rng.f64() < 0.3,
            skew_ms: (sometimes(rng, 0.4, 1.5) * f64::from(span_ms)) as u32,
            misfits: sometimes(rng, 0.6, 0.6),
            previous: sometimes(rng, 0.3, 1.0),
            report_loss: sometimes(rng, 0.3, 0.3),
        }
    }

    fn machine(&self, rng: &mut Rng, trunks: usize) -> MachineShape {
        let pipe = PipeShape {
            rate: self.rate * rng.u64(2..=10),
            queue: (self.rate / 5).max(16 * 1500),
        };
        let mut cable = CableShape {
            delay_us: rng.u32(20..=2000),
            ..CableShape::clean(pipe)
        };
        if self.loss > 0.0 {
            cable.loss = some_loss(rng, self.loss);
        }
        if self.untidy {
            cable.jitter_us = rng.u32(0..=3000);
            cable.reorder = rng.f64() * 0.05;
            cable.reorder_us = rng.u32(0..=30_000);
            cable.duplicate = rng.f64() * 0.05;
            cable.garble = rng.f64() * 0.02;
        }
        let mut machine = MachineShape {
            trunk: rng.u8(0..trunks as u8),
            cable,
            disk_rate: self.rate * rng.u64(2..=10),
            start_ms: if self.skew_ms > 0 {
                rng.u32(0..=self.skew_ms)
            } else {
                0
            },
            has: if rng.f64() < self.previous {
                rng.f64()
            } else {
                0.0
            },
            report_loss: self.report_loss,
            fate: Fate::Works,
        };
        if rng.f64() < self.misfits {
            self.spoil(rng, &mut machine);
        }
        machine
    }

    fn spoil(&self, rng: &mut Rng, machine: &mut MachineShape) {
        let moment = |rng: &mut Rng| rng.u32(0..=self.span_ms * 5 / 4);
        match rng.u32(0..7) {
            0 => machine.disk_rate = (self.rate * rng.u64(5..=60) / 100).max(1),
            1 => machine.cable.pipe.rate = (self.rate * rng.u64(5..=60) / 100).max(1),
            2 => machine.cable.loss = some_loss(rng, 0.5),
            3 => machine.fate = Fate::Dies(moment(rng)),
            4 => {
                let from = moment(rng);
                machine.fate = Fate::Pauses(from, from + rng.u32(10..=4000));
            }
            5 => {
                let from = moment(rng);
                machine.cable.cuts_ms = vec![(from, from + rng.u32(10..=4000))];
            }
            _ => machine.fate = Fate::Lies,
        }
    }
}
