//! What a real API server says of the objects: kubeconform with its own schemas, and a rehearsal of
//! everything it does before it keeps something.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::chart::{Chart, HELMS, RELEASE};
use crate::cluster::{self, Security, kubectl, until};
use crate::objects::parse;
use crate::report::Report;
use crate::schemas;
use crate::tool::run;

/// What renders the objects: the other version makes the same of the chart (`rendered`).
pub(crate) const HELM: &str = HELMS[1];
const MOST: Duration = Duration::from_secs(60);

/// # Errors
/// When the API server, kubeconform or kube-score has something against an object.
pub(crate) fn check(chart: &Chart, folder: &Path, report: &mut Report) -> Result<()> {
    let rendered = folder.join("rendered");
    let schemas = folder.join("schemas");
    fs::create_dir_all(&rendered)?;
    report.step("definitions of resources of others", |_| definitions())?;
    let (needed, namespaces) = render(chart, &rendered)?;
    report.step("schemas from the API server", |report| {
        let described = described(&needed)?;
        report.figure(
            "schemas",
            schemas::write(&described, &needed, &schemas)? as u64,
        );
        Ok(())
    })?;
    report.step("kubeconform", |report| conform(&rendered, &schemas, report))?;
    report.step("rehearsed by the API server", |report| {
        rehearse(&rendered, &namespaces, folder, report)
    })?;
    report.step("kube-score", |_| score(&rendered))
}

/// Kinds that values switch on: certificates, routes, monitors.
fn definitions() -> Result<()> {
    let folder = std::env::var("KUBE_DEFINITIONS")
        .context("KUBE_DEFINITIONS is not set: start this with tests/kube/with")?;
    kubectl(&["apply", "--server-side", "-f", &folder])?;
    let all = [
        "wait",
        "--for=condition=Established",
        "crd",
        "--all",
        "--timeout=30s",
    ];
    kubectl(&all).map(drop)
}

/// Version and kind of objects.
type Kinds = BTreeSet<(String, String)>;

/// Writes what each set of values becomes to a file, and gives all kinds and namespaces in them.
fn render(chart: &Chart, folder: &Path) -> Result<(Kinds, BTreeSet<String>)> {
    let (mut kinds, mut namespaces) = (Kinds::new(), BTreeSet::new());
    for values in chart.values()? {
        let text = chart.render(HELM, &values, &[])?.ok()?;
        for object in parse(&text)?.values() {
            let word = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
            kinds.insert((word("apiVersion"), word("kind")));
            let namespace = object["metadata"]["namespace"].as_str();
            namespaces.extend(namespace.map(str::to_owned));
        }
        fs::write(folder.join(format!("{}.yaml", values.name)), text)?;
    }
    Ok((kinds, namespaces))
}

/// The description, as soon as it has all these kinds: new definitions come a moment late.
fn described(needed: &Kinds) -> Result<Value> {
    until("the API server to describe all kinds", MOST, || {
        let said = kubectl(&["get", "--raw=/openapi/v2"])?;
        let is_there =
            |(_, kind): &(String, String)| said.contains(&format!("\"kind\":\"{kind}\""));
        if !needed.iter().all(is_there) {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&said)?))
    })
}

fn conform(rendered: &Path, schemas: &Path, report: &mut Report) -> Result<()> {
    let location = format!(
        "{}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
        schemas.display()
    );
    let rendered = rendered.to_string_lossy().into_owned();
    let arguments = ["-strict", "-output", "json", "-summary", "-schema-location"];
    let said = run(
        "kubeconform",
        arguments
            .iter()
            .copied()
            .chain([location.as_str(), rendered.as_str()]),
        MOST,
    )?;
    let text = said.ok()?;
    let summary: Value = serde_json::from_str(&text).context("kubeconform gave no JSON")?;
    let count = |key: &str| summary["summary"][key].as_u64().unwrap_or_default();
    ensure!(
        count("skipped") == 0,
        "kubeconform left objects out: {text}"
    );
    ensure!(count("valid") > 0, "kubeconform saw nothing: {text}");
    report.figure("objects valid by kubeconform", count("valid"));
    Ok(())
}

fn rehearse(
    rendered: &Path,
    namespaces: &BTreeSet<String>,
    folder: &Path,
    report: &mut Report,
) -> Result<()> {
    for name in namespaces {
        // Only agents, which may use the network of their nodes, are elsewhere.
        let security = if name == RELEASE {
            Security::Restricted
        } else {
            Security::Privileged
        };
        cluster::namespace(name, security, folder)?;
        // It comes by itself, but a moment later, and never where nothing but an API server runs.
        let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default, namespace: ";
        cluster::apply(&format!("{account}{name}}}\n"), folder)?;
    }
    for entry in fs::read_dir(rendered)? {
        let file = entry?.path();
        let file = file.to_string_lossy().into_owned();
        // A warning of the Pod Security of the namespace is an error here, too.
        let said = kubectl(&[
            "apply",
            "--dry-run=server",
            "--validate=strict",
            "--warnings-as-errors",
            "--filename",
            &file,
        ])?;
        report.count("objects taken by the API server", said.lines().count());
    }
    for name in namespaces {
        kubectl(&["delete", "namespace", name, "--wait=false"])?;
    }
    Ok(())
}

/// What others find bad practice. What is ignored has its reason here:
/// * tags of images are those of the release, and pods with the same tag need no pull each time;
/// * storage that is not persistent is limited for those containers that write to it.
const IGNORED: [&str; 2] = [
    "container-image-pull-policy",
    "container-ephemeral-storage-request-and-limit",
];

fn score(rendered: &Path) -> Result<()> {
    for entry in fs::read_dir(rendered)? {
        let file = entry?.path();
        let file = file.to_string_lossy().into_owned();
        // A limit of processor time would only make imaging slower: no other pod has it then.
        let mut arguments = vec!["score", "--output-format", "ci"];
        arguments.push("--ignore-container-cpu-limit");
        for test in IGNORED {
            arguments.extend(["--ignore-test", test]);
        }
        let said = run(
            "kube-score",
            arguments.into_iter().chain([file.as_str()]),
            MOST,
        )?;
        let critical: Vec<&str> = said
            .out
            .lines()
            .filter(|line| line.starts_with("[CRITICAL]"))
            .collect();
        ensure!(
            critical.is_empty(),
            "kube-score finds in {file}:\n{}",
            critical.join("\n")
        );
    }
    Ok(())
}
