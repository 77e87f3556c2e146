//! One run: everything that there is, the network between it, and the clock.

mod agent;
mod client;
mod desk;
mod host;
mod net;
mod peers;
mod replicas;
mod store;
mod trouble;
mod web;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use self::agent::Agent;
pub(crate) use self::client::Client;
pub(crate) use self::host::Host;
use self::host::{Incoming, Message, Process, Said, WINDOW};
use self::net::{ConnId, End, Net, Purpose};
use self::peers::CallTaken;
use self::web::Pending;
use crate::check::Judge;
use crate::engine::Engine;
use crate::scenario::{Millis, Place, Scenario, TROUBLE_UNTIL};
use crate::template::Template;

pub(crate) type Action = Box<dyn FnOnce(&mut World)>;

/// What arrives for a controller within this time is taken in together.
const GRID: Millis = 4;
/// Everything has to have ended so long after the last fault.
const ENDS_WITHIN: Millis = 90_000;
/// Everything has to be the same everywhere so long after that.
const SETTLES_WITHIN: Millis = 12_000;
const LOOK_EVERY: Millis = 500;

/// What one run came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) problems: Vec<String>,
    /// Of everything that happened, in order.
    pub(crate) trace: u64,
    pub(crate) ended_at: Millis,
    pub(crate) commits: u64,
    pub(crate) complete: u64,
    pub(crate) not_complete: u64,
}

/// See the module.
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) template: Arc<Template>,
    pub(crate) now: Millis,
    pub(crate) random: fastrand::Rng,
    queue: BTreeMap<(Millis, u64), Action>,
    queued: u64,
    pub(crate) engine: Engine,
    pub(crate) store_is_down: u32,
    pub(crate) store_is_slow: u32,
    pub(crate) net: Net,
    pub(crate) hosts: Vec<Host>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) clients: Vec<Client>,
    pub(crate) judge: Judge,
    /// People who have not got an answer yet.
    pub(crate) people_wait: u32,
    requests: u64,
    pending: BTreeMap<u64, Pending>,
    waiting_calls: BTreeMap<ConnId, CallTaken>,
    trace: u64,
    is_told: bool,
    all_ended_at: Option<Millis>,
    is_over: bool,
}

impl World {
    pub(crate) fn new(scenario: Scenario, template: &Arc<Template>, is_told: bool) -> Self {
        let mut engine = Engine::with(template.store.clone());
        engine.bug = scenario.bug;
        let hosts = scenario.controllers.iter().enumerate();
        let hosts = hosts.map(|(index, skew)| Host::new(index, *skew)).collect();
        let agents = (0..scenario.agents).map(|index| Agent::new(index, template));
        let clients = (0..template.hosts.len()).map(Client::new);
        Self {
            now: 0,
            random: fastrand::Rng::with_seed(scenario.seed),
            queue: BTreeMap::new(),
            queued: 0,
            engine,
            store_is_down: 0,
            store_is_slow: 0,
            net: Net::default(),
            hosts,
            agents: agents.collect(),
            clients: clients.collect(),
            judge: Judge::default(),
            people_wait: 0,
            requests: 0,
            pending: BTreeMap::new(),
            waiting_calls: BTreeMap::new(),
            trace: 0xcbf2_9ce4_8422_2325,
            is_told,
            all_ended_at: None,
            is_over: false,
            scenario,
            template: template.clone(),
        }
    }

    /// Does something at a time.
    pub(crate) fn at(&mut self, at: Millis, action: impl FnOnce(&mut World) + 'static) {
        self.queued += 1;
        self.queue
            .insert((at.max(self.now), self.queued), Box::new(action));
    }

    /// Writes down what happened.
    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        let what = what();
        let words = [&self.now.to_le_bytes()[..], what.as_bytes()];
        for byte in words.into_iter().flatten() {
            self.trace = (self.trace ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.is_told {
            println!("{:>8} {what}", self.now);
        }
    }

    pub(crate) fn problem(&mut self, what: String) {
        self.note(|| format!("PROBLEM: {what}"));
        self.judge.problems.push(what);
    }

    /// Something has arrived for a controller.
    pub(crate) fn due(&mut self, host: usize) {
        self.hosts[host].is_due = true;
    }

    pub(crate) fn run(mut self) -> Outcome {
        self.begin();
        while !self.is_over && self.judge.problems.is_empty() {
            let host = self.next_host();
            let action = self.queue.keys().next().map(|(at, _)| *at);
            match (host, action) {
                (Some((at, host)), action) if action.is_none_or(|action| at < action) => {
                    self.now = self.now.max(at);
                    self.run_host(host);
                }
                (_, Some(_)) => {
                    if let Some(((at, _), action)) = self.queue.pop_first() {
                        self.now = self.now.max(at);
                        action(&mut self);
                    }
                }
                _ => break,
            }
        }
        let ended = self.judge.ended();
        Outcome {
            trace: self.trace,
            ended_at: self.now,
            commits: self.engine.revision,
            complete: ended.0,
            not_complete: ended.1,
            problems: self.judge.problems,
        }
    }

    fn begin(&mut self) {
        for host in 0..self.hosts.len() {
            let at = self.random.u64(0..200);
            self.at(at, move |world| world.start_host(host));
        }
        for agent in 0..self.agents.len() {
            let at = self.random.u64(0..400);
            self.at(at, move |world| world.start_agent(agent));
        }
        self.plan_orders();
        self.plan_trouble();
        self.at(TROUBLE_UNTIL, World::look);
    }

    /// Who runs next, and when: at once with what has arrived, and otherwise now and then.
    fn next_host(&self) -> Option<(Millis, usize)> {
        let next = self.hosts.iter().filter_map(|host| {
            let process = host
                .process
                .as_ref()
                .filter(|_| host.hangs_until.is_none())?;
            let soon = (self.now / GRID + 1) * GRID;
            let usual = process.ran_until + WINDOW;
            let at = if host.is_due { soon.min(usual) } else { usual };
            Some((at.max(process.ran_until + 1), host.index))
        });
        next.min()
    }

    fn run_host(&mut self, index: usize) {
        let (now, host) = (self.now, &mut self.hosts[index]);
        host.is_due = false;
        let skew = host.skew;
        let Some(process) = &mut host.process else {
            return;
        };
        process.run(now, skew);
        match process.state() {
            Ok(_) => {}
            Err(why) => {
                self.note(|| format!("controller {index} does not start: {why}"));
                self.kill_host(index);
                return self.at(now + 1_000, move |world| world.start_host(index));
            }
        }
        let said = process.said();
        self.carry(index, said);
    }

    pub(crate) fn start_host(&mut self, index: usize) {
        if self.hosts[index].process.is_some() {
            return;
        }
        self.hosts[index].starts += 1;
        self.hosts[index].started_at = self.now;
        let who = (index, self.hosts[index].starts);
        self.note(|| format!("controller {index} starts"));
        match Process::start(who, self.now, &self.template) {
            Ok(process) => self.hosts[index].process = Some(process),
            Err(error) => self.problem(format!("no runtime: {error}")),
        }
        self.due(index);
    }

    pub(crate) fn kill_host(&mut self, index: usize) {
        if self.hosts[index].process.take().is_none() {
            return;
        }
        self.note(|| format!("controller {index} dies"));
        self.hosts[index].hangs_until = None;
        self.drop_requests(index);
        self.gone(Place::Controller(index));
    }

    /// Carries what a controller has said to where it belongs.
    fn carry(&mut self, host: usize, said: Said) {
        for call in said.calls {
            self.call_store(host, call);
        }
        for dial in said.dials {
            self.dial_peer(host, dial);
        }
        for answered in said.answers {
            self.request_answered(answered);
        }
        for (id, answer) in said.talks {
            self.peer_answered(host, id, answer);
        }
        for (id, message) in said.messages {
            match message {
                Message::Order(order) => {
                    self.send(id, End::Called, move |world| world.ordered(id, order));
                }
                Message::Event(event) => {
                    let event = Ok(*event);
                    self.send(id, End::Called, move |world| {
                        world.give(id, End::Caller, |to| {
                            if let Incoming::Events(to) = to {
                                drop(to.send(event));
                            }
                        });
                    });
                }
                Message::PeerOrder(order) => {
                    let order = Ok(order);
                    self.send(id, End::Caller, move |world| {
                        world.give(id, End::Called, |to| {
                            if let Incoming::Orders(to) = to {
                                drop(to.send(order));
                            }
                        });
                    });
                }
            }
        }
        for id in said.closed {
            for end in [End::Caller, End::Called] {
                if self.net.place(id, end) == Some(Place::Controller(host)) {
                    self.close(id, end);
                }
            }
        }
    }

    /// Gives something to the controller at one end of a connection.
    fn give(&mut self, id: ConnId, end: End, give: impl FnOnce(&Incoming)) {
        let Some(Place::Controller(host)) = self.net.place(id, end) else {
            return;
        };
        let process = self.hosts[host].process.as_ref();
        if let Some(to) = process.and_then(|process| process.incoming.get(&id)) {
            give(to);
            self.due(host);
        }
    }

    /// One end of a connection has noticed that it is over.
    fn lost(&mut self, purpose: Purpose, id: ConnId, place: Place) {
        match (purpose, place) {
            (Purpose::Talk, place) => self.talk_lost(id, place),
            (_, Place::Controller(host)) => self.drop_ends(host, id),
            (Purpose::Link, Place::Agent(agent)) => self.link_lost(agent, id),
            (Purpose::Transfer, Place::Agent(agent)) => self.client_left(agent, id),
            (Purpose::Transfer, Place::Client(client)) => self.server_lost(client, id),
            _ => {}
        }
    }

    /// After the trouble: has everything ended, and is it the same everywhere?
    fn look(&mut self) {
        if self.all_ended_at.is_none() {
            match self.still_goes_on() {
                None => self.all_ended_at = Some(self.now),
                Some(what) if self.now > TROUBLE_UNTIL + ENDS_WITHIN => {
                    return self.problem(format!("it does not end: {what}"));
                }
                Some(_) => {}
            }
        }
        self.look_at_delay();
        if let Some(since) = self.all_ended_at {
            let differs = self.differs().or_else(|| self.still_goes_on());
            match differs {
                None if self.now > since + 2 * LOOK_EVERY => {
                    self.judge_end();
                    self.is_over = true;
                }
                Some(what) if self.now > since + SETTLES_WITHIN => {
                    return self.problem(format!("it does not settle: {what}"));
                }
                _ => {}
            }
        }
        self.at(self.now + LOOK_EVERY, World::look);
    }
}

impl Host {
    fn new(index: usize, skew: i64) -> Self {
        Self {
            index,
            starts: 0,
            started_at: 0,
            skew,
            process: None,
            hangs_until: None,
            is_due: false,
        }
    }
}
