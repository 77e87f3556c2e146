//! Images that are not on every storage node that is to hold them.

use foghorn_rest_types::native::{Replica, ReplicaState, ReplicationList};

use super::Finding;
use crate::api::Api;

/// Most lines about copies that do not come by themselves.
const MOST_NAMED: usize = 5;

pub(super) fn check(api: &Api) -> Vec<Finding> {
    // A server from before has no such list.
    match api.get::<ReplicationList>("/foghorn/v1/replication") {
        Ok(list) => judge(&list.replicas),
        Err(_) => Vec::new(),
    }
}

fn judge(replicas: &[Replica]) -> Vec<Finding> {
    let wanted: Vec<&Replica> = replicas.iter().filter(|one| one.wanted).collect();
    let (behind, stuck) = wanted
        .iter()
        .fold((0, Vec::new()), |(behind, mut stuck), one| {
            match one.state {
                // Damage has its own check, and stopping was somebody's wish.
                ReplicaState::Ready | ReplicaState::Damaged | ReplicaState::Stopped => {}
                ReplicaState::Failed => stuck.push(*one),
                // Why not even a first attempt is made.
                ReplicaState::Missing if !one.reason.is_empty() => stuck.push(*one),
                ReplicaState::Missing | ReplicaState::Copying | ReplicaState::Verifying => {
                    return (behind + 1, stuck);
                }
            }
            (behind, stuck)
        });
    let mut findings: Vec<Finding> = stuck
        .iter()
        .take(MOST_NAMED)
        .map(|one| {
            let (image, node) = (&one.image.name, &one.node.name);
            Finding::warn(
                "copies",
                format!(
                    "image {image} is not on storage node {node}: {}",
                    one.reason
                ),
                format!(
                    "`foghorn replication start {image} {node}` tries at once; \
                     `foghorn replication stop {image} {node}` gives it up"
                ),
            )
        })
        .collect();
    if stuck.len() > MOST_NAMED {
        findings.push(Finding::warn(
            "copies",
            format!("and {} more", stuck.len() - MOST_NAMED),
            "`foghorn replication status` lists them all",
        ));
    }
    if behind > 0 {
        findings.push(Finding::ok(
            "copies",
            format!(
                "{behind} of {} copies of images are under way: `foghorn replication status --watch`",
                wanted.len()
            ),
        ));
    } else if findings.is_empty() && !wanted.is_empty() {
        findings.push(Finding::ok(
            "copies",
            "every image is on every storage node that is to hold it",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use foghorn_types::ManifestId;
    use serde_json::json;

    use super::*;
    use crate::doctor::Verdict;

    fn replica(state: &str, reason: &str) -> Replica {
        serde_json::from_value(json!({
            "image": {"id": 7, "name": "win11"}, "node": {"id": 2, "name": "south"},
            "manifest": ManifestId::of(b"m"), "state": state, "wanted": true, "reason": reason,
        }))
        .unwrap()
    }

    fn verdicts(replicas: &[Replica]) -> Vec<Verdict> {
        judge(replicas).iter().map(|one| one.verdict).collect()
    }

    #[test]
    fn copies_that_do_not_come_are_named_and_those_under_way_are_counted() {
        let failed = replica("failed", "its disk is full");
        let findings = judge(&[failed.clone(), replica("copying", ""), replica("ready", "")]);
        assert_eq!(findings.len(), 2);
        assert_eq!(
            (findings[0].verdict, findings[1].verdict),
            (Verdict::Warn, Verdict::Ok)
        );
        assert!(
            findings[0]
                .found
                .contains("win11 is not on storage node south: its disk is full")
        );
        assert!(findings[1].found.starts_with("1 of 3"), "{findings:?}");
        assert_eq!(verdicts(&vec![failed; 9]).len(), MOST_NAMED + 1);
    }

    #[test]
    fn what_is_as_somebody_wants_it_is_fine() {
        let mut unwanted = replica("missing", "");
        unwanted.wanted = false;
        assert_eq!(verdicts(&[unwanted]), []);
        assert_eq!(
            verdicts(&[
                replica("ready", ""),
                replica("stopped", "somebody has stopped it")
            ]),
            [Verdict::Ok]
        );
    }
}
