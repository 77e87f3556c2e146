//! Disks of which some sectors cannot be read: what nobody needs stops no capture, what a file needs
//! stops it and names the file, and `--rescue` takes the rest and says what is missing, in image and
//! task and at every deploy. The disks are files whose reads fail by a library that is preloaded, and
//! one real block device.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, Kind, MIB, Made};
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, PATIENCE, Stack};
use foghorn_tests::tools::{run, run_any};
use serde_json::Value;

use crate::command_line::run as foghorn;

const BLOCK: u64 = 4096;
const FAILED: i32 = 1;
/// Where things are on the disk: ext4, a gap with bytes of an earlier time, raw bytes.
const EXT: Range<u64> = MIB..41 * MIB;
const IN_GAP: u64 = 42 * MIB;
const RAW: Range<u64> = 44 * MIB..48 * MIB;
const SIZE: u64 = 50 * MIB;

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("temporary paths are text")
}

/// Free and used blocks next to each other: of many files of one block, every second is removed.
fn ext4(path: &Path, more: &[&str]) -> Result<()> {
    let files = tempfile::tempdir()?;
    let mut contents = vec![0; BLOCK as usize];
    for number in 0..400_u64 {
        disks::fill_random(&mut contents, 900 + number);
        fs::write(files.path().join(format!("f{number}")), &contents)?;
    }
    disks::blank(path, EXT.end - EXT.start)?;
    let folder = text(files.path())?;
    let mut arguments = vec!["-qF", "-t", "ext4", "-b", "4096", "-d", folder];
    arguments.extend(more);
    arguments.push(text(path)?);
    run("mke2fs", arguments)?;
    let removals = files.path().join("removals");
    let lines: Vec<String> = (0..400).step_by(2).map(|n| format!("rm f{n}\n")).collect();
    fs::write(&removals, lines.concat())?;
    run("debugfs", ["-w", "-f", text(&removals)?, text(path)?])?;
    run("e2fsck", ["-fn", text(path)?]).map(drop)
}

/// The disk of most tests, of this volume.
fn disk(path: &Path, volume: &Path) -> Result<Vec<Made>> {
    disks::blank(path, SIZE)?;
    let place = |range: &Range<u64>| format!("{}:{}", range.start / 512, range.end / 512 - 1);
    let (first, second) = (place(&EXT), place(&RAW));
    let (first, second) = (format!("-n1:{first}"), format!("-n2:{second}"));
    run("sgdisk", [&first, &second, text(path)?])?;
    let file = File::options().write(true).open(path)?;
    for (at, piece) in (0..)
        .step_by(1 << 16)
        .zip(fs::read(volume)?.chunks(1 << 16))
    {
        if piece.iter().any(|&byte| byte != 0) {
            file.write_all_at(piece, EXT.start + at)?;
        }
    }
    let mut noise = vec![0; MIB as usize];
    disks::fill_random(&mut noise, 1);
    for place in [IN_GAP, RAW.start, RAW.start + 2 * MIB] {
        file.write_all_at(&noise, place)?;
    }
    let made = |number, kind, range: Range<u64>| Made {
        number,
        kind,
        start: range.start,
        size: range.end - range.start,
    };
    Ok(vec![made(1, Kind::Ext4, EXT), made(2, Kind::Raw, RAW)])
}

/// Where a block of the ext4 is on the disk.
fn on_disk(block: u64) -> Range<u64> {
    EXT.start + block * BLOCK..EXT.start + (block + 1) * BLOCK
}

/// The one block of a file.
fn block_of(volume: &Path, name: &str) -> Result<u64> {
    let list = run("debugfs", ["-R", &format!("blocks {name}"), text(volume)?])?;
    Ok(list.trim().parse()?)
}

fn is_free(volume: &Path, block: u64) -> Result<bool> {
    let verdict = run("debugfs", ["-R", &format!("testb {block}"), text(volume)?])?;
    Ok(verdict.contains("not in use"))
}

struct Lab {
    stack: Stack,
    library: PathBuf,
    hosts: u32,
}

/// How a client ended.
struct Ended {
    code: i32,
    log: String,
    report: Value,
    task: Value,
    image: u32,
}

impl Ended {
    /// Notes about what cannot be read, in the report; the task must have the same.
    fn unreadable(&self) -> Result<Vec<Value>> {
        let of = |list: &Value| -> Vec<Value> {
            let notes = list.as_array().cloned().unwrap_or_default();
            let is_one = |note: &Value| note["kind"] == "unreadable";
            notes.into_iter().filter(is_one).collect()
        };
        let (report, task) = (of(&self.report["notes"]), of(&self.task["notes"]));
        ensure!(report == task, "report {report:?}, task {task:?}");
        Ok(report)
    }

    fn must_end_with(&self, code: i32) -> Result<()> {
        ensure!(self.code == code, "ended with {}:\n{}", self.code, self.log);
        let state = if code == 0 { "complete" } else { "failed" };
        ensure!(self.task["state"] == state, "{}", self.task);
        Ok(())
    }

    /// It failed, and both the client and the task say this.
    fn must_fail_with(&self, sentences: &[&str]) -> Result<()> {
        self.must_end_with(FAILED)?;
        let reason = self.task["reason"].as_str().unwrap_or_default();
        for sentence in sentences {
            ensure!(
                self.log.contains(sentence),
                "no {sentence:?} in\n{}",
                self.log
            );
            ensure!(reason.contains(sentence), "no {sentence:?} in {reason:?}");
        }
        Ok(())
    }
}

impl Lab {
    fn start() -> Result<Self> {
        let stack = Stack::start(Engine::Embedded)?;
        let library = stack.folder().join("unreadable.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/unreadable.c");
        let (library_text, source) = (text(&library)?, text(&source)?);
        run(
            "cc",
            [
                "-O1",
                "-shared",
                "-fPIC",
                "-o",
                library_text,
                source,
                "-ldl",
            ],
        )?;
        Ok(Self {
            stack,
            library,
            hosts: 0,
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.stack.folder().join(name)
    }

    /// Runs the client of a new host for an image, with these arguments. Reads of `bad` fail.
    fn run_client(
        &mut self,
        (image, kind): (u32, u32),
        disk: &Path,
        bad: &[Range<u64>],
        arguments: &[&str],
    ) -> Result<Ended> {
        self.hosts += 1;
        let (name, mac) = (
            format!("host{}", self.hosts),
            format!("52:54:00:00:4b:{:02x}", self.hosts),
        );
        let host = self.stack.create_host(&name, &mac)?;
        self.stack.assign(host, image)?;
        let task = self.stack.order(host, kind)?;
        let report = self.file(&format!("{name}.json"));
        let mut command = self.stack.client_command(host, &mac, disk)?;
        command.args(arguments).arg("--report").arg(&report);
        if !bad.is_empty() {
            let list: Vec<String> = bad
                .iter()
                .map(|b| format!("{}-{}", b.start, b.end))
                .collect();
            command
                .env("LD_PRELOAD", &self.library)
                .env("UNREADABLE_FILE", fs::canonicalize(disk)?)
                .env("UNREADABLE", list.join(","));
        }
        let mut client = Process::start(self.stack.folder(), &name, &mut command)?;
        let code = client.wait(PATIENCE)?.code().context("an exit code")?;
        Ok(Ended {
            code,
            log: client.log(),
            report: serde_json::from_slice(&fs::read(report)?)?,
            task: self.stack.wait_task(task)?,
            image,
        })
    }

    fn capture(&mut self, disk: &Path, bad: &[Range<u64>], arguments: &[&str]) -> Result<Ended> {
        let image = self.stack.create_image(&format!("image{}", self.hosts))?;
        self.run_client((image, 2), disk, bad, arguments)
    }

    fn deploy(&mut self, image: u32) -> Result<(PathBuf, Ended)> {
        let target = self.file(&format!("target{}", self.hosts));
        disks::blank(&target, SIZE)?;
        let ended = self.run_client((image, 1), &target, &[], &[])?;
        ended.must_end_with(0)?;
        Ok((target, ended))
    }
}

/// All files of a disk, and those that must differ on another, by their contents.
fn same_files_but((one, other): (&Path, &Path), partitions: &[Made], but: &[&str]) -> Result<()> {
    let hash = |disk| -> Result<BTreeMap<String, String>> { disks::hash_files(disk, partitions) };
    let (there, here) = (hash(one)?, hash(other)?);
    ensure!(there.len() > 200 && there.keys().eq(here.keys()));
    let differ: Vec<&String> = there
        .keys()
        .filter(|&name| there[name] != here[name])
        .collect();
    ensure!(differ == but, "{differ:?} differ");
    Ok(())
}

#[test]
fn what_nobody_needs_may_be_unreadable() {
    let mut lab = Lab::start().unwrap();
    let (volume, path) = (lab.file("volume"), lab.file("disk"));
    ext4(&volume, &[]).unwrap();
    let partitions = disk(&path, &volume).unwrap();
    // A free block that would be read along with those around it.
    let used = block_of(&volume, "f201").unwrap();
    let free = used + 1;
    assert!(is_free(&volume, free).unwrap() && !is_free(&volume, used).unwrap());
    let captured = lab.capture(&path, &[on_disk(free)], &[]).unwrap();
    captured.must_end_with(0).unwrap();
    assert!(captured.unreadable().unwrap().is_empty());
    let (target, _) = lab.deploy(captured.image).unwrap();
    disks::check(&target, 512, &partitions[..1]).unwrap();
    same_files_but((&path, &target), &partitions, &[]).unwrap();

    // Between the partitions: complete, and noted; its neighbours are there.
    let bad = IN_GAP + 512..IN_GAP + 1024;
    let captured = lab.capture(&path, std::slice::from_ref(&bad), &[]).unwrap();
    captured.must_end_with(0).unwrap();
    let notes = captured.unreadable().unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!(notes[0]["offset"], bad.start);
    assert_eq!(
        (&notes[0]["length"], &notes[0]["partition"]),
        (&512.into(), &0.into())
    );
    let (target, deployed) = lab.deploy(captured.image).unwrap();
    assert_eq!(deployed.unreadable().unwrap(), notes);
    let (mut there, here) = (fs::read(&path).unwrap(), fs::read(&target).unwrap());
    there[bad.start as usize..bad.end as usize].fill(0);
    let gap = EXT.end as usize..RAW.end as usize;
    assert!(there[gap.clone()] == here[gap]);

    // On the file system's own list.
    let list = lab.file("list");
    fs::write(&list, format!("{}\n{}\n", 5000, 5002)).unwrap();
    let listed = lab.file("listed");
    ext4(&listed, &["-l", text(&list).unwrap()]).unwrap();
    assert!(!is_free(&listed, 5000).unwrap() && !is_free(&listed, 5002).unwrap());
    let path = lab.file("disk-with-list");
    let partitions = disk(&path, &listed).unwrap();
    let captured = lab
        .capture(&path, &[on_disk(5000), on_disk(5002)], &[])
        .unwrap();
    captured.must_end_with(0).unwrap();
    assert!(captured.unreadable().unwrap().is_empty());
    let (target, _) = lab.deploy(captured.image).unwrap();
    disks::check(&target, 512, &partitions[..1]).unwrap();
    same_files_but((&path, &target), &partitions, &[]).unwrap();
}

#[test]
fn what_is_needed_stops_a_capture_and_is_named() {
    let mut lab = Lab::start().unwrap();
    let (volume, path) = (lab.file("volume"), lab.file("disk"));
    ext4(&volume, &[]).unwrap();
    disk(&path, &volume).unwrap();
    let used = block_of(&volume, "f201").unwrap();
    let superblock = run("dumpe2fs", [text(&volume).unwrap()]).unwrap();
    let bitmap = superblock.split("Block bitmap at ").nth(1).unwrap();
    let bitmap: u64 = bitmap.split_whitespace().next().unwrap().parse().unwrap();
    let place = |range: &Range<u64>| format!("could not read 512 bytes at byte {} of", range.start);
    let (file, raw) = (
        on_disk(used),
        RAW.start + MIB / 2..RAW.start + MIB / 2 + 512,
    );
    let file = file.start + 1024..file.start + 1536;
    let boot = MIB / 2..MIB / 2 + 512;
    for (bad, sentences) in [
        (
            file.clone(),
            [
                place(&file),
                "in partition 1 (ext2/3/4), in use by /f201 (".to_owned(),
            ],
        ),
        (
            on_disk(bitmap),
            [
                "the block bitmap of a group and say what partition 1 uses".to_owned(),
                format!("4096 bytes at byte {} of", on_disk(bitmap).start),
            ],
        ),
        (
            raw.clone(),
            [place(&raw), "in partition 2 (raw)".to_owned()],
        ),
        (
            boot.clone(),
            [place(&boot), "where boot code may be".to_owned()],
        ),
    ] {
        let captured = lab.capture(&path, &[bad], &[]).unwrap();
        let sentences = [&sentences[0][..], &sentences[1], "--rescue"];
        captured.must_fail_with(&sentences).unwrap();
        let image = format!("/foghorn/v1/images/{}", captured.image);
        let image = lab.stack.rest.get(&image).unwrap().ok().unwrap();
        assert!(image["content"].is_null(), "{image}");
    }
}

#[test]
fn a_rescue_takes_the_rest_and_everybody_is_told() {
    let mut lab = Lab::start().unwrap();
    let (volume, path) = (lab.file("volume"), lab.file("disk"));
    ext4(&volume, &[]).unwrap();
    let partitions = disk(&path, &volume).unwrap();
    let names = ["f101", "f201", "f203"];
    let mut bad: Vec<Range<u64>> = names
        .iter()
        .map(|name| on_disk(block_of(&volume, name).unwrap()))
        .collect();
    bad.push(RAW.start + 4096..RAW.start + 4608);
    let captured = lab.capture(&path, &bad, &["--rescue"]).unwrap();
    captured.must_end_with(0).unwrap();
    assert!(
        captured.log.contains("WARNING: 12800 bytes of"),
        "{}",
        captured.log
    );
    let notes = captured.unreadable().unwrap();
    // In all, and one for each place.
    assert_eq!(notes.len(), 5, "{notes:?}");
    let said = |note: &Value| note["text"].as_str().unwrap().to_owned();
    assert!(
        said(&notes[0]).starts_with("12800 bytes in 4 places"),
        "{notes:?}"
    );
    for (number, bad) in bad.iter().enumerate() {
        let note = notes
            .iter()
            .find(|note| note["offset"] == bad.start)
            .unwrap();
        assert_eq!(note["length"], bad.end - bad.start);
        match names.get(number) {
            Some(name) => assert!(
                said(note).ends_with(&format!("in use by /{name}")),
                "{note}"
            ),
            None => assert_eq!(note["partition"], 2),
        }
    }
    let shown = foghorn(&lab.stack, &["image", "show", &captured.image.to_string()]).unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("in use by /f203"), "{shown}");

    let (target, deployed) = lab.deploy(captured.image).unwrap();
    assert_eq!(deployed.unreadable().unwrap(), notes);
    assert!(
        deployed.log.contains("note: unreadable"),
        "{}",
        deployed.log
    );
    disks::check(&target, 512, &partitions[..1]).unwrap();
    let but = ["1/f101", "1/f201", "1/f203", "2/whole"];
    same_files_but((&path, &target), &partitions, &but).unwrap();
    let (mut there, here) = (fs::read(&path).unwrap(), fs::read(&target).unwrap());
    for bad in &bad {
        there[bad.start as usize..bad.end as usize].fill(0);
    }
    let raw = RAW.start as usize..RAW.end as usize;
    assert!(there[raw.clone()] == here[raw]);

    // What says which blocks are in use: all blocks are taken.
    let inodes = run("dumpe2fs", [text(&volume).unwrap()]).unwrap();
    let bitmap = inodes.split("Block bitmap at ").nth(1).unwrap();
    let bitmap: u64 = bitmap.split_whitespace().next().unwrap().parse().unwrap();
    let bad = on_disk(bitmap);
    let captured = lab
        .capture(&path, std::slice::from_ref(&bad), &["--rescue"])
        .unwrap();
    captured.must_end_with(0).unwrap();
    let why = "taken raw (partition 1";
    assert!(captured.log.contains(why), "{}", captured.log);
    assert_eq!(captured.unreadable().unwrap()[0]["offset"], bad.start);
    let (target, _) = lab.deploy(captured.image).unwrap();
    let (mut there, here) = (fs::read(&path).unwrap(), fs::read(&target).unwrap());
    there[bad.start as usize..bad.end as usize].fill(0);
    let all = MIB as usize..RAW.end as usize;
    assert!(there[all.clone()] == here[all]);
}

/// A loop device over a file on btrfs, whose checksums of some blocks do not match: to read them is
/// an I/O error. Whatever is mounted goes away with it.
struct FailingDisk(PathBuf);

impl FailingDisk {
    /// The blocks that start at `bad` must differ from all others.
    fn over(folder: &Path, disk: &Path, bad: &[u64]) -> Result<Self> {
        let (backing, place) = (
            folder.join(format!("btrfs{}", bad[0])),
            folder.join("mounted"),
        );
        fs::create_dir_all(&place)?;
        disks::blank(&backing, 512 * MIB)?;
        run(
            "mkfs.btrfs",
            ["-q", "-m", "single", "-d", "single", text(&backing)?],
        )?;
        let inside = |script: &str| {
            let (backing, place, disk) = (text(&backing)?, text(&place)?, text(disk)?);
            let script = format!("set -e; mount -o loop \"$1\" \"$2\"; {script}");
            let arguments = ["--mount", "sh", "-c", &script, "sh", backing, place, disk];
            run("unshare", arguments)
        };
        inside("cp --sparse=never \"$3\" \"$2/disk\"; umount \"$2\"")?;
        let bytes = fs::read(&backing)?;
        let (file, source) = (
            File::options().write(true).open(&backing)?,
            File::open(disk)?,
        );
        for &start in bad {
            let mut block = vec![0; BLOCK as usize];
            source.read_exact_at(&mut block, start)?;
            let mut places = bytes.chunks(BLOCK as usize).enumerate();
            let found = places.find(|(_, found)| *found == block);
            let (at, _) = found.context("the block is somewhere on the btrfs")?;
            file.write_all_at(&[!block[0]], at as u64 * BLOCK)?;
        }
        drop(bytes);
        let device = inside("losetup --find --show \"$2/disk\"")?;
        Ok(Self(PathBuf::from(device.trim())))
    }
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        if let Err(error) = run("losetup", [Path::new("--detach"), &self.0]) {
            eprintln!("{error}");
        }
    }
}

#[test]
fn a_block_device_is_read_around_its_bad_sectors() {
    let root = rustix::process::geteuid().is_root();
    assert!(
        root || std::env::var_os("CI").is_none(),
        "loop devices need root"
    );
    if !root {
        eprintln!("left out: loop devices need root");
        return;
    }
    let mut lab = Lab::start().unwrap();
    let (volume, path) = (lab.file("volume"), lab.file("disk"));
    ext4(&volume, &[]).unwrap();
    let used = block_of(&volume, "f201").unwrap();
    let mut noise = vec![0; BLOCK as usize];
    disks::fill_random(&mut noise, 2);
    let file = File::options().write(true).open(&volume).unwrap();
    file.write_all_at(&noise, (used + 1) * BLOCK).unwrap();
    let partitions = disk(&path, &volume).unwrap();

    let free = on_disk(used + 1).start;
    let failing = FailingDisk::over(&lab.file(""), &path, &[free]).unwrap();
    let direct = |at: u64| {
        let (device, skip) = (text(&failing.0).unwrap(), at / BLOCK);
        let words = [
            format!("if={device}"),
            "of=/dev/null".into(),
            "bs=4096".into(),
            "count=1".into(),
        ];
        let words = words
            .into_iter()
            .chain([format!("skip={skip}"), "iflag=direct".into()]);
        run_any("dd", words).unwrap().status.success()
    };
    assert!(
        !direct(free) && direct(free - BLOCK),
        "the disk does not fail as it should"
    );
    let captured = lab.capture(&failing.0, &[], &[]).unwrap();
    drop(failing);
    captured.must_end_with(0).unwrap();
    assert!(captured.unreadable().unwrap().is_empty());
    let (target, _) = lab.deploy(captured.image).unwrap();
    same_files_but((&path, &target), &partitions, &[]).unwrap();

    let bad = on_disk(used).start;
    let failing = FailingDisk::over(&lab.file(""), &path, &[bad]).unwrap();
    let captured = lab.capture(&failing.0, &[], &[]).unwrap();
    captured.must_fail_with(&["in use by /f201"]).unwrap();
    let captured = lab.capture(&failing.0, &[], &["--rescue"]).unwrap();
    drop(failing);
    captured.must_end_with(0).unwrap();
    let (target, deployed) = lab.deploy(captured.image).unwrap();
    assert_eq!(deployed.unreadable().unwrap().len(), 1);
    same_files_but((&path, &target), &partitions, &["1/f201"]).unwrap();
}
