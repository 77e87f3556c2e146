//! One server with everything in it, in a namespace that lets nobody do more than pods have to.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::chart::Chart;
use crate::cluster::{self, Security, kubectl, pods, until, wait_ready};
use crate::load::{Customer, Load};
use crate::policies::{self, Try};
use crate::published::{Registry, Signer};
use crate::release::{Release, left_over, values};
use crate::report::Report;
use crate::secrets::First;

const NAME: &str = "box";
pub(crate) const HELM: &str = "helm3";
const PATIENCE: Duration = Duration::from_secs(120);
/// What a neighbour in the namespace reaches, and what it does not.
const TRIES: [Try; 2] = [
    Try::passes("stranger", "controller", 8443),
    Try::refused("stranger", "controller", 8444),
];

/// # Errors
/// When the installation does not do its work, or leaves something behind.
pub(crate) fn check(chart: &Chart, folder: &Path, report: &mut Report) -> Result<()> {
    cluster::namespace(NAME, Security::Restricted, folder)?;
    let before = cluster::everything(NAME)?;
    let first = First::new();
    first.put(NAME, folder)?;
    // What is installed is what a registry gives, signed by whom one trusts.
    let place = folder.join("box");
    let registry = Registry::start(&place)?;
    let signer = Signer::new(&place, "Foghorn of a test")?;
    let from = report.step("box: chart signed and pushed to a registry", |_| {
        let archive = registry.package(HELM, &chart.folder, "charts", Some(&signer))?;
        let published = registry.push(HELM, &archive, "charts")?;
        Ok(published.verified(&signer.public()))
    })?;
    let release = Release {
        chart,
        from: Some(from),
        name: NAME,
        helm: HELM,
        values: values("box"),
        more: Vec::new(),
        elsewhere: Vec::new(),
    };
    let customer = Customer {
        namespace: NAME,
        service: "box-foghorn",
        first: &first,
        folder,
    };
    report.step("box: install from the registry", |_| release.install())?;
    report.step("box: helm test", |_| release.test().map(drop))?;
    report.step("box: network policies", |report| {
        policies::check(NAME, &["stranger"], &TRIES, folder, report)
    })?;
    report.step(
        "box: the pod is deleted, everything is still there",
        |report| {
            let load = Load::start(&customer, "before-")?;
            std::thread::sleep(Duration::from_secs(3));
            load.end()?;
            let pod = pods(NAME, "controller")?;
            ensure!(pod.len() == 1, "a box is {} pods", pod.len());
            let space = format!("--namespace={NAME}");
            kubectl(&["delete", "pod", &pod[0], &space])?;
            report.count("pods deleted", 1);
            wait_ready(NAME, "controller", 1, PATIENCE)?;
            // It ends with a look for all hosts that it has created.
            let load = Load::start(&customer, "after-")?;
            std::thread::sleep(Duration::from_secs(3));
            load.end().map(drop)
        },
    )?;
    report.step(
        "box: upgrade with the values that there are, and helm test",
        |_| {
            release.upgrade(&["image.tag=next"])?;
            release.test().map(drop)
        },
    )?;
    report.step("box: uninstall leaves volume claims only", |report| {
        release.uninstall()?;
        clean(NAME, &before, &["secret/first-run"])?;
        let claims = claims(NAME)?;
        ensure!(claims > 0, "no volume claim is left");
        report.count("volume claims kept", claims);
        Ok(())
    })
}

/// Waits until nothing is left of a release but its claims, and what it was given.
///
/// # Errors
/// When something stays.
pub(crate) fn clean(namespace: &str, before: &BTreeSet<String>, given: &[&str]) -> Result<()> {
    let mut left = Vec::new();
    let done = until("pods to go", PATIENCE, || {
        left = left_over(namespace, before)?;
        left.retain(|name| !given.contains(&name.as_str()));
        Ok(left.is_empty().then_some(()))
    });
    done.with_context(|| format!("in {namespace} there is still {left:?}"))
}

/// How many claims there are in a namespace.
///
/// # Errors
/// As [`cluster::list`].
pub(crate) fn claims(namespace: &str) -> Result<usize> {
    let space = format!("--namespace={namespace}");
    Ok(cluster::list(&["persistentvolumeclaims", &space])?.len())
}
