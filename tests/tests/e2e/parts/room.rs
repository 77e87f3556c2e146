//! An installation, disks with two partitions, and images that are about parts of them.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::MIB;
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, Options, PATIENCE, Stack};
use foghorn_tests::tools::{find, foghorn, run};
use serde_json::{Value, json};

/// Rows of FOG: what of a disk an image is about, and how it is captured.
pub(crate) const EVERYTHING: u32 = 1;
pub(crate) const TABLE: u32 = 2;
pub(crate) const USED: u32 = 1;
pub(crate) const RAW: u32 = 4;

pub(crate) fn partition(number: u32) -> u32 {
    number + 2
}

const SECTOR: u64 = 512;

pub(crate) struct Room {
    pub(crate) stack: Stack,
    machines: u32,
}

pub(crate) struct Machine {
    pub(crate) id: u32,
    name: String,
    mac: String,
}

pub(crate) struct Client {
    pub(crate) process: Process,
    report: PathBuf,
}

impl Machine {
    pub(crate) fn mac(&self) -> &str {
        &self.mac
    }
}

impl Client {
    pub(crate) fn report(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&fs::read(&self.report)?)?)
    }
}

impl Room {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self {
            stack: Stack::start_with(Engine::Embedded, &Options::default())?,
            machines: 0,
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.stack.folder().join(name)
    }

    /// A new host with this image.
    pub(crate) fn host(&mut self, image: u32) -> Result<Machine> {
        self.machines += 1;
        let (name, mac) = (
            format!("pc-{}", self.machines),
            format!("52:54:00:00:61:{:02x}", self.machines),
        );
        let id = self.stack.create_host(&name, &mac)?;
        self.stack.assign(id, image)?;
        Ok(Machine { id, name, mac })
    }

    /// Says what an image is about.
    pub(crate) fn set(&self, image: u32, part: u32, image_type: u32) -> Result<()> {
        let body = json!({ "imagePartitionTypeID": part, "imageTypeID": image_type });
        let answer = self
            .stack
            .rest
            .put(&format!("/fog/image/{image}/edit"), &body)?;
        answer.ok().map(drop)
    }

    pub(crate) fn content(&self, image: u32) -> Result<Value> {
        let path = format!("/foghorn/v1/images/{image}");
        Ok(self.stack.rest.get(&path)?.ok()?["content"].clone())
    }

    pub(crate) fn client(&self, host: &Machine, disk: &Path) -> Result<Client> {
        let report = self.path(&format!("report-{}.json", host.name));
        let mut command = self.stack.client_command(host.id, &host.mac, disk)?;
        command.arg("--report").arg(&report);
        let process = Process::start(self.stack.folder(), &host.name, &mut command)?;
        Ok(Client { process, report })
    }

    /// The client without rules of its own: it takes those of the host.
    pub(crate) fn client_of_rule(&self, host: &Machine) -> Result<Client> {
        let report = self.path(&format!("report-{}.json", host.name));
        let token = self.stack.boot_token(host.id)?;
        let mut command = Command::new(foghorn("foghorn-client")?);
        command
            .args(["run", "--controller", &self.stack.rest.url])
            .args(["--mac", &host.mac, "--token", &token])
            .arg("--report")
            .arg(&report);
        let process = Process::start(self.stack.folder(), &host.name, &mut command)?;
        Ok(Client { process, report })
    }

    /// Captures a disk into a new image.
    pub(crate) fn capture(
        &mut self,
        disk: &TwoPartitions,
        part: u32,
        image_type: u32,
    ) -> Result<u32> {
        self.capture_file(&disk.path, part, image_type)
    }

    pub(crate) fn capture_file(&mut self, disk: &Path, part: u32, image_type: u32) -> Result<u32> {
        let image = self
            .stack
            .create_image(&format!("image-{}", self.machines))?;
        self.set(image, part, image_type)?;
        let host = self.host(image)?;
        self.stack.order(host.id, 2)?;
        let mut client = self.client(&host, disk)?;
        let status = client.process.wait(PATIENCE)?;
        ensure!(status.success(), "{status}:\n{}", client.process.log());
        Ok(image)
    }

    /// Deploys an image to the disk of a new host; gives the client's report.
    pub(crate) fn deploy(&mut self, image: u32, disk: &TwoPartitions) -> Result<Value> {
        self.deploy_file(image, &disk.path)
    }

    pub(crate) fn deploy_file(&mut self, image: u32, disk: &Path) -> Result<Value> {
        let host = self.host(image)?;
        let task = self.stack.order(host.id, 1)?;
        let mut client = self.client(&host, disk)?;
        let status = client.process.wait(PATIENCE)?;
        ensure!(status.success(), "{status}:\n{}", client.process.log());
        ensure!(self.stack.wait_task(task)?["state"] == "complete");
        client.report()
    }

    /// An order that the controller must refuse, in both dialects; gives the sentence. `fog` and
    /// `kind` are the same task in each.
    pub(crate) fn refused_order(&mut self, image: u32, fog: u32, kind: &str) -> Result<String> {
        let host = self.host(image)?;
        let answer = self.stack.rest.post(
            &format!("/fog/host/{}/task", host.id),
            &json!({ "taskTypeID": fog }),
        )?;
        let said: Value = serde_json::from_str(&answer.body).context(answer.body.clone())?;
        ensure!(answer.status == 409, "{} {said}", answer.status);
        let why = said["error"].as_str().context("a sentence")?.to_owned();
        let answer = self.stack.rest.post(
            "/foghorn/v1/tasks",
            &json!({ "kind": kind, "host": host.id, "image": image }),
        )?;
        let said: Value = serde_json::from_str(&answer.body).context(answer.body.clone())?;
        ensure!(
            answer.status == 400 && said["field"] == "image",
            "{} {said}",
            answer.status
        );
        let native = said["error"].as_str().unwrap_or_default();
        ensure!(native.contains(&why), "{native:?} is not {why:?}");
        let tasks = self.stack.rest.get("/fog/task/active")?.ok()?;
        ensure!(tasks["count"] == 0, "a refused order left a task: {tasks}");
        Ok(why)
    }

    /// A deploy that the client must refuse: nothing of the disk changes, and the task has failed
    /// with a reason, which is given.
    pub(crate) fn refused_by_client(&mut self, image: u32, disk: &Path) -> Result<String> {
        let before = fs::read(disk)?;
        let host = self.host(image)?;
        let task = self.stack.order(host.id, 1)?;
        let mut client = self.client(&host, disk)?;
        let status = client.process.wait(PATIENCE)?;
        ensure!(
            status.code() == Some(5),
            "{status}:\n{}",
            client.process.log()
        );
        ensure!(fs::read(disk)? == before, "a refused disk was changed");
        let ended = self.stack.wait_task(task)?;
        ensure!(ended["state"] == "failed", "{ended}");
        Ok(ended["reason"].as_str().context("a reason")?.to_owned())
    }

    /// A deploy that the client refuses before it begins: the task waits. Returns what it says.
    pub(crate) fn not_begun(&mut self, image: u32, disk: &Path) -> Result<String> {
        let before = fs::read(disk)?;
        let host = self.host(image)?;
        let task = self.stack.order(host.id, 1)?;
        let mut client = self.client(&host, disk)?;
        let status = client.process.wait(PATIENCE)?;
        let said = client.process.log();
        ensure!(status.code() == Some(5), "{status}:\n{said}");
        ensure!(fs::read(disk)? == before, "a refused disk was changed");
        self.stack.cancel_waiting(task)?;
        Ok(said)
    }
}

/// A disk with an MBR and two ext4 partitions, each with one file that carries a mark.
pub(crate) struct TwoPartitions {
    pub(crate) path: PathBuf,
    places: [(u64, u64); 2],
}

/// Builds one of `mib` MiB. `places` are sectors: first and length of each partition.
pub(crate) fn two_partitions(
    path: &Path,
    mib: u64,
    places: &[(u64, u64); 2],
    mark: &str,
) -> Result<TwoPartitions> {
    File::create(path)?.set_len(mib * MIB)?;
    let table: String = places
        .iter()
        .map(|(start, size)| format!("start={start}, size={size}, type=83\n"))
        .collect();
    let script = path.with_extension("sfdisk");
    fs::write(
        &script,
        format!("label: dos\nlabel-id: 0x11112222\n{table}"),
    )?;
    let done = Command::new(find("sfdisk")?)
        .args(["-q", "--no-reread", "--no-tell-kernel"])
        .arg(path)
        .stdin(File::open(&script)?)
        .output()?;
    ensure!(
        done.status.success(),
        "sfdisk: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    let disk = TwoPartitions {
        path: path.to_owned(),
        places: *places,
    };
    for number in [1, 2] {
        let scratch = tempfile::tempdir_in(path.parent().context("a folder")?)?;
        let tree = scratch.path().join("tree");
        fs::create_dir(&tree)?;
        fs::write(tree.join("mark"), format!("{number} of {mark}"))?;
        let mut filling = vec![0; 6 * MIB as usize];
        let seed = mark.bytes().map(u64::from).sum::<u64>() + u64::from(number);
        foghorn_tests::disks::fill_random(&mut filling, seed);
        fs::write(tree.join("filling"), filling)?;
        let volume = scratch.path().join("volume");
        let (_, sectors) = disk.places[number as usize - 1];
        File::create(&volume)?.set_len(sectors * SECTOR / 1024 * 1024)?;
        let text = |path: &Path| path.display().to_string();
        run(
            "mke2fs",
            ["-q", "-t", "ext4", "-d", &text(&tree), &text(&volume)],
        )?;
        let (start, _) = disk.range(number);
        let bytes = fs::read(&volume)?;
        File::options()
            .write(true)
            .open(path)?
            .write_all_at(&bytes, start as u64)?;
    }
    Ok(disk)
}

impl TwoPartitions {
    /// First byte of a partition, and the one behind it.
    pub(crate) fn range(&self, number: u32) -> (usize, usize) {
        let (start, size) = self.places[number as usize - 1];
        (
            (start * SECTOR) as usize,
            ((start + size) * SECTOR) as usize,
        )
    }

    pub(crate) fn bytes(&self) -> Result<Vec<u8>> {
        Ok(fs::read(&self.path)?)
    }

    pub(crate) fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        let file = File::options().write(true).open(&self.path)?;
        Ok(file.write_all_at(bytes, at)?)
    }

    /// Only this partition may differ from what the disk had before.
    pub(crate) fn check_only(&self, number: u32, before: &[u8]) -> Result<()> {
        let (after, (start, end)) = (self.bytes()?, self.range(number));
        ensure!(after.len() == before.len(), "the disk has another size");
        ensure!(after[..start] == before[..start], "changed in front of it");
        ensure!(after[end..] == before[end..], "changed behind it");
        ensure!(after[start..end] != before[start..end], "nothing happened");
        Ok(())
    }

    fn volume(&self, number: u32) -> Result<tempfile::NamedTempFile> {
        let file = tempfile::NamedTempFile::new_in(self.path.parent().context("a folder")?)?;
        let (start, end) = self.range(number);
        fs::write(file.path(), &self.bytes()?[start..end])?;
        Ok(file)
    }

    /// The marked file of a partition.
    pub(crate) fn mark(&self, number: u32) -> Result<String> {
        let volume = self.volume(number)?;
        let text = volume.path().display().to_string();
        run("debugfs", ["-R", "cat /mark", &text])
    }

    pub(crate) fn fsck(&self, number: u32) -> Result<()> {
        let volume = self.volume(number)?;
        run("e2fsck", ["-fn", &volume.path().display().to_string()]).map(drop)
    }

    /// Makes a file system that cannot be captured: it was not cleanly unmounted.
    pub(crate) fn damage(&self, number: u32) -> Result<()> {
        // State in the superblock, see the documentation of ext4 of Linux: 0x3A, bit 0 is "clean".
        let (start, _) = self.range(number);
        self.write(start as u64 + 1024 + 0x3A, &[0, 0])
    }

    /// Place on the disk of a block of a partition that no file uses.
    pub(crate) fn free_block(&self, number: u32) -> Result<u64> {
        let volume = self.volume(number)?;
        let text = volume.path().display().to_string();
        let found = run("debugfs", ["-R", "ffb 1 20000", &text])?;
        let block = found
            .split_whitespace()
            .find_map(|word| word.parse::<u64>().ok())
            .with_context(|| format!("no free block in {found}"))?;
        let stats = run("debugfs", ["-R", "stats -h", &text])?;
        let size = stats
            .lines()
            .find_map(|line| line.strip_prefix("Block size:"))
            .context("a block size")?;
        let (start, _) = self.range(number);
        Ok(start as u64 + block * size.trim().parse::<u64>()?)
    }
}

/// The partitions of a disk as sfdisk sees them, without what depends on the size of the disk.
pub(crate) fn dump(disk: &Path) -> Result<Vec<String>> {
    let name = disk.display().to_string();
    let dump = run("sfdisk", ["-d", &name])?;
    Ok(dump
        .lines()
        .filter(|line| !line.starts_with("last-lba") && !line.starts_with("device"))
        .map(|line| line.replace(&name, "disk"))
        .collect())
}
