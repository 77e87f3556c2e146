//! Snapins.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use foghorn_client::host::Worked;
use serde_json::{Value, json};

use super::hosts::Host;
use super::machine::Machine;

/// A host that has one snapin to run, which is task 5.
fn ordered(content: &str, differs: &Value) -> Machine {
    let machine = Machine::new();
    let mut host = Host::default();
    let ran = machine.path("ran").display().to_string();
    let content = content.replace("RAN", &ran);
    host.order(5, content.as_bytes(), differs);
    machine.gateway.be(host);
    machine
}

/// A round that runs one snapin; its result.
fn run(machine: &Machine) -> (i64, String) {
    let done = Worked::Done {
        host: 7,
        snapins: 1,
        failed: Vec::new(),
    };
    assert_eq!(machine.work().unwrap(), done);
    let left = fs::read_dir(machine.path("sota/snapins")).unwrap();
    assert_eq!(left.count(), 0, "its folder is removed");
    assert!(!machine.path("sota/snapin-journal").exists());
    machine.gateway.host(|host| {
        let (code, details) = host.result(5);
        (code, details.to_owned())
    })
}

#[test]
fn a_snapin_runs_with_its_arguments_alone_in_its_folder() {
    let text = "printf '%s|' \"$@\" \"$PWD\" \"$FOGHORN_SNAPIN\" \"$FOGHORN_SNAPIN_TASK\" \"$HOME\" >> RAN; env | wc -l >> RAN\n\
        ls; cat; echo err >&2; exit 3";
    let with = json!({"run_with_args": "-e -u", "args": "one 'two words' $HOME"});
    let machine = ordered(text, &with);
    assert_eq!(run(&machine), (3, "setup.sh err".to_owned()));
    let folder = machine.path("sota/snapins/5").display().to_string();
    let ran = machine.ran();
    let wanted = format!("one|two words|$HOME|{folder}|a snapin|5|/root|");
    assert!(ran[0].starts_with(&wanted), "{ran:?}");
    // What the shell adds itself is some more.
    let variables: u32 = ran[0].rsplit('|').next().unwrap().trim().parse().unwrap();
    assert!(variables <= 10, "{ran:?}");
    let output = fs::read_to_string(machine.path("sota/last-snapin-output")).unwrap();
    assert_eq!(output, "setup.sh\nerr\n");
}

#[test]
fn snapins_run_one_after_another_and_a_file_may_run_itself() {
    let machine = ordered("#!/bin/sh\necho first >> RAN", &json!({"run_with": ""}));
    let ran = machine.path("ran").display().to_string();
    let second = format!("echo second >> {ran}");
    machine
        .gateway
        .host(|host| host.order(6, second.as_bytes(), &json!({})));
    machine
        .gateway
        .host(|host| host.order(7, b"kill -9 $$", &json!({})));
    assert!(matches!(
        machine.work().unwrap(),
        Worked::Done { snapins: 3, .. }
    ));
    assert_eq!(machine.ran(), ["first", "second"]);
    machine.gateway.host(|host| {
        let results = [5, 6, 7].map(|task| host.result(task).0);
        assert_eq!(results, [0, 0, 137]);
    });
    assert!(matches!(
        machine.work().unwrap(),
        Worked::Done { snapins: 0, .. }
    ));
}

#[test]
fn what_is_not_what_the_server_says_does_not_run() {
    for (differs, reason) in [
        (json!({"sha512": ""}), "no SHA-512"),
        (
            json!({"sha512": "0".repeat(128)}),
            "another size or SHA-512",
        ),
        (json!({"size_bytes": 3}), "another size or SHA-512"),
        (json!({"size_bytes": 300}), "another size or SHA-512"),
        (json!({"size_bytes": 1_u64 << 60}), "bytes free"),
        (json!({"file": "../setup.sh"}), "no name"),
        (json!({"args": "'"}), "quotation mark"),
        (json!({"run_with": "/missing"}), "could not be started"),
        (json!({"unpack": true}), "neither zip, nor tar"),
    ] {
        let machine = ordered("echo ran >> RAN", &differs);
        let (code, details) = run(&machine);
        assert_eq!(code, -1, "{differs}");
        assert!(details.contains(reason), "{differs}: {details}");
        assert!(machine.ran().is_empty(), "{differs}");
    }
}

#[test]
fn at_its_time_limit_a_snapin_is_ended() {
    let machine = ordered("echo on; sleep 1000", &json!({"timeout_seconds": 1}));
    let (code, details) = run(&machine);
    assert_eq!(code, 143);
    assert_eq!(details, "ended at its time limit of 1 seconds: on");
}

#[test]
fn an_archive_is_unpacked_and_its_program_runs_there() {
    let machine = Machine::new();
    let ran = machine.path("ran").display().to_string();
    machine.script("run.sh", &format!("echo \"$1 $(cat data)\" >> {ran}"));
    fs::write(machine.path("data"), "of the archive").unwrap();
    let mut tar = std::process::Command::new("tar");
    tar.arg("-czf")
        .arg(machine.path("a.tgz"))
        .arg("-C")
        .arg(machine.path(""));
    assert!(tar.args(["run.sh", "data"]).status().unwrap().success());
    let content = fs::read(machine.path("a.tgz")).unwrap();
    let differs = json!({
        "file": "a.tgz",
        "unpack": true,
        "run_with": "run.sh",
        "run_with_args": "[FOG_SNAPIN_PATH]",
    });
    let mut host = Host::default();
    host.order(5, &content, &differs);
    machine.gateway.be(host);
    assert_eq!(run(&machine).0, 0);
    let folder = machine
        .path("sota/snapins/5/unpacked")
        .display()
        .to_string();
    assert_eq!(machine.ran(), [format!("{folder} of the archive")]);
}

#[test]
fn the_machine_restarts_after_the_result_was_taken_and_before_the_next_one() {
    let machine = ordered("echo first >> RAN; exit 1", &json!({"reboot": true}));
    let ran = machine.path("ran").display().to_string();
    let second = format!("echo second >> {ran}");
    machine.gateway.host(|host| {
        host.order(6, second.as_bytes(), &json!({"shutdown": true}));
        host.refusals.push(("POST /host/snapins/5/result", 500));
    });
    assert!(
        matches!(machine.work().unwrap(), Worked::Done { failed, .. } if failed == ["snapins"])
    );
    assert_eq!(
        machine.ran(),
        ["first"],
        "nothing before its result is taken"
    );
    machine.work().unwrap();
    assert_eq!(machine.ran(), ["power reboot"]);
    machine.work().unwrap();
    assert_eq!(machine.ran(), ["second", "power poweroff"]);
    machine
        .gateway
        .host(|host| assert_eq!((host.result(5).0, host.result(6).0), (1, 0)));
}

#[test]
fn what_a_snapin_wants_is_not_done_again_after_a_start() {
    let machine = ordered("echo first >> RAN", &json!({"reboot": true}));
    machine
        .gateway
        .host(|host| host.refusals.push(("POST /host/snapins/5/result", 500)));
    machine.work().unwrap();
    assert_eq!(machine.ran(), ["first"]);
    machine.root_file("proc/sys/kernel/random/boot_id", "second-boot\n");
    machine.work().unwrap();
    assert!(machine.ran().is_empty(), "the machine has started since");
    machine.gateway.host(|host| assert_eq!(host.result(5).0, 0));
}

#[test]
fn a_snapin_that_was_just_told_does_not_run_again_for_a_controller_that_is_behind() {
    let machine = ordered("echo first >> RAN", &json!({}));
    machine.gateway.host(|host| {
        let result = "POST /host/snapins/5/result";
        // The second one takes it, and the task is still given after that.
        host.refusals.extend([(result, 500), (result, 404)]);
    });
    machine.work().unwrap();
    assert_eq!(machine.ran(), ["first"]);
    let done = machine.work().unwrap();
    assert!(matches!(done, Worked::Done { snapins: 0, .. }), "{done:?}");
    assert!(machine.ran().is_empty(), "{:?}", machine.ran());
}

#[test]
fn a_result_that_nobody_wants_any_more_holds_nothing_up() {
    let machine = ordered("echo first >> RAN", &json!({}));
    let ran = machine.path("ran").display().to_string();
    let second = format!("echo second >> {ran}");
    machine
        .gateway
        .host(|host| host.refusals.push(("POST /host/snapins/5/result", 500)));
    machine.work().unwrap();
    // The task was cancelled.
    machine.gateway.host(|host| {
        host.snapins.clear();
        host.order(6, second.as_bytes(), &json!({}));
    });
    assert!(matches!(
        machine.work().unwrap(),
        Worked::Done { snapins: 1, .. }
    ));
    assert_eq!(machine.ran(), ["first", "second"]);
    machine
        .gateway
        .host(|host| assert!(host.results.keys().eq(&[6])));
}

#[test]
fn a_snapin_that_runs_when_the_service_stops_is_ended_and_told_at_the_next_start() {
    let machine = ordered("echo $$ >> RAN; sleep 1000; echo late >> RAN", &json!({}));
    let mut command = machine.program("run");
    let silent = command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut service = silent.args(["--interval", "1"]).spawn().unwrap();
    let ran = machine.path("ran");
    let shell = loop {
        // Whole, once its line has an end.
        let text = fs::read_to_string(&ran).unwrap_or_default();
        if let Some(shell) = text.strip_suffix('\n') {
            break shell.to_owned();
        }
        assert!(service.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(20));
    };
    machine.ran();
    let terminate = |id: u32| {
        let id = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    };
    terminate(service.id());
    assert_eq!(service.wait().unwrap().code(), Some(0));
    let state = fs::read_to_string(format!("/proc/{shell}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
    machine
        .gateway
        .host(|host| assert!(host.results.is_empty()));
    machine
        .gateway
        .host(|host| host.snapins[0].0["name"] = "again".into());
    machine.work().unwrap();
    machine.gateway.host(|host| {
        let (code, details) = host.result(5);
        assert_eq!(code, -2);
        assert!(details.contains("stopped while it ran"), "{details}");
    });
    assert!(machine.ran().is_empty(), "it does not run again");
}
