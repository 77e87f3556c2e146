//! What happens in a run: the LAN, the machines on it, and what befalls them.

mod generate;
mod shrink;
mod summary;

use serde::{Deserialize, Serialize};

use crate::network::{CableShape, Loss, PipeShape};

pub use shrink::shrink;
pub use summary::Summary;

/// Everything that a run depends on. Made from a seed by [`Scenario::generate`], or by hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// Seed of all randomness in the run.
    pub seed: u64,
    /// The image.
    pub image: ImageShape,
    /// What the agent's sender is told.
    pub session: SessionShape,
    /// The agent's line into the switch.
    pub line: PipeShape,
    /// Switches behind the agent's; loss there is the same for all machines behind it.
    pub trunks: Vec<TrunkShape>,
    /// The machines.
    pub machines: Vec<MachineShape>,
    /// Packets of somebody who does not have the key.
    pub attack: AttackShape,
    /// The agent dies at the first of these milliseconds and is back at the second.
    pub agent_restart_ms: Option<(u32, u32)>,
}

/// The image that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageShape {
    /// How many chunks.
    pub chunks: u32,
    /// Length of the longest, in bytes.
    pub chunk_bytes: u32,
    /// Whether all are of that length.
    pub even: bool,
    /// How long the agent's store takes to read one, in microseconds.
    pub load_us: u32,
}

/// Settings of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionShape {
    /// Bytes of payload in a packet.
    pub symbol_bytes: u16,
    /// Data packets in a group.
    pub group_symbols: u16,
    /// Most bytes per second on the wire; 0: the sender finds out.
    pub max_rate: u64,
    /// Who cannot keep up with so many bytes per second is moved to unicast.
    pub floor: u64,
    /// Bytes of groups that the sender keeps for repair.
    pub window_bytes: u32,
    /// Bytes that a receiver may hold.
    pub receiver_bytes: u32,
}

/// A switch behind the agent's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrunkShape {
    /// Rate and queue of the line to it.
    pub pipe: PipeShape,
    /// Loss on that line.
    pub loss: Loss,
}

/// A machine that is imaged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineShape {
    /// Index of the trunk it is behind.
    pub trunk: u8,
    /// Its cable.
    pub cable: CableShape,
    /// Bytes per second that its disk writes.
    pub disk_rate: u64,
    /// When it comes, in milliseconds.
    pub start_ms: u32,
    /// Share of the chunks that its disk already has.
    pub has: f64,
    /// Share of its reports that get lost.
    pub report_loss: f64,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// It does what it should.
    Works,
    /// It dies at this millisecond and never comes back. Nobody is told.
    Dies(u32),
    /// It goes silent at the first of these milliseconds; at the second it comes back with what its
    /// disk has.
    Pauses(u32, u32),
    /// It claims that all of every group is missing, for ever.
    Lies,
}

/// What somebody without the key sends to the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackShape {
    /// Packets a second.
    pub per_second: u32,
}

impl MachineShape {
    /// Whether the machine is slower, deader or less honest than a session has to put up with.
    #[must_use]
    pub fn is_misfit(&self, scenario: &Scenario) -> bool {
        let needed = scenario.pace();
        self.fate != Fate::Works
            || self.disk_rate < needed
            || self.cable.pipe.rate < needed
            || !self.cable.cuts_ms.is_empty()
            || self.cable.loss.mean() > 0.1
    }
}

impl Scenario {
    /// Bytes per second at which the stream goes at most.
    #[must_use]
    pub fn pace(&self) -> u64 {
        match self.session.max_rate {
            0 => self.line.rate,
            limit => limit.min(self.line.rate),
        }
    }

    /// The same without the machines that are misfits. `None` if that changes nothing or leaves
    /// nobody. The second part maps the machines that stayed to their former indices.
    #[must_use]
    pub fn without_misfits(&self) -> Option<(Self, Vec<usize>)> {
        let stay: Vec<usize> = (0..self.machines.len())
            .filter(|&index| !self.machines[index].is_misfit(self))
            .collect();
        if stay.is_empty() || stay.len() == self.machines.len() {
            return None;
        }
        let machines = stay
            .iter()
            .map(|&index| self.machines[index].clone())
            .collect();
        Some((
            Self {
                machines,
                ..self.clone()
            },
            stay,
        ))
    }
}
