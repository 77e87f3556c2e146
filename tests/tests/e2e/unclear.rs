//! Partitions that are not what they look like, or not at rest: nothing of them is lost, or the
//! capture is refused and says why. Judged by comparing the disks byte by byte and by `blkid`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, MIB};
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, PATIENCE, Stack};
use foghorn_tests::tools::run_any;
use foghorn_tests::unclear::{self, Part, assemble};

const REFUSED: i32 = 5;

/// Makes a volume in a file.
type Make<'a> = &'a dyn Fn(&Path) -> Result<()>;

/// One disk after the other on one stack.
struct Bench {
    stack: Stack,
    hosts: u32,
}

impl Bench {
    fn start() -> Result<Self> {
        Ok(Self {
            stack: Stack::start(Engine::Embedded)?,
            hosts: 0,
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.stack.folder().join(name)
    }

    fn mac(&mut self) -> String {
        self.hosts += 1;
        format!("52:54:00:00:4a:{:02x}", self.hosts)
    }

    /// Builds a disk of these partitions.
    fn disk(&self, name: &str, parts: &[(&'static str, Make<'_>)]) -> Result<PathBuf> {
        let mut made = Vec::new();
        for (number, &(kind, make)) in (1..).zip(parts) {
            let volume = self.file(&format!("{name}-{number}"));
            make(&volume)?;
            made.push(Part { kind, volume });
        }
        let disk = self.file(name);
        assemble(&disk, &made)?;
        Ok(disk)
    }

    /// Captures the disk into a new image with these arguments of the client; returns the image, and
    /// how and with what log the client ended.
    fn capture(&mut self, disk: &Path, arguments: &[&str]) -> Result<(u32, i32, String)> {
        let mac = self.mac();
        let name = format!("source{}", self.hosts);
        let host = self.stack.create_host(&name, &mac)?;
        let image = self.stack.create_image(&name)?;
        self.stack.assign(host, image)?;
        let task = self.stack.order(host, 2)?;
        let mut command = self.stack.client_command(host, &mac, disk)?;
        command.args(arguments);
        let mut client = Process::start(self.stack.folder(), &name, &mut command)?;
        let code = client.wait(PATIENCE)?.code().context("an exit code")?;
        let ended = self.stack.settled(task)?;
        ensure!(
            (ended["state"] == "complete") == (code == 0),
            "{code}: {ended}"
        );
        Ok((image, code, client.log()))
    }

    /// Captures the disk and deploys it to a blank one; every byte must come back, and the log must
    /// contain `note`.
    fn comes_back(&mut self, disk: &Path, arguments: &[&str], note: &str) -> Result<PathBuf> {
        let (image, code, log) = self.capture(disk, arguments)?;
        ensure!(code == 0, "the client ended with {code}:\n{log}");
        ensure!(log.contains(note), "no {note:?} in\n{log}");
        let mac = self.mac();
        let target = self.file(&format!("target{}", self.hosts));
        disks::blank(&target, fs::metadata(disk)?.len())?;
        self.stack
            .deploy(&format!("target{}", self.hosts), &mac, image, &target)?;
        ensure!(
            disks::same(disk, &target)?,
            "{} came back different",
            disk.display()
        );
        Ok(target)
    }

    fn is_refused(&mut self, disk: &Path, arguments: &[&str], why: &str) -> Result<()> {
        let (_, code, log) = self.capture(disk, arguments)?;
        ensure!(code == REFUSED, "the client ended with {code}:\n{log}");
        ensure!(log.contains(why), "no {why:?} in\n{log}");
        Ok(())
    }
}

/// What `blkid -p` says of bytes `start..start + size` of a disk.
fn blkid(disk: &Path, start: u64, size: u64) -> Result<String> {
    let (start, size) = (start.to_string(), size.to_string());
    let path = disk.to_str().context("temporary paths are text")?;
    let output = run_any("blkid", ["-p", "-O", &start, "-S", &size, path])?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn what_is_no_file_system_any_more_is_taken_whole() {
    let mut bench = Bench::start().unwrap();
    let ext4 = |path: &Path| {
        disks::blank(path, 20 * MIB)?;
        let path = path.to_str().context("text")?;
        foghorn_tests::tools::run("mke2fs", ["-qF", "-t", "ext4", path]).map(drop)
    };
    let disk = bench
        .disk(
            "bitlocker",
            &[
                ("8300", &ext4),
                ("0700", &|path| unclear::bitlocker(path, 12 * MIB)),
            ],
        )
        .unwrap();
    let target = bench.comes_back(&disk, &[], "BitLocker").unwrap();
    assert!(
        blkid(&target, 21 * MIB, 12 * MIB)
            .unwrap()
            .contains("BitLocker")
    );

    // By its marks, whatever the type of the partition is.
    for kind in ["fd00", "8300"] {
        let disk = bench
            .disk(
                kind,
                &[(kind, &|path| unclear::raid_over_ntfs(path, 40 * MIB))],
            )
            .unwrap();
        let target = bench.comes_back(&disk, &[], "Linux RAID").unwrap();
        let verdict = blkid(&target, MIB, 40 * MIB).unwrap();
        assert!(verdict.contains("linux_raid_member"), "{verdict}");
    }

    // A reserved partition of Windows that begins where an NTFS began before, with something else
    // in it by now.
    let reserved = |path: &Path| {
        unclear::ntfs(path, 40 * MIB)?;
        fs::File::options()
            .write(true)
            .open(path)?
            .set_len(16 * MIB)?;
        unclear::noise(path, 10 * MIB..12 * MIB, 81)
    };
    let disk = bench
        .disk(
            "reserved",
            &[
                ("0c01", &reserved),
                ("0700", &|path| unclear::ntfs(path, 30 * MIB)),
            ],
        )
        .unwrap();
    bench
        .comes_back(&disk, &[], "Microsoft reserved by its type")
        .unwrap();

    // Forced.
    let disk = bench
        .disk(
            "forced",
            &[("8300", &|path| {
                ext4(path)?;
                unclear::noise(path, 12 * MIB..14 * MIB, 82)
            })],
        )
        .unwrap();
    bench
        .comes_back(&disk, &["--raw", "1"], "as ordered")
        .unwrap();
    bench
        .is_refused(
            &disk,
            &["--raw", "3"],
            "--raw names partition 3, but the disk has 1",
        )
        .unwrap();
}

#[test]
fn what_is_not_at_rest_is_refused_or_taken_whole() {
    let mut bench = Bench::start().unwrap();
    let ntfs = |path: &Path| {
        unclear::ntfs(path, 30 * MIB)?;
        unclear::interrupt_ntfs(path)?;
        unclear::noise(path, 20 * MIB..22 * MIB, 83)
    };
    let ext4 = |path: &Path| unclear::interrupted_ext4(path, 40 * MIB);
    let swap = |path: &Path| unclear::suspended_swap(path, 8 * MIB);
    let cases: [(&str, &'static str, Make<'_>, &str); 3] = [
        ("ntfs", "0700", &ntfs, "its log was not replayed"),
        ("ext4", "8300", &ext4, "its journal needs to be replayed"),
        ("swap", "8200", &swap, "a Linux is suspended to it"),
    ];
    for (name, kind, make, why) in cases {
        let clean = |path: &Path| unclear::ntfs(path, 20 * MIB);
        let disk = bench.disk(name, &[("0700", &clean), (kind, make)]).unwrap();
        bench.is_refused(&disk, &[], why).unwrap();
        bench
            .is_refused(&disk, &["--accept-dirty", "1"], why)
            .unwrap();
        bench
            .is_refused(&disk, &["--accept-dirty", "2,7"], "names partition 7")
            .unwrap();
        bench
            .comes_back(&disk, &["--accept-dirty", "2"], why)
            .unwrap();
    }
}

/// The system partition of machines that run is marked so; that alone stops nothing.
#[test]
fn a_dirty_fat_needs_no_flag() {
    let mut bench = Bench::start().unwrap();
    let fat = |path: &Path| {
        disks::blank(path, 40 * MIB)?;
        let text = path.to_str().context("text")?;
        foghorn_tests::tools::run("mkfs.fat", ["-F", "32", "-s", "1", text])?;
        let file = fs::File::options().write(true).open(path)?;
        Ok(std::os::unix::fs::FileExt::write_all_at(&file, &[1], 0x41)?)
    };
    let disk = bench.disk("esp", &[("ef00", &fat)]).unwrap();
    bench.comes_back(&disk, &[], "not marked clean").unwrap();
}
