//! What the gateway knows of the host that a machine is, as the controller keeps it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use ring::digest::{SHA512, digest};
use serde_json::{Value, json};

use super::gateway::Request;

/// A host. Everything is off, or empty, until a test sets it.
#[derive(Default)]
pub(super) struct Host {
    pub(super) name: Option<String>,
    /// Action and id.
    pub(super) power: Option<(String, String)>,
    /// Snapins to run, with their files.
    pub(super) snapins: VecDeque<(Value, Vec<u8>)>,
    /// Results by task; a second one that is the same has no effect.
    pub(super) results: BTreeMap<u64, Vec<Value>>,
    pub(super) acknowledged: Vec<String>,
    pub(super) inventory: Vec<Value>,
    /// Events by id.
    pub(super) users: BTreeMap<String, Value>,
    pub(super) modules_off: Vec<&'static str>,
    /// The next requests that are so are answered with this status.
    pub(super) refusals: Vec<(&'static str, u16)>,
}

impl Host {
    /// Orders a snapin with this file; what differs from one that is run with `/bin/sh`.
    pub(super) fn order(&mut self, task: u32, content: &[u8], differs: &Value) {
        let mut hash = String::new();
        for byte in digest(&SHA512, content).as_ref() {
            write!(hash, "{byte:02x}").unwrap();
        }
        let mut run = json!({
            "next": "run",
            "snapin_task": task,
            "snapin": 3,
            "name": "a snapin",
            "file": "setup.sh",
            "args": "",
            "run_with": "/bin/sh",
            "run_with_args": "",
            "timeout_seconds": 0,
            "hide": false,
            "unpack": false,
            "reboot": false,
            "shutdown": false,
            "sha512": hash,
            "size_bytes": content.len(),
            "url": format!("/host/snapins/{task}/file"),
        });
        for (name, value) in differs.as_object().unwrap() {
            run[name] = value.clone();
        }
        self.snapins.push_back((run, content.to_vec()));
    }

    /// Exit code and details of the one result of a task.
    pub(super) fn result(&self, task: u64) -> (i64, &str) {
        let all = self.results.get(&task).unwrap();
        assert_eq!(all.len(), 1, "{all:?}");
        let details = all[0]["details"].as_str().unwrap();
        (all[0]["exit_code"].as_i64().unwrap(), details)
    }

    /// `None` for what this has nothing to do with.
    pub(super) fn reply(&mut self, request: &Request) -> Option<(u16, Vec<u8>)> {
        let (method, path) = request.line.split_once(' ')?;
        let path = path.strip_prefix("/host/")?;
        let refused = self
            .refusals
            .iter()
            .position(|(line, _)| *line == request.line);
        if let Some(at) = refused {
            let (_, status) = self.refusals.remove(at);
            return Some((status, b"{\"message\":\"the test wants it\"}".to_vec()));
        }
        let body = || serde_json::from_slice::<Value>(&request.body).unwrap();
        let parts: Vec<&str> = path.split('/').collect();
        let answer = match (method, parts.as_slice()) {
            ("GET", ["work"]) => (200, self.work().to_string().into_bytes()),
            ("GET", ["snapins", task, "file"]) => match self.current(task) {
                Some((_, content)) => (200, content.clone()),
                None => (404, Vec::new()),
            },
            ("POST", ["snapins", task, "result"]) => (self.ended(task, body()), Vec::new()),
            ("POST", ["power", id]) => {
                self.acknowledged.push((*id).to_owned());
                let _done = self.power.take_if(|(_, due)| due.as_str() == *id);
                (204, Vec::new())
            }
            ("PUT", ["inventory"]) => {
                self.inventory.push(body());
                (204, Vec::new())
            }
            ("POST", ["users"]) => {
                for event in body()["events"].as_array().unwrap() {
                    let id = event["id"].as_str().unwrap().to_owned();
                    self.users.entry(id).or_insert_with(|| event.clone());
                }
                (204, Vec::new())
            }
            _ => (404, Vec::new()),
        };
        Some(answer)
    }

    fn current(&self, task: &str) -> Option<&(Value, Vec<u8>)> {
        let current = self.snapins.front();
        current.filter(|(run, _)| run["snapin_task"].as_u64() == task.parse().ok())
    }

    fn ended(&mut self, task: &str, result: Value) -> u16 {
        let is_current = self.current(task).is_some();
        let number = task.parse().unwrap();
        let known = self.results.get(&number);
        if known.is_some_and(|known| known.contains(&result)) {
            return 204;
        }
        if !is_current {
            return 404;
        }
        self.snapins.pop_front();
        self.results.entry(number).or_default().push(result);
        204
    }

    fn work(&self) -> Value {
        let is_on = |module| !self.modules_off.contains(&module);
        let snapin = self.snapins.front().filter(|_| is_on("snapins"));
        let nothing = json!({"next": "nothing"});
        let power = self.power.as_ref().filter(|_| is_on("power"));
        json!({
            "host": 7,
            "host_name": self.name,
            "power": power.map(|(action, _)| action),
            "power_id": power.map(|(_, id)| id),
            "snapin": snapin.map_or(nothing, |(run, _)| run.clone()),
            "modules": {
                "snapins": is_on("snapins"),
                "power": is_on("power"),
                "host_name": is_on("host_name"),
                "users": is_on("users"),
                "inventory": is_on("inventory"),
            },
        })
    }
}
