//! An image that is captured again: what machines get that were ordered before, and how to go back.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use foghorn_tests::disks::{self, MIB};
use foghorn_tests::old_content::sfdisk;
use foghorn_tests::stack::{Engine, PATIENCE, Stack};
use serde_json::{Value, json};

use crate::command_line::{expect, run};

const GOLDEN: &str = "52:54:00:00:2e:01";
const TARGET: &str = "52:54:00:00:2e:02";
/// As [`Stack::capture`] calls it.
const IMAGE: &str = "golden-image";
const AT: u64 = 3 * MIB;

/// A disk whose partition says which version it is.
fn write(disk: &Path, version: &str) {
    disks::blank(disk, 24 * MIB).unwrap();
    sfdisk(disk, "label: gpt\nstart=2048, size=40960\n").unwrap();
    let file = File::options().write(true).open(disk).unwrap();
    file.write_all_at(version.repeat(1000).as_bytes(), AT)
        .unwrap();
}

fn read(disk: &Path) -> String {
    let mut found = [0; 9];
    let file = File::open(disk).unwrap();
    file.read_exact_at(&mut found, AT).unwrap();
    String::from_utf8_lossy(&found).into_owned()
}

fn image(stack: &Stack, words: &[&str]) -> String {
    expect(stack, 0, &[&["image"][..], words].concat())
}

fn client(stack: &Stack, host: u32, mac: &str, disk: &Path) {
    let mut client = stack.start_client("client", host, mac, disk).unwrap();
    let status = client.wait(PATIENCE).unwrap();
    assert!(status.success(), "{status}\n{}", client.log());
}

fn versions(stack: &Stack) -> Vec<(Value, Value)> {
    let found = expect(stack, 0, &["-o", "json", "image", "versions", IMAGE]);
    let found: Value = serde_json::from_str(&found).unwrap();
    let versions = found["versions"].as_array().unwrap().iter();
    versions
        .map(|one| (one["version"].clone(), one["state"].clone()))
        .collect()
}

#[test]
fn a_machine_gets_what_its_image_is_when_it_comes_unless_its_order_names_a_version() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = stack.folder().join("golden-disk");
    write(&golden, "version-1");
    let (source, number) = stack.capture("golden", GOLDEN, &golden).unwrap();
    let host = stack.create_host("target", TARGET).unwrap();
    stack.assign(host, number).unwrap();
    let task = stack.order(host, 1).unwrap();

    // A capture over content asks, and there is nobody to answer.
    let again = ["image", "capture", IMAGE, "--host", "golden"];
    let refused = run(&stack, &again).unwrap();
    let text = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(5), "{text}");
    assert!(
        text.contains("are replaced") && text.contains("version 1"),
        "{text}"
    );
    expect(&stack, 0, &[&again[..], &["--yes"]].concat());
    write(&golden, "version-2");
    client(&stack, source, GOLDEN, &golden);
    assert_eq!(stack.task(task).unwrap()["image_version"], 2);

    let disk = stack.folder().join("target-disk");
    disks::blank(&disk, 24 * MIB).unwrap();
    client(&stack, host, TARGET, &disk);
    assert_eq!(read(&disk), "version-2");
    let done = stack.wait_task(task).unwrap();
    assert_eq!(
        (&done["image_version"], &done["version_is_fixed"]),
        (&json!(2), &json!(true))
    );

    let both = |present: u32, kept: u32| {
        [
            (json!(present), json!("present")),
            (json!(kept), json!("kept")),
        ]
    };
    assert_eq!(versions(&stack), both(2, 1));
    let deploy = ["deploy", IMAGE, "--host", "target", "--yes"];
    image(&stack, &[&deploy[..], &["--version", "1"]].concat());
    client(&stack, host, TARGET, &disk);
    assert_eq!(read(&disk), "version-1", "the order names it");

    expect(&stack, 5, &["image", "undo", IMAGE]);
    image(&stack, &["undo", IMAGE, "--yes"]);
    assert_eq!(versions(&stack), both(1, 2));
    disks::blank(&disk, 24 * MIB).unwrap();
    image(&stack, &deploy);
    client(&stack, host, TARGET, &disk);
    assert_eq!(read(&disk), "version-1", "it is the present one again");

    image(&stack, &["edit", IMAGE, "--protected", "true"]);
    expect(&stack, 5, &[&again[..], &["--yes"]].concat());
    expect(&stack, 5, &["image", "undo", IMAGE, "--yes"]);
    image(&stack, &["edit", IMAGE, "--protected", "false"]);
    image(&stack, &["versions", IMAGE, "--drop", "2", "--yes"]);
    assert_eq!(versions(&stack), both(1, 2)[..1]);
}
