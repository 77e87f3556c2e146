//! What the machines do all the while: deploys, captures, multicast sessions.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, bail};
use foghorn_tests::disks;
use foghorn_tests::persistent::{Persistent, is_later};
use foghorn_tests::rest::Rest;
use foghorn_tests::writers::Gate;
use serde::Serialize;
use serde_json::{Value, json};

use crate::images::{Images, SIZE};
use crate::machine::{Ended, Machine, Ordered};

const DEPLOY: u32 = 1;
pub(crate) const CAPTURE: u32 = 2;
/// Two people order at once in every so manieth turn.
const RIVALS: u64 = 3;

/// What became of the tasks.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Tally {
    pub deploys_completed: u64,
    pub deploys_failed_cleanly: u64,
    pub captures_completed: u64,
    pub captures_failed_cleanly: u64,
    pub sessions: u64,
    /// Somebody was told of a success that was none.
    pub false_successes: Vec<String>,
    /// Orders that were answered well and are not there.
    pub lost: Vec<String>,
    /// Orders that were answered well, and another controller did not know of them yet.
    pub late: Vec<String>,
    /// Tasks that did not end.
    pub stuck: Vec<String>,
    /// What the harness could not do, such as an order that was never answered.
    pub given_up: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Work {
    pub images: Arc<Images>,
    pub gate: Arc<Gate>,
    pub tally: Arc<Mutex<Tally>>,
}

impl Work {
    pub(crate) fn count(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn until_stopped(&self, mut turn: impl FnMut() -> Result<()>) {
        while !self.gate.is_stopped() {
            if let Err(error) = turn() {
                self.give_up(&error);
                std::thread::sleep(Duration::from_millis(300));
            }
        }
    }

    fn give_up(&self, error: &anyhow::Error) {
        let text = format!("{error:#}");
        eprintln!("workers: {text}");
        self.count(|tally| {
            if text.contains("did not end") {
                tally.stuck.push(text);
            } else if text.contains("is lost") {
                tally.lost.push(text);
            } else if text.contains("at once:") {
                tally.late.push(text);
            } else {
                tally.given_up.push(text);
            }
        });
    }

    /// Deploys until the gate stops; then ends what is left.
    pub(crate) fn deploys(self, mut machine: Machine, rival: Rest) -> JoinHandle<()> {
        std::thread::spawn(move || {
            self.until_stopped(|| {
                let image = machine.choose(self.images.count());
                machine.assign(self.images.id(image))?;
                let rival = machine.chance(RIVALS).then_some(&rival);
                self.deploy(&mut machine, rival)
            });
            self.finish(&mut machine);
        })
    }

    /// A late order may have made a further task.
    fn finish(&self, machine: &mut Machine) {
        for _ in 0..3 {
            match machine.has_task() {
                Ok(true) => {
                    if let Err(error) = self.run_deploy(machine) {
                        self.give_up(&error);
                    }
                }
                Ok(false) => return,
                Err(error) => self.give_up(&error),
            }
        }
    }

    /// Whoever orders from now on gets no older version of an image.
    fn note_versions(&self, machine: &mut Machine) {
        let all = 0..self.images.count();
        let now = || all.map(|number| self.images.oldest(number)).collect();
        machine.oldest.get_or_insert_with(now);
    }

    fn deploy(&self, machine: &mut Machine, rival: Option<&Rest>) -> Result<()> {
        self.note_versions(machine);
        match machine.order(DEPLOY, rival)? {
            Ordered::Once => {}
            Ordered::Twice => {
                let what = format!("two deploys were ordered for pc{} at once", machine.number);
                self.count(|tally| tally.false_successes.push(what));
            }
            // A task of a turn that was given up may be left: it is as good.
            Ordered::Refused(why) if why.contains("already") => {}
            Ordered::Refused(why) => bail!("pc{}: the order was refused: {why}", machine.number),
        }
        self.run_deploy(machine)
    }

    fn run_deploy(&self, machine: &mut Machine) -> Result<()> {
        self.note_versions(machine);
        disks::blank(&machine.disk, SIZE)?;
        let ended = machine.run()?;
        let oldest = machine.oldest.take().unwrap_or_default();
        self.judge(machine, &ended, &oldest)
    }

    /// Compares the disk with what the image was.
    fn judge(&self, machine: &Machine, ended: &Ended, oldest: &[usize]) -> Result<()> {
        let complete = ended.state == "complete";
        if !complete && !ended.client_done {
            eprintln!("pc{}: {ended}", machine.number);
            let is_dropped = ended.state == "cancelled" && !machine.has_cancelled();
            self.count(|tally| {
                tally.deploys_failed_cleanly += 1;
                if is_dropped {
                    let what = format!("pc{}: nobody has cancelled this: {ended}", machine.number);
                    tally.lost.push(what);
                }
            });
            return Ok(());
        }
        let Some(image) = self.images.number(ended.image) else {
            bail!("pc{} had a task for another image: {ended}", machine.number);
        };
        let is_good = self.images.is_one(image, oldest[image], &machine.disk)?;
        self.count(|tally| {
            tally.deploys_completed += 1;
            if !is_good {
                let what = format!(
                    "pc{}: {ended}, and its disk is not the image",
                    machine.number
                );
                tally.false_successes.push(what);
            } else if !complete {
                let what = format!(
                    "pc{}: its client is done, its task is not: {ended}",
                    machine.number
                );
                tally.false_successes.push(what);
            }
        });
        Ok(())
    }

    /// Every image from every storage node, while the others take no tasks: what a node calls ready is
    /// looked at with other eyes than its own.
    pub(crate) fn serve_from_each_node(&self, machine: &mut Machine, rest: &Rest) -> Result<()> {
        let list = rest.get("/foghorn/v1/nodes")?.ok()?;
        let rows = list["nodes"].as_array().into_iter().flatten();
        let online = rows.filter(|row| row["online"] == true);
        let nodes: Vec<u64> = online.filter_map(|row| row["id"].as_u64()).collect();
        let tell = |node: &u64, word: &str| {
            let path = format!("/foghorn/v1/nodes/{node}/{word}");
            rest.post(&path, &json!({}))?.ok().map(drop)
        };
        for node in &nodes {
            let others = || nodes.iter().filter(|other| *other != node);
            others().try_for_each(|other| tell(other, "cordon"))?;
            for image in 0..self.images.count() {
                machine.assign(self.images.id(image))?;
                let before = self.tally().deploys_completed;
                self.deploy(machine, None)?;
                if self.tally().deploys_completed == before {
                    let what = format!("image {image} cannot be had from storage node {node}");
                    self.count(|tally| tally.false_successes.push(what));
                }
            }
            others().try_for_each(|other| tell(other, "uncordon"))?;
        }
        Ok(())
    }

    pub(crate) fn tally(&self) -> Tally {
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.clone()
    }

    /// Captures further versions of images, one after the other, each from a machine of its own.
    pub(crate) fn captures(
        self,
        mut machines: Vec<Machine>,
        pause: Duration,
        seed: u64,
    ) -> JoinHandle<()> {
        std::thread::spawn(move || {
            let mut turn = seed;
            self.until_stopped(|| {
                turn += 1;
                let number = usize::try_from(turn)? % machines.len();
                self.capture(&mut machines[number], number, turn)?;
                std::thread::sleep(pause);
                Ok(())
            });
            for machine in &mut machines {
                if machine.has_task().unwrap_or(false) {
                    machine.cancel();
                }
            }
        })
    }

    /// The machine has the image; its disk becomes the next version.
    pub(crate) fn capture(&self, machine: &mut Machine, image: usize, seed: u64) -> Result<()> {
        let disk = self.images.next_disk(image, seed)?;
        machine.disk.clone_from(&disk);
        if let Ordered::Refused(why) = machine.order(CAPTURE, None)? {
            // Of a turn that was given up.
            machine.cancel();
            bail!("the capture was refused: {why}");
        }
        let ended = machine.run()?;
        let complete = ended.state == "complete";
        if complete {
            self.images.captured(image, &disk);
        } else {
            eprintln!("capture of image {image}: {ended}");
        }
        self.count(|tally| {
            if complete {
                tally.captures_completed += 1;
            } else {
                tally.captures_failed_cleanly += 1;
            }
            if ended.client_done && !complete {
                tally.false_successes.push(format!("a capture: {ended}"));
            }
        });
        Ok(())
    }

    /// Multicast sessions of all these machines, until the gate stops.
    pub(crate) fn sessions(self, mut room: Vec<Machine>, rests: Vec<Rest>) -> JoinHandle<()> {
        std::thread::spawn(move || {
            let mut api = Persistent::new(rests, Duration::from_secs(40));
            self.until_stopped(|| {
                let image = room[0].choose(self.images.count());
                for machine in &mut room {
                    machine.assign(self.images.id(image))?;
                }
                for machine in &mut room {
                    self.note_versions(machine);
                }
                let ordered = order_session(&mut api, &room);
                if let Err(error) = &ordered {
                    self.give_up(error);
                } else {
                    self.count(|tally| tally.sessions += 1);
                }
                // Those that have a task, whatever became of the order, are run.
                std::thread::scope(|scope| {
                    for machine in &mut room {
                        scope.spawn(|| self.finish(machine));
                    }
                });
                Ok(())
            });
        })
    }
}

fn order_session(api: &mut Persistent, room: &[Machine]) -> Result<()> {
    let hosts: Vec<u32> = room.iter().map(|machine| machine.host).collect();
    let body = json!({"hosts": hosts, "start_receivers": hosts.len(), "max_wait_seconds": 5,
        "max_rate_bytes_per_second": 20_000_000});
    let path = "/foghorn/v1/multicast-sessions";
    let is_not_an_answer = |status, body: &str| status != 409 && is_later(status, body);
    match api.ask_until("POST", path, "", &body, is_not_an_answer) {
        Some((200 | 201, _)) => Ok(()),
        // An attempt that was not answered has made it.
        Some((409, Value::Object(_))) if api.may_come_late() => Ok(()),
        other => bail!("the session was not made: {other:?}"),
    }
}
