//! One trouble: what is broken, how, and what makes it well again.

use anyhow::Result;
use foghorn_tests::wrong_clock;
use rustix::process::Signal;

use crate::machine::{Slot, hold};
use crate::part::Kind;
use crate::topology::{SERVERS, Site};

/// Round trip that a slow cable adds, as milliseconds each way.
const LATE: u32 = 100;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trouble {
    /// kill -9 of a part, by its index; it is started again.
    Killed(usize),
    /// SIGSTOP, then SIGCONT.
    Halted(usize),
    /// The time of day of a part is wrong.
    Clock(usize, i64),
    /// A machine is cut off.
    Cut(usize),
    /// 200 ms of delay.
    Late(usize),
    /// The disk of a machine is full.
    Full(usize),
    /// kill -9 of a client.
    ClientKilled(usize),
    ClientHalted(usize),
}

impl Trouble {
    /// The machine that it is about, by its place in the lab.
    pub(crate) fn machine(self, site: &Site) -> Option<usize> {
        match self {
            Self::Killed(part) | Self::Halted(part) | Self::Clock(part, _) => {
                Some(site.parts[part].machine)
            }
            Self::Cut(machine) | Self::Late(machine) | Self::Full(machine) => Some(machine),
            Self::ClientKilled(_) | Self::ClientHalted(_) => None,
        }
    }

    pub(crate) fn describe(self, site: &Site) -> String {
        let machine = |machine: usize| {
            if machine <= SERVERS {
                format!("server {}", machine - 1)
            } else if machine <= SERVERS + site.nodes {
                format!("node {}", machine - SERVERS - 1)
            } else {
                format!("a client's machine ({machine})")
            }
        };
        match self {
            Self::Killed(part) => format!("kill -9 of {}", site.parts[part].name),
            Self::Halted(part) => format!("SIGSTOP of {}", site.parts[part].name),
            Self::Clock(part, by) => format!("clock of {} moved by {by} s", site.parts[part].name),
            Self::Cut(place) => format!("cable of {} cut", machine(place)),
            Self::Late(place) => format!("200 ms of delay at {}", machine(place)),
            Self::Full(place) => format!("disk of {} full", machine(place)),
            Self::ClientKilled(client) => format!("kill -9 of client {client}"),
            Self::ClientHalted(client) => format!("SIGSTOP of client {client}"),
        }
    }

    pub(crate) fn begin(self, site: &mut Site, slots: &[Slot]) -> Result<()> {
        match self {
            Self::Killed(part) => site.parts[part].kill(),
            Self::Halted(part) => site.parts[part].signal(Signal::STOP),
            Self::Clock(part, by) => wrong_clock::move_by(&site.parts[part].clock, by),
            Self::Cut(machine) => site.lab.cut(machine),
            Self::Late(machine) => site.lab.delay(machine, LATE),
            Self::Full(machine) => site.disk(machine).fill(),
            Self::ClientKilled(client) => signal_client(&slots[client], Signal::KILL),
            Self::ClientHalted(client) => signal_client(&slots[client], Signal::STOP),
        }
    }

    pub(crate) fn end(self, site: &mut Site, slots: &[Slot]) -> Result<()> {
        match self {
            Self::Killed(part) if site.parts[part].is_started() => Ok(()),
            Self::Killed(part) => site.start_part(part),
            Self::Halted(part) if !site.parts[part].is_started() => Ok(()),
            Self::Halted(part) => site.parts[part].signal(Signal::CONT),
            Self::Clock(part, _) => wrong_clock::move_by(&site.parts[part].clock, 0),
            Self::Cut(machine) => site.lab.heal(machine),
            Self::Late(machine) => site.lab.delay(machine, 0),
            Self::Full(machine) => site.disk(machine).make_room(),
            Self::ClientKilled(_) => Ok(()),
            Self::ClientHalted(client) => signal_client(&slots[client], Signal::CONT),
        }
    }
}

/// A machine whose client does not run has nothing to lose.
pub(crate) fn signal_client(slot: &Slot, signal: Signal) -> Result<()> {
    let slot = hold(slot);
    let Some(client) = slot.as_ref() else {
        return Ok(());
    };
    let id = rustix::process::Pid::from_raw(i32::try_from(client.id())?);
    // One that has just ended has not been waited for yet, so its number is its own.
    Ok(id.map_or(Ok(()), |id| rustix::process::kill_process(id, signal))?)
}

/// A trouble that a part of this kind may have.
pub(crate) fn of_part(kind: Kind, part: usize, random: &mut fastrand::Rng) -> Trouble {
    match random.u32(..8) {
        0..4 => Trouble::Killed(part),
        4..6 => Trouble::Halted(part),
        _ if kind == Kind::Etcd => Trouble::Killed(part),
        _ => {
            // Minutes are to harm nothing; whose clock is days off has other worries.
            let seconds = [-1800, -300, -60, 60, 300, 1800];
            Trouble::Clock(part, seconds[random.usize(..seconds.len())])
        }
    }
}
