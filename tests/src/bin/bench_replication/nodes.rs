//! The installation: a controller and a node on the lab's server, a node on the other end of the
//! link.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::lab::{Lab, SERVER};
use foghorn_tests::stack::{Engine, Options, Stack};
use serde_json::{Value, json};

use crate::LAB;
use crate::counter::moved;
use crate::figures::{Copied, Second};

/// A copy that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(600);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// With less on the wire, the copy has not begun: the controller talks to its node, too.
const BEGUN: u64 = 1 << 20;

pub(crate) struct Nodes {
    stack: Stack,
    count: u32,
}

/// An image that only the first node has.
pub(crate) struct TestImage {
    pub(crate) number: u32,
    pub(crate) disk: PathBuf,
    /// Compressed bytes of its chunks.
    pub(crate) stored: u64,
}

impl Nodes {
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let options = Options {
            address: SERVER.to_owned(),
            folder: Some(folder.to_owned()),
            ..Options::default()
        };
        let mut stack = Stack::start_with(Engine::Embedded, &options)?;
        let wrap = ["ip", "netns", "exec", &format!("{LAB}-c1")];
        let wrap = wrap.map(str::to_owned).to_vec();
        stack.add_agent_elsewhere("south", &Lab::address(1), wrap, "")?;
        Ok(Self { stack, count: 0 })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.stack.folder()
    }

    pub(crate) fn rest(&self) -> &foghorn_tests::rest::Rest {
        &self.stack.rest
    }

    /// Captures a new disk into an image that stays where it is.
    pub(crate) fn new_image(&mut self, mib: u64) -> Result<TestImage> {
        self.count += 1;
        let disk = self.folder().join(format!("disk-{}", self.count));
        let parts = [(Kind::Raw, mib - 4)];
        let seed = u64::from(self.count);
        let made = disks::make_gpt(&disk, mib * MIB, 512, &parts, seed)?;
        self.capture(made.path)
    }

    fn capture(&self, disk: PathBuf) -> Result<TestImage> {
        let rest = &self.stack.rest;
        let n = rest.get("/fog/host")?.ok()?["count"].as_u64().unwrap_or(0) + 1;
        let (name, mac) = (format!("pc-{n}"), format!("52:54:00:00:0e:{n:02x}"));
        let host = self.stack.create_host(&name, &mac)?;
        let image = self.stack.create_image(&format!("image-{n}"))?;
        self.replicated(image, false)?;
        self.stack.assign(host, image)?;
        let task = self.stack.order(host, 2)?;
        let mut client = self.stack.start_client(&name, host, &mac, &disk)?;
        let status = client.wait(LIMIT)?;
        ensure!(status.success(), "{status}:\n{}", client.log());
        let ended = self.stack.wait_task(task)?;
        ensure!(ended["state"] == "complete", "{ended}");
        let shown = rest.get(&format!("/foghorn/v1/images/{image}"))?.ok()?;
        let stored = shown["content"]["stored_bytes"].as_u64();
        Ok(TestImage {
            number: image,
            disk,
            stored: stored.context("an image with a size")?,
        })
    }

    /// Whether the image goes to every node.
    pub(crate) fn replicated(&self, image: u32, yes: bool) -> Result<()> {
        let body = json!({ "toReplicate": if yes { "1" } else { "0" } });
        let path = format!("/fog/image/{image}/edit");
        self.stack.rest.put(&path, &body)?.ok().map(drop)
    }

    /// How the image is on the other node; null if it is not to be there.
    pub(crate) fn replica(&self, image: u32) -> Result<Value> {
        let path = format!("/foghorn/v1/replication?image={image}");
        let list = self.stack.rest.get(&path)?.ok()?;
        let all = list["replicas"].as_array().context("a list")?;
        let found = all.iter().find(|one| one["node"]["name"] == "south");
        Ok(found.cloned().unwrap_or_default())
    }

    pub(crate) fn replicate(&self, image: &TestImage) -> Result<Copied> {
        let (ordered, before) = (Instant::now(), moved()?);
        self.replicated(image.number, true)?;
        let mut begun = None;
        while self.replica(image.number)?["state"] != "ready" {
            ensure!(ordered.elapsed() < LIMIT, "a copy did not come to its end");
            if begun.is_none() && moved()? - before > BEGUN {
                begun = Some(Instant::now());
            }
            std::thread::sleep(LOOK);
        }
        let whole = ordered.elapsed().as_secs_f64();
        let copying = begun.map_or(whole, |begun| begun.elapsed().as_secs_f64());
        Ok(Copied {
            bytes: image.stored,
            wire: moved()? - before,
            whole,
            copying,
        })
    }

    /// An identical image.
    pub(crate) fn second_pass(&self, first: &TestImage) -> Result<Second> {
        let image = self.capture(first.disk.clone())?;
        let before = self.fetched()?;
        let copied = self.replicate(&image)?;
        Ok(Second {
            bytes: self.fetched()? - before,
            of: image.stored,
            seconds: copied.whole,
        })
    }

    /// Bytes that nodes have fetched from each other.
    fn fetched(&self) -> Result<u64> {
        let text = self.stack.rest.get("/metrics")?.body;
        let name = "foghorn_replication_bytes_total ";
        let figure = text.lines().find_map(|line| line.strip_prefix(name));
        Ok(figure.map(str::parse::<f64>).transpose()?.unwrap_or(0.0) as u64)
    }
}
