//! A machine that is imaged, as a model: it boots, checks in, asks who serves it, is served, and says
//! how it ended, as often as that takes. It follows `client/src/check_in.rs` and `client/src/run.rs`.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use foghorn_proto::http::{CHECK_IN_PATH, CheckInResponse, ORDER_PATH, Order};
use foghorn_types::ManifestId;
use serde_json::{Value, json};

use super::World;
use super::net::{ConnId, End, Purpose};
use super::web::Ask;
use crate::engine::Bug;
use crate::scenario::{Millis, Place};

/// See the module.
pub(crate) struct Client {
    index: usize,
    pub(crate) is_on: bool,
    /// Counts boots; whatever an earlier one began means nothing any more.
    life: u64,
    checked_in: Option<CheckedIn>,
    conn: Option<ConnId>,
    /// Since when something is transferred, and how long it takes.
    transfer: Option<(Millis, Millis)>,
    /// On its disk: how much of which image, in milliseconds of transfer. `None` is its own disk, which
    /// is being read.
    disk: BTreeMap<Option<ManifestId>, Millis>,
}

struct CheckedIn {
    task: u32,
    session: String,
    fingerprint: Vec<u8>,
}

impl Client {
    pub(crate) fn new(index: usize) -> Self {
        Self {
            index,
            is_on: false,
            life: 0,
            checked_in: None,
            conn: None,
            transfer: None,
            disk: BTreeMap::new(),
        }
    }

    /// The task for which it has checked in.
    pub(crate) fn task(&self) -> Option<u32> {
        self.checked_in.as_ref().map(|checked_in| checked_in.task)
    }

    pub(crate) fn is_served(&self) -> bool {
        self.transfer.is_some()
    }

    pub(crate) fn goes_on(&self) -> Option<String> {
        self.is_on
            .then(|| format!("machine {} is still at work", self.index))
    }
}

impl World {
    /// Somebody switches it on, because of a task.
    pub(crate) fn switch_on(&mut self, index: usize) {
        if self.clients[index].is_on {
            // When it is through with what it does now.
            return self.at(self.now + 1_000, move |world| world.switch_on(index));
        }
        self.clients[index].disk.clear();
        self.boot(index);
    }

    pub(crate) fn boot(&mut self, index: usize) {
        let client = &mut self.clients[index];
        client.life += 1;
        client.is_on = true;
        client.checked_in = None;
        client.conn = None;
        client.transfer = None;
        let life = client.life;
        self.note(|| format!("machine {index} boots"));
        self.get_token(index, life);
    }

    pub(crate) fn kill_client(&mut self, index: usize) {
        self.note(|| format!("machine {index} is switched off"));
        self.stop_transfer(index);
        self.clients[index].life += 1;
        self.clients[index].conn = None;
        self.gone(Place::Client(index));
    }

    fn lives(&self, index: usize, life: u64) -> bool {
        self.clients[index].is_on && self.clients[index].life == life
    }

    /// Does something a little later, if the machine is still on.
    fn soon(&mut self, index: usize, life: u64, then: impl FnOnce(&mut World) + 'static) {
        let at = self.now + self.random.u64(200..1_200);
        self.at(at, move |world| {
            if world.lives(index, life) {
                then(world);
            }
        });
    }

    fn ask_as(
        &mut self,
        (index, life): (usize, u64),
        ask: Ask,
        then: impl FnOnce(&mut World, Option<(u16, Value)>) + 'static,
    ) {
        let host = self.any_host();
        self.ask(Place::Client(index), host, ask, move |world, reply| {
            if world.lives(index, life) {
                then(world, reply);
            }
        });
    }

    /// Nothing is left to do.
    fn switch_off(&mut self, index: usize, why: &str) {
        self.note(|| format!("machine {index} is done: {why}"));
        self.clients[index].is_on = false;
        self.clients[index].life += 1;
        self.gone(Place::Client(index));
    }

    fn get_token(&mut self, index: usize, life: u64) {
        let ask = Ask {
            method: "POST",
            path: format!(
                "/foghorn/v1/hosts/{}/boot-token",
                self.template.hosts[index].id
            ),
            headers: self.template.headers.to_vec(),
            body: json!({}),
        };
        self.ask_as((index, life), ask, move |world, reply| match reply {
            Some((200, body)) => {
                let token = body["token"].as_str().unwrap_or_default().to_owned();
                world.check_in(index, life, token);
            }
            Some((404 | 409, _)) if !world.has_task(index) => {
                world.switch_off(index, "it has no task");
            }
            // A controller that is behind does not know the task yet: people ask again.
            _ => world.soon(index, life, move |world| world.get_token(index, life)),
        });
    }

    fn has_task(&self, index: usize) -> bool {
        let host = self.template.hosts[index].id;
        !self.judge.active_of(host).is_empty()
    }

    fn check_in(&mut self, index: usize, life: u64, token: String) {
        let ask = Ask {
            method: "POST",
            path: CHECK_IN_PATH.to_owned(),
            headers: Vec::new(),
            body: json!({"mac": self.template.hosts[index].mac, "boot_token": token,
                "csr_pem": self.template.requests[index], "software": "simulated"}),
        };
        self.ask_as((index, life), ask, move |world, reply| match reply {
            Some((200, body)) => match serde_json::from_value::<CheckInResponse>(body) {
                Ok(answer) => world.checked_in(index, life, answer),
                Err(error) => world.problem(format!("a check-in has a bad answer: {error}")),
            },
            Some((403 | 404 | 410, _)) => {
                world.soon(index, life, move |world| world.get_token(index, life));
            }
            _ => world.soon(index, life, move |world| world.check_in(index, life, token)),
        });
    }

    fn checked_in(&mut self, index: usize, life: u64, answer: CheckInResponse) {
        self.note(|| format!("machine {index} is checked in for task {}", answer.task));
        self.clients[index].checked_in = Some(CheckedIn {
            task: answer.task.get(),
            session: answer.session,
            fingerprint: fingerprint(&answer.chain_pem),
        });
        match answer.order {
            Some(order) => self.seek_server(index, life, &order),
            None => self.ask_order(index, life),
        }
    }

    fn ask_order(&mut self, index: usize, life: u64) {
        let Some(checked_in) = &self.clients[index].checked_in else {
            return;
        };
        let bearer = format!("Bearer {}", checked_in.session);
        let ask = Ask {
            method: "GET",
            path: format!("{ORDER_PATH}?wait=5"),
            headers: vec![("authorization".to_owned(), bearer)],
            body: Value::Null,
        };
        self.ask_as((index, life), ask, move |world, reply| match reply {
            Some((200, body)) => match serde_json::from_value::<Order>(body) {
                Ok(order) => world.seek_server(index, life, &order),
                Err(error) => world.problem(format!("an order cannot be read: {error}")),
            },
            Some((410, body)) => {
                let why = body["error"].as_str().unwrap_or_default().to_owned();
                world.switch_off(index, &why);
            }
            // Another boot of it has checked in since, or its controller has not seen it yet.
            Some((403, _)) => world.soon(index, life, move |world| world.get_token(index, life)),
            _ => world.soon(index, life, move |world| world.ask_order(index, life)),
        });
    }

    fn seek_server(&mut self, index: usize, life: u64, order: &Order) {
        let address = order.sources.first().map_or("", |source| &source.address);
        let host = address.split(':').next().unwrap_or_default();
        let agent = host
            .rsplit('.')
            .next()
            .and_then(|text| text.parse::<usize>().ok());
        let Some(agent) = agent.filter(|agent| *agent < self.agents.len()) else {
            return self.problem(format!("an order names the node {address}"));
        };
        let at = self.now + self.delay();
        self.at(at, move |world| {
            if world.lives(index, life) {
                world.reach_server(index, life, agent);
            }
        });
    }

    fn reach_server(&mut self, index: usize, life: u64, agent: usize) {
        let (one, other) = (Place::Client(index), Place::Agent(agent));
        let Some(checked_in) = &self.clients[index].checked_in else {
            return;
        };
        let who = (checked_in.task, checked_in.fingerprint.clone());
        if self.net.is_cut(one, other) || !self.agents[agent].is_alive {
            return self.soon(index, life, move |world| world.ask_order(index, life));
        }
        let id = self.connect(Purpose::Transfer, one, other);
        self.clients[index].conn = Some(id);
        let since = self.now;
        self.send(id, End::Caller, move |world| {
            world.client_came(agent, id, who, since)
        });
    }

    fn client_of(&self, id: ConnId) -> Option<usize> {
        let Some(Place::Client(index)) = self.net.place(id, End::Caller) else {
            return None;
        };
        (self.clients[index].conn == Some(id)).then_some(index)
    }

    /// A node serves it.
    pub(crate) fn accepted(&mut self, id: ConnId, manifest: Option<ManifestId>, slow: bool) {
        let Some(index) = self.client_of(id) else {
            return;
        };
        let client = &self.clients[index];
        let done = client.disk.get(&manifest).copied().unwrap_or(0);
        // What is there is only read again.
        let whole = self.random.u64(800..5_000) * if slow { 3 } else { 1 };
        let takes = whole.saturating_sub(done).max(100);
        let life = client.life;
        self.note(|| format!("machine {index} is served for {takes} ms"));
        self.clients[index].transfer = Some((self.now, takes));
        self.judge_served(index);
        self.clients[index].disk.entry(manifest).or_default();
        self.clients[index]
            .disk
            .retain(|other, _| *other == manifest);
        let early = self.engine.bug == Some(Bug::CompletesEarly) && self.random.bool();
        let at = self.now + if early { takes / 2 } else { takes };
        self.at(at, move |world| {
            if world.lives(index, life) && world.client_of(id) == Some(index) {
                world.transferred(index, id, manifest, early);
            }
        });
    }

    fn transferred(&mut self, index: usize, id: ConnId, manifest: Option<ManifestId>, early: bool) {
        self.stop_transfer(index);
        let Some(checked_in) = &self.clients[index].checked_in else {
            return;
        };
        let task = checked_in.task;
        self.note(|| format!("machine {index} has everything of task {task}"));
        if let Some(manifest) = manifest.filter(|_| !early) {
            self.clients[index]
                .disk
                .insert(Some(manifest), Millis::MAX / 2);
            self.judge.wrote(task, manifest);
        }
        self.send(id, End::Caller, move |world| {
            world.client_finished(id, task)
        });
    }

    fn stop_transfer(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if let Some((since, _)) = client.transfer.take()
            && let Some(done) = client.disk.values_mut().next()
        {
            *done = done.saturating_add(self.now - since);
        }
    }

    /// The end that it has told is recorded.
    pub(crate) fn told_recorded(&mut self, id: ConnId) {
        if let Some(index) = self.client_of(id) {
            if let Some(task) = self.clients[index].task() {
                self.judge_told(task);
            }
            self.switch_off(index, "it is recorded");
        }
    }

    /// A node does not serve it, or not any longer.
    pub(crate) fn refused(&mut self, id: ConnId, why: &str) {
        if let Some(index) = self.client_of(id) {
            self.note(|| format!("machine {index} is not served: {why}"));
            self.look_elsewhere(index);
        }
    }

    pub(crate) fn server_lost(&mut self, index: usize, id: ConnId) {
        if self.clients[index].conn == Some(id) {
            self.look_elsewhere(index);
        }
    }

    fn look_elsewhere(&mut self, index: usize) {
        self.stop_transfer(index);
        if let Some(id) = self.clients[index].conn.take() {
            self.close(id, End::Caller);
        }
        let life = self.clients[index].life;
        self.soon(index, life, move |world| world.ask_order(index, life));
    }
}

/// By which a node knows the holder of a certificate.
fn fingerprint(chain_pem: &str) -> Vec<u8> {
    let first = chain_pem.split("-----END").next().unwrap_or_default();
    let text: String = first
        .lines()
        .filter(|line| !line.starts_with("---"))
        .collect();
    let der = BASE64.decode(text.as_bytes()).unwrap_or_default();
    blake3::hash(&der).as_bytes().to_vec()
}
