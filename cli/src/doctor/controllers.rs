//! Several controllers: does the one that answers hear all the others, and are they up to date.

use foghorn_rest_types::controllers::{ControllerList, ControllerStatus};

use super::Finding;
use crate::api::{Api, ApiError};

const CHECK: &str = "controllers";
/// Changes of the store that a controller may be behind while it works.
const MOST_BEHIND: u64 = 1000;

pub(super) fn check(api: &Api) -> Vec<Finding> {
    match api.get::<ControllerList>("/foghorn/v1/controllers") {
        Ok(list) => judge(&list.controllers),
        // A server of an earlier version.
        Err(ApiError::NotFound(_)) => Vec::new(),
        Err(error) => vec![Finding::warn(
            CHECK,
            error.to_string(),
            "look at the server's log",
        )],
    }
}

/// Nothing with one controller; one line when all is well, otherwise one for each that is not.
fn judge(controllers: &[ControllerStatus]) -> Vec<Finding> {
    if controllers.len() < 2 {
        return Vec::new();
    }
    let found: Vec<Finding> = controllers.iter().filter_map(trouble).collect();
    if found.is_empty() {
        let number = controllers.len();
        return vec![Finding::ok(CHECK, format!("{number} hear each other"))];
    }
    found
}

fn trouble(controller: &ControllerStatus) -> Option<Finding> {
    let ControllerStatus { id, peers, .. } = controller;
    match controller.behind {
        None => Some(Finding::warn(
            CHECK,
            format!("the server does not hear controller {id} at {peers}"),
            "start it again, or open the port between them; one that is gone for good disappears from this list within a minute",
        )),
        Some(behind) if behind > MOST_BEHIND => Some(Finding::warn(
            CHECK,
            format!("controller {id} at {peers} is {behind} changes behind"),
            "look at its log, and at the load of its machine and of etcd",
        )),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn controller(id: &str, behind: Option<u64>) -> ControllerStatus {
        ControllerStatus {
            id: id.into(),
            answers: id == "a",
            heard: behind.is_some(),
            leaving: false,
            behind,
            peers: "h:1".into(),
            link: "h:1".into(),
            software: "s".into(),
            nodes: 0,
        }
    }

    #[test]
    fn who_is_not_heard_is_named_with_its_address() {
        assert!(judge(&[controller("a", Some(0))]).is_empty());
        let well = judge(&[controller("a", Some(0)), controller("b", Some(2))]);
        assert_eq!((well.len(), well[0].verdict), (1, Verdict::Ok));
        let found = judge(&[
            controller("a", Some(0)),
            controller("b", None),
            controller("c", Some(5000)),
        ]);
        assert_eq!(found.len(), 2);
        assert!(
            found[0].found.contains("controller b at h:1"),
            "{:?}",
            found[0]
        );
        assert!(
            found[1].found.contains("5000 changes behind"),
            "{:?}",
            found[1]
        );
    }
}
