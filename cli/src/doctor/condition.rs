//! What the server says about plugins, failed tasks and missing copies, and whether agents could
//! connect to it.

use foghorn_rest_types::condition::{Condition, LinkPlace};

use super::{Finding, reach, tls};
use crate::api::{Api, ApiError};
use crate::context::Context;
use crate::human::Zone;

pub(super) fn check(api: &Api, context: &Context, zone: Zone) -> Vec<Finding> {
    let condition = match api.get::<Condition>("/foghorn/v1/condition") {
        Ok(condition) => condition,
        // A server of an earlier version.
        Err(ApiError::NotFound(_)) => return Vec::new(),
        Err(error) => {
            return vec![Finding::warn(
                "condition",
                error.to_string(),
                "see the server's log",
            )];
        }
    };
    let mut findings = Vec::new();
    if let Some(pem) = &context.ca_pem {
        findings.push(link(&condition.link, pem, zone));
    }
    findings.extend(plugins(&condition));
    findings.push(failed(&condition));
    findings.extend(behind(&condition));
    findings
}

/// The handshake of an agent, without its certificate.
fn link(place: &LinkPlace, pem: &str, zone: Zone) -> Finding {
    let (host, port) = tls::split(&place.address);
    if let Err(error) = tls::connect(host, port) {
        return Finding::warn(
            "link",
            format!("TCP {port} at {host} cannot be reached from here: {error}"),
            format!(
                "agents of further storage nodes need it: open TCP {port} on the server, or set link.advertise to an address that they reach"
            ),
        );
    }
    match tls::handshake((host, port), &place.server_name, pem) {
        Ok(end) => super::certificate::judge(
            "link",
            end,
            (jiff::Timestamp::now(), zone),
            "restart the server, which makes a new certificate",
        ),
        Err(error) => reach::handshake_failed("link", &error, &place.address),
    }
}

fn plugins(condition: &Condition) -> Vec<Finding> {
    let each = condition.plugins.iter().map(|plugin| {
        let what = if plugin.suspended {
            "is suspended, because it failed too often"
        } else {
            "cannot be used"
        };
        Finding::warn(
            "plugins",
            format!("{} {what}: {}", plugin.name, plugin.error),
            "correct its file, which is read again by itself, or switch the plugin off",
        )
    });
    each.collect()
}

fn failed(condition: &Condition) -> Finding {
    let Some(commonest) = condition.failed.first() else {
        return Finding::ok("tasks", "none has failed in the last 24 hours");
    };
    let tasks = match condition.failed_count {
        1 => "1 task has".to_owned(),
        count => format!("{count} tasks have"),
    };
    let most = match (condition.failed.len(), commonest.count) {
        (1, _) => format!(": {}", commonest.reason),
        (_, times) => format!(", most often ({times}): {}", commonest.reason),
    };
    Finding::warn(
        "tasks",
        format!("{tasks} failed in the last 24 hours{most}"),
        "`foghorn task list` shows them, `foghorn task show TASK` the reason of each",
    )
}

fn behind(condition: &Condition) -> Vec<Finding> {
    let each = condition.behind.iter().map(|behind| {
        let missing: Vec<&str> = behind.missing.iter().map(|node| node.name.as_str()).collect();
        Finding::warn(
            "replicas",
            format!(
                "the file of snapin {} is not yet on {}",
                behind.snapin.name,
                missing.join(", ")
            ),
            "it is copied by itself while a node that has it and these are online; see the log of the server if that lasts",
        )
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use foghorn_rest_types::condition::{FailedTasks, PluginTrouble, SnapinBehind};
    use foghorn_rest_types::native::Named;
    use foghorn_types::{SnapinId, StorageNodeId};

    use super::*;
    use crate::doctor::Verdict;

    fn condition() -> Condition {
        let failed = |reason: &str, count| FailedTasks {
            reason: reason.to_owned(),
            count,
        };
        Condition {
            link: LinkPlace {
                address: "10.0.0.1:8444".to_owned(),
                server_name: "controller".to_owned(),
            },
            plugins: vec![PluginTrouble {
                name: "location".to_owned(),
                suspended: true,
                error: "stack overflow".to_owned(),
            }],
            failed: vec![failed("disk full", 3), failed("stopped", 1)],
            failed_count: 4,
            behind: vec![SnapinBehind {
                snapin: Named {
                    id: SnapinId::new(1).unwrap(),
                    name: "office".to_owned(),
                },
                missing: vec![Named {
                    id: StorageNodeId::new(2).unwrap(),
                    name: "south".to_owned(),
                }],
            }],
        }
    }

    #[test]
    fn the_commonest_reason_of_failures_is_said() {
        let mut condition = condition();
        let finding = failed(&condition);
        assert_eq!(finding.verdict, Verdict::Warn);
        assert_eq!(
            finding.found,
            "4 tasks have failed in the last 24 hours, most often (3): disk full"
        );
        condition.failed.truncate(1);
        condition.failed_count = 1;
        assert_eq!(
            failed(&condition).found,
            "1 task has failed in the last 24 hours: disk full"
        );
        condition.failed.clear();
        assert_eq!(failed(&condition).verdict, Verdict::Ok);
    }

    #[test]
    fn suspended_plugins_and_missing_copies_are_named() {
        let plugin = &plugins(&condition())[0];
        assert!(plugin.found.contains("location is suspended"), "{plugin:?}");
        let behind = &behind(&condition())[0];
        assert_eq!(
            behind.found,
            "the file of snapin office is not yet on south"
        );
    }
}
