//! `/metrics` as Prometheus reads it, and what the installation says about itself.

use std::collections::{HashMap, HashSet};

use serde_json::json;

use crate::native::agent::Agent;
use crate::native::fleet::Fleet;

/// A metric as its two comments describe it.
#[derive(Default)]
struct Family {
    help: String,
    kind: String,
    samples: usize,
}

/// The text format, strictly: every sample after the comments of its metric, none twice, names and
/// values well-formed.
fn families(text: &str) -> HashMap<String, Family> {
    let mut families: HashMap<String, Family> = HashMap::new();
    let mut seen = HashSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect(line);
            let family = families.entry(name.to_owned()).or_default();
            assert!(family.help.is_empty(), "described twice: {line}");
            family.help = help.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect(line);
            let family = families.entry(name.to_owned()).or_default();
            assert!(family.kind.is_empty(), "typed twice: {line}");
            family.kind = kind.to_owned();
        } else {
            let (series, value) = line.rsplit_once(' ').expect(line);
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(seen.insert(series.to_owned()), "twice: {line}");
            let name = series.split('{').next().expect("there is a first part");
            let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(
                name.starts_with("foghorn_") && name.chars().all(word),
                "{line}"
            );
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .filter(|base| families.contains_key(*base))
                .unwrap_or(name);
            let family = families.get_mut(base).expect(line);
            assert!(!family.kind.is_empty(), "no TYPE before {line}");
            family.samples += 1;
        }
    }
    families
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_described_with_its_unit_and_nodes_are_there() {
    let fleet = Fleet::new().await;
    let (keys, enrolled) = fleet.joined("north").await;
    let _agent = Agent::connect(&fleet, &keys, &enrolled).await;
    fleet.good("GET", "/foghorn/v1/nodes", None).await;
    let (status, text) = fleet.anonymous("GET", "/metrics", None).await;
    assert_eq!(status, 200);
    let text = text.as_str().expect("a text");
    let families = families(text);
    for (name, family) in &families {
        assert!(family.samples > 0, "{name} has no samples");
        assert!(family.help.ends_with('.'), "{name}: HELP {:?}", family.help);
        let kind = family.kind.as_str();
        let counts = name.ends_with("_total");
        assert_eq!(counts, kind == "counter", "{name} is a {kind}");
        if kind == "histogram" {
            assert!(name.ends_with("_seconds"), "{name}");
        }
    }
    for sample in [
        "foghorn_build_info{version=\"",
        "foghorn_store_size_bytes{engine=\"embedded\"}",
        "foghorn_store_filesystem_free_bytes{engine=\"embedded\"}",
        "foghorn_node_online{node=\"north\"} 1\n",
        "foghorn_node_disk_free_bytes{node=\"north\"} 60\n",
        "foghorn_node_disk_size_bytes{node=\"north\"} 100\n",
        "foghorn_certificate_end_timestamp_seconds{of=\"authority\",name=\"\"}",
        "foghorn_certificate_end_timestamp_seconds{of=\"controller\",name=\"\"}",
    ] {
        assert!(text.contains(sample), "{sample} is missing in\n{text}");
    }
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_condition_names_what_hinders_the_installation() {
    let fleet = Fleet::new().await;
    let path = "/foghorn/v1/condition";
    assert_eq!(fleet.anonymous("GET", path, None).await.0, 403);
    let calm = fleet.good("GET", path, None).await;
    assert_eq!(calm["failed_count"], json!(0), "{calm}");
    assert_eq!(
        calm["link"]["address"],
        json!(fleet.controller.link_address())
    );
    let folder = fleet.config.plugins_folder();
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("broken.rhai"), "this is not a script {").expect("a file");
    fleet.controller.ctx().plugins.reload().await;
    let condition = fleet.good("GET", path, None).await;
    assert_eq!(
        condition["plugins"][0]["name"],
        json!("broken"),
        "{condition}"
    );
    assert_eq!(condition["plugins"][0]["suspended"], json!(false));
    fleet.stop().await;
}
