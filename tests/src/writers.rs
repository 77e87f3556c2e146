//! Writers: each creates hosts, says something about them, orders a job for them, deletes them, and
//! records what was answered. A request that was not answered is sent again under its key.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::ledger::Ledger;
use crate::persistent::Persistent;
use crate::rest::Rest;
use serde_json::{Value, json};

/// A request is sent again for so long.
const PERSISTENCE: Duration = Duration::from_secs(120);
/// Hosts of one writer; then the oldest goes for each that comes, so that the store stays as large.
const HOSTS: usize = 40;

/// What stops writers, and what they wait at.
#[derive(Default)]
pub struct Gate {
    stop: AtomicBool,
    closed: AtomicBool,
    inside: AtomicUsize,
}

impl Gate {
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Lets nobody begin, and waits until everybody has finished what they are at.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        while self.inside.load(Ordering::SeqCst) > 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
    }

    /// Does `work` unless the gate is closed; then waits until it opens.
    pub fn pass(&self, work: impl FnOnce()) {
        while !self.is_stopped() {
            self.inside.fetch_add(1, Ordering::SeqCst);
            if !self.closed.load(Ordering::SeqCst) {
                work();
                self.inside.fetch_sub(1, Ordering::SeqCst);
                return;
            }
            self.inside.fetch_sub(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Starts a writer that sends its requests to these controllers in turn; no two may have the same
/// number.
#[must_use]
pub fn start(
    number: u32,
    rests: Vec<Rest>,
    ledger: Arc<Ledger>,
    gate: Arc<Gate>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut writer = Writer {
            number,
            api: Persistent::new(rests, PERSISTENCE),
            ledger,
            hosts: VecDeque::new(),
            count: 0,
        };
        let mut turn = 0_u64;
        while !gate.is_stopped() {
            gate.pass(|| writer.step(turn));
            turn += 1;
        }
    })
}

struct Writer {
    number: u32,
    api: Persistent,
    ledger: Arc<Ledger>,
    hosts: VecDeque<(String, String)>,
    count: u32,
}

impl Writer {
    fn step(&mut self, turn: u64) {
        // A store that was put back does not have the newest ones, and gives their numbers to others.
        let ledger = self.ledger.clone();
        self.hosts.retain(|(name, _)| ledger.knows(name));
        match turn % 4 {
            0 => self.create(),
            1 => self.say(turn),
            2 => self.order_job(turn),
            _ if self.hosts.len() > HOSTS => self.delete(),
            _ => {}
        }
    }

    fn create(&mut self) {
        self.count += 1;
        let (number, count) = (self.number, self.count);
        let name = format!("w{number}-{count}");
        let mac = format!(
            "02:{number:02x}:00:{:02x}:{:02x}:{:02x}",
            count >> 16,
            (count >> 8) & 255,
            count & 255
        );
        let body = json!({"name": name, "macs": [mac], "description": ""});
        match self.api.ask(
            "POST",
            "/fog/host/create",
            &format!("soak-create-{name}"),
            &body,
        ) {
            Some((200, answer)) => {
                let id = answer["id"].as_str().unwrap_or_default().to_owned();
                self.ledger.created(&name);
                self.hosts.push_back((name, id));
            }
            Some((status, answer)) => self.wrong("create", &name, status, &answer),
            None => self.ledger.unsure(&name),
        }
    }

    fn say(&mut self, turn: u64) {
        let at = usize::try_from(turn).unwrap_or(0) % self.hosts.len().max(1);
        let Some((name, id)) = self.hosts.get(at).cloned() else {
            return;
        };
        let text = format!("turn {turn}");
        self.ledger.about_to_say(&name, &text);
        let path = format!("/fog/host/{id}/edit");
        let body = json!({"description": text});
        match self
            .api
            .ask("PUT", &path, &format!("soak-say-{name}-{turn}"), &body)
        {
            Some((200, _)) if self.api.may_come_late() => self.ledger.said_in_doubt(&name),
            Some((200, _)) => self.ledger.said(&name, &text),
            Some((status, answer)) => self.wrong("edit", &name, status, &answer),
            None => self.forget(&name),
        }
    }

    fn order_job(&mut self, turn: u64) {
        let at = usize::try_from(turn / 3).unwrap_or(0) % self.hosts.len().max(1);
        let Some((name, id)) = self.hosts.get(at).cloned() else {
            return;
        };
        let body = json!({"hostID": id, "stateID": 1});
        match self.api.ask(
            "POST",
            "/fog/snapinjob/create",
            &format!("soak-job-{name}-{turn}"),
            &body,
        ) {
            Some((200, _)) => self.ledger.job_made(&name),
            Some((status, answer)) => self.wrong("job", &name, status, &answer),
            None => self.forget(&name),
        }
    }

    fn delete(&mut self) {
        let Some((name, id)) = self.hosts.pop_front() else {
            return;
        };
        let path = format!("/fog/host/{id}/delete");
        match self.api.ask(
            "DELETE",
            &path,
            &format!("soak-delete-{name}"),
            &Value::Null,
        ) {
            // It was deleted by a request whose answer was lost.
            Some((200 | 404, _)) => self.ledger.deleted(&name),
            Some((status, answer)) => self.wrong("delete", &name, status, &answer),
            None => self.ledger.unsure(&name),
        }
    }

    fn forget(&mut self, name: &str) {
        self.hosts.retain(|(host, _)| host != name);
        self.ledger.unsure(name);
    }

    /// Refused for good, though nothing is wrong with the request. It shows in the comparison.
    fn wrong(&mut self, what: &str, name: &str, status: u16, answer: &Value) {
        eprintln!(
            "writer {}: {what} of {name} was answered {status}: {answer}",
            self.number
        );
        self.forget(name);
    }
}
