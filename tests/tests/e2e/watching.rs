//! Dashboards and alert rules ask only for what real programs export, and each alert names a page
//! that says what to do.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use foghorn_tests::page::sources;
use foghorn_tests::process::until;
use foghorn_tests::promql::{Exported, Query};
use foghorn_tests::stack::{Engine, Options, PATIENCE, Stack};
use serde_json::Value;

const DASHBOARDS: &str = "charts/foghorn/dashboards";
const RULES: &str = "docs/operations/alerts.yml";

/// A query, and where it is.
struct Asked {
    place: String,
    query: Query,
    /// Labels that a legend or a message shows.
    shown: BTreeSet<String>,
}

impl Asked {
    fn new(place: String, text: &str, shown: BTreeSet<String>) -> Result<Self> {
        let query = Query::read(text).with_context(|| format!("{place}: {text}"))?;
        Ok(Self {
            place,
            query,
            shown,
        })
    }
}

#[test]
fn everything_that_dashboards_and_alerts_ask_for_is_exported() {
    exported_is_what_is_asked_for().unwrap();
}

#[test]
fn every_alert_says_how_bad_it_is_and_names_a_page_and_a_heading_that_exist() {
    every_alert_has_a_page().unwrap();
}

fn exported_is_what_is_asked_for() -> Result<()> {
    let mut asked = in_dashboards()?;
    let (of_rules, recorded) = in_rules()?;
    asked.extend(of_rules);
    let mut exported = Exported::default();
    // What the two engines show of themselves differs.
    one_box(&mut exported)?;
    a_controller_of_several(&mut exported)?;
    let mut lacks = Vec::new();
    for one in &asked {
        let mut query = one.query.clone();
        query
            .selectors
            .retain(|selector| !recorded.contains(&selector.metric));
        let missing = exported.lacks(&query, &one.shown);
        lacks.extend(missing.iter().map(|what| format!("{}: {what}", one.place)));
    }
    ensure!(lacks.is_empty(), "{}", lacks.join("\n"));
    Ok(())
}

/// The embedded store, a plugin, and a storage node with a bucket. That nobody answers for the bucket
/// is no matter: the node says what it knows.
fn one_box(exported: &mut Exported) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let credentials = folder.path().join("credentials");
    fs::write(
        &credentials,
        "access_key_id = test-key\nsecret_access_key = secret\n",
    )?;
    let agent = format!(
        "[cold]\nendpoint = \"http://127.0.0.1:1\"\nallow_http = true\nbucket = \"images\"\ncredentials = {credentials:?}\ncache_mib = 48\n"
    );
    let options = Options {
        agent,
        ..Options::default()
    };
    let stack = Stack::start_with(Engine::Embedded, &options)?;
    let plugins = stack.folder().join("controller/plugins");
    fs::create_dir_all(&plugins)?;
    fs::write(plugins.join("quiet.rhai"), "fn API_GETTER() {}\n")?;
    let last = [
        "foghorn_plugin_failures_total",
        "foghorn_cold_copies",
        "foghorn_node_bucket_problem",
        "foghorn_background_last_round_timestamp_seconds",
    ];
    wait_for(&stack, &last, exported)
}

/// With etcd, whose members are looked at twice a second.
fn a_controller_of_several(exported: &mut Exported) -> Result<()> {
    let stack = Stack::start(Engine::Etcd)?;
    let last = ["foghorn_etcd_member_up", "foghorn_controllers"];
    wait_for(&stack, &last, exported)
}

/// Waits for metrics that come a moment after the start, and adds all that there are then.
fn wait_for(stack: &Stack, last: &[&str], exported: &mut Exported) -> Result<()> {
    until("the last metrics", PATIENCE, || {
        let answer = stack.rest.get("/metrics")?;
        ensure!(answer.status == 200, "{answer:?}");
        let mut now = Exported::default();
        now.add(&answer.body)?;
        let is_whole = last.iter().all(|name| now.has(name));
        if is_whole {
            exported.add(&answer.body)?;
        }
        Ok(is_whole.then_some(()))
    })
}

/// Of each panel and each variable.
fn in_dashboards() -> Result<Vec<Asked>> {
    let mut asked = Vec::new();
    for entry in fs::read_dir(sources().join(DASHBOARDS))? {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let before = asked.len();
        let board: Value = serde_json::from_slice(&fs::read(&path)?)?;
        for panel in list(&board["panels"]) {
            let title = panel["title"].as_str().unwrap_or_default();
            for target in list(&panel["targets"]) {
                let place = format!("{DASHBOARDS}/{file}, panel {title:?}");
                let text = target["expr"].as_str();
                let text = text.with_context(|| format!("{place} has a target without a query"))?;
                let legend = target["legendFormat"].as_str().unwrap_or_default();
                asked.push(Asked::new(place, text, between_braces(legend))?);
            }
        }
        for variable in list(&board["templating"]["list"]) {
            if variable["type"] == "query" {
                let place = format!("{DASHBOARDS}/{file}, variable {}", variable["name"]);
                let text = variable["query"]["query"].as_str();
                let text = text.with_context(|| format!("{place} has no query"))?;
                asked.push(Asked::new(place, text, BTreeSet::new())?);
            }
        }
        ensure!(asked.len() > before + 5, "{file} has hardly any queries");
    }
    Ok(asked)
}

/// Of each alert; and the names of what the rules record.
fn in_rules() -> Result<(Vec<Asked>, BTreeSet<String>)> {
    let (mut asked, mut recorded) = (Vec::new(), BTreeSet::new());
    for rule in rules()? {
        let name = rule["alert"].as_str().or(rule["record"].as_str());
        let name = name.context("a rule without a name")?;
        let place = format!("{RULES}, {name}");
        let text = rule["expr"].as_str();
        let text = text.with_context(|| format!("{place} has no query"))?;
        let messages = rule["annotations"].to_string();
        let shown = messages.split("$labels.").skip(1);
        let shown = shown.map(|rest| word(rest).to_owned()).collect();
        asked.push(Asked::new(place, text, shown)?);
        recorded.extend(rule["record"].as_str().map(str::to_owned));
    }
    ensure!(asked.len() > 10, "{RULES} has hardly any rules");
    Ok((asked, recorded))
}

fn every_alert_has_a_page() -> Result<()> {
    let mut wrong = Vec::new();
    for rule in rules()? {
        let Some(alert) = rule["alert"].as_str() else {
            continue;
        };
        let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
        if !["critical", "warning"].contains(&severity) {
            wrong.push(format!("{alert}: the severity {severity:?}"));
        }
        let link = rule["annotations"]["runbook_url"].as_str();
        let page = link.and_then(|link| link.strip_prefix("docs/operations/"));
        let place = page.and_then(|page| page.split_once('#'));
        match place {
            None => wrong.push(format!("{alert}: {link:?} is no heading of a page")),
            Some((page, heading)) => {
                let path = sources().join("docs/operations").join(page);
                if !headings(&path)?.contains(heading) {
                    wrong.push(format!("{alert}: {page} has no heading #{heading}"));
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{RULES}:\n{}", wrong.join("\n"));
    Ok(())
}

/// Of all groups.
fn rules() -> Result<Vec<Value>> {
    let text = fs::read_to_string(sources().join(RULES))?;
    let file: Value = serde_yaml_ng::from_str(&text)?;
    let groups = list(&file["groups"]);
    Ok(groups
        .iter()
        .flat_map(|group| list(&group["rules"]).to_vec())
        .collect())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// `{{node}} {{state}}`.
fn between_braces(legend: &str) -> BTreeSet<String> {
    let each = legend.split("{{").skip(1);
    each.map(|rest| word(rest.trim_start()).to_owned())
        .collect()
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// As links to them are written.
fn headings(page: &Path) -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let mut is_code = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        is_code ^= line.starts_with("```");
        if let Some(heading) = line.strip_prefix('#').filter(|_| !is_code) {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            found.insert(kept.collect::<String>().replace(' ', "-"));
        }
    }
    Ok(found)
}

#[test]
fn links_to_headings_are_made_as_browsers_of_sources_make_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let page = folder.path().join("page.md");
    fs::write(
        &page,
        "# One\n```sh\n# no heading\n```\n## etcd is full (alarm NOSPACE)\n",
    )?;
    let wanted = ["etcd-is-full-alarm-nospace", "one"].map(str::to_owned);
    assert_eq!(headings(&page)?, BTreeSet::from(wanted));
    Ok(())
}
