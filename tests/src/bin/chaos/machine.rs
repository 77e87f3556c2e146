//! A machine that is imaged: its task is ordered, its client runs, and is started again when
//! something has killed it, until the task has ended.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use foghorn_tests::lab::Lab;
use foghorn_tests::persistent::{Persistent, is_later};
use foghorn_tests::process::Process;
use foghorn_tests::rest::{Rest, following};
use foghorn_tests::tools::foghorn;
use serde_json::{Value, json};

use crate::topology::Site;

/// A request is sent again for so long: longer than anything is broken.
const PERSISTENCE: Duration = Duration::from_secs(40);
/// A client gets so much time before somebody pulls the plug.
const CLIENT: Duration = Duration::from_secs(100);
/// A task whose client has ended, or was never begun, has ended this long after.
const ENDS_WITHIN: Duration = Duration::from_secs(60);
const ATTEMPTS: u32 = 6;
/// Longer than a controller is halted that has a request before it.
const LATE: Duration = Duration::from_secs(60);

/// The client that runs, where the killer finds it.
pub(crate) type Slot = Arc<Mutex<Option<Process>>>;

pub(crate) fn hold(slot: &Slot) -> std::sync::MutexGuard<'_, Option<Process>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a task of a machine has ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub task: u64,
    /// The image that the task was about.
    pub image: u32,
    pub state: String,
    pub reason: String,
    /// The client has said that it is done.
    pub client_done: bool,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, text: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (task, image, state) = (self.task, self.image, &self.state);
        write!(text, "task {task} with image {image} is {state}")?;
        if !self.reason.is_empty() {
            write!(text, " ({})", self.reason)?;
        }
        text.write_str(if self.client_done {
            "; its client is done"
        } else {
            "; its client is not done"
        })
    }
}

pub(crate) struct Machine {
    pub number: usize,
    pub host: u32,
    pub mac: String,
    pub disk: PathBuf,
    pub slot: Slot,
    folder: PathBuf,
    lab: Arc<Lab>,
    /// The machine's place in the lab.
    place: usize,
    api: Persistent,
    random: fastrand::Rng,
    orders: u64,
    /// Why there was no boot token lately.
    refused: String,
    /// When a cancellation was sent last.
    cancelled: Option<Instant>,
    /// The newest complete version of each image before the first order that has not ended.
    pub oldest: Option<Vec<usize>>,
}

/// What was ordered.
pub(crate) enum Ordered {
    Once,
    /// Two people ordered at once, and both were told that they had succeeded.
    Twice,
    /// The answer was no.
    Refused(String),
}

impl Machine {
    /// `place` counts the clients of the lab.
    pub(crate) fn make(site: &Site, number: usize, place: usize, seed: u64) -> Result<Self> {
        let mac = format!("06:00:00:00:02:{number:02x}");
        let body = json!({"name": format!("pc{number}"), "macs": [mac]});
        let host = site.rest(0)?.post("/fog/host/create", &body)?.ok()?;
        Ok(Self {
            number,
            host: crate::images::id(&host)?,
            mac,
            disk: site.folder.join(format!("disk{number}")),
            slot: Slot::default(),
            folder: site.folder.clone(),
            lab: site.lab.clone(),
            place,
            api: Persistent::new(following(site.rests()?), PERSISTENCE),
            random: fastrand::Rng::with_seed(seed ^ ((number as u64) << 40)),
            orders: 0,
            refused: String::new(),
            cancelled: None,
            oldest: None,
        })
    }

    pub(crate) fn chance(&mut self, of: u64) -> bool {
        self.random.u64(..of) == 0
    }

    pub(crate) fn choose(&mut self, count: usize) -> usize {
        self.random.usize(..count)
    }

    /// Gives the host the image.
    pub(crate) fn assign(&mut self, image: u32) -> Result<()> {
        self.orders += 1;
        let (path, key) = (format!("/fog/host/{}/edit", self.host), self.key("assign"));
        let body = json!({"imageID": image});
        match self.api.ask("PUT", &path, &key, &body) {
            Some((200, _)) => Ok(()),
            other => bail!("the image was not assigned: {other:?}"),
        }
    }

    /// Whether its host has a task that has not ended.
    pub(crate) fn has_task(&mut self) -> Result<bool> {
        Ok(self.token()?.is_some())
    }

    fn key(&self, what: &str) -> String {
        format!("{what}-{}-{}", self.number, self.orders)
    }

    /// Orders a task; `rival`: somebody else orders it at the same time through another controller.
    pub(crate) fn order(&mut self, kind: u32, rival: Option<&Rest>) -> Result<Ordered> {
        self.orders += 1;
        let path = format!("/fog/host/{}/task", self.host);
        let (body, key) = (json!({"taskTypeID": kind}), self.key("order"));
        let (own, other) = std::thread::scope(|scope| {
            let rivals = rival.map(|rest| {
                scope.spawn(|| {
                    rest.post(&path, &body)
                        .is_ok_and(|answer| answer.status == 200)
                })
            });
            let own = self
                .api
                .ask_until("POST", &path, &key, &body, is_not_an_answer);
            let other = rivals.is_some_and(|rivals| rivals.join().unwrap_or(false));
            (own, other)
        });
        Ok(match (own, other) {
            (Some((200, _)), true) => Ordered::Twice,
            (Some((200, _)), false) | (_, true) => Ordered::Once,
            (Some((status, answer)), false) => Ordered::Refused(format!("{status}: {answer}")),
            (None, false) => bail!("the order of pc{} was never answered", self.number),
        })
    }

    /// Runs clients until the task has ended.
    pub(crate) fn run(&mut self) -> Result<Ended> {
        let mut task = None;
        let mut client_done = false;
        for _ in 0..ATTEMPTS {
            let Some(token) = self.token()? else { break };
            task = token["task"].as_u64();
            client_done = self.client(&token)?;
            let task = task.context("a task")?;
            if client_done || has_ended(&self.task(task)?) {
                break;
            }
        }
        let task = match task {
            Some(task) => task,
            // Whoever has ordered is to see it at every controller at once.
            None => self.is_it_late()?,
        };
        if !client_done && !has_ended(&self.task(task)?) {
            self.cancel();
        }
        let status = self.wait_ended(task)?;
        let text = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
        let image = status["image"]["id"].as_u64().unwrap_or(0);
        Ok(Ended {
            task,
            image: u32::try_from(image)?,
            state: text("state"),
            reason: text("reason"),
            client_done,
        })
    }

    /// There was no task though one was ordered: is it lost, or only not seen at once?
    fn is_it_late(&mut self) -> Result<u64> {
        let why = self.refused.clone();
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(250));
            if let Some(token) = self.token()? {
                bail!(
                    "a controller did not know task {} of pc{} at once: {why}",
                    token["task"],
                    self.number
                );
            }
        }
        bail!(
            "the task that pc{} was promised is lost: {why}",
            self.number
        )
    }

    /// `None`: the host has no task any more.
    fn token(&mut self) -> Result<Option<Value>> {
        self.orders += 1;
        let path = format!("/foghorn/v1/hosts/{}/boot-token", self.host);
        let key = self.key("token");
        let answer = self
            .api
            .ask_until("POST", &path, &key, &json!({}), is_not_an_answer);
        match answer {
            Some((200, token)) => Ok(Some(token)),
            Some((404 | 409, why)) => {
                self.refused = why.to_string();
                Ok(None)
            }
            other => bail!("pc{} got no boot token: {other:?}", self.number),
        }
    }

    /// Whether the client said that it is done.
    fn client(&mut self, token: &Value) -> Result<bool> {
        // Directly at a controller, which sees where the machine is, or through the one address.
        let through = self.random.usize(..4);
        let url = Site::url((through < crate::topology::SERVERS).then_some(through));
        let mut command = Command::new(foghorn("foghorn-client")?);
        command
            .args(["run", "--controller", &url, "--mac", &self.mac])
            .args(["--token", token["token"].as_str().context("a token")?])
            .arg("--disk")
            .arg(&self.disk);
        let mut command = self.lab.on_client(self.place, &command);
        let name = format!("client{}", self.number);
        *hold(&self.slot) = Some(Process::start(&self.folder, &name, &mut command)?);
        let start = Instant::now();
        loop {
            std::thread::sleep(Duration::from_millis(50));
            let mut slot = hold(&self.slot);
            // The killer takes nothing out, so it is there.
            let client = slot.as_mut().context("the client")?;
            let ended = !client.is_running()?;
            let late = start.elapsed() > CLIENT;
            if ended || late {
                let status = client.wait(Duration::ZERO);
                *slot = None;
                return Ok(ended && status.is_ok_and(|status| status.success()));
            }
        }
    }

    fn task(&mut self, task: u64) -> Result<Value> {
        let path = format!("/foghorn/v1/tasks/{task}");
        match self.api.ask("GET", &path, "", &Value::Null) {
            Some((200, status)) => Ok(status),
            other => bail!("task {task} of pc{}: {other:?}", self.number),
        }
    }

    /// Whether a cancellation was sent lately: it may come late.
    pub(crate) fn has_cancelled(&self) -> bool {
        self.cancelled.is_some_and(|at| at.elapsed() < LATE)
    }

    pub(crate) fn cancel(&mut self) {
        self.cancelled = Some(Instant::now());
        self.orders += 1;
        let path = format!("/fog/host/{}/cancel", self.host);
        let (key, body) = (self.key("cancel"), json!({"reason": "its client failed"}));
        // Nothing to cancel is as good.
        let _ = self.api.ask("DELETE", &path, &key, &body);
    }

    fn wait_ended(&mut self, task: u64) -> Result<Value> {
        let start = Instant::now();
        loop {
            let status = self.task(task)?;
            if has_ended(&status) {
                return Ok(status);
            }
            if start.elapsed() > ENDS_WITHIN {
                self.cancel();
                bail!("task {task} of pc{} did not end: {status}", self.number);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A refusal is an answer, unless the same request is being carried out elsewhere.
fn is_not_an_answer(status: u16, body: &str) -> bool {
    match status {
        409 => body.contains("being carried out"),
        status => is_later(status, body),
    }
}

fn has_ended(status: &Value) -> bool {
    ["complete", "failed", "cancelled"].contains(&status["state"].as_str().unwrap_or_default())
}
