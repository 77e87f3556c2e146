//! Plans, text in and text out. A world is words, one statement per line:
//! `node 1 up master holds`, `node 2 down 20s`, `deploy 1 queued`, `capture 2 running on 1 quiet
//! 700s`, `deploy 3 queued session 7`, `session 7 on 1`, `sessions 1` (at most), `groups 0` (free).

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use foghorn_lifecycle::Task;
use foghorn_types::{ImageId, ManifestId, StorageGroupId};

use super::*;
use crate::dispatch::snapshot::MulticastView;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn seconds(word: Option<&&str>) -> Duration {
    Duration::from_secs(word.unwrap().trim_end_matches('s').parse().unwrap())
}

fn after<'a>(words: &'a [&'a str], name: &str) -> Option<&'a &'a str> {
    words
        .iter()
        .position(|word| *word == name)
        .and_then(|place| words.get(place + 1))
}

fn manifest() -> ManifestId {
    ManifestId::of(b"image")
}

fn node(words: &[&str]) -> NodeView {
    let has = |word: &str| words.contains(&word);
    NodeView {
        group: StorageGroupId::new(if has("elsewhere") { 2 } else { 1 }).unwrap(),
        master: has("master"),
        enabled: !has("disabled"),
        revoked: has("revoked"),
        max_clients: after(words, "max").map_or(10, |max| max.parse().unwrap()),
        ipv6: has("ipv6"),
        link: if has("down") {
            LinkState::Down {
                since: seconds(after(words, "down")),
            }
        } else {
            LinkState::Up
        },
        reported: !has("silent"),
        unknown: if has("unknown") {
            HashSet::from([ImageId::new(1).unwrap()])
        } else {
            HashSet::new()
        },
        holds: if has("holds") {
            HashSet::from([(ImageId::new(1).unwrap(), manifest())])
        } else {
            HashSet::new()
        },
    }
}

fn run(words: &[&str]) -> RunView {
    let has = |word: &str| words.contains(&word);
    let kind = if words[0] == "deploy" {
        RunKind::Deploy {
            manifest: Some(manifest()),
            version: None,
        }
    } else {
        RunKind::Capture
    };
    let late = if has("late") {
        Duration::ZERO
    } else {
        Duration::from_secs(60)
    };
    let mut life = Task::new(kind.task_kind(), NOW + late);
    let mut apply = |event| life.apply(Timestamp::default(), event).unwrap();
    if let Some(id) = after(words, "failed-at") {
        let node = id.parse().unwrap();
        apply(TaskEvent::Assigned { node });
        apply(TaskEvent::Ended {
            node,
            outcome: Outcome::Failed {
                reason: "damaged".into(),
                node_at_fault: true,
            },
        });
    }
    if has("present") || has("checked-in") || has("running") {
        apply(TaskEvent::ClientCheckedIn);
    }
    if let Some(id) = after(words, "on") {
        apply(TaskEvent::Assigned {
            node: id.parse().unwrap(),
        });
        if has("running") {
            apply(TaskEvent::Progressed {
                node: id.parse().unwrap(),
            });
        }
    }
    let quiet = if has("quiet") {
        seconds(after(words, "quiet"))
    } else {
        Duration::ZERO
    };
    let storage_group = StorageGroupId::new(1).unwrap();
    let session = after(words, "session").map(|id| id.parse().unwrap());
    RunView {
        task: words[1].parse().unwrap(),
        kind,
        image: ImageId::new(1).unwrap(),
        storage_group,
        session,
        life,
        quiet,
        trouble: has("trouble").then(|| "the machine cannot reach the node".to_owned()),
    }
}

fn check(world: &str, expected: &str) {
    let (mut runs, mut nodes) = (vec![], BTreeMap::new());
    let mut multicast = MulticastView {
        max_sessions: 64,
        free_v4: 9,
        ..MulticastView::default()
    };
    for line in world.split(';') {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[0] {
            "node" => drop(nodes.insert(words[1].parse().unwrap(), node(&words))),
            "sessions" => multicast.max_sessions = words[1].parse().unwrap(),
            "groups" => multicast.free_v4 = words[1].parse().unwrap(),
            "session" => {
                let sends = after(&words, "on").unwrap().parse().unwrap();
                multicast
                    .sessions
                    .entry(words[1].parse().unwrap())
                    .or_default()
                    .insert(sends);
            }
            _ => runs.push(run(&words)),
        }
    }
    let shown: Vec<_> = plan(
        &Snapshot {
            runs,
            nodes,
            multicast,
        },
        Limits::default(),
        NOW,
    )
    .into_iter()
    .map(|step| match step.event {
        TaskEvent::Assigned { node } => format!("{} to {node}", step.task),
        TaskEvent::NodeLost { node } => format!("{} lost {node}", step.task),
        TaskEvent::NodeLacks { node } => format!("{} leaves {node}", step.task),
        TaskEvent::NoNodeLeft => format!("{} has no node", step.task),
        TaskEvent::Stalled { .. } => format!("{} stalled", step.task),
        TaskEvent::DeadlinePassed => format!("{} late", step.task),
        TaskEvent::Ended { node, .. } => format!("{} failed on {node}", step.task),
        other => format!("{} {other:?}", step.task),
    })
    .collect();
    assert_eq!(shown.join("; "), expected, "in the world {world}");
}

#[test]
fn a_deploy_goes_to_a_node_that_holds_the_image() {
    check(
        "node 1 up; node 2 up holds; node 3 up holds elsewhere; deploy 1 queued",
        "1 to 2",
    );
    check("node 1 up; deploy 1 queued", "");
}

#[test]
fn a_machine_that_has_not_come_leaves_a_node_that_lacks_the_new_version() {
    for (task, expected) in [
        ("deploy 1 on 1", "1 leaves 1"),
        ("deploy 1 checked-in on 1", ""),
        ("deploy 1 running on 1", ""),
        ("capture 1 on 1", ""),
    ] {
        check(&format!("node 1 up; node 2 up holds; {task}"), expected);
    }
    check("node 1 up holds; node 2 up holds; deploy 1 on 1", "");
    check("node 1 up; node 2 down 5s holds; deploy 1 on 1", "");
}

#[test]
fn deploys_are_spread_over_the_nodes() {
    check(
        "node 1 up holds; node 2 up holds; deploy 1 running on 1; deploy 2 queued; deploy 3 queued; deploy 4 queued",
        "2 to 2; 3 to 1; 4 to 2",
    );
}

#[test]
fn a_full_node_takes_no_more_and_absent_clients_do_not_hold_up_present_ones() {
    check(
        "node 1 up holds max 1; deploy 1 running on 1; deploy 2 queued",
        "",
    );
    check(
        "node 1 up holds max 1; deploy 1 assigned on 1; deploy 2 queued",
        "",
    );
    check(
        "node 1 up holds max 1; deploy 1 assigned on 1; deploy 2 queued present",
        "2 to 1",
    );
}

#[test]
fn nodes_that_are_off_disabled_or_revoked_get_nothing() {
    for word in ["down 1s", "disabled", "revoked"] {
        check(&format!("node 1 {word} holds; deploy 1 queued"), "");
    }
}

#[test]
fn a_capture_goes_to_the_master_and_waits_for_it() {
    check("node 1 up; node 2 up master; capture 1 queued", "1 to 2");
    check("node 1 up; node 2 down 99s master; capture 1 queued", "");
    check("node 1 up; node 2 up; capture 1 queued", "1 to 1");
    check("node 1 up; node 2 up master unknown; capture 1 queued", "");
    // Nobody knows what it holds before it has said so; a deploy does not replace anything.
    check("node 1 up; node 2 up master silent; capture 1 queued", "");
    check("node 2 up master silent holds; deploy 1 queued", "1 to 2");
    check(
        "node 1 up; node 2 down 99s master; capture 1 running on 2 quiet 9999s",
        "",
    );
}

#[test]
fn a_deploy_leaves_a_lost_node_after_the_grace_period_if_another_can_serve() {
    check(
        "node 1 down 14s holds; node 2 up holds; deploy 1 running on 1",
        "",
    );
    check(
        "node 1 down 15s holds; node 2 up holds; deploy 1 running on 1",
        "1 lost 1",
    );
    check(
        "node 1 down 15s holds; node 2 up; deploy 1 running on 1",
        "",
    );
    check("node 1 up revoked holds; deploy 1 running on 1", "1 lost 1");
    check("node 1 up revoked; capture 1 running on 1", "1 failed on 1");
}

#[test]
fn a_node_that_failed_is_not_asked_again_and_the_last_failure_ends_it() {
    check(
        "node 1 up holds; node 2 up holds; deploy 1 queued failed-at 1",
        "1 to 2",
    );
    check(
        "node 1 up holds; node 2 down 99s holds; deploy 1 queued failed-at 1",
        "",
    );
    check(
        "node 1 up holds; deploy 1 queued failed-at 1",
        "1 has no node",
    );
}

#[test]
fn a_transfer_in_which_nothing_moves_ends_and_so_does_a_late_one() {
    check("node 1 up holds; deploy 1 running on 1 quiet 599s", "");
    check(
        "node 1 up holds; deploy 1 running on 1 quiet 600s",
        "1 stalled",
    );
    check("node 1 up holds; deploy 1 assigned on 1 quiet 9999s", "");
    check(
        "node 1 up holds; deploy 1 queued late; capture 2 running on 1 late",
        "1 late; 2 late",
    );
}

#[test]
fn a_client_that_said_why_nothing_moves_is_believed() {
    let node = node(&["node", "1", "up", "holds"]);
    let reason = |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        let snapshot = Snapshot {
            runs: vec![run(&words)],
            nodes: BTreeMap::from([(StorageNodeId::new(1).unwrap(), node.clone())]),
            multicast: MulticastView::default(),
        };
        let moves = plan(&snapshot, Limits::default(), NOW);
        match &moves[0].event {
            TaskEvent::Stalled { reason } => reason.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        reason("deploy 1 running on 1 quiet 600s trouble"),
        "the machine cannot reach the node"
    );
    assert_eq!(
        reason("deploy 1 running on 1 quiet 600s"),
        "no data was transferred for 600 seconds"
    );
}

#[test]
fn a_session_goes_to_one_node_and_takes_one_place() {
    let nodes = "node 1 up holds max 1; node 2 up holds max 1";
    check(
        &format!(
            "{nodes}; deploy 1 queued session 7; deploy 2 queued session 7; deploy 3 queued; deploy 4 queued"
        ),
        "1 to 1; 2 to 1; 3 to 2",
    );
    check(
        &format!(
            "{nodes}; session 7 on 2; deploy 1 running on 2 session 7; deploy 2 queued session 7"
        ),
        "2 to 2",
    );
    check(
        &format!("{nodes}; deploy 1 queued session 7; deploy 2 queued session 8"),
        "1 to 1; 2 to 2",
    );
    check(
        &format!(
            "{nodes}; session 7 on 1; deploy 1 assigned on 1 session 7; deploy 2 queued present"
        ),
        "2 to 2",
    );
}

#[test]
fn a_session_waits_for_its_node_and_then_goes_to_another() {
    let rest = "node 2 up holds; session 7 on 1; deploy 1 queued session 7";
    check(&format!("node 1 down 14s holds; {rest}"), "");
    check(&format!("node 1 down 15s holds; {rest}"), "1 to 2");
    check(&format!("node 1 up disabled holds; {rest}"), "1 to 2");
}

#[test]
fn sessions_wait_for_a_place_and_for_a_group_and_other_tasks_do_not() {
    let tasks = "deploy 1 queued session 7; deploy 2 queued session 8; deploy 3 queued";
    check(
        &format!("node 1 up holds; sessions 1; {tasks}"),
        "1 to 1; 3 to 1",
    );
    check(
        &format!("node 1 up holds; sessions 1; session 8 on 1; {tasks}"),
        "2 to 1; 3 to 1",
    );
    check(
        &format!("node 1 up holds; groups 1; {tasks}"),
        "1 to 1; 3 to 1",
    );
    check(&format!("node 1 up holds ipv6; {tasks}"), "3 to 1");
}
