//! Alert rules and the queries of dashboards, by Prometheus' own tool. That somebody exports what
//! they ask for is tested with real programs, in `tests/tests/e2e/watching.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::chart::{Chart, HELMS};
use crate::objects::parse;
use crate::report::Report;
use crate::tool::run;

const MOST: Duration = Duration::from_secs(60);
/// What Grafana fills in for itself, and what might be there.
const FILLED: [(&str, &str); 3] = [
    ("$__rate_interval", "5m"),
    ("$__interval", "1m"),
    ("$__range", "1h"),
];

/// # Errors
/// When a rule or a query is not valid, an alert is not raised when it should be or is when it should
/// not, or nobody looked.
pub(crate) fn check(chart: &Chart, folder: &Path, report: &mut Report) -> Result<()> {
    let file = chart.folder.join("files/alerts.yml");
    valid(&file)?;
    rendered(chart, folder)?;
    let queries = dashboards(chart)?;
    report.count("queries of dashboards", queries.len());
    let file_of_queries = folder.join("dashboards.json");
    let as_rules = json!({ "groups": [{ "name": "dashboards", "rules": queries }] });
    fs::write(&file_of_queries, as_rules.to_string())?;
    valid(&file_of_queries)?;

    let tests = chart.folder.join("tests/alerts.yml");
    let (alerts, tests_of) = (alerts(&yaml(&file)?), tried(&yaml(&tests)?));
    let untried = untried(&alerts, &tests_of);
    ensure!(
        untried.is_empty(),
        "{} lacks cases:\n{}",
        tests.display(),
        untried.join("\n")
    );
    let path = tests.to_string_lossy();
    run("promtool", ["test", "rules", &path], MOST)?.ok()?;
    report.count("alerts tried", alerts.len());
    Ok(())
}

fn valid(file: &Path) -> Result<()> {
    let path = file.to_string_lossy();
    let arguments = ["check", "rules", "--lint=all", "--lint-fatal", &path];
    run("promtool", arguments, MOST)?.ok().map(drop)
}

/// What the chart makes of the rules, with every set of values that has them.
fn rendered(chart: &Chart, folder: &Path) -> Result<()> {
    let mut found = 0;
    for values in chart.values()? {
        if yaml(&values.file)?["monitoring"]["rules"]["enabled"] != true {
            continue;
        }
        let text = chart.render(HELMS[1], &values, &[])?.ok()?;
        for object in parse(&text)?.values() {
            if object["kind"] == "PrometheusRule" {
                found += 1;
                let file = folder.join(format!("rules-{found}.json"));
                fs::write(&file, object["spec"].to_string())?;
                valid(&file).with_context(|| format!("with the values {}", values.name))?;
            }
        }
    }
    ensure!(found > 0, "no set of values has the rules");
    Ok(())
}

/// Every query, as a rule that records it.
fn dashboards(chart: &Chart) -> Result<Vec<Value>> {
    let mut rules = Vec::new();
    let folder = chart.folder.join("dashboards");
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let board: Value = serde_json::from_slice(&fs::read(&path)?)
            .with_context(|| format!("{} is not JSON", path.display()))?;
        for panel in list(&board["panels"]) {
            for (number, target) in list(&panel["targets"]).iter().enumerate() {
                let query = target["expr"].as_str();
                let query = query.with_context(|| format!("{name}: a panel without a query"))?;
                let query = FILLED
                    .iter()
                    .fold(query.to_owned(), |text, (variable, value)| {
                        text.replace(variable, value)
                    });
                let record = format!("{name}:panel_{}:query_{number}", panel["id"]);
                rules.push(json!({ "record": record, "expr": query }));
            }
        }
    }
    ensure!(!rules.is_empty(), "there are no dashboards");
    Ok(rules)
}

fn alerts(rules: &Value) -> BTreeSet<String> {
    let groups = list(&rules["groups"]).iter();
    let rules = groups.flat_map(|group| list(&group["rules"]));
    rules
        .filter_map(|rule| rule["alert"].as_str())
        .map(str::to_owned)
        .collect()
}

/// Whether an alert is expected in some case, and whether it is expected not to be in some.
type Tried = BTreeMap<String, (bool, bool)>;

fn tried(tests: &Value) -> Tried {
    let mut tried = Tried::new();
    let tests = list(&tests["tests"]).iter();
    for case in tests.flat_map(|test| list(&test["alert_rule_test"])) {
        let name = case["alertname"].as_str().unwrap_or_default();
        let (is_raised, is_calm) = tried.entry(name.to_owned()).or_default();
        match list(&case["exp_alerts"]).is_empty() {
            true => *is_calm = true,
            false => *is_raised = true,
        }
    }
    tried
}

/// In words.
fn untried(alerts: &BTreeSet<String>, tried: &Tried) -> Vec<String> {
    let mut lacks = Vec::new();
    for alert in alerts {
        let (is_raised, is_calm) = tried.get(alert).copied().unwrap_or_default();
        if !is_raised {
            lacks.push(format!("{alert} is raised in no case"));
        }
        if !is_calm {
            lacks.push(format!("{alert} is calm in no case"));
        }
    }
    let unknown = tried.keys().filter(|name| !alerts.contains(*name));
    lacks.extend(unknown.map(|name| format!("there is no alert {name}")));
    lacks
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn yaml(file: &Path) -> Result<Value> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    serde_yaml_ng::from_str(&text).with_context(|| format!("{} is not YAML", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_that_is_tried_one_way_only_is_named() {
        let rules = json!({ "groups": [{ "rules": [
            { "alert": "Both" }, { "alert": "Raised" }, { "record": "a:b" }] }] });
        let case =
            |name: &str, expected: Value| json!({ "alertname": name, "exp_alerts": expected });
        let tests = json!({ "tests": [
            { "alert_rule_test": [case("Both", json!([{}])), case("Both", json!([]))] },
            { "alert_rule_test": [case("Raised", json!([{}])), case("Old", json!([]))] }] });
        assert_eq!(
            untried(&alerts(&rules), &tried(&tests)),
            ["Raised is calm in no case", "there is no alert Old"]
        );
    }
}
