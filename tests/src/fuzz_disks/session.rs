//! One machine of the campaign: a host with its image, and the client process for its tasks.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::Process;
use crate::stack::{PATIENCE, Stack};

/// FOG's numbers of the two kinds of tasks.
const DEPLOY: u32 = 1;
const CAPTURE: u32 = 2;

/// A host and an image that every seed of one worker uses again.
pub struct Session<'a> {
    stack: &'a Stack,
    name: String,
    host: u32,
    image: u32,
    mac: String,
}

/// How a client process ended.
pub struct Ended {
    pub code: Option<i32>,
    /// The state of the task.
    pub state: String,
    pub log: String,
}

impl Ended {
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.code == Some(0) && self.state == "complete"
    }

    /// What went wrong, for a report: what the client said last.
    #[must_use]
    pub fn complaint(&self) -> String {
        let last = self.log.lines().last().unwrap_or_default();
        format!(
            "client ended with {:?}, task {}: {last}",
            self.code, self.state
        )
    }
}

impl<'a> Session<'a> {
    /// # Errors
    /// When the controller refuses.
    pub fn new(stack: &'a Stack, worker: usize) -> Result<Self> {
        let name = format!("worker{worker}");
        let mac = format!("52:54:00:fd:00:{worker:02x}");
        let host = stack.create_host(&name, &mac)?;
        let image = stack.create_image(&format!("{name}-image"))?;
        stack.assign(host, image)?;
        Ok(Self {
            stack,
            name,
            host,
            image,
            mac,
        })
    }

    /// # Errors
    /// When the task cannot be ordered, or has no end.
    pub fn capture(&self, disk: &Path, sector: u64, options: &[&str]) -> Result<Ended> {
        self.run(CAPTURE, disk, sector, options)
    }

    /// # Errors
    /// When the task cannot be ordered, or has no end.
    pub fn deploy(&self, disk: &Path, sector: u64) -> Result<Ended> {
        self.run(DEPLOY, disk, sector, &[])
    }

    fn run(&self, kind: u32, disk: &Path, sector: u64, options: &[&str]) -> Result<Ended> {
        let task = self.stack.order(self.host, kind)?;
        let mut command = self.stack.client_command(self.host, &self.mac, disk)?;
        command
            .args(["--sector-size", &sector.to_string()])
            .args(options);
        let log: PathBuf = self.stack.folder().join(format!("{}.log", self.name));
        if log.exists() {
            fs::remove_file(&log)?;
        }
        let mut client = Process::start(self.stack.folder(), &self.name, &mut command)?;
        let status = client.wait(PATIENCE)?;
        let ended = self.stack.wait_task(task)?;
        Ok(Ended {
            code: status.code(),
            state: ended["state"].as_str().context("a state")?.to_owned(),
            log: client.log(),
        })
    }

    /// The ranges of the disk with data that the image says it does not have.
    ///
    /// # Errors
    /// When the image cannot be shown.
    pub fn left_out(&self) -> Result<Vec<Range<u64>>> {
        let path = format!("/foghorn/v1/images/{}", self.image);
        Ok(left_out(&self.stack.rest.get(&path)?.ok()?))
    }
}

fn left_out(image: &Value) -> Vec<Range<u64>> {
    let notes = image["content"]["notes"].as_array();
    let notes = notes.into_iter().flatten();
    notes
        .filter(|note| note["kind"] == "left_out")
        .filter_map(|note| {
            let start = note["offset"].as_u64()?;
            Some(start..start + note["length"].as_u64()?)
        })
        .collect()
}
