//! Flipped bits, in the store and on the wire: found, named, and never written as good.

use std::net::UdpSocket;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use foghorn_test_ports::free_udp_port;
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::process::until;
use foghorn_tests::stack::{Engine, Options, PATIENCE, Stack};
use serde_json::json;

use crate::on_both_engines;

on_both_engines! {
    a_flipped_bit_in_the_store => a_flipped_bit_in_the_store;
    flipped_bits_on_the_wire => flipped_bits_on_the_wire;
}

const MAC_A: &str = "52:54:00:00:03:0a";
const MAC_B: &str = "52:54:00:00:03:0b";

fn job(stack: &Stack, path: &str) -> Result<serde_json::Value> {
    let job = stack.rest.post(path, &json!({}))?.ok()?["job"]
        .as_u64()
        .context("a job number")?;
    until("the end of the job", PATIENCE, || {
        let status = stack.rest.get(&format!("/foghorn/v1/jobs/{job}"))?.ok()?;
        Ok((status["done"] == json!(true)).then_some(status))
    })
}

fn a_flipped_bit_in_the_store(engine: Engine) -> Result<()> {
    let stack = Stack::start(engine)?;
    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        96 * MIB,
        512,
        &[(Kind::Raw, 90)],
        31,
    )?;
    let (host, image) = stack.capture("golden", MAC_A, &golden.path)?;
    ensure!(job(&stack, &format!("/foghorn/v1/images/{image}/verify"))?["damaged"] == json!([]));
    stack.damage_a_pack()?;

    // A deploy fails, loudly, and the disk does not look whole.
    let target = stack.folder().join("target");
    disks::blank(&target, 96 * MIB)?;
    let other = stack.create_host("target", MAC_B)?;
    stack.assign(other, image)?;
    let task = stack.order(other, 1)?;
    let mut client = stack.start_client("deploy", other, MAC_B, &target)?;
    let status = client.wait(PATIENCE)?;
    ensure!(
        status.code() == Some(1),
        "the client ended with {status}:\n{}",
        client.log()
    );
    let ended = stack.wait_task(task)?;
    ensure!(ended["state"] == "failed", "{ended}");
    let reason = ended["reason"].as_str().unwrap_or_default().to_owned();
    ensure!(
        reason.contains("chunk"),
        "the reason does not name the chunk: {reason:?}"
    );

    // Scrub and verify name the chunk and the image.
    let verify = job(&stack, &format!("/foghorn/v1/images/{image}/verify"))?;
    let damaged = verify["damaged"].as_array().context("a list")?;
    ensure!(damaged.len() == 1, "{verify}");
    let chunk = damaged[0]["chunk"].as_str().context("the chunk's name")?;
    ensure!(
        reason.contains(&chunk[..12]),
        "{reason:?} does not name {chunk}"
    );
    let scrub = job(&stack, "/foghorn/v1/nodes/1/scrub")?;
    ensure!(scrub["damaged"][0]["chunk"] == chunk, "{scrub}");

    // It is known everywhere, and no deploy of it begins.
    let nodes = stack.rest.get("/foghorn/v1/nodes")?.ok()?;
    let known = &nodes["nodes"][0]["damaged"][0];
    ensure!(
        known["image"]["id"] == image && known["chunks"] == 1,
        "{nodes}"
    );
    let shown = stack
        .rest
        .get(&format!("/foghorn/v1/images/{image}"))?
        .ok()?;
    ensure!(shown["content"]["damaged"] == json!([known]), "{shown}");
    let order = json!({ "kind": "deploy", "host": other });
    let refused = stack.rest.post("/foghorn/v1/tasks", &order)?;
    ensure!(
        refused.status == 409 && refused.body.contains("damaged"),
        "{}: {}",
        refused.status,
        refused.body
    );
    let doctor = Command::new(foghorn_tests::tools::foghorn("foghorn")?)
        .arg("doctor")
        .envs(stack.cli_environment()?)
        .output()?;
    let said = String::from_utf8_lossy(&doctor.stdout);
    ensure!(
        !doctor.status.success()
            && said.contains("golden-image, version 1, is damaged on storage node DefaultMember"),
        "{said}"
    );

    // Capturing the same disk again brings the chunk back, and the deploy then works.
    let task = stack.order(host, 2)?;
    let mut client = stack.start_client("recapture", host, MAC_A, &golden.path)?;
    ensure!(client.wait(PATIENCE)?.success(), "{}", client.log());
    ensure!(stack.wait_task(task)?["state"] == "complete");
    let task = stack.order(other, 1)?;
    let mut client = stack.start_client("deploy-again", other, MAC_B, &target)?;
    ensure!(client.wait(PATIENCE)?.success(), "{}", client.log());
    ensure!(stack.wait_task(task)?["state"] == "complete");
    ensure!(
        disks::hash_files(&target, &golden.partitions)?
            == disks::hash_files(&golden.path, &golden.partitions)?
    );
    Ok(())
}

/// A hop between client and agent that flips one bit in every `every`-th packet.
struct BadCable {
    port: u16,
    flipped: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl BadCable {
    fn lay(towards: u16, every: u64) -> Result<Self> {
        let (near, far) = (
            UdpSocket::bind(("127.0.0.1", 0))?,
            UdpSocket::bind(("127.0.0.1", 0))?,
        );
        for socket in [&near, &far] {
            socket.set_read_timeout(Some(Duration::from_millis(1)))?;
        }
        let (port, flipped, over) = (
            near.local_addr()?.port(),
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (count, end) = (flipped.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            let (mut packet, mut client, mut seen) = (vec![0; 65536], None, 0_u64);
            let mut spoil = |packet: &mut [u8]| {
                seen += 1;
                if seen.is_multiple_of(every) {
                    packet[packet.len() / 2] ^= 1;
                    count.fetch_add(1, Ordering::Relaxed);
                }
            };
            while !end.load(Ordering::Relaxed) {
                while let Ok((length, from)) = near.recv_from(&mut packet) {
                    client = Some(from);
                    spoil(&mut packet[..length]);
                    let _ = far.send_to(&packet[..length], ("127.0.0.1", towards));
                }
                while let Ok((length, _)) = far.recv_from(&mut packet) {
                    spoil(&mut packet[..length]);
                    if let Some(client) = client {
                        let _ = near.send_to(&packet[..length], client);
                    }
                }
            }
        });
        Ok(Self {
            port,
            flipped,
            over,
            thread: Some(thread),
        })
    }
}

impl Drop for BadCable {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn flipped_bits_on_the_wire(engine: Engine) -> Result<()> {
    let port = free_udp_port()?;
    let cable = BadCable::lay(port, 20)?;
    let mut stack = Stack::controller_only(engine, &Options::default())?;
    stack.add_agent_at(
        "defaultmember",
        port,
        &format!("advertise = \"127.0.0.1:{}\"", cable.port),
    )?;
    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        48 * MIB,
        512,
        &[(Kind::Raw, 20), (Kind::Ext4, 16)],
        41,
    )?;
    let (_, image) = stack.capture("golden", MAC_A, &golden.path)?;
    let target = stack.folder().join("target");
    disks::blank(&target, 48 * MIB)?;
    stack.deploy("target", MAC_B, image, &target)?;
    ensure!(
        cable.flipped.load(Ordering::Relaxed) > 20,
        "too few bits were flipped for a meaningful test"
    );
    ensure!(
        disks::hash_files(&target, &golden.partitions)?
            == disks::hash_files(&golden.path, &golden.partitions)?
    );
    Ok(())
}
