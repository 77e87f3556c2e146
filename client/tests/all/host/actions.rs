//! Remote actions.

use super::machine::{Machine, long_ago};

/// A config that orders an action.
fn order(machine: &Machine, action: &str, id: &str, capture: u8) -> String {
    let handler = machine
        .path("handlers/fioconfig-oneshot")
        .display()
        .to_string();
    let name = format!("fioconfig-oneshot-{action}");
    let value = format!("COMMAND_ID={id}\nCOMMAND_CAPTURE={capture}\n");
    let file =
        serde_json::json!({"Value": value, "Unencrypted": true, "OnChanged": [handler, action]});
    serde_json::json!({ name: file }).to_string()
}

fn lines(machine: &Machine) -> Vec<String> {
    let requests = machine.gateway.requests().into_iter();
    requests.map(|request| request.line).collect()
}

#[test]
fn an_action_runs_once_for_each_order_and_its_output_is_reported() {
    let machine = Machine::new();
    let ran = machine.path("ran").display().to_string();
    machine.script(
        "actions/check",
        &format!("echo action >> {ran}; echo out; echo err >&2; exit 3"),
    );
    machine.gateway.set(
        &order(&machine, "check", "check_0123456789", 1),
        long_ago(0),
    );
    machine.check_in().unwrap();
    assert_eq!(machine.ran(), ["action"]);
    let requests = machine.gateway.requests();
    let seen: Vec<_> = requests
        .iter()
        .map(|request| request.line.as_str())
        .collect();
    assert_eq!(
        seen,
        [
            "GET /config",
            "POST /tests",
            "PUT /tests/7",
            "PUT /tests/7/console.log",
            "PATCH /config"
        ]
    );
    let body = |at: usize| serde_json::from_slice::<serde_json::Value>(&requests[at].body).unwrap();
    assert_eq!(body(1)["test-id"], "check_0123456789");
    assert_eq!(body(2)["status"], "FAILED");
    assert_eq!(requests[3].body, b"out\nerr\n");
    assert_eq!(body(4)["files"][0]["name"], "fio-remote-actions");
    assert_eq!(body(4)["files"][0]["value"], "check");

    // The same order in another version of the config, and at boot.
    let again = order(&machine, "check", "check_0123456789", 0);
    machine.gateway.set(&again, long_ago(1));
    machine.check_in().unwrap();
    std::fs::remove_dir_all(machine.path("secrets")).unwrap();
    machine.extract().unwrap();
    assert!(machine.ran().is_empty());

    machine.gateway.set(
        &order(&machine, "check", "check_abcdefghij", 0),
        long_ago(2),
    );
    machine.gateway.requests();
    machine.check_in().unwrap();
    assert_eq!(machine.ran(), ["action"]);
    assert_eq!(
        lines(&machine),
        ["GET /config"],
        "no report, and nothing new to announce"
    );
}

#[test]
fn whoever_takes_the_place_of_another_owes_what_is_ordered_of_itself_only() {
    for had_config in [true, false] {
        let machine = Machine::new();
        let ran = machine.path("ran").display().to_string();
        machine.script("actions/check", &format!("echo action >> {ran}"));
        std::fs::create_dir_all(machine.path("sota")).unwrap();
        std::fs::write(machine.path("sota/newcomer"), "").unwrap();
        if !had_config {
            machine.check_in().unwrap();
        }
        let first = order(&machine, "check", "check_0123456789", 0);
        machine.gateway.set(&first, long_ago(0));
        machine.check_in().unwrap();
        assert_eq!(machine.ran().is_empty(), had_config);
        let second = order(&machine, "check", "check_abcdefghij", 0);
        machine.gateway.set(&second, long_ago(1));
        machine.check_in().unwrap();
        assert_eq!(machine.ran(), ["action"]);
    }
}

#[test]
fn an_action_that_is_no_file_of_its_folder_does_not_run() {
    let machine = Machine::new();
    let ran = machine.path("ran").display().to_string();
    machine.script("handlers/evil", &format!("echo evil >> {ran}"));
    let orders =
        order(&machine, "x", "x_0123456789abcdef", 1).replace("\"x\"", "\"../handlers/evil\"");
    machine.gateway.set(&orders, long_ago(0));
    machine.check_in().unwrap();
    assert!(machine.ran().is_empty());
    assert_eq!(lines(&machine), ["GET /config"]);
}
