//! One engine: the order of events, and what is compared at the end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use foghorn_tests::ledger::{Findings, Ledger, Page};
use foghorn_tests::process::until;
use foghorn_tests::rest::Rest;
use foghorn_tests::small_disk::SmallDisk;
use foghorn_tests::stack::{Engine, Options, PATIENCE, Stack};
use foghorn_tests::writers::{self, Gate};
use serde::Serialize;
use serde_json::{Value, json};

use crate::imaging::{Machines, Transfers};
use crate::memory::Memory;
use crate::strangers;
use crate::trouble;

const WRITERS: u32 = 4;
/// Room for the store, the chunks and the logs.
const DISK_MIB: u64 = 1024;

/// How long, and which kills.
pub(crate) struct Plan {
    pub time: Duration,
    pub seed: u64,
}

/// What a run has found.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Outcome {
    pub engine: String,
    pub seconds: u64,
    pub kills: BTreeMap<String, u64>,
    pub findings: Findings,
    pub transfers: Transfers,
    /// Images that were captured and cannot be deployed any more.
    pub dropped: Vec<String>,
    /// What did not come back by itself.
    pub stuck: Vec<String>,
    pub memory: Memory,
    pub grown: Vec<String>,
}

impl Outcome {
    #[must_use]
    pub(crate) fn is_good(&self) -> bool {
        let found = [
            &self.findings.lost,
            &self.findings.doubled,
            &self.transfers.wrong,
            &self.dropped,
            &self.stuck,
            &self.grown,
        ];
        found.into_iter().all(Vec::is_empty)
    }

    #[must_use]
    pub(crate) fn line(&self) -> String {
        let kills: u64 = self.kills.values().sum();
        format!(
            "soak, {}: {} s, {kills} kills, {} acknowledged writes: {} lost, {} doubled; {} captures, {} deploys: \
             {} wrong, {} images dropped; {} stuck; memory in MiB at start/middle/end: {}{}",
            self.engine,
            self.seconds,
            self.findings.acknowledged,
            self.findings.lost.len(),
            self.findings.doubled.len(),
            self.transfers.captures,
            self.transfers.deploys,
            self.transfers.wrong.len(),
            self.dropped.len(),
            self.stuck.len(),
            self.memory.line(),
            if self.grown.is_empty() { "" } else { " (grew)" },
        )
    }
}

struct Soak {
    stack: Stack,
    engine: Engine,
    disk: SmallDisk,
    place: PathBuf,
    gate: Arc<Gate>,
    ledger: Arc<Ledger>,
    machines: Arc<Machines>,
    outcome: Outcome,
    random: u64,
}

/// Runs everything on one engine.
///
/// # Errors
/// When the installation cannot be started or does not come back; findings are no errors.
pub(crate) fn run(engine: Engine, plan: &Plan) -> Result<Outcome> {
    let start = Instant::now();
    let place = tempfile::tempdir()?;
    let disk = SmallDisk::make(place.path(), DISK_MIB)?;
    let options = Options {
        folder: Some(disk.folder.clone()),
        agent: "[limits]\nkeep_free_mib = 16".to_owned(),
        ..Options::default()
    };
    let stack = Stack::start_with(engine, &options)?;
    let machines = Arc::new(Machines::new(place.path(), rest(&stack)?)?);
    let (gate, ledger) = (Arc::<Gate>::default(), Arc::<Ledger>::default());
    let mut threads = Vec::new();
    for number in 0..WRITERS {
        threads.push(writers::start(
            number,
            vec![rest(&stack)?],
            ledger.clone(),
            gate.clone(),
        ));
    }
    threads.push(machines.start(gate.clone()));
    threads.extend(strangers::start(&|| rest(&stack), &gate)?);
    let mut soak = Soak {
        stack,
        engine,
        disk,
        place: place.path().to_owned(),
        gate: gate.clone(),
        ledger,
        machines,
        outcome: Outcome {
            engine: format!("{engine:?}").to_lowercase(),
            ..Outcome::default()
        },
        random: plan.seed,
    };
    let ended = soak.events(plan.time, start);
    gate.stop();
    gate.open();
    for thread in threads {
        thread.join().ok().context("a thread panicked")?;
    }
    ended?;
    soak.compare()?;
    soak.outcome.seconds = start.elapsed().as_secs();
    Ok(soak.outcome)
}

/// A client of the API for a thread.
fn rest(stack: &Stack) -> Result<Rest> {
    let rest = &stack.rest;
    Rest::new(&rest.url, &rest.ca_pem, &rest.api_token, &rest.user_token)
}

impl Soak {
    fn random(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.random += 1;
        foghorn_tests::disks::fill_random(&mut bytes, self.random);
        u64::from_le_bytes(bytes) >> 8
    }

    /// Two fifths of the time kills, then a full disk, an older backup, a wrong clock; the rest is
    /// quiet.
    fn events(&mut self, time: Duration, start: Instant) -> Result<()> {
        let backup = self.place.join("backup");
        let (mut page, mut images) = (None, BTreeMap::new());
        while start.elapsed() < time * 2 / 5 {
            if page.is_none() && start.elapsed() > time / 5 {
                self.gate.close();
                trouble::back_up(&mut self.stack, &backup)?;
                (page, images) = (Some(self.ledger.page()), self.machines.images());
                self.gate.open();
            }
            std::thread::sleep(Duration::from_millis(1000 + self.random() % 5000));
            let choice = self.random();
            let killed = trouble::kill_one(&mut self.stack, self.engine, choice)?;
            *self.outcome.kills.entry(killed.to_owned()).or_default() += 1;
        }
        let full = (time / 50).clamp(Duration::from_secs(3), Duration::from_secs(15));
        match trouble::full_disk(&mut self.stack, self.engine, &self.disk, full) {
            Ok(took) => println!("after a full disk, writes were taken again after {took:?}"),
            Err(error) => self.outcome.stuck.push(format!("{error:#}")),
        }
        if let Some(page) = page {
            self.put_back(&backup, page, images)?;
        }
        for seconds in [400 * 86_400, -86_400, 0] {
            trouble::move_clock(seconds)?;
            std::thread::sleep(full);
        }
        self.stack
            .wait_ready()
            .context("after the clock was put right")?;
        self.quiet(time, start)
    }

    /// The store is put back; what was captured since is unknown to it, and has to be there.
    fn put_back(
        &mut self,
        backup: &std::path::Path,
        page: Page,
        images: BTreeMap<String, (u32, PathBuf)>,
    ) -> Result<()> {
        self.gate.close();
        let found = self.ledger.compare(&self.stack.rest)?;
        self.outcome.findings.lost.extend(found.lost);
        self.outcome.findings.doubled.extend(found.doubled);
        let known = self.machines.images();
        trouble::restore(&mut self.stack, backup)?;
        self.ledger.put_back(page);
        self.machines.put_back(images.clone());
        let since = known
            .into_iter()
            .filter(|(name, _)| !images.contains_key(name));
        let adopted = since.map(|(name, (id, golden))| self.adopt(&name, id, &golden));
        let adopted: Vec<_> = adopted.collect();
        for error in adopted.into_iter().filter_map(Result::err) {
            self.outcome.dropped.push(format!("{error:#}"));
        }
        self.gate.open();
        Ok(())
    }

    /// An image that the backup did not have is unknown content now: it becomes an image again.
    fn adopt(&self, name: &str, id: u32, golden: &std::path::Path) -> Result<()> {
        let rest = &self.stack.rest;
        self.stack.wait_online("defaultmember")?;
        let what = format!("the content of image {name} as an orphan");
        let orphan = until(&what, PATIENCE, || {
            let found = rest.get("/foghorn/v1/orphans")?.ok()?;
            let rows = found["orphans"].as_array().cloned().unwrap_or_default();
            let is_it = |row: &Value| row["image"]["id"] == json!(id);
            Ok(rows.into_iter().find(is_it))
        })?;
        let again = format!("{name}-again");
        let body = json!({"node": orphan["node"]["id"], "image": id,
            "manifest": orphan["manifest"], "name": again});
        rest.post("/foghorn/v1/orphans/adopt", &body)?.ok()?;
        let image = until("the adopted content", PATIENCE, || {
            let found = rest.get(&format!("/fog/image?name={again}"))?.ok()?;
            let mut rows = found["images"].as_array().into_iter().flatten();
            let row = rows.find(|row| row["name"] == again).cloned();
            let has_content = |row: &Value| {
                row["srvsize"]
                    .as_str()
                    .is_some_and(|size| size != "0" && !size.is_empty())
            };
            Ok(row.filter(has_content))
        })?;
        let image = image["id"].as_str().context("an id")?.parse()?;
        self.machines.deploy(&again, image, golden)
    }

    /// Nothing is killed any more: what memory does now is what it does for ever.
    fn quiet(&mut self, time: Duration, start: Instant) -> Result<()> {
        let began = Instant::now();
        let left = time
            .saturating_sub(start.elapsed())
            .max(Duration::from_secs(10));
        // What is built once is built by then.
        std::thread::sleep(left / 5);
        while began.elapsed() < left {
            let memory = &mut self.outcome.memory;
            memory.note("controller", self.stack.controller.id());
            memory.note("agent", self.stack.agents[0].process.id());
            if let Some(etcd) = self.stack.etcd_id() {
                memory.note("etcd", etcd);
            }
            std::thread::sleep((left / 20).max(Duration::from_secs(1)));
            anyhow::ensure!(
                self.stack.controller.is_running()?,
                "the controller has ended by itself"
            );
            anyhow::ensure!(
                self.stack.agents[0].process.is_running()?,
                "the agent has ended by itself"
            );
        }
        self.outcome.grown = self.outcome.memory.grown();
        Ok(())
    }

    /// Every acknowledged write, and every image.
    fn compare(&mut self) -> Result<()> {
        let found = self.ledger.compare(&self.stack.rest)?;
        let all = &mut self.outcome.findings;
        all.acknowledged = found.acknowledged;
        all.lost.extend(found.lost);
        all.doubled.extend(found.doubled);
        for (name, (image, golden)) in self.machines.images() {
            if let Err(error) = self.machines.deploy(&name, image, &golden) {
                self.outcome
                    .dropped
                    .push(format!("image {name}: {error:#}"));
            }
        }
        self.outcome.transfers = self.machines.transfers();
        Ok(())
    }
}
