//! Storage nodes: does one exist, are they online, how much free space do they have.

use foghorn_rest_types::fog::StorageNode;
use foghorn_rest_types::native::{NodeList, NodeStatus, OrphanList};

use super::Finding;
use crate::api::{Api, ApiError};

/// Free share of a disk, in per cent, below which a capture may run out of space.
const LITTLE: u64 = 10;
const ALMOST_NOTHING: u64 = 2;

pub(super) fn check(api: &Api) -> Vec<Finding> {
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
        Ok(list) => findings.extend(list.nodes.iter().filter(|node| node.online).map(space)),
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
    let todo =
        "start foghorn-agent there and see its log; `foghorn node join-token NAME` adds a new node";
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
    // Below this a node refuses captures; four times that lets somebody act.
    let keep_free = node.keep_free_bytes;
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
    use foghorn_types::{ByteCount, StorageNodeId};

    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_full_disk_is_found_before_a_capture_finds_it() {
        let mut node = NodeStatus {
            id: StorageNodeId::new(1).unwrap(),
            name: "north".into(),
            online: true,
            disk_total_bytes: ByteCount::from_mib(1000),
            disk_free_bytes: ByteCount::ZERO,
            keep_free_bytes: ByteCount::from_mib(1),
            chunks_path: "/chunks".into(),
            problem: None,
            stored_bytes: ByteCount::from_mib(1),
            chunks: 1,
            active_transfers: 0,
        };
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
    fn no_node_at_all_is_a_failure() {
        assert_eq!(online(&[]).verdict, Verdict::Fail);
    }
}
