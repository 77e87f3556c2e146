//! Cold copies: can the bucket of each node be used, and is every image in it?

use foghorn_rest_types::native::{ColdStatus, NodeStatus};

use super::Finding;

/// Of the nodes that have a bucket.
pub(super) fn check(nodes: &[NodeStatus]) -> Vec<Finding> {
    let with = nodes.iter().filter(|node| node.online);
    with.filter_map(|node| Some(bucket(node, node.cold.as_ref()?)))
        .collect()
}

fn bucket(node: &NodeStatus, cold: &ColdStatus) -> Finding {
    let name = &node.name;
    if let Some(problem) = &cold.problem {
        return Finding::fail(
            "cold",
            format!("cold copies of node {name}: {problem}"),
            format!(
                "see the section `cold` of the agent's configuration on {name}, and its log; nothing is \
                 lost, and it goes on by itself; what is only in the bucket cannot be deployed meanwhile"
            ),
        );
    }
    let stuck: Vec<String> = cold
        .images
        .iter()
        .filter_map(|image| {
            let problem = image.copy.problem.as_ref()?;
            Some(format!("{}: {problem}", image.image.name))
        })
        .collect();
    if !stuck.is_empty() {
        return Finding::warn(
            "cold",
            format!(
                "cold copies of node {name} are not complete: {}",
                stuck.join("; ")
            ),
            format!(
                "`foghorn node show {name}` lists what is damaged; it goes on when that is healed"
            ),
        );
    }
    Finding::ok(
        "cold",
        format!(
            "{name}: {} of {} images in {}, {} there, {} of {} on the node",
            cold.complete,
            cold.total,
            cold.bucket,
            cold.bucket_bytes,
            cold.cache_bytes,
            cold.limit_bytes
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_bucket_that_does_not_answer_and_an_image_that_is_stuck_are_found() {
        let reported = serde_json::json!({"id": 1, "name": "north", "online": true,
            "disk_total_bytes": 0, "disk_free_bytes": 0, "stored_bytes": 0, "chunks": 0,
            "active_transfers": 0, "cold": {"bucket": "bucket b at https://s3.example",
            "prefix": "north", "bucket_bytes": 0, "cache_bytes": 0, "limit_bytes": 0,
            "images": [{"image": {"id": 7, "name": "win11"}, "manifest": "a".repeat(64),
                "verified": 1, "total": 2, "complete": false, "away": false}]}});
        let mut node: NodeStatus = serde_json::from_value(reported).unwrap();
        assert_eq!(check(std::slice::from_ref(&node))[0].verdict, Verdict::Ok);
        let cold = node.cold.as_mut().unwrap();
        cold.images[0].copy.problem = Some("1 chunks are not whole on this node".to_owned());
        let found = &check(std::slice::from_ref(&node))[0];
        assert_eq!(found.verdict, Verdict::Warn);
        assert!(found.found.contains("win11: 1 chunks"), "{found:?}");
        node.cold.as_mut().unwrap().problem = Some("it refuses the credentials".to_owned());
        let found = &check(std::slice::from_ref(&node))[0];
        assert_eq!(found.verdict, Verdict::Fail);
        node.online = false;
        assert!(check(&[node]).is_empty());
    }
}
