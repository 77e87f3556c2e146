//! The service is killed at every point of an extraction, and started again.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};

use super::machine::{Machine, long_ago};
use super::pairs;

/// The points of the host service and what can happen at each, but for delays, from the page that lists them all.
fn faults() -> Vec<(String, String)> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/fault-points.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let takes = rest.split(" | ").next()?;
        name.starts_with("host.").then_some((name, takes))
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
    let mut command = machine.program("check-in");
    command.env("FOGHORN_FAULTS", format!("{point}={action}@{visit}"));
    let silent = command.stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().unwrap()
}

#[test]
fn whatever_happens_files_are_whole_and_the_next_check_in_ends_the_work() {
    let all = faults();
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
