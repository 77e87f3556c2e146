//! The service is killed at every point of what it does, and started again.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use foghorn_client::host::{EnrolError, Worked};
use serde_json::json;

use super::enrolment::{Controller, Mood, run as enrol};
use super::gateway::{Authority, Gateway};
use super::hosts::Host;
use super::machine::{Machine, long_ago};
use super::{pairs, renewal};

/// Beginnings of the names of points, by what is tested of them here.
const CONFIG: [&str; 5] = [
    "host.action.",
    "host.document.",
    "host.extract.",
    "host.file.",
    "host.handler.",
];
const WORK: [&str; 2] = ["host.snapin.", "host.power."];
const ENROLMENT: [&str; 1] = ["host.enrol."];
const RENEWAL: [&str; 1] = ["host.renew."];

/// The points of the host service with these beginnings, and what can happen at each, but for delays, from the page that lists
/// them all.
fn faults(of: &[&str]) -> Vec<(String, String)> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/fault-points.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let takes = rest.split(" | ").next()?;
        let is_wanted = of.iter().any(|begin| name.starts_with(begin));
        is_wanted.then_some((name, takes))
    });
    let each = rows.flat_map(|(name, takes)| {
        let actions = takes.split(", ").filter(|action| *action != "delay");
        actions.map(move |action| (name.to_owned(), action.to_owned()))
    });
    each.collect()
}

/// Two files come, one changes, one goes, one stays, and an action is ordered.
fn change(machine: &Machine) -> Vec<(String, String)> {
    let old = [
        ("a", "old", "a"),
        ("gone/x", "old", "x"),
        ("same", "1", "s"),
    ];
    machine.gateway.set(&machine.document(&old), long_ago(0));
    machine.check_in().unwrap();
    machine.ran();
    let ran = machine.path("ran").display().to_string();
    machine.script("actions/act", &format!("echo acted >> {ran}"));
    let new = [("a", "new", "a"), ("b", "new", "b"), ("same", "1", "s")];
    let mut document: serde_json::Value = serde_json::from_str(&machine.document(&new)).unwrap();
    let order = "COMMAND_ID=act_0123456789abcdef\n";
    let handler = machine
        .path("handlers/fioconfig-oneshot")
        .display()
        .to_string();
    document["order"] =
        serde_json::json!({"Value": order, "Unencrypted": true, "OnChanged": [handler, "act"]});
    machine.gateway.set(&document.to_string(), long_ago(1));
    pairs(&[("a", "new"), ("b", "new"), ("order", order), ("same", "1")])
}

/// A check-in of the program in which this happens at this visit of the point.
fn faulty_check_in(machine: &Machine, point: &str, action: &str, visit: u32) -> ExitStatus {
    faulty(&mut machine.program("check-in"), point, action, visit)
}

fn faulty(command: &mut Command, point: &str, action: &str, visit: u32) -> ExitStatus {
    command.env("FOGHORN_FAULTS", format!("{point}={action}@{visit}"));
    let silent = command.stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().unwrap()
}

#[test]
fn every_point_is_tested_here() {
    let tested = [&CONFIG[..], &WORK, &ENROLMENT, &RENEWAL].concat();
    assert_eq!(faults(&tested), faults(&["host."]));
    for begin in tested {
        assert!(!faults(&[begin]).is_empty(), "{begin}");
    }
}

#[test]
fn whatever_happens_files_are_whole_and_the_next_check_in_ends_the_work() {
    let all = faults(&CONFIG);
    assert!(all.len() >= 12, "{all:?}");
    for (point, action) in all {
        let mut happened = 0;
        for visit in 1..=4 {
            let at = format!("{point}={action}@{visit}");
            let machine = Machine::new();
            let whole = change(&machine);
            let status = faulty_check_in(&machine, &point, &action, visit);
            if status.success() {
                // The point is not visited that often.
                break;
            }
            happened += 1;
            match action.as_str() {
                "kill" => assert_eq!(status.signal(), Some(9), "{at}"),
                _ => assert_eq!(status.code(), Some(1), "{at}"),
            }
            for (name, content) in machine.files() {
                let is_draft = action == "kill" && name == ".foghorn-host.new";
                let is_new = whole.contains(&(name.clone(), content.clone()));
                assert!(
                    is_draft || is_new || content == "old",
                    "{at}: {name} is {content:?}"
                );
            }

            let mut ran = machine.ran();
            machine.check_in().unwrap();
            ran.extend(machine.ran());
            let mut files = machine.files();
            files.retain(|(name, _)| name != ".foghorn-host.new");
            assert_eq!(files, whole, "{at}");
            assert!(!machine.path("secrets/gone").exists(), "{at}");
            let times = |line: &str| ran.iter().filter(|ran| *ran == line).count();
            for handler in ["a there", "b there", "x gone"] {
                assert!(times(handler) >= 1, "{at}: {handler} is not in {ran:?}");
            }
            assert_eq!(times("s there"), 0, "{at}: {ran:?}");
            // It is noted before it runs: one that ends the machine would do so at every boot otherwise.
            let acted = usize::from(point != "host.action.noted");
            assert_eq!(times("acted"), acted, "{at}: {ran:?}");
        }
        assert!(happened >= 1, "{point} is never visited");
    }
}

#[test]
fn what_cannot_be_written_leaves_the_old_config_and_no_draft() {
    let machine = Machine::new();
    machine
        .gateway
        .set(&machine.document(&[("a", "old", "a")]), long_ago(0));
    machine.check_in().unwrap();
    machine.ran();
    machine
        .gateway
        .set(&machine.document(&[("a", "new", "a")]), long_ago(1));
    let mut command = machine.program("check-in");
    command.env("FOGHORN_FAULTS", "host.file.before-rename=error");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("could not write the config file"), "{said}");
    assert_eq!(machine.files(), pairs(&[("a", "old")]));
    assert!(machine.ran().is_empty());
    machine.check_in().unwrap();
    assert_eq!(machine.files(), pairs(&[("a", "new")]));
    assert_eq!(machine.ran(), ["a there"]);
}

/// A snapin, one that fails, and a restart by a rule.
fn work(machine: &Machine) {
    let ran = machine.path("ran").display().to_string();
    let mut host = Host {
        power: Some(("reboot".to_owned(), "9".to_owned())),
        ..Host::default()
    };
    host.order(5, format!("echo first >> {ran}").as_bytes(), &json!({}));
    let second = format!("echo second >> {ran}; exit 3");
    host.order(6, second.as_bytes(), &json!({}));
    machine.gateway.be(host);
}

#[test]
fn whatever_happens_a_snapin_and_a_rule_come_once_and_are_told() {
    for (point, action) in faults(&WORK) {
        let mut happened = 0;
        for visit in 1..=3_u32 {
            let at = format!("{point}={action}@{visit}");
            let machine = Machine::new();
            work(&machine);
            let status = faulty_check_in(&machine, &point, &action, visit);
            if status.success() {
                break;
            }
            happened += 1;
            assert_eq!(status.signal(), Some(9), "{at}");
            for _ in 0..2 {
                let done = machine.work().unwrap();
                let is_done = matches!(&done, Worked::Done { failed, .. } if failed.is_empty());
                assert!(is_done, "{at}: {done:?}");
            }
            let ran = machine.ran();
            let times = |line: &str| ran.iter().filter(|ran| *ran == line).count();
            let never_began = |task: u32| point == "host.snapin.begun" && visit == task - 4;
            for (task, line, code) in [(5, "first", 0), (6, "second", 3)] {
                // It may be half done: whoever reads the result knows, and the machine does not.
                let (wanted, code) = if never_began(task) {
                    (0, -2)
                } else {
                    (1, code)
                };
                assert_eq!(times(line), wanted, "{at}: {ran:?}");
                let result = machine.gateway.host(|host| host.result(task.into()).0);
                assert_eq!(result, code, "{at}");
            }
            let restarts = usize::from(point != "host.power.acknowledged");
            assert_eq!(times("power reboot"), restarts, "{at}: {ran:?}");
            assert!(!machine.path("sota/snapin-journal").exists(), "{at}");
        }
        assert!(happened >= 1, "{point} is never visited");
    }
}

#[test]
fn an_enrolment_that_was_cut_off_is_done_again_and_leaves_no_half_identity() {
    let whole = ["client.pem", "pkey.pem", "root.crt", "sota.toml"];
    for (point, action) in faults(&ENROLMENT) {
        let mut happened = 0;
        for visit in 1..=4 {
            let at = format!("{point}={action}@{visit}");
            let authority = Arc::new(Authority::new());
            let gateway = Gateway::start(&authority);
            let controller = Controller::start(Mood::Good, &gateway.url, authority);
            let root = tempfile::tempdir().unwrap();
            let with = controller.with(root.path());
            let token = root.path().join("token");
            fs::write(&token, controller.token()).unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_foghorn-host"));
            command.args(["enrol", "--no-hardware-uuid", "--server", &with.server]);
            command.arg("--token-file").arg(token);
            command.arg("--root").arg(root.path());
            let status = faulty(&mut command, &point, &action, visit);
            if status.success() {
                break;
            }
            happened += 1;
            assert_eq!(status.signal(), Some(9), "{at}");
            let folder = root.path().join("var/sota");
            let there = |name: &&str| folder.join(name).exists();
            // The settings come last: with them, the machine has all that they name.
            let is_enrolled = there(&"sota.toml");
            assert!(!is_enrolled || whole.iter().all(there), "{at}");
            let again = match enrol(&with) {
                Err(EnrolError::Known { .. }) => {
                    assert!(there(&"pkey.pem"), "{at}");
                    let replacing = foghorn_client::host::Enrol {
                        replaces: true,
                        ..with
                    };
                    enrol(&replacing)
                }
                other => other,
            };
            again.unwrap();
            let mut names: Vec<_> = fs::read_dir(&folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                // Whoever replaces an identity leaves that the first config is new to it.
                .filter(|name| name != "foghorn-host.lock" && name != "newcomer")
                .collect();
            names.sort();
            assert_eq!(names, whole, "{at}: no draft is left");
            let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
            let [authority, chain, key] = ["root.crt", "client.pem", "pkey.pem"].map(read);
            let identity = foghorn_transport::Identity::from_pem(&authority, &chain, &key).unwrap();
            let key = identity.key.clone_key();
            let provider = rustls::crypto::ring::default_provider();
            rustls::sign::CertifiedKey::from_der(identity.chain.clone(), key, &provider).unwrap();
        }
        assert!(happened >= 1, "{point} is never visited");
    }
}

#[test]
fn a_renewal_that_was_cut_off_leaves_a_certificate_and_is_done_again() {
    for (point, action) in faults(&RENEWAL) {
        let at = format!("{point}={action}");
        let (machine, authority, key, old) = renewal::machine([80, 20]);
        let new = authority.certify(&key, renewal::DEVICE, [0, 100]);
        machine.gateway.renew_with(&new);
        let status = faulty_check_in(&machine, &point, &action, 1);
        assert_eq!(status.signal(), Some(9), "{at}");
        let stored = || fs::read_to_string(machine.path("sota/client.pem")).unwrap();
        let before = if point == "host.renew.named" {
            &new
        } else {
            &old
        };
        assert_eq!(stored(), *before, "{at}");
        machine.check_in().unwrap();
        assert_eq!(stored(), new, "{at}");
        assert!(!machine.path("sota/client.pem.new").exists(), "{at}");
    }
}
