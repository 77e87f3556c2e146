//! Network policies have to have an effect: connections from pods with the labels of others, of
//! which some must pass and some must not.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::cluster::{BOX, apply, get, kubectl, pods, try_kubectl, until, wait};
use crate::report::Report;

/// Policies reach a node's firewall seconds after a pod.
const PATIENCE: Duration = Duration::from_secs(40);

/// A connection that is tried.
pub(crate) struct Try {
    from: &'static str,
    to: &'static str,
    port: u16,
    passes: bool,
}

impl Try {
    pub(crate) const fn passes(from: &'static str, to: &'static str, port: u16) -> Self {
        Self {
            from,
            to,
            port,
            passes: true,
        }
    }

    pub(crate) const fn refused(from: &'static str, to: &'static str, port: u16) -> Self {
        Self {
            from,
            to,
            port,
            passes: false,
        }
    }
}

/// Tries all, from pods of which each is named after the component whose labels it has; `stranger`
/// has none.
///
/// # Errors
/// When a connection passes that must not, or the other way round.
pub(crate) fn check(
    release: &str,
    froms: &[&str],
    tries: &[Try],
    folder: &Path,
    report: &mut Report,
) -> Result<()> {
    for from in froms {
        start(release, from, folder)?;
    }
    for from in froms {
        let pod = format!("pod/{}", name(from));
        wait("--for=condition=Ready", &pod, release, PATIENCE)?;
    }
    for tried in tries {
        make(release, tried)?;
        let what = if tried.passes {
            "connections that passed"
        } else {
            "connections that were refused"
        };
        report.count(what, 1);
    }
    let policies = kubectl(&[
        "get",
        "networkpolicies",
        &format!("--namespace={release}"),
        "--output=name",
    ])?;
    ensure!(!policies.is_empty(), "there are no network policies");
    report.count("network policies", policies.lines().count());
    for from in froms {
        let space = format!("--namespace={release}");
        kubectl(&["delete", "pod", &name(from), &space, "--wait=false"])?;
    }
    Ok(())
}

/// Waits until the connection does what it should.
fn make(release: &str, tried: &Try) -> Result<()> {
    let target = pods(release, tried.to)?;
    let target = target
        .first()
        .with_context(|| format!("there is no pod of {}", tried.to))?;
    let space = format!("--namespace={release}");
    let pod = get(&["pod", target, &space])?;
    let address = pod["status"]["podIP"].as_str().unwrap_or_default();
    let what = format!(
        "a connection from {} to port {} of {} to be {}",
        tried.from,
        tried.port,
        tried.to,
        if tried.passes { "taken" } else { "refused" }
    );
    until(&what, PATIENCE, || {
        let passed = connects(release, tried.from, address, tried.port)?;
        Ok((passed == tried.passes).then_some(()))
    })
}

fn name(from: &str) -> String {
    format!("try-{from}")
}

/// A pod that does nothing by itself, and may do as little as the namespace demands.
fn start(release: &str, from: &str, folder: &Path) -> Result<()> {
    let labels = if from == "stranger" {
        "{}".to_owned()
    } else {
        format!(
            "{{app.kubernetes.io/name: foghorn, app.kubernetes.io/instance: {release}, \
             app.kubernetes.io/component: {from}}}"
        )
    };
    apply(
        &format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {}, namespace: {release}, labels: {labels}}}\n\
             spec:\n  automountServiceAccountToken: false\n  terminationGracePeriodSeconds: 0\n  \
             securityContext: {{runAsNonRoot: true, runAsUser: 65534, seccompProfile: {{type: RuntimeDefault}}}}\n  \
             containers:\n    - name: box\n      image: {BOX}\n      imagePullPolicy: Never\n      \
             securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}\n",
            name(from)
        ),
        folder,
    )
}

fn connects(release: &str, from: &str, address: &str, port: u16) -> Result<bool> {
    let space = format!("--namespace={release}");
    let (pod, port) = (name(from), port.to_string());
    // The program after -e is started when the connection stands.
    let said = try_kubectl(&[
        "exec",
        &pod,
        &space,
        "--",
        "nc",
        "-w",
        "3",
        address,
        &port,
        "-e",
        "/bin/true",
    ])?;
    Ok(said.is_good)
}
