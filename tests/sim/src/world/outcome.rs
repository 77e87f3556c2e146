//! What a run came to.

use super::machine::{Counts, MachineState};
use super::{Nanos, World};
use crate::payload::Payload;
use crate::scenario::{Fate, Scenario};

/// A machine at the end of a run.
#[derive(Clone, Debug)]
pub struct MachineOutcome {
    /// Whether it is one that has to end with everything.
    pub must_finish: bool,
    /// When its disk was right.
    pub finished_at: Option<Nanos>,
    /// When it came.
    pub started_at: Option<Nanos>,
    /// Chunks that it lacks.
    pub lacks: u32,
    /// Packets with payload that it opened.
    pub packets: u64,
    /// Those of them for which it had no use.
    pub useless_packets: u64,
    /// Datagrams that were not authentic.
    pub rejected: u64,
    /// Chunks from the group that were not what the manifest says.
    pub bad_chunks: u64,
    /// Bytes of chunks that came by unicast.
    pub unicast_bytes: u64,
    /// The most that its receiver held, in bytes.
    pub most_held: usize,
    /// How often it was sent to unicast.
    pub demoted: u32,
    /// How often it had to join again.
    pub rejoined: u32,
}

/// A run at its end.
#[derive(Clone, Debug)]
pub struct RunOutcome {
    /// The machines, as in the scenario.
    pub machines: Vec<MachineOutcome>,
    /// When the run ended.
    pub ended_at: Nanos,
    /// Whether that was because all was done.
    pub is_over: bool,
    /// Packets sent to the group.
    pub packets: u64,
    /// Parity symbols among them.
    pub parity_packets: u64,
    /// Bytes of them on the wire.
    pub stream_bytes: u64,
    /// Bytes of the image, compressed.
    pub payload_bytes: u64,
    /// The most that the sender kept for repairs.
    pub most_window: usize,
    /// Machines that were dropped for silence, and when.
    pub dropped: Vec<(usize, Nanos)>,
    /// Machines that were sent to unicast, when and why.
    pub demoted: Vec<(usize, Nanos, String)>,
    /// Frames that the agent's own line dropped.
    pub line_drops: u64,
}

impl Scenario {
    /// Until when everything must be over: generous, because it is only there to notice what never
    /// ends.
    pub(super) fn deadline(&self, payload: &Payload) -> Nanos {
        let pace = self.pace() as f64;
        let image = payload.bytes() as f64 * 3.0;
        // At worst every machine fetches everything, one after the other, at its own speed.
        let slowest = |rate: u64| image / rate.max(1) as f64;
        let alone: f64 = self
            .machines
            .iter()
            .map(|shape| slowest(shape.cable.pipe.rate.min(shape.disk_rate)))
            .sum();
        let all = image / pace * (self.machines.len() as f64 + 2.0) + alone;
        let last = self.machines.iter().map(|shape| {
            let back = if let Fate::Pauses(_, to) = shape.fate {
                to
            } else {
                0
            };
            let whole = shape
                .cable
                .cuts_ms
                .iter()
                .map(|&(_, to)| to)
                .max()
                .unwrap_or(0);
            shape.start_ms.max(back).max(whole)
        });
        let last = last
            .max()
            .unwrap_or(0)
            .max(self.agent_restart_ms.map_or(0, |(_, up)| up));
        Nanos::millis(u64::from(last) + 30_000) + Nanos((all * 1e9) as u64)
    }
}

impl World {
    /// Everybody who has to has everything, and the sender is done with all of them.
    pub(super) fn is_over(&self) -> bool {
        let done =
            |state: &MachineState| matches!(state, MachineState::Finished | MachineState::Dead);
        let waiting = |index: usize| self.scenario.machines[index].fate != Fate::Lies;
        (0..self.machines.len()).all(|index| done(&self.machines[index].state) || !waiting(index))
            && self.agent.is_idle()
    }

    pub(super) fn outcome(self) -> RunOutcome {
        let is_over = self.is_over();
        let machines = self.machines.iter().map(|machine| {
            let Counts {
                started_at,
                finished_at,
                packets,
                useless_packets,
                rejected,
                ..
            } = machine.counts;
            let Counts {
                bad_chunks,
                unicast_bytes,
                most_held,
                demoted,
                rejoined,
                ..
            } = machine.counts;
            MachineOutcome {
                must_finish: !matches!(machine.shape.fate, Fate::Dies(_) | Fate::Lies),
                finished_at,
                started_at,
                lacks: machine.wants().len(),
                packets,
                useless_packets,
                rejected,
                bad_chunks,
                unicast_bytes,
                most_held,
                demoted,
                rejoined,
            }
        });
        let counts = &self.agent.counts;
        RunOutcome {
            machines: machines.collect(),
            ended_at: self.agenda.now(),
            is_over,
            packets: counts.packets,
            parity_packets: counts.parity_packets,
            stream_bytes: counts.stream_bytes,
            payload_bytes: self.payload.bytes(),
            most_window: counts.most_window,
            dropped: counts.dropped.clone(),
            demoted: counts.demoted.clone(),
            line_drops: self.agent.line.dropped(),
        }
    }
}
