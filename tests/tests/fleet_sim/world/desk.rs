//! People: they order tasks, think better of it, and make groups. Whoever gets no answer asks again,
//! through any controller, under the same idempotency key.

use serde_json::json;

use super::World;
use super::web::{Ask, Reply};
use crate::scenario::{Place, What};

impl World {
    pub(crate) fn plan_orders(&mut self) {
        for (number, order) in self.scenario.orders.clone().into_iter().enumerate() {
            let people = if order.twice { 2 } else { 1 };
            for person in 0..people {
                let (host, what) = (order.host, order.what);
                self.people_wait += 1;
                self.at(order.at, move |world| {
                    world.order(host, what, format!("order-{number}-{person}"));
                });
            }
            if let Some(after) = order.cancelled_after {
                self.people_wait += 1;
                self.at(order.at + after, move |world| world.cancel(order.host));
            }
        }
        for (number, at) in self.scenario.writes.clone().into_iter().enumerate() {
            self.people_wait += 1;
            self.at(at, move |world| world.make_group(format!("group-{number}")));
        }
    }

    /// A request of an administrator.
    fn asked(&self, method: &'static str, path: String, key: Option<&str>) -> Ask {
        let mut headers = self.template.headers.to_vec();
        if let Some(key) = key {
            headers.push(("idempotency-key".to_owned(), key.to_owned()));
        }
        Ask {
            method,
            path,
            headers,
            body: serde_json::Value::Null,
        }
    }

    /// Asks any controller until one answers.
    fn insist(
        &mut self,
        ask: Ask,
        then: impl FnOnce(&mut World, u16, serde_json::Value) + 'static,
    ) {
        let host = self.any_host();
        let again = ask.clone();
        self.ask(Place::Desk, host, ask, move |world, reply| {
            match answered(&reply) {
                Some((status, body)) => then(world, status, body),
                None => {
                    let at = world.now + world.random.u64(200..1_200);
                    world.at(at, move |world| world.insist(again, then));
                }
            }
        });
    }

    fn order(&mut self, host: usize, what: What, key: String) {
        let id = self.template.hosts[host].id;
        let kind = match what {
            What::Deploy => 1,
            What::Capture => 2,
        };
        let mut ask = self.asked("POST", format!("/fog/host/{id}/task"), Some(&key));
        ask.body = json!({"taskTypeID": kind});
        self.judge.orders.entry(id).or_default().push(key.clone());
        self.insist(ask, move |world, status, body| {
            world.people_wait -= 1;
            world.note(|| format!("{key} for host {host}: {status} {body}"));
            match status {
                200..300 => {
                    world.judge_order(id, &key);
                    let at = world.now + world.random.u64(100..3_000);
                    world.at(at, move |world| world.switch_on(host));
                }
                // The host has a task already, or its image cannot be captured now.
                400 | 409 | 500 => {}
                other => world.problem(format!("{key} was answered with {other}: {body}")),
            }
        });
    }

    fn cancel(&mut self, host: usize) {
        let id = self.template.hosts[host].id;
        let before = self.judge.active_of(id);
        let ask = self.asked("DELETE", format!("/fog/host/{id}/cancel"), None);
        self.insist(ask, move |world, status, body| {
            world.people_wait -= 1;
            world.note(|| format!("cancel for host {host}: {status} {body}"));
            if (200..300).contains(&status) {
                world.judge_cancel(&before);
            }
        });
    }

    fn make_group(&mut self, name: String) {
        let mut ask = self.asked("POST", "/fog/group".to_owned(), Some(&name));
        ask.body = json!({"name": name});
        self.insist(ask, move |world, status, body| {
            world.people_wait -= 1;
            world.note(|| format!("group {name}: {status}"));
            if (200..300).contains(&status) {
                world.judge.groups.push(name);
            } else {
                world.problem(format!("group {name} was answered with {status}: {body}"));
            }
        });
    }
}

/// An answer that says how it is; whoever is told to try again does.
fn answered(reply: &Reply) -> Option<(u16, serde_json::Value)> {
    let (status, body) = reply.as_ref()?;
    let later = matches!(status, 408 | 429 | 502 | 503 | 504);
    (!later).then(|| (*status, body.clone()))
}
