//! Storage nodes: does one exist, are they online, how much free space do they have.

use foghorn_rest_types::fog::StorageNode;
use foghorn_rest_types::native::{DamagedContent, ImageStatus, NodeList, NodeStatus, OrphanList};

use jiff::Timestamp;

use super::certificate::judge;
use super::{Finding, Verdict, cold, quic};
use crate::api::{Api, ApiError};
use crate::context::Context;
use crate::human::Zone;
use crate::verbs::damage;

/// Free share of a disk, in per cent, below which a capture may run out of space.
const LITTLE: u64 = 10;
const ALMOST_NOTHING: u64 = 2;

pub(super) fn check(api: &Api, context: &Context, zone: Zone) -> Vec<Finding> {
    let nodes = match api.list::<StorageNode>() {
        Ok(nodes) => nodes,
        Err(error) => {
            return vec![Finding::fail(
                "nodes",
                error.to_string(),
                "see the server's log",
            )];
        }
    };
    let enabled: Vec<&StorageNode> = nodes
        .iter()
        .map(|row| &row.view)
        .filter(|node| node.enabled)
        .collect();
    let mut findings = vec![online(&enabled)];
    match api.get::<NodeList>("/foghorn/v1/nodes") {
        Ok(list) => {
            findings.extend(list.nodes.iter().filter(|node| node.online).map(space));
            let now = (Timestamp::now(), zone);
            findings.extend(list.nodes.iter().filter_map(|node| certificate(node, now)));
            if let Some(pem) = &context.ca_pem {
                findings.extend(quic::check(&list.nodes, pem));
            }
            findings.extend(damage(api, &list.nodes));
            findings.extend(cold::check(&list.nodes));
        }
        Err(ApiError::NotFound(_)) => findings.push(Finding::warn(
            "space",
            "this server does not report the free space of its nodes",
            "check their disks yourself",
        )),
        Err(error) => findings.push(Finding::warn(
            "space",
            error.to_string(),
            "see the server's log",
        )),
    }
    findings.extend(orphans(api));
    findings
}

/// An agent renews its certificate after two thirds of its life; one that is close to its end was
/// not renewed.
fn certificate(node: &NodeStatus, now: (Timestamp, Zone)) -> Option<Finding> {
    let end: Timestamp = node.certificate_ends.as_ref()?.parse().ok()?;
    let finding = judge(
        "certificate",
        end,
        now,
        &format!(
            "see the log of foghorn-agent on {name}; enrol it again with `foghorn node join-token {name}`",
            name = node.name
        ),
    );
    (finding.verdict != Verdict::Ok).then(|| Finding {
        found: format!("of node {}: {}", node.name, finding.found),
        ..finding
    })
}

/// Most lines about damage; a disk that has failed damages everything.
const MOST_DAMAGED: usize = 20;

/// What nodes cannot give out whole.
fn damage(api: &Api, nodes: &[NodeStatus]) -> Vec<Finding> {
    let all: Vec<&DamagedContent> = nodes.iter().flat_map(|node| &node.damaged).collect();
    if all.is_empty() {
        return vec![Finding::ok("damage", "none is known on the storage nodes")];
    }
    let mut findings: Vec<Finding> = all
        .iter()
        .take(MOST_DAMAGED)
        .map(|one| damaged(one, &elsewhere(api, one)))
        .collect();
    if all.len() > MOST_DAMAGED {
        findings.push(Finding::fail(
            "damage",
            format!("and {} more", all.len() - MOST_DAMAGED),
            "`foghorn node show NODE` lists them all",
        ));
    }
    findings
}

/// Other nodes that should have the same whole.
fn elsewhere(api: &Api, damage: &DamagedContent) -> Vec<String> {
    let Some(image) = &damage.image else {
        return Vec::new();
    };
    let status = api.get::<ImageStatus>(&format!("/foghorn/v1/images/{}", image.id));
    let content = status.ok().and_then(|status| status.content);
    let Some(content) = content.filter(|content| Some(content.manifest) == damage.manifest) else {
        return Vec::new();
    };
    let damaged: Vec<_> = content.damaged.iter().map(|one| one.node.id).collect();
    let nodes = content.nodes.into_iter();
    nodes
        .filter(|node| !damaged.contains(&node.id))
        .map(|node| node.name)
        .collect()
}

fn damaged(damage: &DamagedContent, elsewhere: &[String]) -> Finding {
    let node = &damage.node.name;
    let found = format!(
        "{} is damaged on storage node {node}: {}",
        damage::named(damage),
        damage::in_words(damage)
    );
    let check = format!("check the disk of {node}");
    let todo = match (&damage.image, damage.version) {
        (Some(image), Some(_)) => {
            let name = &image.name;
            let other = if elsewhere.is_empty() {
                String::new()
            } else {
                format!("deploys use it from {} meanwhile; ", elsewhere.join(", "))
            };
            format!(
                "{other}{check}, then capture the image again (`foghorn image capture {name} --host HOST`), \
                 or make an earlier version the present one (`foghorn image undo {name}`), \
                 or give up a damaged earlier one (`foghorn image versions {name} --drop NUMBER`)"
            )
        }
        (Some(_), None) => {
            format!("{check}; `foghorn image orphans` lists what no image has")
        }
        (None, _) => match damage.snapins.first() {
            Some(snapin) => format!(
                "{check}, then upload the file of snapin {} again",
                snapin.name
            ),
            None => format!("{check}; `foghorn image orphans` lists what no snapin has"),
        },
    };
    Finding::fail("damage", found, todo)
}

fn orphans(api: &Api) -> Option<Finding> {
    // A server from before has no such list.
    let list: OrphanList = api.get("/foghorn/v1/orphans").ok()?;
    Some(match list.orphans.len() {
        0 => Finding::ok("content", "all of it belongs to an image or a snapin"),
        count => Finding::warn(
            "content",
            format!("storage nodes hold {count} contents that nothing here has"),
            "`foghorn image orphans` lists them, to be adopted or dropped",
        ),
    })
}

fn online(enabled: &[&StorageNode]) -> Finding {
    let away: Vec<&str> = enabled
        .iter()
        .filter(|node| !node.online)
        .map(|node| node.name.as_str())
        .collect();
    let there = enabled.len() - away.len();
    let todo = "see the log there (`journalctl -u foghorn-serve`, or foghorn-agent) and start it; `foghorn node join-token NAME` lets a node join anew, or adds one";
    match (there, away.as_slice()) {
        (0, _) => Finding::fail(
            "nodes",
            "no storage node is online: nothing can be captured or deployed",
            todo,
        ),
        (_, []) => Finding::ok("nodes", format!("{there} online")),
        (_, away) => Finding::warn(
            "nodes",
            format!("{there} online, offline: {}", away.join(", ")),
            todo,
        ),
    }
}

fn space(node: &NodeStatus) -> Finding {
    let (free, total) = (node.disk_free_bytes, node.disk_total_bytes);
    let share = free
        .bytes()
        .saturating_mul(100)
        .checked_div(total.bytes())
        .unwrap_or(0);
    let place = if node.chunks_path.is_empty() {
        String::new()
    } else {
        format!(" in {}", node.chunks_path)
    };
    let found = format!(
        "{}: {free} of {total} free{place}, {} in images",
        node.name, node.stored_bytes
    );
    if let Some(problem) = &node.problem {
        return Finding::fail("space", found, problem);
    }
    let keep_free = node.keep_free_bytes;
    if free < keep_free && total.bytes() > 0 {
        return Finding::fail(
            "space",
            format!("{found}: the node is at its reserve of {keep_free} and takes no captures"),
            format!(
                "delete images and run `foghorn node sweep {} --now`, or give the node a larger disk",
                node.name
            ),
        );
    }
    // Four times the reserve lets somebody act.
    if free.bytes() < keep_free.bytes().saturating_mul(4) && total.bytes() > 0 {
        return Finding::warn(
            "space",
            format!("{found}; captures are refused below {keep_free}"),
            format!(
                "delete images and run `foghorn node sweep {} --now`, or give the node a larger disk",
                node.name
            ),
        );
    }
    let todo = "delete images that are no longer needed, or give the node a larger disk";
    match share {
        _ if total.bytes() == 0 => Finding::warn(
            "space",
            format!("{}: not reported yet", node.name),
            "try again",
        ),
        0..=ALMOST_NOTHING => Finding::fail("space", found, todo),
        share if share <= LITTLE => Finding::warn("space", found, todo),
        _ => Finding::ok("space", found),
    }
}

#[cfg(test)]
mod tests {
    use foghorn_types::ByteCount;

    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_full_disk_is_found_before_a_capture_finds_it() {
        let reported = serde_json::json!({"id": 1, "name": "north", "online": true,
            "disk_total_bytes": ByteCount::from_mib(1000), "disk_free_bytes": 0,
            "keep_free_bytes": ByteCount::from_mib(1), "chunks_path": "/chunks",
            "stored_bytes": ByteCount::from_mib(1), "chunks": 1, "active_transfers": 0});
        let mut node: NodeStatus = serde_json::from_value(reported).unwrap();
        let mut verdict = |free| {
            node.disk_free_bytes = ByteCount::from_mib(free);
            space(&node).verdict
        };
        assert_eq!(
            [verdict(500), verdict(80), verdict(10)],
            [Verdict::Ok, Verdict::Warn, Verdict::Fail]
        );
        node.keep_free_bytes = ByteCount::from_mib(150);
        node.disk_free_bytes = ByteCount::from_mib(500);
        let finding = space(&node);
        assert_eq!(finding.verdict, Verdict::Warn);
        assert!(
            finding.found.contains("150 MiB") && finding.found.contains("/chunks"),
            "{finding:?}"
        );
        node.problem = Some("the file system is full".into());
        let finding = space(&node);
        assert_eq!(
            (finding.verdict, finding.todo),
            (Verdict::Fail, node.problem)
        );
    }

    #[test]
    fn a_certificate_that_was_not_renewed_is_named_with_its_node() {
        let now: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        let with = |end: &str| {
            let node: Result<NodeStatus, _> = serde_json::from_value(serde_json::json!({
                "id": 1, "name": "north", "online": true, "disk_total_bytes": 0,
                "disk_free_bytes": 0, "stored_bytes": 0, "chunks": 0, "active_transfers": 0,
                "certificate_ends": end,
            }));
            certificate(&node.unwrap(), (now, Zone::Utc))
        };
        assert_eq!(with("2026-12-21T00:00:00Z"), None);
        let soon = with("2026-11-22T00:00:00Z").unwrap();
        assert_eq!(soon.verdict, Verdict::Warn);
        assert!(
            soon.found.starts_with("of node north: valid until"),
            "{soon:?}"
        );
        assert_eq!(with("2026-11-20T00:00:00Z").unwrap().verdict, Verdict::Fail);
    }

    #[test]
    fn damage_names_what_and_where_and_what_to_do() {
        let one: DamagedContent = serde_json::from_value(serde_json::json!({
            "node": {"id": 1, "name": "north"},
            "image": {"id": 7, "name": "win11"},
            "version": 3,
            "manifest": "a".repeat(64),
            "file": null,
            "snapins": [],
            "chunks": 2,
            "found": "2026-11-29T15:04:05Z",
            "problem": "its record in the pack is damaged",
        }))
        .unwrap();
        let finding = damaged(&one, &["south".to_owned()]);
        assert_eq!(finding.verdict, Verdict::Fail);
        let text = format!("{} {}", finding.found, finding.todo.unwrap());
        for part in [
            "image win11, version 3,",
            "north: 2 chunks",
            "from south meanwhile",
            "foghorn image capture win11",
            "foghorn image undo win11",
        ] {
            assert!(text.contains(part), "{part:?} is missing in {text}");
        }
        let file = DamagedContent {
            image: None,
            version: None,
            manifest: None,
            snapins: vec![foghorn_rest_types::native::Named {
                id: foghorn_types::SnapinId::new(1).unwrap(),
                name: "tools".to_owned(),
            }],
            ..one
        };
        let finding = damaged(&file, &[]);
        assert!(
            finding.found.contains("the file of snapin tools"),
            "{finding:?}"
        );
    }

    #[test]
    fn no_node_at_all_is_a_failure() {
        assert_eq!(online(&[]).verdict, Verdict::Fail);
    }
}
