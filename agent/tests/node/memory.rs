//! The agent's memory with eight clients at once, measured on the real process.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use foghorn_proto::http::JOIN_PREFIX;
use foghorn_proto::link::agent_message::Message;
use foghorn_transport::{AgentConnection, ClientOutcome};
use tokio::task::JoinSet;

use crate::support::client::{connect_at, fetch_chunks, store_chunks};
use crate::support::controller::{Controller, capture, deploy};
use crate::support::eventually;
use crate::support::image::Image;

/// What the agent may take at its peak.
const LIMIT_MIB: u64 = 256;
const CLIENTS: u32 = 8;
/// Chunks per image: eight images together are more than the agent may hold.
const CHUNKS: u64 = 64;

/// Killed when the test ends, whichever way.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn start(controller: &Controller, state_dir: &Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_foghorn-agent"))
            .args([
                "run",
                "--listen",
                "127.0.0.1:0",
                "--controller",
                controller.url(),
                "--state-dir",
            ])
            .arg(state_dir)
            .env(
                "FOGHORN_AGENT_JOIN_TOKEN",
                controller.join_token().to_text(JOIN_PREFIX),
            )
            .env("FOGHORN_LOG", "warn")
            .stdin(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn peak_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }
}

async fn address(controller: &Controller) -> String {
    let hello = controller.wait_for("a hello", |message| match message {
        Message::Hello(hello) => Some(hello.quic_address.clone()),
        _ => None,
    });
    hello.await
}

async fn client(
    controller: &Controller,
    address: &str,
    task: u32,
    image: Option<&Image>,
) -> AgentConnection {
    let issued = controller.authority.client(task + 10, task);
    let order = match image {
        Some(image) => deploy(task, image.manifest, issued.fingerprint),
        None => capture(task, issued.fingerprint),
    };
    controller.order(order).await;
    connect_at(address, &controller.authority.pem, &issued, task)
        .await
        .unwrap()
}

/// One capture on two lanes, to its end.
async fn capture_all(connection: AgentConnection, image: std::sync::Arc<Image>) {
    let (first, second) = image.chunks.split_at(image.chunks.len() / 2);
    let (first, second) = tokio::join!(
        store_chunks(&connection, first),
        store_chunks(&connection, second)
    );
    first.and(second).unwrap();
    connection
        .store_manifest(image.encoded.clone())
        .await
        .unwrap();
    connection.finish(ClientOutcome::Complete).await.unwrap();
}

/// One deploy on two lanes, to its end.
async fn deploy_all(connection: AgentConnection, image: std::sync::Arc<Image>) {
    let ids = image.ids();
    let (first, second) = ids.split_at(ids.len() / 2);
    let (first, second) = tokio::join!(
        fetch_chunks(&connection, first),
        fetch_chunks(&connection, second)
    );
    first.and(second).unwrap();
    connection.finish(ClientOutcome::Complete).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_clients_at_once_stay_within_the_limit() {
    let controller = Controller::start(Duration::from_secs(3600)).await;
    let folder = tempfile::tempdir().unwrap();
    let agent = Process::start(&controller, folder.path());
    let address = address(&controller).await;
    let images: Vec<_> = (0..u64::from(CLIENTS))
        .map(|number| std::sync::Arc::new(Image::new(number * CHUNKS..(number + 1) * CHUNKS)))
        .collect();

    let started = Instant::now();
    let mut running = JoinSet::new();
    for (task, image) in (1..).zip(&images) {
        running.spawn(capture_all(
            client(&controller, &address, task, None).await,
            image.clone(),
        ));
    }
    running.join_all().await;
    let (captured, capture_peak) = (started.elapsed(), agent.peak_mib());

    let started = Instant::now();
    let mut running = JoinSet::new();
    for (task, image) in (101..).zip(&images) {
        running.spawn(deploy_all(
            client(&controller, &address, task, Some(image)).await,
            image.clone(),
        ));
    }
    // Two more that ask for everything and read nothing: they must cost the others nothing but
    // their share of memory.
    let mut idle = Vec::new();
    for task in [201, 202] {
        let connection = client(&controller, &address, task, Some(&images[0])).await;
        let (mut requests, chunks) = connection.fetch_lane().await.unwrap();
        requests.request(&images[0].ids()).await.unwrap();
        idle.push((connection, requests, chunks));
    }
    running.join_all().await;
    let (deployed, peak) = (started.elapsed(), agent.peak_mib());
    println!(
        "{CLIENTS} captures of {CHUNKS} MiB: {captured:.1?}, peak {capture_peak} MiB; then {CLIENTS} deploys and 2 idle: {deployed:.1?}, peak {peak} MiB"
    );
    assert!(peak <= LIMIT_MIB, "the agent took {peak} MiB at its peak");

    let pick = |message: &Message| {
        matches!(message, Message::Status(status) if status.chunks == u64::from(CLIENTS) * CHUNKS)
            .then_some(())
    };
    eventually("a status that counts every chunk", async || {
        controller.received().iter().find_map(pick)
    })
    .await;
}
