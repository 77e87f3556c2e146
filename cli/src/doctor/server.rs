//! Does the server answer, does it accept our tokens, is its store ready.

use serde_json::Value;

use super::Finding;
use crate::api::{Api, ApiError};
use crate::exit::Failure;

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
    findings.push(match api.text("GET", "/readyz", None::<&Value>) {
        Ok(_) => Finding::ok("store", "ready"),
        Err(error) => Finding::fail(
            "store",
            error.to_string(),
            "check the state store: the disk of the embedded store, or the members of etcd",
        ),
    });
    findings
}
