//! A machine with a fast cable fetches its image from two storage nodes with slow ones at once; one
//! of them hangs, is cordoned or dies meanwhile, or holds damaged chunks.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use foghorn_tests::copied_chunks::copy_chunks;
use foghorn_tests::disks::{self, MIB};
use foghorn_tests::lab::{Lab, SERVER};
use foghorn_tests::process::{Process, until, until_answer};
use foghorn_tests::stack::{Engine, Options, PATIENCE, Stack};
use rustix::process::Signal;
use serde_json::{Value, json};

/// From each storage node: slow enough that no busy machine is slower.
const RATE: &str = "60mbit";
/// All of it random: as many bytes go over the network.
const IMAGE: u64 = 96 * MIB;
/// What two nodes may have on its way when one of them goes: lanes, windows, and what is asked for
/// once more.
const ON_ITS_WAY: u64 = 48 * MIB;
const NAMES: [&str; 2] = ["defaultmember", "second"];

struct Site {
    stack: Stack,
    image: u32,
    golden: PathBuf,
}

/// A deploy that is under way.
struct Deploy {
    task: u32,
    client: Process,
    target: PathBuf,
    report: PathBuf,
}

impl Site {
    fn new() -> Result<Self> {
        let options = Options {
            address: SERVER.to_owned(),
            controller: "limits = { node_grace_seconds = 4 }".to_owned(),
            ..Options::default()
        };
        let stack = Stack::start_with(Engine::Embedded, &options)?;
        let golden = stack.folder().join("golden");
        let mut bytes = vec![0; usize::try_from(IMAGE)?];
        disks::fill_random(&mut bytes, 23);
        std::fs::write(&golden, bytes)?;
        let (_, image) = stack.capture("golden", "52:54:00:00:23:00", &golden)?;
        Ok(Self {
            stack,
            image,
            golden,
        })
    }

    fn deploy(&self, lab: &Lab, number: u8) -> Result<Deploy> {
        let (name, mac) = (
            format!("pc{number}"),
            format!("52:54:00:00:23:{number:02x}"),
        );
        let stack = &self.stack;
        let target = stack.folder().join(&name);
        disks::blank(&target, IMAGE)?;
        let host = stack.create_host(&name, &mac)?;
        stack.assign(host, self.image)?;
        let task = stack.order(host, 1)?;
        let report = stack.folder().join(format!("{name}.json"));
        let mut command = stack.client_command(host, &mac, &target)?;
        command.arg("--report").arg(&report);
        let mut command = lab.on_client(1, &command);
        let client = Process::start(stack.folder(), &name, &mut command)?;
        Ok(Deploy {
            task,
            client,
            target,
            report,
        })
    }

    /// Waits until the client fetches from both nodes; returns which of `NAMES` has the task.
    fn fetches_from_both(&self, deploy: &mut Deploy) -> Result<usize> {
        let (stack, task) = (&self.stack, deploy.task);
        let what = "the task to be served from both nodes";
        let status = until_answer(&mut deploy.client, what, PATIENCE, || {
            let status = stack.task(task)?;
            let further = status["served_from"]["further"].as_array().map(Vec::len);
            Ok((further == Some(1)).then_some(status))
        })?;
        let client = &deploy.client;
        until("the client to say so", PATIENCE, || {
            Ok(client.log().contains("also fetching from ").then_some(()))
        })?;
        let named = |name: &Value| {
            let name = name.as_str().unwrap_or_default();
            NAMES
                .iter()
                .position(|known| known.eq_ignore_ascii_case(name))
        };
        let own = named(&status["node"]).with_context(|| status.to_string())?;
        let other = named(&status["served_from"]["further"][0]);
        ensure!(other == Some(1 - own), "{status}");
        Ok(own)
    }

    /// Waits for the end; returns the report of the client.
    fn complete(&self, deploy: &mut Deploy) -> Result<Value> {
        let status = deploy.client.wait(PATIENCE)?;
        ensure!(status.success(), "{status}:\n{}", deploy.client.log());
        let ended = self.stack.wait_task(deploy.task)?;
        ensure!(ended["state"] == "complete", "{ended}");
        ensure!(
            disks::same(&deploy.target, &self.golden)?,
            "the disk differs:\n{}",
            deploy.client.log()
        );
        std::fs::remove_file(&deploy.target)?;
        let report: Value = serde_json::from_slice(&std::fs::read(&deploy.report)?)?;
        eprintln!("{}: {}", deploy.report.display(), report["bytes_from"]);
        Ok(report)
    }
}

fn bytes_from(report: &Value, name: &str) -> u64 {
    report["bytes_from"][name].as_u64().unwrap_or(0)
}

fn check_wire(report: &Value, most: u64) -> Result<()> {
    let wire = report["bytes_wire"].as_u64().context("no bytes_wire")?;
    ensure!(wire >= IMAGE && wire <= most, "{wire} bytes: {report}");
    Ok(())
}

fn add_second(site: &mut Site, lab: &Lab) -> Result<()> {
    let (address, words) = (Lab::address(2), lab.words_on_client(2));
    site.stack
        .add_agent_elsewhere(NAMES[1], &address, words, "")?;
    copy_chunks(&mut site.stack)
}

fn scenario() -> Result<()> {
    let root = rustix::process::geteuid().is_root();
    assert!(
        root || std::env::var_os("CI").is_none(),
        "namespaces need root, and CI must not leave tests out"
    );
    if !root {
        eprintln!("left out: network namespaces need root");
        return Ok(());
    }
    let lab = Lab::up("fhs", 2, RATE)?;
    lab.rate(1, "0")?;
    lab.send_rate(2, RATE)?;
    let _on_server = lab.enter()?;
    let mut site = Site::new()?;
    add_second(&mut site, &lab)?;

    // Both give a share, and nothing comes twice but for the last pieces.
    let mut deploy = site.deploy(&lab, 1)?;
    site.fetches_from_both(&mut deploy)?;
    let report = site.complete(&mut deploy)?;
    check_wire(&report, IMAGE + ON_ITS_WAY / 4)?;
    for name in NAMES {
        ensure!(bytes_from(&report, name) >= 8 * MIB, "{name}: {report}");
    }

    // The further node hangs: the other one brings what it owed.
    let mut deploy = site.deploy(&lab, 2)?;
    let own = site.fetches_from_both(&mut deploy)?;
    site.stack.agents[1 - own].process.signal(Signal::STOP)?;
    let report = site.complete(&mut deploy)?;
    check_wire(&report, IMAGE + ON_ITS_WAY)?;
    site.stack.agents[1 - own].process.signal(Signal::CONT)?;
    site.stack.wait_online(NAMES[1 - own])?;

    // It is cordoned: it serves nobody beside its own tasks any more, at once.
    let mut deploy = site.deploy(&lab, 3)?;
    let own = site.fetches_from_both(&mut deploy)?;
    let path = |what: &str| format!("/foghorn/v1/nodes/{}/{what}", 2 - own);
    site.stack
        .rest
        .post(&path("cordon"), &json!({"reason": "a test"}))?
        .ok()?;
    let (stack, task) = (&site.stack, deploy.task);
    until("the task to be served from one node", PATIENCE, || {
        let further = stack.task(task)?["served_from"]["further"].clone();
        Ok((further == json!([])).then_some(()))
    })?;
    let report = site.complete(&mut deploy)?;
    check_wire(&report, IMAGE + ON_ITS_WAY)?;
    site.stack.rest.post(&path("uncordon"), &json!({}))?.ok()?;

    // The node that has the task dies: the other one goes on, and nothing starts over.
    let mut deploy = site.deploy(&lab, 4)?;
    let own = site.fetches_from_both(&mut deploy)?;
    site.stack.agents[own].process.kill()?;
    let report = site.complete(&mut deploy)?;
    check_wire(&report, IMAGE + ON_ITS_WAY)?;
    site.stack.restart_agent(own)?;
    site.stack.wait_online(NAMES[own])?;

    // Chunks that are damaged on the node that has the task come from the other one. Several: each
    // may be one that the client asks the other node for.
    for percent in (5..100).step_by(5) {
        disks::damage_a_pack_at(&site.stack.agents[0].state, percent)?;
    }
    let only_first = "/foghorn/v1/nodes/2";
    let hold = |what: &str, body| site.stack.rest.post(&format!("{only_first}/{what}"), &body);
    hold("cordon", json!({"reason": "a test"}))?.ok()?;
    let mut deploy = site.deploy(&lab, 5)?;
    until("the first node to have the task", PATIENCE, || {
        let node = site.stack.task(deploy.task)?["node"].clone();
        Ok(node.is_string().then_some(()))
    })?;
    hold("uncordon", json!({}))?.ok()?;
    let report = site.complete(&mut deploy)?;
    let said = site.stack.agents[0].process.log();
    ensure!(said.contains("a stored chunk is damaged"), "{said}");
    ensure!(bytes_from(&report, NAMES[1]) > 0, "{report}");
    Ok(())
}

#[test]
fn a_machine_fetches_from_two_nodes_whatever_becomes_of_one() {
    scenario().unwrap();
}
