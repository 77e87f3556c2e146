//! One run: the installation, the work, the trouble, the judgement.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use foghorn_tests::lab::Lab;
use foghorn_tests::ledger::Ledger;
use foghorn_tests::process::until;
use foghorn_tests::rest::{Rest, following};
use foghorn_tests::writers::{self, Gate};
use serde_json::json;

use crate::failover::Answers;
use crate::images::{Images, id};
use crate::judge::{self, Judge};
use crate::killer::{Killer, Means};
use crate::machine::{Machine, Slot};
use crate::registers::Registers;
use crate::report::Report;
use crate::topology::{SERVERS, Site};
use crate::workers::Work;

const WRITERS: u32 = 4;
const IMAGES: u64 = 2;
/// Machines of the room that gets multicast sessions.
const ROOM: usize = 3;
/// Between two captures.
const CAPTURE_EVERY: Duration = Duration::from_secs(5);
const COPIED: Duration = Duration::from_secs(90);

pub(crate) struct Plan {
    pub time: Duration,
    pub seed: u64,
    pub nodes: usize,
    pub clients: usize,
    pub only_kills: bool,
}

impl Plan {
    /// The machines of the lab.
    pub(crate) fn machines(&self) -> usize {
        SERVERS + self.nodes + self.clients
    }
}

/// The calling thread is on the lab's server.
pub(crate) fn run(lab: Arc<Lab>, folder: &Path, plan: &Plan) -> Result<Report> {
    let site = Site::start(lab, folder, plan.nodes)?;
    println!("the installation is up");
    let groups = sites(&site.rest(0)?, plan)?;
    let images = Arc::new(Images::make(folder, &site.rest(0)?, &groups, IMAGES)?);
    let work = Work {
        images: images.clone(),
        gate: Arc::default(),
        tally: Arc::default(),
    };
    let room = if plan.only_kills {
        0
    } else {
        ROOM.min(plan.clients / 2)
    };
    let mut capturing = Vec::new();
    for number in 0..usize::try_from(IMAGES)? {
        let place = SERVERS + plan.nodes + plan.clients;
        let mut machine = Machine::make(&site, 100 + number, place, plan.seed)?;
        machine.assign(images.id(number))?;
        work.capture(&mut machine, number, plan.seed)?;
        capturing.push(machine);
    }
    wait_copied(&site.rest(0)?, plan.nodes)?;
    println!("the images are on every node");
    let before = judge::baseline(&site)?;
    let mut slots: Vec<Slot> = capturing
        .iter()
        .map(|machine| machine.slot.clone())
        .collect();
    let mut threads = Vec::new();
    let mut in_room = Vec::new();
    for number in 0..plan.clients {
        let machine = Machine::make(&site, number, SERVERS + plan.nodes + number + 1, plan.seed)?;
        slots.push(machine.slot.clone());
        if number < plan.clients - room {
            threads.push(work.clone().deploys(machine, site.rest(number % SERVERS)?));
        } else {
            in_room.push(machine);
        }
    }
    if room > 0 {
        threads.push(work.clone().sessions(in_room, following(site.rests()?)));
        threads.push(work.clone().captures(capturing, CAPTURE_EVERY, plan.seed));
    }
    let mut last = Machine::make(&site, 200, SERVERS + plan.nodes + plan.clients, plan.seed)?;
    let writing = Writing::start(&site, plan.seed, &work.gate)?;
    let means = Means {
        only_kills: plan.only_kills,
        clients: plan.clients,
    };
    let mut killer = Killer::new(site, slots, means, plan.seed);
    let broken = killer
        .run(plan.time)
        .err()
        .map(|error| format!("{error:#}"));
    println!("no more trouble; what has begun is ended");
    work.gate.stop();
    for thread in threads.into_iter().chain(writing.threads) {
        thread.join().ok().context("a thread panicked")?;
    }
    let judge = Judge {
        site: &killer.site,
        ledger: &writing.ledger,
        registers: &writing.registers,
        before: &before,
    };
    let (verdict, unjudged) = match judge.judge(|rest| work.serve_from_each_node(&mut last, rest)) {
        Ok(verdict) => (verdict, None),
        Err(error) => (judge::Verdict::default(), Some(format!("{error:#}"))),
    };
    Ok(Report {
        minutes: killer.lasted.as_secs_f64() / 60.0,
        seed: plan.seed,
        count: killer.count,
        tally: work.tally(),
        verdict,
        fallen: killer.fallen,
        failover: killer.failover.figures(&writing.answers),
        broken: broken.or(unjudged),
    })
}

/// Two sites: storage groups with the subnets of half of the machines each; each serves the other's
/// when that cannot.
fn sites(rest: &Rest, plan: &Plan) -> Result<Vec<u32>> {
    // The first group is the first site, as every image is in it.
    let south = rest
        .post("/fog/storagegroup/create", &json!({"name": "south"}))?
        .ok()?;
    let groups = vec![1, id(&south)?];
    let nodes = rest.get("/foghorn/v1/nodes")?.ok()?;
    for row in nodes["nodes"].as_array().into_iter().flatten() {
        let name = row["name"].as_str().unwrap_or_default().to_lowercase();
        let number = name
            .strip_prefix("node")
            .and_then(|number| number.parse::<usize>().ok());
        let body = match number {
            Some(number) => {
                let half = usize::from(number >= plan.nodes / 2);
                let is_master = number == 0 || number == plan.nodes / 2;
                json!({"storagegroupID": groups[half], "isMaster": is_master, "maxClients": 4})
            }
            // The node that is there from the start has no agent.
            None => json!({"isEnabled": false, "isMaster": false}),
        };
        rest.put(&format!("/fog/storagenode/{}/edit", row["id"]), &body)?
            .ok()?;
    }
    // Clients begin at .17 with four nodes; the first seven belong to the north.
    let subnets = [
        json!(["10.77.0.0/28", "10.77.0.16/29"]),
        json!(["10.77.0.24/29", "10.77.0.32/27"]),
    ];
    for (half, subnets) in subnets.into_iter().enumerate() {
        let body = json!({"subnets": subnets, "fallbacks": [groups[1 - half]]});
        rest.put(&format!("/foghorn/v1/sites/{}", groups[half]), &body)?
            .ok()?;
    }
    Ok(groups)
}

fn wait_copied(rest: &Rest, nodes: usize) -> Result<()> {
    until("the images on every node", COPIED, || {
        let list = rest.get("/foghorn/v1/replication")?.ok()?;
        let rows = list["replicas"].as_array().into_iter().flatten();
        let ready = rows.filter(|row| row["state"] == "ready").count();
        Ok((ready == nodes * usize::try_from(IMAGES)?).then_some(()))
    })
}

/// Those who write and read objects.
struct Writing {
    ledger: Arc<Ledger>,
    registers: Arc<Registers>,
    answers: Answers,
    threads: Vec<JoinHandle<()>>,
}

impl Writing {
    fn start(site: &Site, seed: u64, gate: &Arc<Gate>) -> Result<Self> {
        let registers = Arc::new(Registers::make(&site.rest(0)?)?);
        let (ledger, answers) = (Arc::<Ledger>::default(), Answers::default());
        let mut threads = Vec::new();
        for number in 0..WRITERS {
            let rests = site.rests()?;
            threads.push(writers::start(number, rests, ledger.clone(), gate.clone()));
            let rests = site.rests()?;
            threads.push(registers.start(number.into(), seed, rests, gate.clone()));
        }
        let probe = json!({"name": "probe", "macs": ["02:0f:00:00:00:01"]});
        let probe = id(&site.rest(0)?.post("/fog/host/create", &probe)?.ok()?)?;
        let rest = site.rest_of_all(Duration::from_secs(2))?;
        threads.push(answers.collect(rest, probe, gate.clone()));
        Ok(Self {
            ledger,
            registers,
            answers,
            threads,
        })
    }
}

/// Where the files of a run lie: in memory, if there is room.
pub(crate) fn place() -> std::path::PathBuf {
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).map_or(0, |room| room.f_bavail * room.f_frsize);
    if room > 6 << 30 {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    }
}
