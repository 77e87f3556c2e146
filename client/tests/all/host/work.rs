//! The work of the host, but for snapins.

use std::fs;

use foghorn_client::host::Worked;
use serde_json::json;

use super::gateway::Request;
use super::hosts::Host;
use super::machine::Machine;

fn done(snapins: usize) -> Worked {
    Worked::Done {
        host: 7,
        snapins,
        failed: Vec::new(),
    }
}

fn lines(requests: Vec<Request>) -> Vec<String> {
    requests.into_iter().map(|request| request.line).collect()
}

#[test]
fn a_machine_without_a_host_or_a_server_without_work_is_no_failure() {
    let machine = Machine::new();
    let reason = String::new();
    assert_eq!(machine.work().unwrap(), Worked::NoHost { reason });
    machine.gateway.be(Host {
        name: Some("lab-pc01".to_owned()),
        refusals: vec![("GET /host/work", 409), ("GET /host/work", 500)],
        ..Host::default()
    });
    let refused = machine.work().unwrap();
    assert!(matches!(&refused, Worked::NoHost { reason } if reason == "the test wants it"));
    assert!(machine.work().is_err());
    let name = fs::read_to_string(machine.path("root/proc/sys/kernel/hostname")).unwrap();
    assert_eq!(name, "before\n");
    machine.gateway.requests();
    let mut command = machine.program("check-in");
    let output = command.arg("--no-work").output().unwrap();
    assert!(output.status.success());
    assert_eq!(lines(machine.gateway.requests()), ["GET /config"]);
}

#[test]
fn a_machine_takes_its_name_and_tells_what_it_is_made_of_once() {
    let machine = Machine::new();
    machine.gateway.be(Host {
        name: Some("lab-pc01".to_owned()),
        ..Host::default()
    });
    assert_eq!(machine.work().unwrap(), done(0));
    for file in ["proc/sys/kernel/hostname", "etc/hostname"] {
        let name = fs::read_to_string(machine.path("root").join(file)).unwrap();
        assert_eq!(name, "lab-pc01\n", "{file}");
    }
    let told = json!({"cpuversion": "i7"});
    assert_eq!(machine.gateway.host(|host| host.inventory.clone()), [told]);
    machine.gateway.requests();
    assert_eq!(machine.work().unwrap(), done(0));
    assert_eq!(lines(machine.gateway.requests()), ["GET /host/work"]);

    machine.root_file("proc/cpuinfo", "model name : i9\n");
    machine
        .gateway
        .host(|host| host.refusals.push(("PUT /host/inventory", 500)));
    let failed = vec!["inventory"];
    let (host, snapins) = (7, 0);
    let part = Worked::Done {
        host,
        snapins,
        failed,
    };
    assert_eq!(machine.work().unwrap(), part);
    assert_eq!(machine.work().unwrap(), done(0), "told when it is taken");
    assert_eq!(machine.gateway.host(|host| host.inventory.len()), 2);
}

#[test]
fn log_ins_wait_until_the_gateway_has_taken_them_and_count_once() {
    let machine = Machine::new();
    let session = |user: &str, state: &str| {
        format!("USER={user}\nSTATE={state}\nCLASS=user\nREALTIME=1700000000000000\n")
    };
    machine.root_file("run/systemd/sessions/1", &session("anna", "active"));
    machine.gateway.be(Host {
        refusals: vec![("POST /host/users", 500)],
        ..Host::default()
    });
    assert!(
        matches!(machine.work().unwrap(), Worked::Done { failed, .. } if failed == ["log-ins"])
    );
    machine.root_file("run/systemd/sessions/1", &session("anna", "closing"));
    assert_eq!(machine.work().unwrap(), done(0));
    let told = || {
        let mut told: Vec<_> = machine.gateway.host(|host| {
            let events = std::mem::take(&mut host.users).into_values();
            let line = |event: serde_json::Value| format!("{} {}", event["action"], event["user"]);
            events.map(line).collect()
        });
        told.sort();
        told
    };
    let wanted = [
        r#""login" "anna""#,
        r#""logout" "anna""#,
        r#""start" "system""#,
    ];
    assert_eq!(told(), wanted);
    assert_eq!(machine.work().unwrap(), done(0));
    assert!(told().is_empty());

    // Nobody wants to know: nothing is told, and nothing is kept.
    machine
        .gateway
        .host(|host| host.modules_off = vec!["users"]);
    machine.root_file("run/systemd/sessions/2", &session("bert", "active"));
    machine.work().unwrap();
    assert!(told().is_empty());
    assert!(!machine.path("sota/logged-in").exists());
}

fn only_failed(machine: &Machine, what: &str) {
    let done = machine.work().unwrap();
    let is_it = matches!(&done, Worked::Done { failed, .. } if *failed == [what]);
    assert!(is_it, "{done:?}");
}

#[test]
fn a_power_rule_is_followed_once_and_not_before_it_is_acknowledged() {
    let machine = Machine::new();
    machine.gateway.be(Host {
        power: Some(("reboot".to_owned(), "5-1700000000".to_owned())),
        refusals: vec![("POST /host/power/5-1700000000", 500)],
        ..Host::default()
    });
    only_failed(&machine, "power");
    assert!(machine.ran().is_empty());
    assert_eq!(machine.work().unwrap(), done(0));
    assert_eq!(machine.ran(), ["power reboot"]);
    assert_eq!(machine.work().unwrap(), done(0));
    assert!(machine.ran().is_empty());

    machine
        .gateway
        .host(|host| host.power = Some(("shutdown".to_owned(), "6".to_owned())));
    machine
        .gateway
        .host(|host| host.modules_off = vec!["power"]);
    machine.work().unwrap();
    assert!(machine.ran().is_empty());
    machine.gateway.host(|host| host.modules_off.clear());
    machine.work().unwrap();
    assert_eq!(machine.ran(), ["power poweroff"]);
    // It would be another address.
    machine
        .gateway
        .host(|host| host.power = Some(("reboot".to_owned(), "../config".to_owned())));
    only_failed(&machine, "power");
    assert!(machine.ran().is_empty());
}

#[test]
fn the_work_is_done_when_the_config_fails() {
    let machine = Machine::new();
    machine.gateway.be(Host {
        power: Some(("reboot".to_owned(), "5".to_owned())),
        ..Host::default()
    });
    machine.gateway.fail_with(&[403]);
    let output = machine.program("check-in").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("did the work of host 7"), "{said}");
    assert_eq!(machine.ran(), ["power reboot"]);
}
