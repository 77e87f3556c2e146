//! Disks whose manifests are in parts. One of 20 GiB is enough, if every second block is in use.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, MIB};
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, PATIENCE, Stack};
use foghorn_tests::tools::run;

const MAC_A: &str = "52:54:00:00:0b:0a";
const MAC_B: &str = "52:54:00:00:0b:0b";

const SIZE: u64 = 20 << 30;
const BLOCK: u64 = 1024;
/// Bytes that the client may need for a disk with ten million fragments; they alone are some 30 MiB,
/// twice while the file system is read.
const MOST_KIB: u64 = 400 << 10;

/// A disk with ext4 whose bitmaps say that every second block is in use, with data in some of them.
fn fragmented(path: &Path) -> Result<()> {
    disks::blank(path, SIZE)?;
    let features = "^has_journal,^metadata_csum,^uninit_bg,^resize_inode,^64bit,^flex_bg";
    let path_text = path.to_str().context("the path is text")?;
    let options = [
        "-q", "-F", "-t", "ext4", "-b", "1024", "-N", "2560", "-O", features,
    ];
    run("mke2fs", options.into_iter().chain([path_text]))?;
    let disk = File::options().read(true).write(true).open(path)?;
    let groups = (SIZE / BLOCK - 1).div_ceil(8192);
    for group in 0..groups {
        let mut place = [0; 4];
        disk.read_exact_at(&mut place, 2 * BLOCK + group * 32)?;
        let place = u64::from(u32::from_le_bytes(place)) * BLOCK;
        let mut bitmap = [0; BLOCK as usize];
        disk.read_exact_at(&mut bitmap, place)?;
        bitmap.iter_mut().for_each(|byte| *byte |= 0x55);
        disk.write_all_at(&bitmap, place)?;
    }
    let mut data = vec![0; MIB as usize];
    for chunk in data_chunks() {
        disks::fill_random(&mut data, chunk);
        disk.write_all_at(&data, chunk * MIB + MIB / 2)?;
    }
    Ok(())
}

/// Chunks with data, away from the bitmaps at the start of each group of 8 MiB.
fn data_chunks() -> impl Iterator<Item = u64> {
    (100..20_000).step_by(584)
}

/// Bytes of each second block, which are in use. The first block of the first group has number 1.
fn used_blocks(disk: &File, chunk: u64) -> Result<Vec<u8>> {
    let mut data = vec![0; 2 * MIB as usize];
    disk.read_exact_at(&mut data, chunk * MIB)?;
    let blocks = data.chunks_exact(BLOCK as usize).skip(1).step_by(2);
    Ok(blocks.flatten().copied().collect())
}

/// The parts that the agent has.
fn parts(stack: &Stack) -> Result<BTreeSet<PathBuf>> {
    let files = disks::files(stack.folder())?;
    Ok(files
        .into_iter()
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "part")
        })
        .collect())
}

fn client(stack: &Stack, name: &str, host: u32, mac: &str, disk: &Path) -> Result<u64> {
    let mut client: Process = stack.start_client(name, host, mac, disk)?;
    let mut peak = 0;
    let started = std::time::Instant::now();
    while client.is_running()? {
        peak = client.peak_memory_kib().unwrap_or(0).max(peak);
        ensure!(started.elapsed() < 4 * PATIENCE, "{name}: {}", client.log());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let status = client.wait(PATIENCE)?;
    ensure!(
        status.success(),
        "{name} ended with {status}:\n{}",
        client.log()
    );
    Ok(peak)
}

#[test]
fn a_fragmented_disk_is_captured_and_deployed_in_parts() {
    fragmented_disk().unwrap();
}

fn fragmented_disk() -> Result<()> {
    let stack = Stack::start(Engine::Embedded)?;
    let golden = stack.folder().join("golden");
    fragmented(&golden)?;
    let host = stack.create_host("golden", MAC_A)?;
    let image = stack.create_image("image")?;
    stack.assign(host, image)?;
    let task = stack.order(host, 2)?;
    let peak = client(&stack, "capture", host, MAC_A, &golden)?;
    ensure!(peak > 0 && peak < MOST_KIB, "the capture took {peak} KiB");
    println!("capture: {peak} KiB");
    let ended = stack.wait_task(task)?;
    ensure!(ended["state"] == "complete", "{ended}");
    let stored = parts(&stack)?;
    ensure!(stored.len() > 16, "only {} parts", stored.len());

    let target = stack.folder().join("target");
    disks::blank(&target, SIZE)?;
    let other = stack.create_host("other", MAC_B)?;
    stack.assign(other, image)?;
    let task = stack.order(other, 1)?;
    let peak = client(&stack, "deploy", other, MAC_B, &target)?;
    ensure!(peak > 0 && peak < MOST_KIB, "the deploy took {peak} KiB");
    println!("deploy: {peak} KiB");
    let ended = stack.wait_task(task)?;
    ensure!(ended["state"] == "complete", "{ended}");

    let (golden, target) = (File::open(&golden)?, File::open(&target)?);
    for chunk in data_chunks() {
        let same = used_blocks(&golden, chunk)? == used_blocks(&target, chunk)?;
        ensure!(same, "chunk {chunk} differs");
    }
    let mut free = [1; BLOCK as usize];
    let at = 100 * MIB + MIB / 2;
    target.read_exact_at(&mut free, at)?;
    ensure!(free == [0; BLOCK as usize], "a free block was written");
    // What was changed at one place changes one part.
    let task = stack.order(host, 2)?;
    let changed = File::options()
        .write(true)
        .open(stack.folder().join("golden"))?;
    changed.write_all_at(b"changed", 100 * MIB + MIB / 2 + BLOCK)?;
    client(&stack, "again", host, MAC_A, &stack.folder().join("golden"))?;
    let ended = stack.wait_task(task)?;
    ensure!(ended["state"] == "complete", "{ended}");
    let new = parts(&stack)?.difference(&stored).count();
    ensure!(new == 1, "{new} parts are new");
    let first = stored.first().context("no part")?;
    fs::metadata(first).context("the parts of the image before are still in their grace")?;
    Ok(())
}
