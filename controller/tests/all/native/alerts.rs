//! The alert rules name metrics that there are.

use std::collections::BTreeSet;

use crate::engine::Kind;
use crate::native::agent::Agent;
use crate::native::fleet::{Fleet, PATIENCE};

fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("foghorn_"));
    names.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_the_alerts_exists() {
    let rules = include_str!("../../../../docs/operations/alerts.yml");
    let exprs: String = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "))
        .collect::<Vec<_>>()
        .join("\n");
    let wanted = metrics_in(&exprs);
    assert!(wanted.len() > 10, "{wanted:?}");
    assert_eq!(
        exprs.lines().count(),
        rules.matches("- alert: ").count(),
        "a rule without an expression"
    );
    let mut there = BTreeSet::new();
    for kind in [Kind::Embedded, Kind::Etcd] {
        let fleet = Fleet::on(kind, |_| {}).await;
        let (keys, enrolled) = fleet.joined("north").await;
        let agent = Agent::connect(&fleet, &keys, &enrolled).await;
        fleet
            .good(
                "GET",
                &format!("/foghorn/v1/nodes/{}", enrolled.node_id),
                None,
            )
            .await;
        // etcd's members are looked at twice a second.
        let last = match kind {
            Kind::Embedded => "foghorn_store_filesystem_free_bytes",
            Kind::Etcd => "foghorn_etcd_member_up",
        };
        let begun = std::time::Instant::now();
        let text = loop {
            let (_, text) = fleet.anonymous("GET", "/metrics", None).await;
            if text.as_str().unwrap().contains(last) || begun.elapsed() > PATIENCE {
                break text;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        };
        let samples = text
            .as_str()
            .unwrap()
            .lines()
            .filter(|line| !line.starts_with('#'));
        let samples: Vec<&str> = samples.collect();
        there.extend(metrics_in(&samples.join("\n")));
        drop(agent);
        fleet.stop().await;
    }
    let missing: Vec<_> = wanted.difference(&there).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // Labels that are asked for, too.
    for label in [
        "state=\"not_heard\"",
        "state=\"damaged\"",
        "state=\"queued\"",
        "outcome=\"failed\"",
    ] {
        assert!(exprs.contains(label), "{label}");
    }
}
