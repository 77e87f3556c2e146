//! `foghorn selftest` does the work of an installation, and leaves nothing there.

use foghorn_tests::stack::{Engine, Stack};
use serde_json::Value;

use crate::command_line::run as foghorn;

/// How many hosts and images there are.
fn objects(stack: &Stack) -> (u64, u64) {
    let count = |class: &str| {
        let list = stack.rest.get(&format!("/fog/{class}")).unwrap();
        list.ok().unwrap()["count"].as_u64().unwrap()
    };
    (count("host"), count("image"))
}

#[test]
fn the_whole_work_is_done_on_two_nodes_and_nothing_is_left() {
    let mut stack = Stack::start(Engine::Embedded).unwrap();
    stack.add_agent("second", "").unwrap();
    stack.wait_online("second").unwrap();
    let before = objects(&stack);
    let words = ["selftest", "--content", "8", "--multicast", "-o", "json"];
    let output = foghorn(&stack, &words).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["bytes"], 8 << 20, "{found}");
    assert_eq!(found["nodes"].as_array().unwrap().len(), 2, "{found}");
    assert!(found["multicast"]["passes"].is_boolean(), "{found}");
    assert_eq!(objects(&stack), before);

    // A node that has failed is named, and not waited for.
    stack.agents[1].process.kill().unwrap();
    let output = foghorn(&stack, &["selftest", "--content", "2", "-o", "json"]).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["nodes"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["without"], serde_json::json!(["second"]), "{found}");

    // Nobody serves the image: the test says so in time, and still removes what it made.
    for agent in &mut stack.agents {
        agent.process.kill().unwrap();
    }
    let words = ["selftest", "--content", "2", "--timeout", "3s"];
    let output = foghorn(&stack, &words).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the selftest failed"), "{said}");
    assert_eq!(objects(&stack), before);
}
