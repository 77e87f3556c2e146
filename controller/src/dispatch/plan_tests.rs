//! Plans, text in and text out. A world is words, one statement per line:
//! `node 1 up master holds`, `node 2 down 20s`, `deploy 1 queued`, `capture 2 running on 1 quiet
//! 700s`, `deploy 3 queued session 7`, `session 7 on 1`, `sessions 1` (at most), `groups 0` (free).

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use foghorn_lifecycle::Task;
use foghorn_types::{ImageId, ManifestId, StorageGroupId};

use super::*;
use crate::dispatch::room::Room;
use crate::dispatch::snapshot::{MulticastView, NodeView};
use crate::state::run::RunKind;

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
        name: format!("n{}", words[1]),
        group: StorageGroupId::new(if has("elsewhere") { 2 } else { 1 }).unwrap(),
        master: has("master"),
        enabled: !has("disabled"),
        revoked: has("revoked"),
        max_clients: after(words, "max").map_or(10, |max| max.parse().unwrap()),
        ipv6: has("ipv6"),
        link: if has("away") {
            LinkState::Elsewhere
        } else if has("down") {
            LinkState::Down {
                since: seconds(after(words, "down")),
            }
        } else {
            LinkState::Up
        },
        unverified: if has("unverified") {
            HashSet::from([manifest()])
        } else {
            HashSet::new()
        },
        reported: !has("silent"),
        unknown: if has("unknown") {
            HashSet::from([ImageId::new(1).unwrap()])
        } else {
            HashSet::new()
        },
        out_of_reach: has("bucket")
            .then(|| {
                let key = (ImageId::new(1).unwrap(), manifest());
                (key, "the bucket does not answer".to_owned())
            })
            .into_iter()
            .collect(),
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
    let session = after(words, "session").map(|id| id.parse().unwrap());
    RunView {
        task: words[1].parse().unwrap(),
        kind,
        image: ImageId::new(1).unwrap(),
        tiers: match after(words, "sites") {
            Some(list) => list.split(',').map(|id| id.parse().unwrap()).collect(),
            None => vec![StorageGroupId::new(1).unwrap()],
        },
        session,
        session_waits: false,
        forced: has("forced"),
        room: match after(words, "room") {
            Some(group) => Room::Group(group.parse().unwrap()),
            None => Room::Host(words[1].parse().unwrap()),
        },
        life,
        quiet,
        with_node: if has("just") {
            Duration::ZERO
        } else {
            Duration::from_secs(3600)
        },
        trouble: has("trouble").then(|| "the machine cannot reach the node".to_owned()),
    }
}

fn world(text: &str) -> Snapshot {
    let (mut runs, mut nodes) = (vec![], BTreeMap::new());
    let mut multicast = MulticastView {
        max_sessions: 64,
        free_v4: 9,
        ..MulticastView::default()
    };
    for line in text.split(';') {
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
    Snapshot {
        runs,
        nodes,
        multicast,
    }
}

fn check(text: &str, expected: &str) {
    let shown: Vec<_> = plan(&world(text), Limits::default(), NOW)
        .into_iter()
        .map(|step| match step.event {
            TaskEvent::Assigned { node } => format!("{} to {node}", step.task),
            TaskEvent::NodeLost { node } => format!("{} lost {node}", step.task),
            TaskEvent::Withdrawn { node } => format!("{} back from {node}", step.task),
            TaskEvent::NodeLacks { node } => format!("{} leaves {node}", step.task),
            TaskEvent::NoNodeLeft => format!("{} has no node", step.task),
            TaskEvent::Stalled { .. } => format!("{} stalled", step.task),
            TaskEvent::DeadlinePassed => format!("{} late", step.task),
            TaskEvent::Ended { node, .. } => format!("{} failed on {node}", step.task),
            other => format!("{} {other:?}", step.task),
        })
        .collect();
    assert_eq!(shown.join("; "), expected, "in the world {text}");
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
        "1 back from 1",
    );
    // Not from a machine that is there, and not when there is a place elsewhere.
    check(
        "node 1 up holds max 1; deploy 1 checked-in on 1; deploy 2 queued present",
        "",
    );
    check(
        "node 1 up holds max 1; node 2 up holds max 1; deploy 1 assigned on 1; deploy 2 queued present",
        "2 to 2",
    );
}

#[test]
fn a_forced_task_needs_no_place_and_goes_first() {
    check(
        "node 1 up holds max 1; deploy 1 running on 1; deploy 2 queued; deploy 3 queued forced",
        "3 to 1",
    );
    check(
        "node 1 up holds max 1; deploy 1 queued present; deploy 2 queued forced",
        "2 to 1",
    );
    check("node 1 down 1s holds; deploy 1 queued forced", "");
}

#[test]
fn the_own_site_serves_first_and_a_fallback_only_when_it_cannot() {
    let own = |link: &str| format!("node 1 {link} holds max 1; node 2 up holds elsewhere");
    let both = "deploy 1 queued sites 1,2";
    check(&format!("{}; {both}", own("up")), "1 to 1");
    // It waits for a place there, and for a node that may be back in a moment.
    let full = "deploy 9 running on 1";
    check(&format!("{}; {full}; {both}", own("up")), "");
    check(&format!("{}; {both}", own("down 14s")), "");
    check(&format!("{}; {both}", own("down 15s")), "1 to 2");
    check(&format!("{}; {both}", own("disabled")), "1 to 2");
    check(
        &format!("node 1 up; node 2 up holds elsewhere; {both}"),
        "1 to 2",
    );
    check(&format!("{}; deploy 1 queued", own("disabled")), "");
    // A transfer goes on from the fallback.
    check(
        &format!("{}; deploy 1 running on 1 sites 1,2", own("down 15s")),
        "1 lost 1",
    );
}

#[test]
fn rooms_take_turns() {
    let room = "deploy 1 running on 1 room 1; deploy 2 running on 1 room 1; deploy 3 queued room 1; deploy 4 queued room 1";
    check(
        &format!("node 1 up holds max 3; {room}; deploy 5 queued room 2"),
        "5 to 1",
    );
    check(
        &format!("node 1 up holds max 4; {room}; deploy 5 queued room 2"),
        "3 to 1; 5 to 1",
    );
    // A machine that is there comes before every one that is not.
    check(
        &format!(
            "node 1 up holds max 3; {room}; deploy 5 queued room 2; deploy 6 queued present room 1"
        ),
        "6 to 1",
    );
}

#[test]
fn a_node_that_takes_no_more_tasks_gives_back_what_has_not_begun() {
    check(
        "node 1 up disabled holds; node 2 up holds; deploy 1 on 1; deploy 2 running on 1",
        "1 back from 1",
    );
    check("node 1 up disabled holds; deploy 1 on 1", "");
}

proptest::proptest! {
    /// Whatever waits and runs: a node never gets more than its places, but for forced tasks; a
    /// free place is not left empty while a task that may have it waits; and every task that waits
    /// says for what, with a place in the queue of its own.
    #[test]
    fn places_are_never_exceeded_nor_left_empty(
        most in proptest::collection::vec(0_u32..4, 1..4),
        tasks in proptest::collection::vec((0_u32..6, 0_u32..4, 1_u32..4, proptest::bool::weighted(0.1)), 0..30),
    ) {
        let mut lines = Vec::new();
        for (number, max) in (1..).zip(&most) {
            lines.push(format!("node {number} up holds max {max}"));
        }
        for (number, (state, at, room, forced)) in (1_u32..).zip(&tasks) {
            let at = 1 + at % u32::try_from(most.len()).unwrap();
            let state = match state {
                0 => format!("on {at}"),
                1 => format!("running on {at}"),
                2 | 3 => "queued".to_owned(),
                _ => "queued present".to_owned(),
            };
            let forced = if *forced { "forced" } else { "" };
            lines.push(format!("deploy {number} {state} room {room} {forced}"));
        }
        let snapshot = world(&lines.join(";"));
        let before = Load::of(&snapshot);
        let moves = plan(&snapshot, Limits::default(), NOW);
        let mut given: BTreeMap<StorageNodeId, u32> = BTreeMap::new();
        let mut placed = std::collections::BTreeSet::new();
        let forced = |task: TaskId| snapshot.runs.iter().any(|run| run.task == task && run.forced);
        for step in &moves {
            if let TaskEvent::Assigned { node } = step.event {
                placed.insert(step.task);
                *given.entry(node).or_default() += u32::from(!forced(step.task));
            }
        }
        for (node, count) in &given {
            let max = snapshot.nodes[node].max_clients;
            proptest::prop_assert!(*count == 0 || before.taken(*node) + count <= max);
        }
        let waits = crate::dispatch::waits::waits(&snapshot, Limits::default());
        let mut positions = std::collections::BTreeSet::new();
        for run in snapshot.runs.iter().filter(|run| run.life.state().node().is_none()) {
            let wait = waits.get(&run.task);
            proptest::prop_assert!(wait.is_some(), "task {} does not say what it waits for", run.task);
            let position = wait.and_then(|wait| wait.position);
            proptest::prop_assert!(position.is_none_or(|place| positions.insert(place)));
            if !placed.contains(&run.task) {
                for (node, view) in &snapshot.nodes {
                    let taken = before.taken(*node) + given.get(node).copied().unwrap_or(0);
                    let all = moves.iter().filter(|step| {
                        step.event == TaskEvent::Assigned { node: *node } && forced(step.task)
                    });
                    let taken = taken + u32::try_from(all.count()).unwrap();
                    proptest::prop_assert!(taken >= view.max_clients, "an empty place on {}", node);
                }
            }
        }
    }
}

#[test]
fn every_wait_says_what_it_is_for() {
    let sentence = |text: &str, task: u32| {
        let waits = crate::dispatch::waits::waits(&world(text), Limits::default());
        let wait = waits[&TaskId::new(task).unwrap()].clone();
        (format!("{:?}", wait.kind), wait.position, wait.sentence)
    };
    let of = |kind: &str, place, words: &str| (kind.to_owned(), place, words.to_owned());
    let full =
        "node 1 up holds max 1; deploy 1 running on 1; deploy 2 queued; deploy 3 queued present";
    assert_eq!(
        sentence(full, 2),
        of(
            "Place",
            Some(2),
            "all 1 places of storage node n1 are taken; number 2 in the queue"
        )
    );
    assert_eq!(sentence(full, 3).1, Some(1));
    let busy = |n: u32| format!("node {n} up holds max 1; deploy {n} running on {n}; ");
    let many: String = (1..=9).map(busy).collect();
    assert_eq!(
        sentence(&format!("{many}deploy 10 queued"), 10).2,
        "all 9 places of the 9 storage nodes that may serve it are taken; number 1 in the queue"
    );
    assert_eq!(
        sentence("node 1 up; deploy 1 queued", 1),
        of(
            "Content",
            None,
            "no storage node that may serve it holds its image"
        )
    );
    let bucket = "storage node n1 has its image in a bucket only, which cannot be used now: the bucket does not answer";
    for world in [
        "node 1 up bucket; deploy 1 queued",
        "node 1 up bucket; deploy 1 running on 1",
    ] {
        assert_eq!(sentence(world, 1), of("Content", None, bucket));
    }
    assert_eq!(
        sentence("node 1 down 4s holds; deploy 1 queued", 1),
        of(
            "Node",
            None,
            "storage node n1 has been offline for 4 s, and no other may serve it"
        )
    );
    assert_eq!(
        sentence("node 1 up holds; deploy 1 on 1", 1),
        of(
            "Client",
            None,
            "storage node n1 has a place for it; its machine has not come"
        )
    );
    assert_eq!(
        sentence(
            "node 1 down 4s holds; node 2 up holds; deploy 1 running on 1",
            1
        ),
        of(
            "Node",
            None,
            "storage node n1 has not answered for 4 s; another takes over when it has been silent for 15 s"
        )
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
        "node 1 down 15s holds; node 2 up holds; deploy 1 running on 1 just",
        "",
    );
    check(
        "node 1 down 15s holds; node 2 up; deploy 1 running on 1",
        "",
    );
    check("node 1 up revoked holds; deploy 1 running on 1", "1 lost 1");
    check("node 1 up revoked; capture 1 running on 1", "1 failed on 1");
}

/// Two controllers that do not reach each other each have the link of some nodes.
#[test]
fn a_node_whose_link_another_controller_has_is_left_to_that_one() {
    // It gets nothing from here, and what could only be there waits.
    check("node 1 away holds; deploy 1 queued", "");
    check("node 1 away master; node 2 up; capture 1 queued", "");
    check(
        "node 1 away holds; node 2 up holds elsewhere; deploy 1 queued",
        "",
    );
    check(
        "node 1 away holds; node 2 up holds; deploy 1 queued",
        "1 to 2",
    );
    // Nothing is taken away from it, and nothing of it is judged.
    for life in ["on 1", "checked-in on 1", "running on 1 quiet 700s"] {
        check(
            &format!("node 1 away holds; node 2 up holds; deploy 1 {life}"),
            "",
        );
    }
    check(
        "node 1 away holds; node 2 up holds; session 7 on 1; deploy 1 queued session 7",
        "",
    );
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
fn what_a_node_has_not_verified_again_serves_where_there_is_nothing_better() {
    let task = "deploy 1 queued";
    let back = "node 1 up holds unverified";
    check(&format!("{back}; node 2 up holds; {task}"), "1 to 2");
    check(&format!("{back}; node 2 down 1s holds; {task}"), "1 to 1");
    check(&format!("{back}; node 2 up; {task}"), "1 to 1");
    check(&format!("{back}; {task}"), "1 to 1");
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
