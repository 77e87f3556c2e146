//! A room that is started by hand: what the command line prints is what is typed at the machines.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, PATIENCE, Stack};
use foghorn_tests::tools::foghorn;

use crate::command_line::expect;

const GOLDEN: &str = "52:54:00:00:0b:01";
const ROOM: [(&str, &str); 3] = [
    ("pc-1", "52:54:00:00:0b:11"),
    ("pc-2", "52:54:00:00:0b:12"),
    ("pc-3", "52:54:00:00:0b:13"),
];

/// Runs a printed line as the machine with this address and disk would.
fn type_line(stack: &Stack, name: &str, line: &str, mac: &str, disk: &Path) -> Process {
    let mut words = line.split_whitespace();
    let program = words.next().unwrap();
    assert!(["fh", "foghorn-client"].contains(&program), "{line}");
    let mut command = Command::new(foghorn("foghorn-client").unwrap());
    command
        .arg0(program)
        .args(words.take_while(|word| *word != "#"))
        .args(["--mac", mac, "--disk"])
        .arg(disk);
    Process::start(stack.folder(), name, &mut command).unwrap()
}

fn ended_with(code: i32, mut client: Process) -> String {
    let status = client.wait(PATIENCE).unwrap();
    assert_eq!(status.code(), Some(code), "{}", client.log());
    client.log()
}

/// The code with another last character.
fn mistyped(line: &str) -> String {
    let place = line.find(" -c ").unwrap() - 1;
    let other = if line[place..].starts_with('7') {
        "8"
    } else {
        "7"
    };
    format!("{}{other}{}", &line[..place], &line[place + 1..])
}

#[test]
fn a_room_is_imaged_with_a_code_and_a_line() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let folder = stack.folder();
    let partitions = [(Kind::Ext4, 40)];
    let golden = disks::make_gpt(&folder.join("golden"), 64 * MIB, 512, &partitions, 102).unwrap();
    let run = |words: &[&str]| expect(&stack, 0, words);
    run(&["host", "create", "golden", "--mac", GOLDEN]);
    run(&["image", "create", "lab"]);

    let line = run(&[
        "image",
        "capture",
        "lab",
        "--host",
        "golden",
        "--print-command",
        "--code",
    ]);
    let line = line.trim();
    assert!(
        line.starts_with("fh boot ") && !line.contains('\n'),
        "{line}"
    );
    let typed = |name: &str, line: &str| type_line(&stack, name, line, GOLDEN, &golden.path);
    let log = ended_with(5, typed("mistyped", &mistyped(line)));
    assert!(log.contains("the code is wrong"), "{log}");
    ended_with(0, typed("capture", &line.to_lowercase()));
    let log = ended_with(5, typed("again", line));
    assert!(log.contains("already"), "{log}");

    let mut group = vec!["group", "create", "room"];
    for (name, mac) in ROOM {
        run(&["host", "create", name, "--mac", mac]);
        group.extend(["--host", name]);
    }
    run(&group);
    let deploy = ["image", "deploy", "lab", "--group", "room", "--yes"];
    let line = run(&[&deploy[..], &["--print-command", "--room"]].concat());
    assert_eq!(line.lines().count(), 1, "{line}");
    let mut clients = Vec::new();
    for (name, mac) in ROOM {
        let disk = folder.join(name);
        disks::blank(&disk, 80 * MIB).unwrap();
        clients.push(type_line(&stack, name, &line, mac, &disk));
    }
    for client in clients {
        ended_with(0, client);
    }
    let there = disks::hash_files(&golden.path, &golden.partitions).unwrap();
    for (name, mac) in ROOM {
        let disk = folder.join(name);
        assert_eq!(disks::hash_files(&disk, &golden.partitions).unwrap(), there);
        let again = type_line(&stack, &format!("{name}-again"), &line, mac, &disk);
        assert_ne!(ended_code(again), Some(0), "each host once");
    }
    // Whoever is not of the room gets nothing.
    let stranger = folder.join("stranger");
    disks::blank(&stranger, 80 * MIB).unwrap();
    let log = ended_with(5, type_line(&stack, "stranger", &line, GOLDEN, &stranger));
    assert!(log.contains("for other hosts"), "{log}");
}

fn ended_code(mut client: Process) -> Option<i32> {
    client.wait(PATIENCE).unwrap().code()
}
