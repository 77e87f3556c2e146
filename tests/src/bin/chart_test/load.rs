//! Somebody who works with the installation all the while: reads, and writes that are looked for
//! afterwards, each on a connection of its own. It runs in the network of a node, from where
//! Services are reached as from any machine that a load balancer serves.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use foghorn_tests::process;
use foghorn_tests::rest::Rest;
use foghorn_types::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cluster::kubectl;
use crate::secrets::First;

const READERS: usize = 3;
const PAUSE: Duration = Duration::from_millis(40);
const PATIENCE: Duration = Duration::from_secs(10);
/// How many good answers in a row are waited for before it begins: of three places, none is missed.
const SETTLED: usize = 15;
const SETTLED_WITHIN: Duration = Duration::from_secs(120);
/// How many hosts are created at least, and how long that may take at the end.
const ENOUGH: usize = 20;
const ENOUGH_WITHIN: Duration = Duration::from_secs(30);

/// What the process that asks one question is told.
#[derive(Args)]
pub(crate) struct Question {
    #[command(flatten)]
    service: Service,
    /// Path of a GET.
    path: String,
}

/// What the process that makes the load is told. It ends when its input does.
#[derive(Args)]
pub(crate) struct Orders {
    #[command(flatten)]
    service: Service,
    /// Begin of the names of hosts that are created.
    #[arg(long)]
    prefix: String,
}

/// Where the controllers are, and who asks them.
#[derive(Args)]
struct Service {
    /// Address of the controllers.
    #[arg(long)]
    url: String,
    #[arg(long, env = "LOAD_API_TOKEN")]
    api_token: String,
    #[arg(long, env = "LOAD_USER_TOKEN")]
    user_token: String,
}

impl Service {
    /// With connections of its own.
    fn client(&self, ca: &str) -> Result<Rest> {
        let tokens = (self.api_token.as_str(), self.user_token.as_str());
        Rest::with_timeout(&self.url, ca, tokens, PATIENCE)
    }
}

/// The other side: asks, and prints the answer.
///
/// # Errors
/// When there is no good answer.
pub(crate) fn answer(question: &Question) -> Result<()> {
    let service = &question.service;
    let ca = Rest::fetch_ca(&service.url)?;
    let answer = service.client(&ca)?.get(&question.path)?.ok()?;
    println!("{answer}");
    Ok(())
}

/// What happened to the requests.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) requests: usize,
    /// What was not answered, or with an error.
    pub(crate) failed: Vec<String>,
    /// The longest time from one good answer to the next.
    pub(crate) longest_gap_ms: u64,
    /// Hosts of which it was said that they are created.
    pub(crate) created: BTreeSet<String>,
    /// Of these, what is not there at the end.
    pub(crate) lost: Vec<String>,
    /// All hosts that are there at the end, whoever has created them.
    pub(crate) all: BTreeSet<String>,
}

/// The other side: makes the load, and prints its figures.
///
/// # Errors
/// When nobody answers before it begins, or when it has ended.
pub(crate) fn work(orders: &Orders) -> Result<()> {
    // The cluster is the test's own, so nobody else can answer.
    let mut in_a_row = 0;
    let ca = process::until("the service to answer all the time", SETTLED_WITHIN, || {
        // A node hears of pods that have come or gone a moment later.
        let Ok(ca) = Rest::fetch_ca(&orders.service.url) else {
            in_a_row = 0;
            return Ok(None);
        };
        in_a_row += 1;
        Ok((in_a_row >= SETTLED).then_some(ca))
    })?;
    let is_over = AtomicBool::new(false);
    let seen = Mutex::new((Figures::default(), Instant::now()));
    std::thread::scope(|scope| {
        for reader in 0..=READERS {
            let (seen, is_over, ca) = (&seen, &is_over, &ca);
            scope.spawn(move || {
                let mut number = 0;
                while !is_over.load(Ordering::Relaxed) {
                    number += 1;
                    let host = (reader == READERS).then(|| format!("{}{number}", orders.prefix));
                    let done = request(orders, ca, host.as_deref());
                    note(seen, host, done);
                    std::thread::sleep(PAUSE);
                }
            });
        }
        let mut nothing = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut nothing);
        wait_for_enough(&seen);
        is_over.store(true, Ordering::Relaxed);
    });
    let seen = seen.into_inner();
    let (mut figures, _) = seen.unwrap_or_else(PoisonError::into_inner);
    figures.all = names(&orders.service.client(&ca)?)?;
    figures.lost = figures.created.difference(&figures.all).cloned().collect();
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// On a slow machine there may have been hardly any time for it.
fn wait_for_enough(seen: &Mutex<(Figures, Instant)>) {
    let began = Instant::now();
    while began.elapsed() < ENOUGH_WITHIN {
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.0.created.len() >= ENOUGH {
            return;
        }
        drop(seen);
        std::thread::sleep(PAUSE);
    }
}

fn request(orders: &Orders, ca: &str, host: Option<&str>) -> Result<()> {
    let rest = orders.service.client(ca)?;
    match host {
        Some(name) => {
            let [a, b, c, d, e] = std::array::from_fn(|_| fastrand::u8(..));
            let mac = format!("06:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}");
            let host = json!({ "name": name, "macs": [mac] });
            rest.post("/fog/host/create", &host)?.ok()?
        }
        None => rest.get("/foghorn/v1/nodes")?.ok()?,
    };
    Ok(())
}

/// Of all hosts.
fn names(rest: &Rest) -> Result<BTreeSet<String>> {
    let hosts = rest.get("/fog/host")?.ok()?;
    let hosts = hosts["hosts"].as_array().context("the list has no hosts")?;
    let name = |host: &Value| host["name"].as_str().map(str::to_owned);
    Ok(hosts.iter().filter_map(name).collect())
}

fn note(seen: &Mutex<(Figures, Instant)>, host: Option<String>, done: Result<()>) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let (figures, last) = &mut *seen;
    figures.requests += 1;
    match done {
        Ok(()) => {
            let gap = u64::try_from(last.elapsed().as_millis()).unwrap_or(u64::MAX);
            figures.longest_gap_ms = figures.longest_gap_ms.max(gap);
            *last = Instant::now();
            figures.created.extend(host);
        }
        // The time is that of the logs.
        Err(error) => {
            let now = Timestamp::now();
            figures.failed.push(format!("{now}: {error:#}"));
        }
    }
}

/// Somebody outside who uses an installation.
pub(crate) struct Customer<'c> {
    pub(crate) namespace: &'c str,
    pub(crate) service: &'c str,
    pub(crate) first: &'c First,
    pub(crate) folder: &'c Path,
}

impl Customer<'_> {
    /// # Errors
    /// When there is no good answer.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        let asked = self.command("ask")?.arg(path).output();
        let asked = asked.context("could not start the one who asks")?;
        ensure!(
            asked.status.success(),
            "GET {path}: {}",
            String::from_utf8_lossy(&asked.stderr)
        );
        serde_json::from_slice(&asked.stdout).context("the answer is no JSON")
    }

    /// This program with another order, in the network of a node, from where Services are reached.
    fn command(&self, order: &str) -> Result<Command> {
        let (service, namespace) = (self.service, self.namespace);
        let name = format!("{service}.{namespace}.svc.cluster.local");
        let space = format!("--namespace={namespace}");
        let template = "--output=jsonpath={.spec.clusterIP}";
        let address = kubectl(&["get", "service", service, &space, template])?;
        let hosts = self.folder.join("hosts");
        fs::write(&hosts, format!("127.0.0.1 localhost\n{address} {name}\n"))?;
        let net = std::env::var("KUBE_NET")
            .context("KUBE_NET is not set: start this with tests/kube/with")?;
        let mut command = Command::new("nsenter");
        // The name of the Service is known to this process alone.
        command
            .arg(format!("--net=/run/netns/{net}-n1"))
            .args(["unshare", "--mount", "sh", "-c"])
            .arg("mount --bind \"$0\" /etc/hosts && exec \"$@\"")
            .arg(&hosts)
            .arg(std::env::current_exe()?)
            .args([order, "--url", &format!("https://{name}:8443")])
            .env("LOAD_API_TOKEN", &self.first.api_token)
            .env("LOAD_USER_TOKEN", &self.first.user_token);
        Ok(command)
    }
}

/// Load that is being made. Dropping it ends it.
pub(crate) struct Load {
    process: Child,
    printed: PathBuf,
}

impl Load {
    /// # Errors
    /// When the Service is not there, or the process cannot be started.
    pub(crate) fn start(from: &Customer<'_>, prefix: &str) -> Result<Self> {
        let printed = from.folder.join("load.json");
        let process = from
            .command("load")?
            .args(["--prefix", prefix])
            .stdin(Stdio::piped())
            .stdout(File::create(&printed)?)
            .spawn()
            .context("could not start the load")?;
        Ok(Self { process, printed })
    }

    /// Ends it.
    ///
    /// # Errors
    /// When a request failed, a host is lost, or there was hardly any load.
    pub(crate) fn end(self) -> Result<Figures> {
        let figures = self.end_in_trouble()?;
        ensure!(
            figures.failed.is_empty(),
            "{} of {} requests failed; the first: {}",
            figures.failed.len(),
            figures.requests,
            figures.failed[0]
        );
        Ok(figures)
    }

    /// Ends it where requests may fail.
    ///
    /// # Errors
    /// When a host is lost, or there was hardly any load.
    pub(crate) fn end_in_trouble(mut self) -> Result<Figures> {
        drop(self.process.stdin.take());
        let status = self.process.wait()?;
        ensure!(status.success(), "the load ended with {status}");
        let figures: Figures = serde_json::from_slice(&fs::read(&self.printed)?)?;
        ensure!(
            figures.lost.is_empty(),
            "hosts are gone of which it was said that they are created: {:?}",
            figures.lost
        );
        ensure!(
            figures.created.len() >= ENOUGH,
            "there was hardly any load: {} hosts were created, {} of {} requests failed, the first: {:?}",
            figures.created.len(),
            figures.failed.len(),
            figures.requests,
            figures.failed.first()
        );
        Ok(figures)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            // Whatever is wrong then, it was said already.
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}
