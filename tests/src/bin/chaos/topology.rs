//! The installation: three machines with a member of etcd and a controller each, storage nodes on
//! two sites, one address before the controllers. Each machine has a network cable and a disk of its
//! own, so that both can fail.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use foghorn_tests::balancer::Balancer;
use foghorn_tests::lab::{Lab, SERVER};
use foghorn_tests::process::until;
use foghorn_tests::rest::Rest;
use foghorn_tests::small_disk::SmallDisk;
use foghorn_tests::stack::PATIENCE;
use foghorn_tests::tools::run;
use serde_json::{Value, json};

use crate::part::Part;
use crate::settings;

pub(crate) const SERVERS: usize = 3;
pub(crate) const REST: u16 = 8443;
/// Sparse; the files behind them lie in memory where there is room.
const SERVER_MIB: u64 = 1024;
const NODE_MIB: u64 = 512;
/// A request that is not answered within this time is an error.
const PATIENT: Duration = Duration::from_secs(5);

pub(crate) struct Site {
    /// Ends before the network does.
    pub parts: Vec<Part>,
    _balancer: Balancer,
    pub nodes: usize,
    keys: Keys,
    /// By the machine's number, from 1.
    disks: Vec<SmallDisk>,
    _shared: Shared,
    pub folder: PathBuf,
    pub lab: Arc<Lab>,
}

/// A folder whose mounts all network namespaces share: what is unmounted here is gone there, too.
struct Shared(PathBuf);

impl Shared {
    fn make(folder: &Path) -> Result<Self> {
        let name = folder.display().to_string();
        run("mount", ["--bind", &name, &name])?;
        let shared = Self(folder.to_owned());
        run("mount", ["--make-shared", &name])?;
        Ok(shared)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Err(error) = run("umount", ["-l", &self.0.display().to_string()]) {
            eprintln!("{error:#}");
        }
    }
}

/// How one gets in.
#[derive(Clone)]
struct Keys {
    ca: String,
    api_token: String,
    user_token: String,
}

impl Keys {
    fn rest(&self, address: &str, patience: Duration) -> Result<Rest> {
        let url = format!("https://{address}:{REST}");
        Rest::with_timeout(
            &url,
            &self.ca,
            (&self.api_token, &self.user_token),
            patience,
        )
    }
}

/// The machine of a server, of a storage node, of a client, by their numbers from 0.
pub(crate) fn server(number: usize) -> usize {
    number + 1
}

pub(crate) fn node(number: usize) -> usize {
    SERVERS + number + 1
}

impl Site {
    /// Starts everything; the calling thread has to be on the lab's server.
    pub(crate) fn start(lab: Arc<Lab>, folder: &Path, nodes: usize) -> Result<Self> {
        let shared = Shared::make(folder)?;
        let disks = (1..=SERVERS + nodes).map(|machine| {
            let mib = if machine > SERVERS {
                NODE_MIB
            } else {
                SERVER_MIB
            };
            SmallDisk::named(folder, &format!("machine{machine}"), mib)
        });
        let disks = disks.collect::<Result<Vec<_>>>()?;
        let library = foghorn_tests::wrong_clock::build(folder)?;
        let place = |number: usize| settings::Place {
            number,
            disk: &disks[number].folder,
            folder,
        };
        let mut parts = Vec::new();
        for number in 0..SERVERS {
            let mut part = settings::etcd(&place(number))?;
            part.start(&lab, folder)?;
            parts.push(part);
        }
        for number in 0..SERVERS {
            let member = (Lab::address(server(number)), settings::ETCD);
            let open = || Ok(TcpStream::connect((member.0.as_str(), member.1)).ok());
            until("the members of etcd", PATIENCE, open)?;
        }
        let mut keys = None;
        for number in 0..SERVERS {
            let part = settings::controller(&place(number), &disks[0].folder)?;
            let mut part = part.with_clock(&library);
            part.start(&lab, folder)?;
            if number == 0 {
                keys = Some(first_keys(&mut part, folder)?);
            }
            parts.push(part);
        }
        let keys = keys.context("there is a first controller")?;
        let mut controllers = Vec::new();
        for number in 0..SERVERS {
            let address = Lab::address(server(number));
            controllers.push(format!("{address}:{REST}").parse()?);
        }
        let balancer =
            Balancer::start_at(format!("{SERVER}:{REST}").parse()?, &controllers, "/readyz")?;
        let mut site = Self {
            parts,
            _balancer: balancer,
            nodes,
            keys,
            disks,
            _shared: shared,
            folder: folder.to_owned(),
            lab,
        };
        site.wait_ready(PATIENCE)?;
        for number in 0..nodes {
            site.add_node(number, &library)?;
        }
        site.wait_linked(PATIENCE)?;
        Ok(site)
    }

    /// A client of one controller.
    pub(crate) fn rest(&self, controller: usize) -> Result<Rest> {
        self.keys.rest(&Lab::address(server(controller)), PATIENT)
    }

    /// One of each controller.
    pub(crate) fn rests(&self) -> Result<Vec<Rest>> {
        (0..SERVERS).map(|number| self.rest(number)).collect()
    }

    /// One of each controller that waits for large answers.
    pub(crate) fn patient_rests(&self) -> Result<Vec<Rest>> {
        let address = |number| Lab::address(server(number));
        let rest = |number| self.keys.rest(&address(number), Duration::from_secs(60));
        (0..SERVERS).map(rest).collect()
    }

    /// One of each controller that does not wait long.
    pub(crate) fn impatient(&self) -> Result<Vec<Rest>> {
        let address = |number| Lab::address(server(number));
        let rest = |number| self.keys.rest(&address(number), Duration::from_millis(400));
        (0..SERVERS).map(rest).collect()
    }

    /// A client of the one address before all of them.
    pub(crate) fn rest_of_all(&self, patience: Duration) -> Result<Rest> {
        self.keys.rest(SERVER, patience)
    }

    /// Where clients are told to go: the one address, or one controller, which sees where they are.
    pub(crate) fn url(controller: Option<usize>) -> String {
        let address = controller.map(|number| Lab::address(server(number)));
        format!("https://{}:{REST}", address.as_deref().unwrap_or(SERVER))
    }

    pub(crate) fn disk(&self, machine: usize) -> &SmallDisk {
        &self.disks[machine - 1]
    }

    /// The folder of a storage node.
    pub(crate) fn state_of(&self, number: usize) -> PathBuf {
        self.disk(node(number)).folder.join("agent")
    }

    pub(crate) fn start_part(&mut self, index: usize) -> Result<()> {
        self.parts[index].start(&self.lab, &self.folder)
    }

    /// Every process ends at once, and the disks forget what nobody has synced.
    pub(crate) fn lose_power(&mut self) -> Result<()> {
        let running = self.parts.iter().filter(|part| part.is_started());
        for part in running {
            // One that has just ended by itself is as dead.
            let _ = part.signal(rustix::process::Signal::KILL);
        }
        for part in self.parts.iter_mut().filter(|part| part.is_started()) {
            part.kill()?;
        }
        self.disks.iter().try_for_each(SmallDisk::lose_power)
    }

    pub(crate) fn start_what_is_down(&mut self) -> Result<()> {
        for index in 0..self.parts.len() {
            if !self.parts[index].is_started() {
                self.start_part(index)?;
            }
        }
        Ok(())
    }

    /// Every controller is ready and hears the others.
    pub(crate) fn wait_ready(&self, within: Duration) -> Result<()> {
        let rests = self.impatient()?;
        until(
            "all controllers to be ready and to hear each other",
            within,
            || {
                let good = rests.iter().all(|rest| {
                    let ready = rest.get("/readyz").is_ok_and(|answer| answer.status == 200);
                    let list = rest
                        .get("/foghorn/v1/controllers")
                        .and_then(foghorn_tests::rest::Answer::ok);
                    ready && list.is_ok_and(|list| hears_all(&list))
                });
                Ok(good.then_some(()))
            },
        )
    }

    /// Every controller shows every storage node as online.
    pub(crate) fn wait_linked(&self, within: Duration) -> Result<()> {
        let rests = self.impatient()?;
        until("all storage nodes to be online", within, || {
            let good = rests.iter().all(|rest| {
                let list = rest
                    .get("/foghorn/v1/nodes")
                    .and_then(foghorn_tests::rest::Answer::ok);
                list.is_ok_and(|list| {
                    let rows = list["nodes"].as_array().into_iter().flatten();
                    rows.filter(|row| row["online"] == true).count() == self.nodes
                })
            });
            Ok(good.then_some(()))
        })
    }

    fn add_node(&mut self, number: usize, library: &Path) -> Result<()> {
        let machine = node(number);
        let token = self
            .rest(0)?
            .post(
                "/foghorn/v1/nodes/join-token",
                &json!({ "name": format!("node{number}") }),
            )?
            .ok()?;
        let token = token["token"].as_str().context("a join token")?;
        let place = settings::Place {
            number,
            disk: &self.disk(machine).folder,
            folder: &self.folder,
        };
        let part = settings::agent(&place, token)?;
        let mut part = part.with_clock(library);
        part.start(&self.lab, &self.folder)?;
        self.parts.push(part);
        Ok(())
    }
}

fn hears_all(list: &Value) -> bool {
    let rows = list["controllers"].as_array().into_iter().flatten();
    rows.filter(|row| row["heard"] == true || row["answers"] == true)
        .count()
        == SERVERS
}

/// What the first start has made.
fn first_keys(part: &mut Part, folder: &Path) -> Result<Keys> {
    let url = Site::url(Some(0));
    let ca = until("the first answer of the first controller", PATIENCE, || {
        if let Some(fall) = part.has_fallen() {
            anyhow::bail!("{}", fall.said);
        }
        Ok(Rest::fetch_ca(&url).ok())
    })?;
    let file = folder.join("first-run.json");
    let secrets: Value = until("the first-run file", PATIENCE, || {
        let text = fs::read(&file).ok();
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
    })?;
    let text = |field: &str| secrets[field].as_str().map(str::to_owned);
    Ok(Keys {
        ca,
        api_token: text("api_token").context("no API token")?,
        user_token: text("user_token").context("no user token")?,
    })
}
