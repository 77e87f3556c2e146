//! A storage node as a model: it speaks the messages of the link, and keeps what the real one keeps on
//! its disk. It follows `agent/src/sessions`, `agent/src/outbox.rs` and `agent/src/journal`.

use std::collections::{BTreeMap, BTreeSet};

use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::controller_message::Message as Order;
use foghorn_proto::link::session_ended::Outcome as Ending;
use foghorn_proto::link::{
    AgentMessage, Cancelled, CapturedImage, Completed, ControllerMessage, Failed, Hello,
    NodeStatus, OpenSession, Reconcile, SessionEnded, SessionKind, SessionProgress, StoredManifest,
};
use foghorn_types::{ManifestId, NodeName, StorageNodeId};

use super::World;
use super::host::Incoming;
use super::net::{ConnId, End, Purpose};
use super::replicas::{Copying, Serve};
use crate::scenario::{Millis, Place};
use crate::template::Template;

const TICK: Millis = 1_000;
/// A client that comes before its order waits for it.
const ADMISSION_WAIT: Millis = 3_000;
const GIB: u64 = 1 << 30;

/// See the module.
pub(crate) struct Agent {
    index: usize,
    pub(crate) id: StorageNodeId,
    pub(crate) name: NodeName,
    pub(crate) is_alive: bool,
    /// Which process of it.
    pub(crate) life: u64,
    dialled: u64,
    pub(crate) link: Option<ConnId>,
    next_host: usize,
    ticks: u64,
    pub(crate) disk_is_slow: u32,
    /// When the disk has done what it was given.
    disk_busy_until: Millis,
    pub(crate) sessions: BTreeMap<u32, Session>,
    /// Ends that no controller has recorded.
    pub(crate) ends: BTreeMap<u32, SessionEnded>,
    pub(crate) copies: BTreeMap<u32, Copying>,
    pub(crate) serves: Vec<Serve>,
    /// On its disk: what it holds, and the journal.
    pub(crate) holds: BTreeSet<(u32, ManifestId)>,
    journal: BTreeMap<u32, Kept>,
}

/// A session as the journal keeps it.
#[derive(Clone, Default)]
struct Kept {
    order: Option<OpenSession>,
    ended: Option<SessionEnded>,
}

pub(crate) struct Session {
    pub(crate) order: OpenSession,
    pub(crate) client: Option<ConnId>,
    pub(crate) ended: Option<Over>,
    /// Bytes that its progress shows.
    done: u64,
}

/// An end of a session.
#[derive(Clone)]
pub(crate) struct Over {
    problem: Option<String>,
    recorded: bool,
}

impl Agent {
    pub(crate) fn new(index: usize, template: &Template) -> Self {
        let node = &template.nodes[index];
        let images = template.images.iter();
        let held = images.filter(|image| image.on.contains(&index));
        Self {
            index,
            id: node.id,
            name: node.name.clone(),
            is_alive: false,
            life: 0,
            dialled: 0,
            link: None,
            next_host: index,
            ticks: 0,
            disk_is_slow: 0,
            disk_busy_until: 0,
            sessions: BTreeMap::new(),
            ends: BTreeMap::new(),
            copies: BTreeMap::new(),
            serves: Vec::new(),
            holds: held.map(|image| (image.id, image.manifest)).collect(),
            journal: BTreeMap::new(),
        }
    }

    pub(crate) fn address(index: usize) -> String {
        format!("10.0.0.{index}:7000")
    }

    fn status(&self) -> NodeStatus {
        let stored = |(image, manifest): &(u32, ManifestId)| StoredManifest {
            image_id: *image,
            manifest_id: manifest.as_bytes().to_vec(),
            ..StoredManifest::default()
        };
        NodeStatus {
            disk_total_bytes: 1000 * GIB,
            disk_free_bytes: 500 * GIB,
            manifests: self.holds.iter().map(stored).collect(),
            quic_addresses: vec![Self::address(self.index)],
            ..NodeStatus::default()
        }
    }

    /// What is not over yet, in words.
    pub(crate) fn goes_on(&self) -> Option<String> {
        let open = self
            .sessions
            .iter()
            .find(|(_, session)| session.ended.is_none());
        let open =
            open.map(|(task, _)| format!("node {} has an open session of task {task}", self.index));
        let end = self.ends.keys().next();
        open.or_else(|| {
            end.map(|task| format!("node {} has an unrecorded end of task {task}", self.index))
        })
    }
}

impl World {
    pub(crate) fn start_agent(&mut self, index: usize) {
        let agent = &mut self.agents[index];
        if agent.is_alive {
            return;
        }
        agent.is_alive = true;
        agent.life += 1;
        agent.dialled = 0;
        for (task, kept) in agent.journal.clone() {
            let Some(order) = kept.order else { continue };
            let mut session = Session {
                order,
                client: None,
                ended: None,
                done: 0,
            };
            if let Some(ended) = kept.ended {
                session.ended = Some(Over {
                    problem: problem_of(&ended),
                    recorded: false,
                });
                agent.ends.insert(task, ended);
            }
            agent.sessions.insert(task, session);
        }
        let life = agent.life;
        self.note(|| format!("node {index} starts"));
        self.dial(index, life);
        self.tick(index, life);
    }

    pub(crate) fn kill_agent(&mut self, index: usize) {
        let agent = &mut self.agents[index];
        if !agent.is_alive {
            return;
        }
        agent.is_alive = false;
        agent.life += 1;
        agent.link = None;
        agent.sessions.clear();
        agent.ends.clear();
        agent.copies.clear();
        agent.serves.clear();
        self.note(|| format!("node {index} dies"));
        self.gone(Place::Agent(index));
    }

    fn is(&self, agent: usize, life: u64) -> bool {
        self.agents[agent].is_alive && self.agents[agent].life == life
    }

    /// Does something when the disk has written, unless the process has died before.
    pub(crate) fn write(&mut self, agent: usize, then: impl FnOnce(&mut World) + 'static) {
        let slow = self.agents[agent].disk_is_slow > 0;
        let takes = if slow {
            self.random.u64(200..1_500)
        } else {
            self.random.u64(1..20)
        };
        let life = self.agents[agent].life;
        let at = self.agents[agent].disk_busy_until.max(self.now) + takes;
        self.agents[agent].disk_busy_until = at;
        self.at(at, move |world| {
            if world.is(agent, life) {
                then(world);
            }
        });
    }

    fn keep(&mut self, agent: usize, task: u32, change: impl FnOnce(&mut Kept) + 'static) {
        self.write(agent, move |world| {
            change(world.agents[agent].journal.entry(task).or_default());
        });
    }

    fn forget(&mut self, agent: usize, task: u32) {
        self.write(agent, move |world| {
            world.agents[agent].journal.remove(&task);
        });
    }

    fn dial(&mut self, index: usize, life: u64) {
        if !self.is(index, life) || self.agents[index].link.is_some() {
            return;
        }
        let agent = &mut self.agents[index];
        let host = agent.next_host % self.hosts.len();
        agent.next_host = host + 1;
        agent.dialled += 1;
        let at = self.now + self.delay();
        self.at(at, move |world| world.dialled(index, life, host));
    }

    fn dialled(&mut self, index: usize, life: u64, host: usize) {
        if !self.is(index, life) {
            return;
        }
        let (one, other) = (Place::Agent(index), Place::Controller(host));
        let hangs = self.hosts[host].hangs_until.is_some();
        if self.net.is_cut(one, other) || hangs {
            let at = self.now + 2_000;
            return self.at(at, move |world| world.dial(index, life));
        }
        let id = self.connect(Purpose::Link, one, other);
        let (name, skew) = (self.agents[index].name.clone(), self.hosts[host].skew);
        let process = self.hosts[host].process.as_mut();
        let linked = process.map_or(Err("nobody listens".to_owned()), |process| {
            process.link(id, &name, skew)
        });
        if let Err(why) = linked {
            self.note(|| format!("node {index} gets no link to controller {host}: {why}"));
            self.close(id, End::Caller);
            let at = self.now + self.random.u64(300..1_500);
            return self.at(at, move |world| world.dial(index, life));
        }
        self.note(|| format!("node {index} is linked to controller {host}"));
        self.agents[index].link = Some(id);
        self.say_all(index);
    }

    /// What is said first on a new link.
    fn say_all(&mut self, index: usize) {
        let agent = &self.agents[index];
        let open = agent
            .sessions
            .iter()
            .filter(|(_, session)| session.ended.is_none());
        let sessions = open
            .map(|(task, _)| *task)
            .chain(agent.ends.keys().copied());
        let hello = Hello {
            software: "simulated".to_owned(),
            quic_address: Agent::address(index),
            sessions: sessions.collect(),
            status: Some(agent.status()),
            process: agent.life + 1000 * (index as u64 + 1),
            dialled: agent.dialled,
            gives_further: false,
        };
        let ends: Vec<_> = agent.ends.values().cloned().collect();
        self.say(index, Message::Hello(hello));
        for ended in ends {
            self.say(index, Message::Ended(ended));
        }
        self.say_copies(index);
    }

    pub(crate) fn say(&mut self, index: usize, message: Message) {
        let Some(id) = self.agents[index].link else {
            return;
        };
        if !matches!(message, Message::Status(_) | Message::Progress(_)) {
            self.note(|| format!("node {index} says {}", brief(&message)));
        }
        let message = Ok(AgentMessage {
            message: Some(message),
        });
        self.send(id, End::Caller, move |world| {
            world.give(id, End::Called, |to| {
                if let Incoming::Link(to) = to {
                    drop(to.send(message));
                }
            });
        });
    }

    pub(crate) fn link_lost(&mut self, index: usize, id: ConnId) {
        if self.agents[index].link != Some(id) {
            return;
        }
        self.note(|| format!("node {index} loses its link"));
        self.agents[index].link = None;
        let (life, at) = (
            self.agents[index].life,
            self.now + self.random.u64(50..1_500),
        );
        self.at(at, move |world| world.dial(index, life));
    }

    fn tick(&mut self, index: usize, life: u64) {
        if !self.is(index, life) {
            return;
        }
        let agent = &mut self.agents[index];
        agent.ticks += 1;
        let mut progress = Vec::new();
        for (task, session) in &mut agent.sessions {
            if session.ended.is_none() && session.client.is_some() {
                session.done += 10 << 20;
                progress.push(SessionProgress {
                    task_id: *task,
                    bytes_done: session.done,
                    bytes_total: GIB,
                    bytes_wire: session.done / 2,
                    ..SessionProgress::default()
                });
            }
        }
        for progress in progress {
            self.say(index, Message::Progress(progress));
        }
        if self.agents[index].ticks.is_multiple_of(3) {
            self.say_status(index);
        }
        self.at(self.now + TICK, move |world| world.tick(index, life));
    }

    pub(crate) fn say_status(&mut self, index: usize) {
        let status = self.agents[index].status();
        self.say(index, Message::Status(status));
    }

    /// A controller's order arrives.
    pub(crate) fn ordered(&mut self, id: ConnId, order: ControllerMessage) {
        let Some(Place::Agent(index)) = self.net.place(id, End::Caller) else {
            return;
        };
        let Some(order) = order.message else { return };
        if !matches!(order, Order::Controllers(_)) {
            self.note(|| format!("node {index} hears {}", brief_order(&order)));
        }
        match order {
            Order::Reconcile(all) => self.reconcile(index, all),
            Order::Open(order) => self.open(index, order),
            Order::Admit(admit) => {
                let session = self.agents[index].sessions.get(&admit.task_id);
                let order = session.map(|session| session.order.clone());
                if let Some(order) = order {
                    self.open(
                        index,
                        OpenSession {
                            client_fingerprint: admit.client_fingerprint,
                            ..order
                        },
                    );
                }
            }
            Order::Cancel(cancel) if cancel.withdrawn => self.withdraw(index, cancel.task_id),
            Order::Cancel(cancel) => {
                let reason = cancel.reason;
                let ending = Ending::Cancelled(Cancelled { reason });
                self.end(index, cancel.task_id, ending);
            }
            Order::EndedRecorded(recorded) => {
                self.recorded(index, recorded.task_id, recorded.incarnation);
            }
            Order::Replicas(orders) => self.obey_copies(index, orders),
            Order::Job(_)
            | Order::Further(_)
            | Order::File(_)
            | Order::Controllers(_)
            | Order::Leave(_)
            | Order::Wake(_) => {}
        }
    }

    fn reconcile(&mut self, index: usize, all: Reconcile) {
        let wanted: BTreeSet<u32> = all.sessions.iter().map(|order| order.task_id).collect();
        if !all.behind {
            let sessions = self.agents[index].sessions.iter();
            let unwanted = sessions
                .filter(|(task, session)| session.ended.is_none() && !wanted.contains(task));
            let unwanted: Vec<u32> = unwanted.map(|(task, _)| *task).collect();
            for task in unwanted {
                self.withdraw(index, task);
            }
        }
        for order in all.sessions {
            self.open(index, order);
        }
        self.obey_copies(index, all.replicas.unwrap_or_default());
    }

    fn open(&mut self, index: usize, order: OpenSession) {
        let (task, incarnation) = (order.task_id, order.incarnation);
        let agent = &mut self.agents[index];
        match agent.ends.get(&task) {
            // It will hear so.
            Some(ended) if ended.incarnation == incarnation => return,
            Some(_) => drop(agent.ends.remove(&task)),
            None => {}
        }
        let kept = order.clone();
        let mut stopped = None;
        match agent.sessions.get_mut(&task) {
            Some(session) if session.ended.is_none() && is_same(&session.order, &order) => {
                let admitted = order.client_fingerprint.is_empty()
                    || session.order.client_fingerprint == order.client_fingerprint;
                if !admitted {
                    stopped = session.client.take();
                }
                let before = std::mem::replace(&mut session.order, order);
                if session.order.client_fingerprint.is_empty() {
                    session.order.client_fingerprint = before.client_fingerprint;
                }
            }
            present => {
                stopped = present.and_then(|session| session.client.take());
                let session = Session {
                    order,
                    client: None,
                    ended: None,
                    done: 0,
                };
                agent.sessions.insert(task, session);
            }
        }
        if let Some(client) = stopped {
            self.hang_up(client, "another certificate was admitted");
        }
        self.keep(index, task, move |present| {
            let mut order = kept;
            let before = present.order.as_ref();
            let before = before.filter(|before| before.incarnation == order.incarnation);
            if let Some(before) = before.filter(|_| order.client_fingerprint.is_empty()) {
                order
                    .client_fingerprint
                    .clone_from(&before.client_fingerprint);
            }
            *present = Kept {
                order: Some(order),
                ended: None,
            };
        });
    }

    fn withdraw(&mut self, index: usize, task: u32) {
        let sessions = &mut self.agents[index].sessions;
        if sessions
            .get(&task)
            .is_some_and(|session| session.ended.is_none())
        {
            let client = sessions.remove(&task).and_then(|session| session.client);
            if let Some(client) = client {
                self.hang_up(client, "this node does not serve the task any more");
            }
            self.forget(index, task);
        }
    }

    /// Ends an open session.
    pub(crate) fn end(&mut self, index: usize, task: u32, ending: Ending) {
        let agent = &mut self.agents[index];
        let Some(session) = agent.sessions.get_mut(&task) else {
            return;
        };
        if session.ended.is_some() {
            return;
        }
        let ended = SessionEnded {
            task_id: task,
            incarnation: session.order.incarnation,
            outcome: Some(ending),
        };
        let problem = problem_of(&ended);
        session.ended = Some(Over {
            problem: problem.clone(),
            recorded: false,
        });
        let client = session.client.filter(|_| problem.is_some());
        agent.ends.insert(task, ended.clone());
        let kept = ended.clone();
        self.keep(index, task, move |present| present.ended = Some(kept));
        self.say(index, Message::Ended(ended));
        if let (Some(client), Some(problem)) = (client, problem) {
            self.hang_up(client, &problem);
        }
    }

    fn recorded(&mut self, index: usize, task: u32, incarnation: u64) {
        let agent = &mut self.agents[index];
        let known = agent.ends.get(&task).is_some_and(|ended| {
            ended.incarnation == incarnation || incarnation == 0 || ended.incarnation == 0
        });
        if !known {
            return;
        }
        agent.ends.remove(&task);
        let session = agent.sessions.get_mut(&task);
        let client = session.and_then(|session| {
            if let Some(over) = &mut session.ended {
                over.recorded = true;
            }
            session.client
        });
        if let Some(client) = client {
            self.send(client, End::Called, move |world| {
                world.told_recorded(client)
            });
        }
        self.forget(index, task);
    }

    fn hang_up(&mut self, client: ConnId, why: &str) {
        let why = why.to_owned();
        self.send(client, End::Called, move |world| {
            world.refused(client, &why)
        });
        self.close(client, End::Called);
    }

    /// A client wants to be served.
    pub(crate) fn client_came(
        &mut self,
        index: usize,
        id: ConnId,
        (task, fingerprint): (u32, Vec<u8>),
        since: Millis,
    ) {
        if !self.net.is_open(id, End::Called) {
            return;
        }
        let session = self.agents[index].sessions.get_mut(&task);
        let admitted = session.filter(|session| session.order.client_fingerprint == fingerprint);
        let Some(session) = admitted else {
            if self.now > since + ADMISSION_WAIT {
                return self.hang_up(id, "nothing is ordered");
            }
            // Its order may still be under way.
            return self.at(self.now + 50, move |world| {
                world.client_came(index, id, (task, fingerprint), since);
            });
        };
        if let Some(problem) = session.ended.as_ref().and_then(|over| over.problem.clone()) {
            return self.hang_up(id, &problem);
        }
        let recorded = session.ended.as_ref().is_some_and(|over| over.recorded);
        let before = session.client.replace(id);
        let order = session.order.clone();
        if let Some(before) = before.filter(|before| *before != id) {
            self.hang_up(before, "the client has connected again");
        }
        if recorded {
            return self.send(id, End::Called, move |world| world.told_recorded(id));
        }
        if order.kind() == SessionKind::Deploy {
            let manifest = manifest_of(&order.manifest_id);
            let held = manifest.is_some_and(|manifest| {
                self.agents[index]
                    .holds
                    .contains(&(order.image_id, manifest))
            });
            if !held {
                let failed = Failed {
                    reason: "the image is not here".to_owned(),
                    node_at_fault: true,
                };
                return self.end(index, task, Ending::Failed(failed));
            }
        }
        let slow = self.agents[index].disk_is_slow > 0;
        let manifest = manifest_of(&order.manifest_id);
        self.send(id, End::Called, move |world| {
            world.accepted(id, manifest, slow)
        });
    }

    pub(crate) fn client_left(&mut self, index: usize, id: ConnId) {
        for session in self.agents[index].sessions.values_mut() {
            if session.client == Some(id) {
                session.client = None;
            }
        }
    }

    /// A client says that it has everything, or has sent everything.
    pub(crate) fn client_finished(&mut self, id: ConnId, task: u32) {
        let Some(Place::Agent(index)) = self.net.place(id, End::Called) else {
            return;
        };
        let Some(session) = self.agents[index].sessions.get(&task) else {
            return;
        };
        if session.client != Some(id) || session.ended.is_some() {
            return;
        }
        let order = session.order.clone();
        if order.kind() == SessionKind::Deploy {
            let done = Completed::default();
            return self.end(index, task, Ending::Completed(done));
        }
        let words = format!(
            "{} of task {task} on node {index} at {}",
            order.image_id, self.now
        );
        let manifest = ManifestId::of(words.as_bytes());
        self.write(index, move |world| {
            world.agents[index].holds.insert((order.image_id, manifest));
            world.judge.wrote(task, manifest);
            let captured = CapturedImage {
                manifest_id: manifest.as_bytes().to_vec(),
                logical_bytes: GIB,
                used_bytes: GIB / 10,
                stored_bytes: GIB / 20,
                ..CapturedImage::default()
            };
            let done = Completed {
                captured: Some(captured),
                ..Completed::default()
            };
            world.end(index, task, Ending::Completed(done));
        });
    }
}

fn brief(message: &Message) -> String {
    match message {
        Message::Hello(hello) => format!("hello, with sessions {:?}", hello.sessions),
        Message::Ended(ended) => {
            let how = problem_of(ended).unwrap_or_else(|| "complete".to_owned());
            format!("that task {} has ended: {how}", ended.task_id)
        }
        Message::Replica(report) => {
            format!("that copy {} is {:?}", report.copy_id, report.phase())
        }
        other => format!("{other:?}"),
    }
}

fn brief_order(order: &Order) -> String {
    let open = |order: &OpenSession| {
        let admitted = !order.client_fingerprint.is_empty();
        format!("task {} (admitted: {admitted})", order.task_id)
    };
    match order {
        Order::Reconcile(all) => {
            let sessions: Vec<_> = all.sessions.iter().map(open).collect();
            format!("all: {sessions:?}, behind: {}", all.behind)
        }
        Order::Open(order) => format!("open {}", open(order)),
        Order::Admit(admit) => format!("admit for task {}", admit.task_id),
        Order::Replicas(orders) => {
            let fetch: Vec<_> = orders.fetch.iter().map(|fetch| fetch.copy_id).collect();
            let serve: Vec<_> = orders.serve.iter().map(|serve| serve.copy_id).collect();
            format!("copies to fetch {fetch:?} and to serve {serve:?}")
        }
        other => format!("{other:?}"),
    }
}

/// Whether an order is about the session that is open.
fn is_same(open: &OpenSession, order: &OpenSession) -> bool {
    let of = |order: &OpenSession| (order.kind, order.host_id, order.image_id);
    open.incarnation == order.incarnation && of(open) == of(order)
}

pub(crate) fn manifest_of(bytes: &[u8]) -> Option<ManifestId> {
    bytes.try_into().ok().map(ManifestId::from_digest)
}

fn problem_of(ended: &SessionEnded) -> Option<String> {
    match ended.outcome.as_ref() {
        Some(Ending::Completed(_)) => None,
        Some(Ending::Failed(failed)) => Some(format!("failed: {}", failed.reason)),
        Some(Ending::Cancelled(cancelled)) => Some(format!("cancelled: {}", cancelled.reason)),
        None => Some("nobody knows".to_owned()),
    }
}
