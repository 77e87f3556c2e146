//! What a capture has found unusual is known to everyone who deals with the image.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use foghorn_image::{
    ByteRange, ChunkContent, ChunkEntry, ChunkList, DiskGeometry, FileSystem, FileSystemKind,
    Manifest, Note, NoteKind, PartitionTable, UsedMask,
};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, PATIENCE, Stack};
use foghorn_transport::{AgentConnection, ClientOutcome, Hello};
use foghorn_types::{ByteCount, ByteOffset, ChunkIndex, SectorSize, TaskId};
use serde_json::Value;

use crate::command_line::run as foghorn;
use crate::refusals::check_in;

const MAC_A: &str = "52:54:00:00:0e:0a";

/// Exit status of a client that refused, as documented in its help.
const REFUSED: i32 = 5;

/// Runs the client of a host's task; its exit code, what it printed, and its report.
fn client(
    stack: &Stack,
    name: &str,
    (host, mac): (u32, &str),
    disk: &Path,
) -> Result<(i32, String, Value)> {
    let report = stack.folder().join(format!("{name}.json"));
    let mut command = stack.client_command(host, mac, disk)?;
    command.arg("--report").arg(&report);
    let mut client = Process::start(stack.folder(), name, &mut command)?;
    let code = client.wait(PATIENCE)?.code().context("an exit code")?;
    Ok((
        code,
        client.log(),
        serde_json::from_slice(&fs::read(report)?)?,
    ))
}

fn kinds(notes: &Value) -> Vec<&str> {
    let list = notes.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .filter_map(|note| note["kind"].as_str())
        .collect()
}

/// Standard output and standard error of a command that must succeed.
fn output_of(stack: &Stack, words: &[&str]) -> (String, String) {
    let output = foghorn(stack, words).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}:\n{out}{err}", words.join(" "));
    (out, err)
}

#[test]
fn a_note_of_a_capture_is_in_report_task_image_and_on_the_command_line() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let path = stack.folder().join("golden");
    let golden = disks::make_gpt(&path, 96 * MIB, 512, &[(Kind::Ext4, 16)], 31).unwrap();
    // The backup GPT is damaged.
    let file = File::options().write(true).open(&golden.path).unwrap();
    file.write_all_at(&[0; 512], 96 * MIB - 512).unwrap();
    // Behind the last partition, which ends at 17 MiB, is data.
    let stray = 64 * MIB;
    file.write_all_at(&[7; 4096], stray).unwrap();

    let host = stack.create_host("golden", MAC_A).unwrap();
    let image = stack.create_image("image").unwrap();
    stack.assign(host, image).unwrap();
    let task = stack.order(host, 2).unwrap();
    let (code, log, report) = client(&stack, "capture", (host, MAC_A), &golden.path).unwrap();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("note: table: the backup GPT"), "{log}");
    assert!(log.contains("note: left out ("), "{log}");
    let mut found = kinds(&report["notes"]);
    found.sort_unstable();
    assert_eq!(found, ["left_out", "table"], "{report}");
    let notes = report["notes"].as_array().unwrap();
    let left_out = notes
        .iter()
        .find(|note| note["kind"] == "left_out")
        .unwrap();
    let (start, length) = (&left_out["offset"], &left_out["length"]);
    let range = start.as_u64().unwrap()..start.as_u64().unwrap() + length.as_u64().unwrap();
    assert!(range.contains(&stray), "{left_out}");

    let ended = stack.wait_task(task).unwrap();
    assert_eq!(ended["state"], "complete");
    assert_eq!(ended["notes"], report["notes"]);
    let shown = stack
        .rest
        .get(&format!("/foghorn/v1/images/{image}"))
        .unwrap()
        .ok()
        .unwrap();
    assert_eq!(shown["content"]["notes"], report["notes"]);
    assert_eq!(shown["content"]["more_notes"], 0);

    let line = "partition table: the backup GPT";
    let (out, _) = output_of(&stack, &["image", "show", "image"]);
    assert!(
        out.contains(line) && out.contains("not in the image ("),
        "{out}"
    );
    let number = task.to_string();
    let (out, _) = output_of(&stack, &["task", "show", &number]);
    assert!(out.contains(line), "{out}");
    let (_, err) = output_of(&stack, &["task", "wait", &number]);
    assert!(err.contains(&format!("golden: note: {line}")), "{err}");

    // An unusual table is restored as a usual one: a deploy has nothing to report about it.
    let target = stack.folder().join("target");
    disks::blank(&target, 96 * MIB).unwrap();
    let task = stack.order(host, 1).unwrap();
    let (code, log, report) = client(&stack, "deploy", (host, MAC_A), &target).unwrap();
    assert_eq!(code, 0, "{log}");
    assert!(!log.contains("note:"), "{log}");
    assert!(kinds(&report["notes"]).is_empty());
    assert!(kinds(&stack.wait_task(task).unwrap()["notes"]).is_empty());
}

/// An image of a disk of `size` bytes whose second MiB is in use, with these notes; no capture of a
/// disk in a file would give them.
fn manifest(size: u64, notes: Vec<Note>) -> Manifest {
    let whole = ByteCount::from_bytes(size);
    Manifest {
        geometry: DiskGeometry {
            size: whole,
            sector_size: SectorSize::B512,
        },
        table: PartitionTable::None,
        file_systems: vec![FileSystem {
            partition: 0,
            start: ByteOffset::from_bytes(0),
            size: ByteCount::from_mib(2),
            kind: FileSystemKind::Raw,
            used: ByteCount::from_mib(2),
        }],
        chunks: ChunkList::from(vec![ChunkEntry {
            index: ChunkIndex::new(1),
            used: UsedMask::Whole,
            content: ChunkContent::Zero,
        }]),
        notes,
        disks: Vec::new(),
    }
}

/// Captures `manifest` as the client of the host's task.
fn store(stack: &Stack, host: u32, manifest: &Manifest) {
    let task = stack.order(host, 2).unwrap();
    let checked_in = check_in(stack, host, MAC_A).unwrap();
    let hello = Hello {
        task: TaskId::new(task).unwrap(),
        software: "test".to_owned(),
        traceparent: String::new(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let agent = AgentConnection::connect(&checked_in.source, &checked_in.identity, hello)
            .await
            .unwrap();
        agent
            .store_manifest(manifest.encode().into())
            .await
            .unwrap();
        agent.finish(ClientOutcome::Complete).await.unwrap();
    });
    assert_eq!(stack.wait_task(task).unwrap()["state"], "complete");
}

#[test]
fn an_image_tied_to_a_size_is_refused_elsewhere_and_holes_are_told_at_every_deploy() {
    const SIZE: u64 = 8 * MIB;
    let stack = Stack::start(Engine::Embedded).unwrap();
    let host = stack.create_host("golden", MAC_A).unwrap();
    let image = stack.create_image("image").unwrap();
    stack.assign(host, image).unwrap();
    let hole = ByteRange::new(MIB, MIB + 4096);
    let notes = vec![
        Note::of_disk(NoteKind::SizeTied, "structures end where the disk ends"),
        Note::new(NoteKind::Unreadable, 0, hole, "could not be read"),
        Note::of_disk(NoteKind::Table, "of no interest to a deploy"),
    ];
    store(&stack, host, &manifest(SIZE, notes));

    let mut old = vec![0; 9 * MIB as usize];
    disks::fill_random(&mut old, 5);
    for (name, size) in [("larger", SIZE + MIB), ("smaller", SIZE - 512)] {
        let target = stack.folder().join(name);
        fs::write(&target, &old[..size as usize]).unwrap();
        let task = stack.order(host, 1).unwrap();
        let (code, log, report) = client(&stack, name, (host, MAC_A), &target).unwrap();
        assert_eq!(code, REFUSED, "{log}");
        let sentence = format!(
            "has {size} bytes, but the image can only be deployed to a disk of exactly {SIZE} bytes"
        );
        assert!(log.contains(&sentence), "{log}");
        assert!(report["error"].as_str().unwrap().contains(&sentence));
        assert!(
            fs::read(&target).unwrap() == old[..size as usize],
            "something was written to the {name} disk"
        );
        stack.cancel_waiting(task).unwrap();
    }

    let target = stack.folder().join("same");
    fs::write(&target, &old[..SIZE as usize]).unwrap();
    let task = stack.order(host, 1).unwrap();
    // Also before it has ended.
    assert_eq!(
        kinds(&stack.task(task).unwrap()["notes"]),
        ["size_tied", "unreadable"]
    );
    let (code, log, report) = client(&stack, "same", (host, MAC_A), &target).unwrap();
    assert_eq!(code, 0, "{log}");
    assert!(
        log.contains("note: unreadable (4096 bytes at byte 1048576): could not be read"),
        "{log}"
    );
    assert!(!log.contains("of no interest"), "{log}");
    assert_eq!(kinds(&report["notes"]), ["size_tied", "unreadable"]);
    let ended = stack.wait_task(task).unwrap();
    assert_eq!(ended["notes"], report["notes"]);
    let deployed = fs::read(&target).unwrap();
    assert!(
        deployed[MIB as usize..2 * MIB as usize]
            .iter()
            .all(|&byte| byte == 0)
    );
}
