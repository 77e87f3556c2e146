//! Properties of every order of events, and the moves that matter one by one.

#![allow(clippy::unwrap_used)] // Clippy does not see that helpers of a test are one.

use std::time::Duration;

use foghorn_lifecycle::{
    Client, Effect, Outcome, Task, TaskEvent as E, TaskKind, TaskState as S, TransitionError,
};
use foghorn_types::{StorageNodeId, Timestamp};
use proptest::prelude::*;

const DEADLINE: Timestamp = Timestamp::from_millis(1_000);

fn node(number: u32) -> StorageNodeId {
    StorageNodeId::new(number).unwrap()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Complete),
        any::<bool>().prop_map(|node_at_fault| Outcome::Failed {
            reason: "disk full".into(),
            node_at_fault
        }),
        Just(Outcome::Cancelled {
            reason: "asked".into()
        }),
    ]
}

fn event() -> impl Strategy<Value = E> {
    let any_node = || (1_u32..4).prop_map(node);
    prop_oneof![
        4 => any_node().prop_map(|node| E::Assigned { node }),
        4 => Just(E::ClientCheckedIn),
        4 => any_node().prop_map(|node| E::Progressed { node }),
        2 => any_node().prop_map(|node| E::NodeLost { node }),
        2 => any_node().prop_map(|node| E::NodeLacks { node }),
        2 => any_node().prop_map(|node| E::Withdrawn { node }),
        2 => (any_node(), outcome()).prop_map(|(node, outcome)| E::Ended { node, outcome }),
        1 => Just(E::NoNodeLeft),
        1 => Just(E::Stalled { reason: "nothing moved".into() }),
        1 => Just(E::DeadlinePassed),
        1 => Just(E::Cancelled { reason: "asked".into() }),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_deadline_ends_it_and_no_refused_event_changes_anything(
        capture in any::<bool>(),
        events in proptest::collection::vec((event(), 0_i64..40), 0..40),
    ) {
        let mut task = Task::new(if capture { TaskKind::Capture } else { TaskKind::Deploy },
            DEADLINE);
        let mut now = at(0);
        let mut checked_in = false;
        for (event, step) in events {
            now = now + Duration::from_millis(step.unsigned_abs());
            let before = task.clone();
            let was_finished = before.state().is_finished();
            match task.apply(now, event.clone()) {
                Err(_) => prop_assert_eq!(&task, &before),
                Ok(effects) => {
                    prop_assert!(!was_finished, "an ended task took {:?}", event);
                    checked_in |= event == E::ClientCheckedIn;
                    if let E::Assigned { node } = event {
                        prop_assert!(!before.has_failed_at(node));
                        prop_assert_eq!(effects, vec![Effect::OpenSession { node }]);
                    }
                }
            }
            // Nothing runs or completes without a client that proved itself, and a capture never changes its node.
            if matches!(task.state(),
                S::Running { .. } | S::CheckedIn { .. } | S::Finished { outcome: Outcome::Complete,
                .. }) {
                prop_assert!(checked_in);
            }
            if capture && let (Some(old), Some(new)) = (before.state().node(),
                task.state().node()) {
                prop_assert_eq!(old, new);
            }
        }
        match task.apply(DEADLINE, E::DeadlinePassed) {
            Ok(_) | Err(TransitionError::AlreadyEnded) => prop_assert!(task.state().is_finished()),
            Err(other) => prop_assert!(false, "the deadline was refused: {}", other),
        }
    }
}

#[test]
fn a_place_is_taken_back_only_from_a_machine_that_has_not_come() {
    for kind in [TaskKind::Deploy, TaskKind::Capture] {
        let mut task = Task::new(kind, DEADLINE);
        task.apply(at(1), E::Assigned { node: node(1) }).unwrap();
        assert!(task.apply(at(1), E::Withdrawn { node: node(2) }).is_err());
        let effects = task.apply(at(1), E::Withdrawn { node: node(1) }).unwrap();
        assert_eq!(effects, [Effect::WithdrawSession { node: node(1) }]);
        assert_eq!(
            task.state(),
            &S::Queued {
                client: Client::Awaited
            }
        );
        task.apply(at(1), E::Assigned { node: node(1) }).unwrap();
        task.apply(at(1), E::ClientCheckedIn).unwrap();
        assert!(task.apply(at(1), E::Withdrawn { node: node(1) }).is_err());
    }
}

fn running(kind: TaskKind) -> Task {
    let mut task = Task::new(kind, DEADLINE);
    for event in [
        E::Assigned { node: node(1) },
        E::ClientCheckedIn,
        E::Progressed { node: node(1) },
    ] {
        task.apply(at(1), event).unwrap();
    }
    assert_eq!(task.state(), &S::Running { node: node(1) });
    task
}

#[test]
fn a_lost_node_gives_a_deploy_back_and_keeps_a_capture() {
    let mut deploy = running(TaskKind::Deploy);
    deploy.apply(at(2), E::NodeLost { node: node(1) }).unwrap();
    assert_eq!(
        deploy.state(),
        &S::Queued {
            client: Client::CheckedIn
        }
    );
    deploy.apply(at(3), E::Assigned { node: node(2) }).unwrap();
    assert_eq!(deploy.state(), &S::CheckedIn { node: node(2) });

    let mut capture = running(TaskKind::Capture);
    assert!(capture.apply(at(2), E::NodeLost { node: node(1) }).is_err());
    assert_eq!(capture.state(), &S::Running { node: node(1) });
}

#[test]
fn a_node_without_the_image_gives_a_deploy_back_until_bytes_have_moved() {
    let one = node(1);
    let lacks = E::NodeLacks { node: one };
    for (checked_in, client) in [(false, Client::Awaited), (true, Client::CheckedIn)] {
        let mut task = Task::new(TaskKind::Deploy, DEADLINE);
        task.apply(at(1), E::Assigned { node: one }).unwrap();
        if checked_in {
            task.apply(at(1), E::ClientCheckedIn).unwrap();
        }
        let effects = task.apply(at(2), lacks.clone()).unwrap();
        assert!(
            matches!(&effects[..], [Effect::WithdrawSession { node }] if *node == one),
            "the end of a session would be reported, and end the task: {effects:?}"
        );
        assert_eq!(task.state(), &S::Queued { client });
        // It is nobody's fault: the node may have the task again.
        task.apply(at(3), E::Assigned { node: one }).unwrap();
    }
    for kind in [TaskKind::Deploy, TaskKind::Capture] {
        assert!(running(kind).apply(at(2), lacks.clone()).is_err());
    }
}

#[test]
fn a_client_that_finished_with_its_former_node_has_finished() {
    let mut task = running(TaskKind::Deploy);
    task.apply(at(2), E::NodeLost { node: node(1) }).unwrap();
    task.apply(at(3), E::Assigned { node: node(2) }).unwrap();
    let effects = task
        .apply(
            at(4),
            E::Ended {
                node: node(1),
                outcome: Outcome::Complete,
            },
        )
        .unwrap();
    assert!(matches!(
        task.state(),
        S::Finished {
            outcome: Outcome::Complete,
            ..
        }
    ));
    assert_eq!(
        effects,
        vec![Effect::CloseSession {
            node: node(2),
            reason: "the task is complete".into()
        }]
    );
}

/// A machine that checks in again can lose its node, while its first client ends there.
#[test]
fn a_client_that_finished_while_its_task_left_the_node_has_finished() {
    let (one, two) = (node(1), node(2));
    let mut task = Task::new(TaskKind::Deploy, DEADLINE);
    task.apply(at(1), E::Assigned { node: one }).unwrap();
    task.apply(at(1), E::ClientCheckedIn).unwrap();
    task.apply(at(2), E::NodeLacks { node: one }).unwrap();
    task.apply(at(3), E::Assigned { node: two }).unwrap();
    let outcome = Outcome::Complete;
    let ended = E::Ended { node: one, outcome };
    task.apply(at(4), ended).unwrap();
    assert!(matches!(task.state(), S::Finished { .. }));
}

#[test]
fn a_node_at_fault_is_not_tried_again() {
    let mut task = running(TaskKind::Deploy);
    let damaged = Outcome::Failed {
        reason: "chunk 12 is damaged".into(),
        node_at_fault: true,
    };
    task.apply(
        at(2),
        E::Ended {
            node: node(1),
            outcome: damaged,
        },
    )
    .unwrap();
    assert_eq!(
        task.apply(at(3), E::Assigned { node: node(1) }),
        Err(TransitionError::WrongNode(node(1)))
    );
    task.apply(at(3), E::NoNodeLeft).unwrap();
    let S::Finished {
        outcome: Outcome::Failed { reason, .. },
        ..
    } = task.state()
    else {
        panic!("{:?}", task.state())
    };
    assert!(reason.contains("chunk 12 is damaged"), "{reason}");
}

#[test]
fn nothing_is_complete_without_a_client() {
    let mut task = Task::new(TaskKind::Deploy, DEADLINE);
    task.apply(at(0), E::Assigned { node: node(1) }).unwrap();
    assert!(
        task.apply(
            at(1),
            E::Ended {
                node: node(1),
                outcome: Outcome::Complete
            }
        )
        .is_err()
    );
}

#[test]
fn the_deadline_does_not_come_early() {
    let mut task = Task::new(TaskKind::Capture, DEADLINE);
    assert_eq!(
        task.apply(at(999), E::DeadlinePassed),
        Err(TransitionError::NotYet)
    );
    task.apply(DEADLINE, E::DeadlinePassed).unwrap();
    assert!(task.state().is_finished());
}
