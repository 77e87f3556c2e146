//! Storage nodes as people see them.

use foghorn_rest_types::native::{NodeCheck, NodeStatus, SilenceState};

use super::damage;
use super::object::dash;
use super::replication::in_bucket;
use crate::human::{self, argument, count, yes_no};
use crate::native::Native;
use crate::output::{Output, Table};
use crate::sheet::Sheet;

const COLUMNS: [&str; 11] = [
    "ID", "NAME", "GROUP", "MASTER", "ENABLED", "ONLINE", "FREE", "STORED", "IMAGES", "ADDRESS",
    "VERSION",
];

pub(super) fn table(output: Output, nodes: &[Native<NodeStatus>]) -> Table {
    let mut table = Table::new(&COLUMNS);
    for node in nodes.iter().map(|node| &node.view) {
        table.row([
            node.id.to_string(),
            node.name.clone(),
            dash(node.storage_group.as_ref().map(|group| &group.name)),
            yes_no(node.master).to_owned(),
            tasks(node).to_owned(),
            online(output, node),
            dash(room(node)),
            dash(room(node).map(|_| node.stored_bytes)),
            node.image_count.to_string(),
            address(node).to_owned(),
            dash(Some(&node.software).filter(|software| !software.is_empty())),
        ]);
    }
    table
}

/// Whether it is there, and otherwise what it is taken for.
fn online(output: Output, node: &NodeStatus) -> String {
    match &node.silent {
        Some(silence) => {
            let what = match silence.state {
                SilenceState::Suspected => "suspected",
                SilenceState::Failed => "failed",
            };
            format!("no, {what} since {}", output.time(&silence.since))
        }
        None => yes_no(node.online).to_owned(),
    }
}

fn tasks(node: &NodeStatus) -> &'static str {
    match (&node.cordoned, &node.cloned) {
        (_, Some(_)) => "refused",
        (Some(_), None) => "cordoned",
        (None, None) => yes_no(node.enabled),
    }
}

/// Where clients reach it, or before its agent has connected what was entered.
fn address(node: &NodeStatus) -> &str {
    match (node.address.as_str(), node.ip.as_str()) {
        ("", "") => "-",
        ("", entered) => entered,
        (address, _) => address,
    }
}

fn room(node: &NodeStatus) -> Option<String> {
    let (free, total) = (node.disk_free_bytes, node.disk_total_bytes);
    (total.bytes() > 0).then(|| format!("{free} of {total}"))
}

pub(super) fn sheet(output: Output, node: &NodeStatus) -> Sheet {
    let mut sheet = Sheet::new(format!("storage node {} (id {})", node.name, node.id));
    sheet.maybe("description", Some(node.description.as_str()));
    let group = node.storage_group.as_ref().map(|group| &*group.name);
    sheet.field("storage group", group.unwrap_or("none"));
    sheet.field("receives captures", yes_no(node.master));
    sheet.field("enabled", yes_no(node.enabled));
    if let Some(cordon) = &node.cordoned {
        let since = output.time(&cordon.since);
        let text = match cordon.reason.as_str() {
            "" => format!("since {since}: it gets no new tasks"),
            reason => format!("since {since}: {reason}"),
        };
        sheet.field("cordoned", text);
    }
    if let Some(at) = &node.cloned {
        let text = format!(
            "since {}: two machines use its certificate; end one, then `foghorn node readmit {}`",
            output.time(at),
            argument(&node.name, node.id.get())
        );
        sheet.field("refused", text);
    }
    sheet.field(
        "transfers",
        format!(
            "{} now, {} at most",
            node.active_transfers, node.max_clients
        ),
    );
    sheet.group("agent");
    sheet.field("online", online(output, node));
    if !node.online {
        let seen = node.last_seen.as_deref().map(|at| output.time(at));
        let seen = seen.unwrap_or_else(|| "not since the server started".to_owned());
        sheet.field("last seen", seen);
    }
    sheet.field("address", address(node));
    sheet.maybe("version", Some(node.software.as_str()));
    let label = if node.revoked { "revoked" } else { "enrolled" };
    let enrolled = node.enrolled.as_deref().map(|at| output.time(at));
    sheet.field(label, enrolled.unwrap_or_else(|| "never".to_owned()));
    let ends = node.certificate_ends.as_deref().map(|at| output.time(at));
    sheet.maybe("certificate ends", ends);
    sheet.group("storage");
    sheet.maybe("problem", node.problem.as_deref());
    sheet.maybe("free", room(node));
    if room(node).is_some() {
        sheet.field("kept free", node.keep_free_bytes.to_string());
        sheet.field(
            "stored",
            format!("{} in {} chunks", node.stored_bytes, node.chunks),
        );
    }
    sheet.maybe("folder", Some(node.chunks_path.as_str()));
    sheet.lines(
        "damaged",
        node.damaged
            .iter()
            .map(|one| format!("{}: {}", damage::named(one), damage::in_words(one))),
    );
    if node.unverified_count > 0 {
        let text = format!(
            "{}, which count again when that is done: `foghorn replication status`",
            count(node.unverified_count as usize, "image")
        );
        sheet.field("verifies again", text);
    }
    sheet.maybe("check", node.check.as_ref().map(|one| check(output, one)));
    if let Some(cold) = &node.cold {
        sheet.group("cold copies");
        sheet.maybe("problem", cold.problem.as_deref());
        let since = cold.problem_since.as_deref().map(|at| output.time(at));
        sheet.maybe("since", since);
        sheet.field("bucket", cold.bucket.as_str());
        sheet.field("prefix", cold.prefix.as_str());
        sheet.field("there", cold.bucket_bytes.to_string());
        sheet.field(
            "read again",
            format!("{} kept, {} at most", cold.cache_bytes, cold.limit_bytes),
        );
        let lines = cold.images.iter().map(|one| {
            let version = one.version.map(|version| format!(" version {version}"));
            let (name, version) = (&one.image.name, version.unwrap_or_default());
            format!("{name}{version}: {}", in_bucket(&one.copy))
        });
        sheet.lines("contents", lines);
    }
    let images = node.images.iter().flatten();
    sheet.lines("images", images.map(|image| image.name.clone()));
    sheet
}

/// How the check of everything is getting on.
fn check(output: Output, check: &NodeCheck) -> String {
    let last = match &check.last {
        None => "none has ended yet".to_owned(),
        Some(at) => format!(
            "the last one ended at {} and found {}",
            output.time(at),
            count(
                usize::try_from(check.damaged).unwrap_or(usize::MAX),
                "damaged chunk"
            )
        ),
    };
    if !check.running {
        return last;
    }
    let now = human::percent(check.done.into(), check.total.into());
    match check.waits_for.as_str() {
        "" => format!("{now:.0} % done; {last}"),
        reason => format!("{now:.0} % done, waits {reason}; {last}"),
    }
}

/// What one usually does with a node next.
pub(super) fn next(node: &NodeStatus) -> String {
    let name = argument(&node.name, node.id.get());
    if node.enrolled.is_none() || node.revoked {
        format!("foghorn node join-token {}", node.name)
    } else {
        format!("foghorn node show {name}")
    }
}

#[cfg(test)]
mod tests {
    use foghorn_rest_types::native::NodeSilence;
    use foghorn_types::{ByteCount, StorageNodeId};

    use super::*;
    use crate::human::Zone;
    use crate::output::Format;

    fn node() -> NodeStatus {
        let value = serde_json::json!({"id": 1, "name": "north", "online": false,
            "disk_total_bytes": 0, "disk_free_bytes": 0, "stored_bytes": 0, "chunks": 0,
            "active_transfers": 0, "ip": "10.0.0.5"});
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_node_is_shown_with_its_room_and_its_certificate() {
        let output = Output {
            format: Format::Table,
            quiet: false,
            zone: Zone::Utc,
        };
        let text = sheet(output, &node()).render();
        for part in ["never", "not since the server started", "10.0.0.5"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert_eq!(next(&node()), "foghorn node join-token north");
        let known = NodeStatus {
            id: StorageNodeId::new(1).unwrap(),
            online: true,
            address: "10.0.0.5:7472".into(),
            enrolled: Some("2026-01-01T00:00:00Z".into()),
            certificate_ends: Some("2027-01-01T00:00:00Z".into()),
            unverified_count: 2,
            check: Some(NodeCheck {
                running: true,
                done: 64,
                total: 256,
                last: Some("2026-06-01T00:00:00Z".into()),
                damaged: 1,
                waits_for: "for the night".into(),
            }),
            disk_total_bytes: ByteCount::from_mib(2048),
            disk_free_bytes: ByteCount::from_mib(512),
            ..node()
        };
        let text = sheet(output, &known).render();
        for part in [
            "512 MiB of 2.00 GiB",
            "2027-01-01 00:00:00 +0000",
            "10.0.0.5:7472",
            "2 images, which count again",
            "25 % done, waits for the night; the last one ended at 2026-06-01 00:00:00 +0000 and found 1 damaged chunk",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert_eq!(next(&known), "foghorn node show north");
        let silent = NodeStatus {
            online: false,
            silent: Some(NodeSilence {
                state: SilenceState::Failed,
                since: "2026-11-29T10:00:00Z".into(),
            }),
            ..known
        };
        let text = sheet(output, &silent).render();
        assert!(
            text.contains("no, failed since 2026-11-29 10:00:00 +0000"),
            "{text}"
        );
    }
}
