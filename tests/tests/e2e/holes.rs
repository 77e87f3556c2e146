//! Disks in files of which nearly everything is a hole: they cost what their data costs.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Instant;

use foghorn_tests::disks::{self, MIB};
use foghorn_tests::stack::{Engine, Stack};
use foghorn_tests::tools::run;

const TIB: u64 = 1 << 40;

/// `PATIENCE` is the judge of the time: by asking about every MiB it would take many minutes.
#[test]
fn two_tebibytes_of_nothing_are_captured_at_once() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = stack.folder().join("golden");
    disks::blank(&golden, 2 * TIB).unwrap();
    let path = golden.to_str().unwrap();
    // A small file system, and a partition of which every byte counts.
    run("sgdisk", ["-n1:1M:+64M", "-n2:0:0", path]).unwrap();
    let volume = stack.folder().join("volume");
    disks::blank(&volume, 64 * MIB).unwrap();
    run("mke2fs", ["-qF", "-t", "ext4", volume.to_str().unwrap()]).unwrap();
    let file = File::options().write(true).open(&golden).unwrap();
    for (at, piece) in (MIB..)
        .step_by(4096)
        .zip(fs::read(&volume).unwrap().chunks(4096))
    {
        if piece.iter().any(|&byte| byte != 0) {
            file.write_all_at(piece, at).unwrap();
        }
    }
    // Data after a terabyte of nothing, across two chunks, and in the last bytes of the partition.
    let mut noise = vec![0; 8192];
    disks::fill_random(&mut noise, 3);
    let places = [TIB + 7 * MIB - 4096, 2 * TIB - 2 * MIB];
    for place in places {
        file.write_all_at(&noise, place).unwrap();
    }
    let begun = Instant::now();
    let (_, image) = stack
        .capture("golden", "52:54:00:00:4c:01", &golden)
        .unwrap();
    eprintln!("2 TiB of holes were captured in {:?}", begun.elapsed());

    let target = stack.folder().join("target");
    disks::blank(&target, 2 * TIB).unwrap();
    stack
        .deploy("target", "52:54:00:00:4c:02", image, &target)
        .unwrap();
    let deployed = File::open(&target).unwrap();
    for place in places {
        let mut found = vec![0; noise.len()];
        deployed.read_exact_at(&mut found, place).unwrap();
        assert!(found == noise, "the data at {place} did not come back");
    }
    assert!(disks::allocated(&target).unwrap() < 64 * MIB);
}
