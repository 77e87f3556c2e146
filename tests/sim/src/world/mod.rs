//! A run: the agent, the machines, and the LAN between them, in virtual time.

mod agent;
mod attack;
mod control;
mod lan;
mod machine;
mod message;
mod outcome;
mod unicast;

use std::rc::Rc;

use fastrand::Rng;

use crate::clock::{Agenda, Nanos};
use crate::network::{LossState, Pipe};
use crate::payload::Payload;
use crate::scenario::{Fate, Scenario};
use agent::Agent;
use machine::{Machine, MachineState, Wish};
use message::{ToAgent, ToMachine};
use unicast::Segment;

pub use outcome::{MachineOutcome, RunOutcome};

/// Events that every packet may cause at every machine, on average. A run that has more is stuck.
const EVENTS_PER_DELIVERY: u64 = 60;
/// How long a machine waits before it asks a silent agent again.
const ASK_AGAIN: Nanos = Nanos::millis(300);
/// How long after the agent's death its machines notice that their connections are gone.
const NOTICE_DEATH: Nanos = Nanos::millis(100);

/// Something that is going to happen.
#[derive(Debug)]
enum Event {
    /// A machine comes, or comes back.
    Start(usize),
    /// A machine dies, or goes silent.
    Stop(usize),
    /// A machine's receiver has asked for the processor.
    WakeMachine(usize),
    /// A disk has written a chunk, in this boot of the machine.
    Written(usize, u32),
    /// A machine has had no answer on this connection.
    AskAgain(usize, u32),
    /// A message has arrived, on this connection, in this life of the agent.
    ToAgent {
        machine: usize,
        life: u32,
        agent: u32,
        message: ToAgent,
    },
    ToMachine {
        machine: usize,
        life: u32,
        message: ToMachine,
    },
    /// The agent's sender, or its feeds, asked for the processor.
    WakeAgent,
    WakeFeeds,
    /// The agent's store has read a chunk, in this life.
    Loaded(u32, u32),
    AgentDies,
    AgentStarts,
    /// A datagram for the group has reached the switch.
    AtSwitch(Rc<[u8]>),
    /// A datagram of the group has reached a machine.
    Arrives {
        machine: usize,
        datagram: Rc<[u8]>,
        garbled: bool,
    },
    SegmentAtSwitch {
        machine: usize,
        life: u32,
        segment: Segment,
    },
    SegmentArrives {
        machine: usize,
        life: u32,
        segment: Segment,
    },
    SegmentDone {
        machine: usize,
        life: u32,
    },
    SegmentLost {
        machine: usize,
        life: u32,
        segment: Segment,
    },
    /// Somebody without the key sends a packet.
    Attack,
}

/// A run in progress.
pub struct World {
    scenario: Scenario,
    payload: Payload,
    agenda: Agenda<Event>,
    agent: Agent,
    machines: Vec<Machine>,
    trunks: Vec<(Pipe, LossState)>,
    rng: Rng,
    /// A datagram that the attacker has heard.
    overheard: Option<Rc<[u8]>>,
    wishes: Vec<Wish>,
    scratch: Vec<u8>,
    traced: bool,
    deadline: Nanos,
}

impl World {
    /// Sets everything up; nothing has happened yet.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let image = scenario.image;
        let payload = if image.even {
            Payload::even(scenario.seed, image.chunks, image.chunk_bytes as usize)
        } else {
            Payload::new(scenario.seed, image.chunks, image.chunk_bytes as usize)
        };
        let machines = (0..scenario.machines.len())
            .map(|index| Machine::new(scenario, index, &payload))
            .collect();
        let mut world = Self {
            agenda: Agenda::default(),
            agent: Agent::new(scenario, 0, Nanos::ZERO),
            machines,
            trunks: scenario
                .trunks
                .iter()
                .map(|trunk| (Pipe::new(trunk.pipe), LossState::new(trunk.loss)))
                .collect(),
            rng: Rng::with_seed(scenario.seed ^ 0xacce_55ed),
            overheard: None,
            wishes: Vec::new(),
            scratch: Vec::new(),
            traced: false,
            deadline: scenario.deadline(&payload),
            payload,
            scenario: scenario.clone(),
        };
        world.plan();
        world
    }

    /// Prints what happens.
    #[must_use]
    pub fn traced(mut self) -> Self {
        self.traced = true;
        self
    }

    /// Runs until everybody has everything and the sender has noticed, or the deadline.
    pub fn run(mut self) -> RunOutcome {
        let mut events = 0;
        let packets = self.payload.bytes() / u64::from(self.scenario.session.symbol_bytes) + 200;
        let most = packets * (self.machines.len() as u64 + 4) * EVENTS_PER_DELIVERY;
        while let Some(event) = self.agenda.take() {
            events += 1;
            self.happen(event);
            if self.agenda.now() > self.deadline || events > most || self.is_over() {
                break;
            }
        }
        self.outcome()
    }

    fn plan(&mut self) {
        for (index, shape) in self.scenario.machines.iter().enumerate() {
            self.agenda
                .at(Nanos::millis(shape.start_ms.into()), Event::Start(index));
            match shape.fate {
                Fate::Dies(at) => self.agenda.at(Nanos::millis(at.into()), Event::Stop(index)),
                Fate::Pauses(from, to) => {
                    self.agenda
                        .at(Nanos::millis(from.into()), Event::Stop(index));
                    self.agenda
                        .at(Nanos::millis(to.into()), Event::Start(index));
                }
                Fate::Works | Fate::Lies => {}
            }
        }
        if let Some((down, up)) = self.scenario.agent_restart_ms {
            self.agenda.at(Nanos::millis(down.into()), Event::AgentDies);
            self.agenda.at(Nanos::millis(up.into()), Event::AgentStarts);
        }
        if self.scenario.attack.per_second > 0 {
            self.agenda.at(Nanos::ZERO, Event::Attack);
        }
        self.agenda.at(Nanos::ZERO, Event::WakeAgent);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start(index) => self.start(index),
            Event::Stop(index) => self.stop(index),
            Event::WakeMachine(index) => self.wake_machine(index),
            Event::Written(index, boot) => self.written(index, boot),
            Event::AskAgain(index, life) => self.ask_again(index, life),
            Event::ToAgent {
                machine,
                life,
                agent,
                message,
            } => {
                if agent == self.agent.life() && self.agent.is_up() {
                    self.agent_hears(machine, life, message);
                }
            }
            Event::ToMachine {
                machine,
                life,
                message,
            } => self.machine_hears(machine, life, message),
            Event::WakeAgent => self.wake_agent(),
            Event::WakeFeeds => self.wake_feeds(),
            Event::Loaded(number, life) => self.loaded(number, life),
            Event::AgentDies => self.agent_dies(),
            Event::AgentStarts => self.agent_starts(),
            Event::AtSwitch(datagram) => self.at_switch(&datagram),
            Event::Arrives {
                machine,
                datagram,
                garbled,
            } => self.arrives(machine, &datagram, garbled),
            Event::SegmentAtSwitch {
                machine,
                life,
                segment,
            } => self.segment_at_switch(machine, life, segment),
            Event::SegmentArrives {
                machine,
                life,
                segment,
            } => self.segment_arrives(machine, life, segment),
            Event::SegmentDone { machine, life } => self.segment_done(machine, life),
            Event::SegmentLost {
                machine,
                life,
                segment,
            } => self.segment_lost(machine, life, segment),
            Event::Attack => self.attack(),
        }
    }

    fn start(&mut self, index: usize) {
        let now = self.agenda.now();
        let machine = &mut self.machines[index];
        if !matches!(machine.state, MachineState::Absent) {
            return;
        }
        // It may pause before it has ever come.
        if matches!(machine.shape.fate, Fate::Dies(at) if Nanos::millis(at.into()) <= now) {
            machine.state = MachineState::Dead;
            return;
        }
        let message = machine.start(now);
        self.trace(|| format!("machine {index} starts"));
        self.tell_agent(index, message);
        self.finish_if_complete(index);
    }

    fn stop(&mut self, index: usize) {
        let machine = &mut self.machines[index];
        if machine.is_finished() {
            return;
        }
        machine.state = if matches!(machine.shape.fate, Fate::Dies(_)) {
            MachineState::Dead
        } else {
            MachineState::Absent
        };
        machine.life += 1;
        machine.boot += 1;
        self.trace(|| format!("machine {index} is gone"));
    }

    fn ask_again(&mut self, index: usize, life: u32) {
        let machine = &mut self.machines[index];
        if machine.life == life && matches!(machine.state, MachineState::Joining) {
            let message = machine.rejoin();
            self.tell_agent(index, message);
        }
    }

    fn wake_machine(&mut self, index: usize) {
        let now = self.agenda.now();
        if self.machines[index].wake_at.is_some_and(|at| at <= now) {
            self.machines[index].wake_at = None;
            self.run_machine(index);
        }
    }

    /// Gives a machine the processor and does what it wishes.
    fn run_machine(&mut self, index: usize) {
        let now = self.agenda.now();
        let mut wishes = std::mem::take(&mut self.wishes);
        self.machines[index].run(&self.payload, now, &mut wishes);
        for wish in wishes.drain(..) {
            self.grant(index, wish);
        }
        self.wishes = wishes;
    }

    fn grant(&mut self, index: usize, wish: Wish) {
        match wish {
            Wish::Tell(message) => self.tell_agent(index, message),
            Wish::Written(at) => self
                .agenda
                .at(at, Event::Written(index, self.machines[index].boot)),
            Wish::Wake(at) => {
                let machine = &mut self.machines[index];
                if machine.wake_at.is_none_or(|before| at < before) {
                    machine.wake_at = Some(at);
                    self.agenda.at(at, Event::WakeMachine(index));
                }
            }
        }
    }

    fn written(&mut self, index: usize, boot: u32) {
        let machine = &mut self.machines[index];
        if machine.boot != boot {
            return;
        }
        machine.written(&self.payload);
        self.run_machine(index);
        self.finish_if_complete(index);
    }

    fn finish_if_complete(&mut self, index: usize) {
        let now = self.agenda.now();
        if self.machines[index].finish(now) {
            self.trace(|| format!("machine {index} has everything"));
            self.tell_agent(index, ToAgent::Leave);
        }
    }

    /// Sends a message of a machine on its way.
    fn tell_agent(&mut self, index: usize, message: ToAgent) {
        let now = self.agenda.now();
        let machine = &mut self.machines[index];
        let loss = machine.shape.report_loss;
        let at = match message {
            ToAgent::Report(_) => machine.up.datagram(now, &mut machine.cable, loss),
            _ => Some(machine.up.stream(now, &mut machine.cable, loss)),
        };
        let life = machine.life;
        if matches!(message, ToAgent::Join(_)) {
            self.agenda.after(ASK_AGAIN, Event::AskAgain(index, life));
        }
        if let Some(at) = at {
            self.agenda.at(
                at,
                Event::ToAgent {
                    machine: index,
                    life,
                    agent: self.agent.life(),
                    message,
                },
            );
        }
    }

    /// Sends a message of the agent on its way.
    fn tell_machine(&mut self, index: usize, life: u32, message: ToMachine) {
        let now = self.agenda.now();
        let machine = &mut self.machines[index];
        let loss = machine.shape.report_loss;
        let at = machine.down.stream(now, &mut machine.cable, loss);
        self.agenda.at(
            at,
            Event::ToMachine {
                machine: index,
                life,
                message,
            },
        );
    }

    fn machine_hears(&mut self, index: usize, life: u32, message: ToMachine) {
        let now = self.agenda.now();
        let machine = &mut self.machines[index];
        if machine.life != life {
            return;
        }
        self.trace(|| format!("machine {index} hears {message:?}"));
        let machine = &mut self.machines[index];
        let answer = match &message {
            ToMachine::Joined(material) if matches!(machine.state, MachineState::Joining) => {
                machine.joined(&self.scenario, &self.payload, material, now);
                None
            }
            other => machine.message(other),
        };
        if let Some(answer) = answer {
            self.tell_agent(index, answer);
        }
        self.run_machine(index);
    }

    fn arrives(&mut self, index: usize, datagram: &[u8], garbled: bool) {
        let now = self.agenda.now();
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(datagram);
        let machine = &mut self.machines[index];
        if garbled && !scratch.is_empty() {
            for _ in 0..machine.cable.rng().u32(1..=8) {
                let at = machine.cable.rng().usize(..scratch.len());
                scratch[at] ^= 1 << machine.cable.rng().u32(0..8);
            }
        }
        machine.datagram(&mut scratch, now);
        self.scratch = scratch;
        self.run_machine(index);
    }

    fn trace(&self, line: impl FnOnce() -> String) {
        if self.traced {
            println!("{:>10.6} {}", self.agenda.now().as_secs(), line());
        }
    }
}
