//! Does the server answer, does it accept our tokens, is its store ready.

use foghorn_rest_types::store::StoreCondition;
use foghorn_types::ByteCount;
use serde_json::Value;

use super::Finding;
use crate::api::{Api, ApiError};
use crate::exit::Failure;

/// A large import or some days of audit log fit into this.
const LITTLE_FOR_THE_STORE: ByteCount = ByteCount::from_mib(100);

pub(super) fn check(api: &Api) -> Vec<Finding> {
    let mut findings = Vec::new();
    match api.text("GET", "/healthz", None::<&Value>) {
        Ok(_) => findings.push(Finding::ok("server", "answers")),
        Err(error @ ApiError::Unreachable { .. }) => {
            let todo = "check the address, the network, and that the server is running";
            return vec![Finding::fail(
                "server",
                Failure::from(error).in_one_line(),
                todo,
            )];
        }
        // An older server may not have this route, but it does answer.
        Err(error) => findings.push(Finding::warn(
            "server",
            error.to_string(),
            "see the server's log",
        )),
    }
    findings.push(match api.text("GET", "/fog/system/info", None::<&Value>) {
        Ok(_) => Finding::ok("tokens", "accepted"),
        Err(error @ ApiError::Credentials { .. }) => Finding::fail(
            "tokens",
            error.to_string(),
            "run `foghorn login` with valid tokens",
        ),
        Err(error) => Finding::fail("tokens", error.to_string(), "see the server's log"),
    });
    findings.push(match api.get::<StoreCondition>("/foghorn/v1/store") {
        Ok(condition) => store(&condition),
        // An older server, or tokens that were refused above.
        Err(_) => readiness(api),
    });
    findings
}

fn store(condition: &StoreCondition) -> Finding {
    let room = match (condition.free_bytes, condition.total_bytes) {
        (Some(free), Some(total)) => format!(", {free} of {total} free"),
        _ => String::new(),
    };
    let used = condition
        .used_bytes
        .map_or_else(String::new, |used| format!(", uses {used}"));
    let stale = condition.stale_seconds.map_or_else(String::new, |seconds| {
        format!("; what the server shows is {seconds} s old")
    });
    let place = format!(
        "{} in {}{used}{room}{stale}",
        condition.engine, condition.place
    );
    let problem = condition.problem.as_deref();
    match (condition.writable, problem) {
        (false, problem) => Finding::fail(
            "store",
            format!("cannot be written: {place}"),
            problem.unwrap_or("see the server's log"),
        ),
        (true, Some(problem)) => Finding::warn("store", place, problem),
        (true, None) if is_nearly_full(condition) => Finding::warn(
            "store",
            place,
            "make room on its file system: when it is full, nothing can be changed or ordered",
        ),
        (true, None) => Finding::ok("store", format!("ready, {place}")),
    }
}

fn is_nearly_full(condition: &StoreCondition) -> bool {
    condition
        .free_bytes
        .is_some_and(|free| free < LITTLE_FOR_THE_STORE)
}

fn readiness(api: &Api) -> Finding {
    match api.text("GET", "/readyz", None::<&Value>) {
        Ok(_) => Finding::ok("store", "ready"),
        Err(error) => Finding::fail(
            "store",
            error.to_string(),
            "check the state store: the disk of the embedded store, or the members of etcd",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_full_store_is_named_with_its_place_and_its_room() {
        let mut condition = StoreCondition {
            engine: "embedded".into(),
            place: "/data/store.redb".into(),
            free_bytes: Some(ByteCount::from_mib(3000)),
            total_bytes: Some(ByteCount::from_mib(4000)),
            used_bytes: Some(ByteCount::from_mib(2)),
            writable: true,
            problem: None,
            alarm: None,
            stale_seconds: None,
            members: Vec::new(),
        };
        assert_eq!(store(&condition).verdict, Verdict::Ok);
        condition.free_bytes = Some(ByteCount::from_mib(8));
        assert_eq!(store(&condition).verdict, Verdict::Warn);
        condition.writable = false;
        condition.problem = Some("the file system is full: make room".into());
        let finding = store(&condition);
        assert_eq!(finding.verdict, Verdict::Fail);
        assert!(finding.found.contains("/data/store.redb"), "{finding:?}");
        assert!(finding.found.contains("8.00 MiB"), "{finding:?}");
        assert_eq!(finding.todo, condition.problem);
    }
}
