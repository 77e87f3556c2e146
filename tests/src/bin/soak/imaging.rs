//! Captures and deploys all the while: each deploy is compared byte by byte with the disk that was
//! captured, and at the end every image that was captured is deployed once more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::process::{Process, until};
use foghorn_tests::rest::Rest;
use foghorn_tests::tools::foghorn;
use serde::Serialize;
use serde_json::{Value, json};

use foghorn_tests::writers::Gate;

const SIZE: u64 = 24 * MIB;
/// Disks that are captured; each is captured and deployed again and again.
const DISKS: u64 = 3;
/// A client, or a task, gets so much time.
const PATIENCE: Duration = Duration::from_secs(120);

/// What became of the transfers.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Transfers {
    pub captures: u64,
    pub deploys: u64,
    /// Ended with an error, because something was stopped or full.
    pub failed: u64,
    /// Deploys that said "complete" and whose disk differs.
    pub wrong: Vec<String>,
}

/// The machines: golden disks, their hosts, and what the store should have of them.
pub(crate) struct Machines {
    folder: PathBuf,
    rest: Rest,
    transfers: Mutex<Transfers>,
    /// Image by its name, with the golden disk that it was captured from. Captures that were
    /// complete.
    images: Mutex<BTreeMap<String, (u32, PathBuf)>>,
}

impl Machines {
    /// Makes the disks in `folder`.
    ///
    /// # Errors
    /// When a tool is missing.
    pub(crate) fn new(folder: &Path, rest: Rest) -> Result<Self> {
        for number in 0..DISKS {
            // Raw: every byte of the target can be compared.
            let disk = folder.join(format!("golden{number}"));
            disks::make_gpt(&disk, SIZE, 512, &[(Kind::Raw, 20)], 900 + 7 * number)?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            rest,
            transfers: Mutex::default(),
            images: Mutex::default(),
        })
    }

    #[must_use]
    pub(crate) fn transfers(&self) -> Transfers {
        self.transfers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    #[must_use]
    pub(crate) fn images(&self) -> BTreeMap<String, (u32, PathBuf)> {
        self.images
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The store was put back: these are the images that it knows.
    pub(crate) fn put_back(&self, images: BTreeMap<String, (u32, PathBuf)>) {
        *self.images.lock().unwrap_or_else(PoisonError::into_inner) = images;
    }

    fn count(&self, change: impl FnOnce(&mut Transfers)) {
        change(
            &mut self
                .transfers
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// Captures and deploys until the gate stops.
    #[must_use]
    pub(crate) fn start(self: &Arc<Self>, gate: Arc<Gate>) -> JoinHandle<()> {
        let machines = self.clone();
        std::thread::spawn(move || {
            let mut turn = 0_u64;
            while !gate.is_stopped() {
                gate.pass(|| machines.turn(turn));
                turn += 1;
            }
        })
    }

    fn turn(&self, turn: u64) {
        let done = if turn.is_multiple_of(3) {
            self.capture(turn)
        } else {
            self.deploy_any(turn)
        };
        if let Err(error) = done {
            self.count(|transfers| transfers.failed += 1);
            eprintln!("imaging, turn {turn}: {error:#}");
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// The first captures make new images, later ones replace them.
    fn capture(&self, turn: u64) -> Result<()> {
        let number = turn / 3 % DISKS;
        let (name, golden) = (format!("golden{number}"), self.golden(number));
        let known = self.images().get(&name).map(|(id, _)| *id);
        let image = known.map_or_else(|| self.image(&name), Ok)?;
        let host = self.host(
            &format!("cap{number}"),
            &format!("06:00:00:00:00:{number:02x}"),
            image,
        )?;
        let mac = format!("06:00:00:00:00:{number:02x}");
        self.transfer(host, &mac, 2, image, &golden)?;
        self.count(|transfers| transfers.captures += 1);
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        images.insert(name, (image, golden));
        Ok(())
    }

    fn golden(&self, number: u64) -> PathBuf {
        self.folder.join(format!("golden{number}"))
    }

    fn deploy_any(&self, turn: u64) -> Result<()> {
        let images = self.images();
        let at = usize::try_from(turn).unwrap_or(0) % images.len().max(1);
        match images.iter().nth(at) {
            Some((name, (image, golden))) => self.deploy(name, *image, golden),
            None => Ok(()),
        }
    }

    /// Deploys an image to a blank disk and compares.
    ///
    /// # Errors
    /// When the transfer fails. A disk that differs is no error but a finding.
    pub(crate) fn deploy(&self, name: &str, image: u32, golden: &Path) -> Result<()> {
        let target = self.folder.join("target");
        disks::blank(&target, SIZE)?;
        let mac = "06:00:00:00:01:01";
        let host = self.host("target", mac, image)?;
        self.transfer(host, mac, 1, image, &target)?;
        self.count(|transfers| transfers.deploys += 1);
        if !disks::same(golden, &target)? {
            let what = format!("a deploy of {name} was complete and its disk differs");
            self.count(|transfers| transfers.wrong.push(what));
        }
        Ok(())
    }

    /// Orders a task and runs its client to the end.
    fn transfer(&self, host: u32, mac: &str, kind: u32, image: u32, disk: &Path) -> Result<()> {
        let path = format!("/fog/host/{host}/task");
        let answer = self.rest.post(&path, &json!({"taskTypeID": kind}))?;
        // A task of a turn that failed may be left: it is as good.
        if answer.status != 200 && !answer.body.contains("already") {
            bail!("the task was answered {}: {}", answer.status, answer.body);
        }
        let path = format!("/foghorn/v1/hosts/{host}/boot-token");
        let token = self.rest.post(&path, &json!({}))?.ok()?;
        let mut command = Command::new(foghorn("foghorn-client")?);
        command
            .args(["run", "--controller", &self.rest.url, "--mac", mac])
            .args(["--token", token["token"].as_str().context("a token")?])
            .arg("--disk")
            .arg(disk);
        let mut client = Process::start(&self.folder, "client", &mut command)?;
        let ended = client.wait(PATIENCE);
        let task = token["task"].as_u64().context("a task")?;
        if !ended.as_ref().is_ok_and(|status| status.success()) {
            let stop = json!({"reason": "its client failed"});
            // The next turn finds it if nobody answers now.
            let _ = self.rest.send(
                "DELETE",
                &format!("/fog/host/{host}/cancel"),
                Some(stop.to_string().into()),
            );
            bail!("the client of task {task} ended with {ended:?}");
        }
        let status: Value = until("the end of a task", PATIENCE, || {
            let status = self.rest.get(&format!("/foghorn/v1/tasks/{task}"));
            let status = status.and_then(foghorn_tests::rest::Answer::ok);
            let ended = |status: &Value| {
                ["complete", "failed", "cancelled"]
                    .contains(&status["state"].as_str().unwrap_or(""))
            };
            Ok(status.ok().filter(ended))
        })?;
        if status["image"]["id"] != image {
            bail!("task {task} of an earlier turn was for another image: {status}")
        }
        if status["state"] == "complete" {
            return Ok(());
        }
        bail!("task {task} ended as {status}")
    }

    fn image(&self, name: &str) -> Result<u32> {
        let found = self.rest.get(&format!("/fog/image?name={name}"))?.ok()?;
        let mut rows = found["images"].as_array().into_iter().flatten();
        if let Some(row) = rows.find(|row| row["name"] == name) {
            return id(row);
        }
        let body = json!({"name": name, "path": name, "imageTypeID": 1, "imagePartitionTypeID": 1,
            "osID": 50, "isEnabled": "1"});
        id(&self.rest.post("/fog/image/create", &body)?.ok()?)
    }

    /// The host with this name, with this image.
    fn host(&self, name: &str, mac: &str, image: u32) -> Result<u32> {
        let found = self.rest.get(&format!("/fog/host?name={name}"))?.ok()?;
        let mut rows = found["hosts"].as_array().into_iter().flatten();
        let host = match rows.find(|row| row["name"] == name) {
            Some(row) => id(row)?,
            None => {
                let body = json!({"name": name, "macs": [mac]});
                id(&self.rest.post("/fog/host/create", &body)?.ok()?)?
            }
        };
        let path = format!("/fog/host/{host}/edit");
        self.rest.put(&path, &json!({"imageID": image}))?.ok()?;
        Ok(host)
    }
}

/// FOG returns ids as strings.
fn id(value: &Value) -> Result<u32> {
    Ok(value["id"].as_str().context("an id")?.parse()?)
}
