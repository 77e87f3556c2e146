//! The cluster: `kubectl` with limits of time, namespaces, volumes, and what is shown when something
//! goes wrong.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use foghorn_tests::process;
use serde_json::Value;

use crate::tool::{Said, run};

pub(crate) const MOST: Duration = Duration::from_secs(60);
/// The class of volumes that are folders of one node.
pub(crate) const STORAGE_CLASS: &str = "local";
/// The image of which helpers of the tests are made.
pub(crate) const BOX: &str = "foghorn.test/box:1";

/// As [`process::until`], for conditions that start programs: the processors are for the cluster.
///
/// # Errors
/// When it is not so in time.
pub(crate) fn until<T>(
    what: &str,
    most: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    process::until(what, most, || {
        let found = condition()?;
        if found.is_none() {
            std::thread::sleep(Duration::from_millis(300));
        }
        Ok(found)
    })
}

/// # Errors
/// When it fails.
pub(crate) fn kubectl(arguments: &[&str]) -> Result<String> {
    try_kubectl(arguments)?.ok()
}

/// Whatever it says.
///
/// # Errors
/// When it cannot be started, or takes too long.
pub(crate) fn try_kubectl(arguments: &[&str]) -> Result<Said> {
    run("kubectl", arguments, MOST)
}

/// # Errors
/// When it fails, or what it says is not JSON.
pub(crate) fn get(arguments: &[&str]) -> Result<Value> {
    let said = kubectl(&[&["get", "--output=json"], arguments].concat())?;
    serde_json::from_str(&said).context("kubectl gave no JSON")
}

/// Items of a list.
///
/// # Errors
/// As [`get`].
pub(crate) fn list(arguments: &[&str]) -> Result<Vec<Value>> {
    let mut list = get(arguments)?;
    match list["items"].take() {
        Value::Array(items) => Ok(items),
        _ => bail!("kubectl gave no list"),
    }
}

/// Applies a text.
///
/// # Errors
/// When the API server refuses it.
pub(crate) fn apply(text: &str, folder: &Path) -> Result<()> {
    let file = folder.join("apply.yaml");
    fs::write(&file, text)?;
    let file = file.to_string_lossy().into_owned();
    kubectl(&["apply", "--server-side", "--validate=strict", "-f", &file]).map(drop)
}

/// What pods of a namespace may do.
#[derive(Clone, Copy)]
pub(crate) enum Security {
    Restricted,
    /// For those that use the network of their node.
    Privileged,
}

/// # Errors
/// When the API server refuses it.
pub(crate) fn namespace(name: &str, security: Security, folder: &Path) -> Result<()> {
    let level = match security {
        Security::Restricted => "restricted",
        Security::Privileged => "privileged",
    };
    let label = "pod-security.kubernetes.io";
    apply(
        &format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels:\n    \
             {label}/enforce: {level}\n    {label}/warn: {level}\n"
        ),
        folder,
    )
}

/// Version of the API server.
///
/// # Errors
/// When it does not say it.
pub(crate) fn version() -> Result<String> {
    let said = kubectl(&["version", "--output=json"])?;
    let said: Value = serde_json::from_str(&said).context("kubectl gave no JSON")?;
    let version = said["serverVersion"]["gitVersion"].as_str();
    version
        .map(str::to_owned)
        .context("the API server does not say which version it is")
}

/// Names of all nodes.
///
/// # Errors
/// As [`get`].
pub(crate) fn nodes() -> Result<Vec<String>> {
    let nodes = list(&["nodes"])?;
    let name = |node: &Value| node["metadata"]["name"].as_str().map(str::to_owned);
    Ok(nodes.iter().filter_map(name).collect())
}

/// How many folders for volumes each node has made (`tests/kube/node`).
const VOLUMES: usize = 12;

/// Volumes that are folders of the nodes, for pods to claim. Each is claimed once.
///
/// # Errors
/// When the API server refuses them.
pub(crate) fn volumes(folder: &Path) -> Result<()> {
    let mut text = format!(
        "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata:\n  name: {STORAGE_CLASS}\n  \
         annotations: {{storageclass.kubernetes.io/is-default-class: 'true'}}\n\
         provisioner: kubernetes.io/no-provisioner\nvolumeBindingMode: WaitForFirstConsumer\n"
    );
    for node in nodes()? {
        for number in 1..=VOLUMES {
            let _ = write!(
                text,
                "---\napiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: {node}-{number}}}\nspec:\n  \
                 capacity: {{storage: 50Gi}}\n  accessModes: [ReadWriteOnce]\n  \
                 persistentVolumeReclaimPolicy: Retain\n  storageClassName: {STORAGE_CLASS}\n  \
                 local: {{path: /var/lib/foghorn-node/{number}}}\n  nodeAffinity:\n    required:\n      \
                 nodeSelectorTerms:\n        - matchExpressions:\n            \
                 - {{key: kubernetes.io/hostname, operator: In, values: [{node}]}}\n"
            );
        }
    }
    apply(&text, folder)
}

/// `kubectl wait`.
///
/// # Errors
/// When it is not so in time.
pub(crate) fn wait(condition: &str, what: &str, namespace: &str, most: Duration) -> Result<()> {
    let timeout = format!("--timeout={}s", most.as_secs());
    let space = format!("--namespace={namespace}");
    let arguments = ["wait", condition, what, &space, &timeout];
    let said = run("kubectl", arguments, most + Duration::from_secs(10))?;
    said.ok().map(drop)
}

/// Names of the pods of a component.
///
/// # Errors
/// As [`get`].
pub(crate) fn pods(namespace: &str, component: &str) -> Result<Vec<String>> {
    let space = format!("--namespace={namespace}");
    let label = format!("--selector=app.kubernetes.io/component={component}");
    let pods = list(&["pods", &space, &label])?;
    let name = |pod: &Value| pod["metadata"]["name"].as_str().map(str::to_owned);
    Ok(pods.iter().filter_map(name).collect())
}

/// Waits until so many pods of a component are ready, and no others are there.
///
/// # Errors
/// When it is not so in time.
pub(crate) fn wait_ready(
    namespace: &str,
    component: &str,
    count: usize,
    most: Duration,
) -> Result<()> {
    let space = format!("--namespace={namespace}");
    let label = format!("--selector=app.kubernetes.io/component={component}");
    until(&format!("{count} ready pods of {component}"), most, || {
        let pods = list(&["pods", &space, &label])?;
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        Ok((ready == count && pods.len() == count).then_some(()))
    })
}

/// How many pods of a component are ready.
///
/// # Errors
/// As [`get`].
pub(crate) fn ready(namespace: &str, component: &str) -> Result<usize> {
    let space = format!("--namespace={namespace}");
    let label = format!("--selector=app.kubernetes.io/component={component}");
    let pods = list(&["pods", &space, &label])?;
    Ok(pods.iter().filter(|pod| is_ready(pod)).count())
}

/// Whether a node has a pod of a component that is called ready.
///
/// # Errors
/// As [`get`].
pub(crate) fn is_ready_on(namespace: &str, component: &str, node: &str) -> Result<bool> {
    let space = format!("--namespace={namespace}");
    let label = format!("--selector=app.kubernetes.io/component={component}");
    let pods = list(&["pods", &space, &label])?;
    let mut there = pods.iter().filter(|pod| pod["spec"]["nodeName"] == node);
    Ok(there.any(is_ready))
}

/// How often containers of a component's pods on a node were started again; `None`: it has no such pod.
///
/// # Errors
/// As [`get`].
pub(crate) fn restarts_on(namespace: &str, component: &str, node: &str) -> Result<Option<u64>> {
    let space = format!("--namespace={namespace}");
    let label = format!("--selector=app.kubernetes.io/component={component}");
    let pods = list(&["pods", &space, &label])?;
    let there = pods.iter().filter(|pod| pod["spec"]["nodeName"] == node);
    let containers = there.filter_map(|pod| pod["status"]["containerStatuses"].as_array());
    let counts = containers.flatten().map(|one| one["restartCount"].as_u64());
    Ok(counts.flatten().reduce(|sum, count| sum + count))
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    pod["metadata"]["deletionTimestamp"].is_null()
        && conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Everything in a namespace that somebody could have put there, as `kind/name`. What Kubernetes
/// itself makes of other things is left out.
///
/// # Errors
/// As [`kubectl`].
pub(crate) fn everything(namespace: &str) -> Result<BTreeSet<String>> {
    const OF_ITSELF: [&str; 6] = [
        "events",
        "events.events.k8s.io",
        "endpoints",
        "endpointslices.discovery.k8s.io",
        "podmetrics.metrics.k8s.io",
        "leases.coordination.k8s.io",
    ];
    let kinds = kubectl(&[
        "api-resources",
        "--verbs=list",
        "--namespaced",
        "--output=name",
    ])?;
    let kinds: Vec<&str> = kinds
        .lines()
        .filter(|kind| !OF_ITSELF.contains(kind))
        .collect();
    let space = format!("--namespace={namespace}");
    let named = kubectl(&[
        "get",
        &kinds.join(","),
        &space,
        "--output=name",
        "--ignore-not-found",
    ])?;
    // Every namespace gets these two, a moment after it is made.
    let of_all = ["configmap/kube-root-ca.crt", "serviceaccount/default"];
    let named = named.lines().filter(|name| !of_all.contains(name));
    Ok(named.map(str::to_owned).collect())
}

/// What people look at first when something does not come up.
pub(crate) fn explain(namespaces: &[&str]) -> String {
    let mut text = String::new();
    for name in namespaces {
        let space = format!("--namespace={name}");
        for arguments in [
            vec!["get", "pods,pvc,services,jobs", "--output=wide", &space],
            vec!["get", "events", "--sort-by=.lastTimestamp", &space],
        ] {
            add(&mut text, &arguments);
        }
        for pod in list(&["pods", &space]).unwrap_or_default() {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let tail = ["--all-containers", "--tail=40", "--prefix"];
            add(&mut text, &[&["logs", name, &space], &tail[..]].concat());
            if !is_ready(&pod) {
                add(
                    &mut text,
                    &[&["logs", name, &space, "--previous"], &tail[..]].concat(),
                );
                add(&mut text, &["describe", "pod", name, &space]);
            }
        }
    }
    text
}

fn add(text: &mut String, arguments: &[&str]) {
    if let Ok(said) = try_kubectl(arguments)
        && !(said.out.is_empty() && said.err.is_empty())
    {
        let _ = writeln!(text, "==== {}\n{}{}", said.line, said.out, said.err);
    }
}
