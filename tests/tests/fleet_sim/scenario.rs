//! What a seed stands for: who is there, what people order, and what goes wrong when.

use fastrand::Rng;

use crate::engine::Bug;

/// Virtual milliseconds since the beginning of a run.
pub(crate) type Millis = u64;

/// Faults begin and end within this time; then the network is whole and everything runs.
pub(crate) const TROUBLE_UNTIL: Millis = 16_000;
/// Orders come within this time.
const ORDERS_UNTIL: Millis = 9_000;
/// A fault begins at the earliest then.
const TROUBLE_FROM: Millis = 1_000;
const LONGEST_FAULT: Millis = 7_000;

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    /// How far the clock of each controller is ahead of the true time, in milliseconds.
    pub(crate) controllers: Vec<i64>,
    pub(crate) agents: usize,
    pub(crate) orders: Vec<Order>,
    /// Groups of hosts that an administrator makes, each at a time.
    pub(crate) writes: Vec<Millis>,
    pub(crate) faults: Vec<(Millis, Millis, Fault)>,
    /// Now and then a message takes much longer.
    pub(crate) slow_network: bool,
    pub(crate) bug: Option<Bug>,
}

/// What somebody orders for a host.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) at: Millis,
    pub(crate) host: usize,
    pub(crate) what: What,
    /// Of the order, if somebody thinks better of it.
    pub(crate) cancelled_after: Option<Millis>,
    /// Somebody else orders the same at the same time, through another controller.
    pub(crate) twice: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Deploy,
    Capture,
}

/// What goes wrong, from a time until another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    ControllerDies(usize),
    ControllerHangs(usize),
    AgentDies(usize),
    /// A machine is switched off in the middle, and on again.
    ClientDies(usize),
    Cut(Place, Place),
    StoreDown,
    StoreSlow,
    DiskSlow(usize),
    /// At its beginning: the history of the store is forgotten.
    Compaction,
    /// At its beginning: the watches of a controller break off.
    WatchBreaks(usize),
    /// At its beginning: somebody sets the clock of a controller.
    ClockSet(usize, i64),
}

/// Something that the network connects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Place {
    Store,
    Controller(usize),
    Agent(usize),
    Client(usize),
    /// Where people are.
    Desk,
}

impl Scenario {
    pub(crate) fn generate(seed: u64, bug: Option<Bug>) -> Self {
        let mut random = Rng::with_seed(seed ^ 0x5eed_f1ee_7000_0001);
        let controllers = random.usize(1..=3);
        let agents = random.usize(1..=3);
        let skewed = random.bool();
        let skew = |random: &mut Rng| {
            if skewed {
                random.i64(-90_000..90_000)
            } else {
                0
            }
        };
        let mut scenario = Self {
            seed,
            controllers: (0..controllers).map(|_| skew(&mut random)).collect(),
            agents,
            orders: Vec::new(),
            writes: Vec::new(),
            faults: Vec::new(),
            slow_network: random.u8(0..4) == 0,
            bug,
        };
        scenario.add_orders(&mut random);
        let writes = random.usize(0..4);
        scenario.writes = (0..writes).map(|_| random.u64(0..TROUBLE_UNTIL)).collect();
        for _ in 0..random.usize(0..=5) {
            scenario.add_fault(&mut random);
        }
        scenario
    }

    fn add_orders(&mut self, random: &mut Rng) {
        let mut hosts: Vec<usize> = (0..6).collect();
        random.shuffle(&mut hosts);
        for host in hosts.into_iter().take(random.usize(1..=4)) {
            let what = if random.u8(0..5) == 0 {
                What::Capture
            } else {
                What::Deploy
            };
            let cancelled = random.u8(0..5) == 0;
            self.orders.push(Order {
                at: random.u64(200..ORDERS_UNTIL),
                host,
                what,
                cancelled_after: cancelled.then(|| random.u64(0..8_000)),
                twice: random.u8(0..4) == 0,
            });
        }
    }

    fn add_fault(&mut self, random: &mut Rng) {
        let from = random.u64(TROUBLE_FROM..TROUBLE_UNTIL - 500);
        let length = random.u64(200..LONGEST_FAULT);
        let until = (from + length).min(TROUBLE_UNTIL);
        let controller = random.usize(0..self.controllers.len());
        let agent = random.usize(0..self.agents);
        let host = random.choice(&self.orders).map_or(0, |order| order.host);
        let place = |random: &mut Rng| match random.u8(0..4) {
            0 => Place::Store,
            1 => Place::Controller(controller),
            _ => Place::Agent(agent),
        };
        let fault = match random.u8(0..14) {
            0 | 1 => Fault::ControllerDies(controller),
            2 => Fault::ControllerHangs(controller),
            3 | 4 => Fault::AgentDies(agent),
            5 => Fault::ClientDies(host),
            6 => Fault::StoreDown,
            7 => Fault::StoreSlow,
            8 => Fault::DiskSlow(agent),
            9 => Fault::Compaction,
            10 => Fault::WatchBreaks(controller),
            11 => Fault::ClockSet(controller, random.i64(-120_000..120_000)),
            _ => {
                let one = place(random);
                let other = match one {
                    Place::Store => Place::Controller(controller),
                    Place::Controller(own) => match random.u8(0..2) {
                        0 if self.controllers.len() > 1 => {
                            Place::Controller((own + 1) % self.controllers.len())
                        }
                        0 => Place::Store,
                        _ => Place::Agent(agent),
                    },
                    _ if random.bool() => Place::Client(host),
                    _ => Place::Controller(controller),
                };
                Fault::Cut(one, other)
            }
        };
        self.faults.push((from, until, fault));
    }
}
