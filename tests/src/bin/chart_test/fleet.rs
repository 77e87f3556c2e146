//! Three controllers, three members of etcd and a storage node on each node: pods that are deleted
//! while there is work, nodes that are drained, an upgrade and its rollback, a backup put back.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::chart::Chart;
use crate::cluster::{self, MOST, Security, kubectl, pods, ready, until, wait_ready};
use crate::load::{Customer, Load};
use crate::policies::{self, Try};
use crate::release::{Release, values};
use crate::report::Report;
use crate::restore;
use crate::secrets::{self, Authority, First};
use crate::single::{claims, clean};
use crate::tool::run;

const NAME: &str = "fleet";
pub(crate) const HELM: &str = "helm4";
const AGENTS: &str = "fleet-agents";
const SERVICE: &str = "fleet-foghorn";
const PATIENCE: Duration = Duration::from_secs(180);
/// Agents come from the network of their nodes, so everybody may reach 8444, where they prove who
/// they are. etcd is for the controllers and for jobs on the state alone.
const TRIES: [Try; 9] = [
    Try::passes("stranger", "controller", 8443),
    Try::passes("stranger", "controller", 8444),
    Try::refused("stranger", "etcd", 2379),
    Try::refused("stranger", "etcd", 2380),
    Try::passes("defragmentation", "etcd", 2379),
    Try::refused("defragmentation", "etcd", 2380),
    Try::refused("defragmentation", "controller", 8443),
    Try::passes("test", "controller", 8443),
    Try::refused("test", "etcd", 2379),
];

/// Everything that the checks of this part have in common.
struct Fleet<'c> {
    release: Release<'c>,
    first: First,
    folder: &'c Path,
    /// What was in the two namespaces before.
    before: [BTreeSet<String>; 2],
}

/// # Errors
/// When the installation does not do its work, loses something, or leaves something behind.
pub(crate) fn check(chart: &Chart, folder: &Path, report: &mut Report) -> Result<()> {
    let fleet = Fleet::prepare(chart, folder)?;
    report.step("fleet: install", |_| fleet.install())?;
    report.step("fleet: helm test", |_| fleet.release.test().map(drop))?;
    report.step("fleet: network policies", |report| {
        let froms = ["stranger", "defragmentation", "test"];
        policies::check(NAME, &froms, &TRIES, folder, report)
    })?;
    for (space, component) in [(NAME, "controller"), (AGENTS, "agent")] {
        let what = format!("fleet: helm test while a pod of {component} is deleted");
        report.step(&what, |report| {
            fleet.under_load(&format!("{component}-"), report, |report| {
                fleet.test_while_deleting(space, component, report)
            })
        })?;
    }
    report.step(
        "fleet: helm test while a pod of etcd is deleted",
        |report| {
            fleet.under_load_without_members("etcd-", report, |report| {
                fleet.test_while_deleting(NAME, "etcd", report)
            })
        },
    )?;
    report.step("fleet: drained against the disruption budgets", |report| {
        fleet.under_load_without_members("drain-", report, drain_nodes)
    })?;
    report.step("fleet: upgrade under load", |report| {
        fleet.under_load_without_members("upgrade-", report, |_| {
            fleet.release.upgrade(&["image.tag=next"])
        })
    })?;
    report.step("fleet: rollback under load", |report| {
        fleet.under_load_without_members("rollback-", report, |_| fleet.release.rollback())
    })?;
    report.step("fleet: a backup, and the state put back", |report| {
        restore::check(&fleet.release, &fleet.customer(), report)?;
        wait_ready(NAME, "controller", 3, PATIENCE)?;
        wait_ready(AGENTS, "agent", 3, PATIENCE)
    })?;
    // At the end, because the cluster itself needs a while to forget addresses that are gone.
    report.step(
        "fleet: a node loses its power, helm test on the others",
        |report| fleet.power_failure(report),
    )?;
    report.step("fleet: helm test after all of it", |_| {
        fleet.release.test().map(drop)
    })?;
    report.step("fleet: uninstall leaves volume claims only", |report| {
        fleet.uninstall(report)
    })
}

impl<'c> Fleet<'c> {
    /// Makes the namespaces, and what an administrator gives in Secrets.
    fn prepare(chart: &'c Chart, folder: &'c Path) -> Result<Self> {
        cluster::namespace(NAME, Security::Restricted, folder)?;
        cluster::namespace(AGENTS, Security::Privileged, folder)?;
        // Which nodes are storage nodes, an administrator says by this label.
        kubectl(&["label", "nodes", "--all", "foghorn/storage=true"])?;
        let before = [cluster::everything(NAME)?, cluster::everything(AGENTS)?];
        let first = First::new();
        first.put(NAME, folder)?;
        first.put(AGENTS, folder)?;
        let authority = Authority::new("Foghorn of a test")?;
        let pair = &authority.pair;
        let data = [
            ("tls.crt", pair.certificate.as_str()),
            ("tls.key", pair.key.as_str()),
        ];
        secrets::secret(NAME, "authority", &data, folder)?;
        let passphrase = [("passphrase", "words that nobody guesses")];
        secrets::secret(NAME, "passphrase", &passphrase, folder)?;
        secrets::etcd(NAME, &format!("{SERVICE}-etcd"), 3, folder)?;
        let ca = folder.join("ca.pem");
        std::fs::write(&ca, &pair.certificate)?;
        let release = Release {
            chart,
            from: None,
            name: NAME,
            helm: HELM,
            values: values("fleet"),
            more: vec![
                "--set-file".to_owned(),
                format!("trust.ca.pem={}", ca.display()),
            ],
            elsewhere: vec![AGENTS.to_owned()],
        };
        Ok(Self {
            release,
            first,
            folder,
            before,
        })
    }

    fn uninstall(&self, report: &mut Report) -> Result<()> {
        self.release.uninstall()?;
        let given = [
            "first-run",
            "authority",
            "passphrase",
            "etcd-server",
            "etcd-client",
        ];
        let given = given.map(|name| format!("secret/{name}"));
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        for (space, before) in [NAME, AGENTS].iter().zip(&self.before) {
            clean(space, before, &given)?;
        }
        let claims = claims(NAME)?;
        // Of the members of etcd, and of backups.
        ensure!(claims == 4, "{claims} volume claims are left of four");
        report.count("volume claims kept", claims);
        Ok(())
    }

    fn install(&self) -> Result<()> {
        self.release.install()?;
        wait_ready(NAME, "controller", 3, PATIENCE)?;
        wait_ready(NAME, "etcd", 3, PATIENCE)?;
        wait_ready(AGENTS, "agent", 3, PATIENCE)
    }

    fn customer(&self) -> Customer<'_> {
        Customer {
            namespace: NAME,
            service: SERVICE,
            first: &self.first,
            folder: self.folder,
        }
    }

    /// A node that can be without power: not the one from which requests come, and not the one to which
    /// captures go, which is the oldest storage node where none was made the master.
    fn dispensable(&self) -> Result<&'static str> {
        let nodes = self.customer().get("/foghorn/v1/nodes")?;
        let nodes = nodes["nodes"].as_array().context("no list of nodes")?;
        // Not the one that a FOG server has from its beginning, which no machine is.
        let enrolled = nodes.iter().filter(|node| !node["enrolled"].is_null());
        let oldest = enrolled.min_by_key(|node| node["id"].as_u64());
        let oldest = oldest.context("there is no storage node")?;
        Ok(if oldest["name"] == "n3" { "n2" } else { "n3" })
    }

    fn load_during(
        &self,
        prefix: &str,
        report: &mut Report,
        step: impl FnOnce(&mut Report) -> Result<()>,
    ) -> Result<Load> {
        let load = Load::start(&self.customer(), prefix)?;
        step(report)?;
        Ok(load)
    }

    /// Requests all the while, of which none may fail.
    fn under_load(
        &self,
        prefix: &str,
        report: &mut Report,
        step: impl FnOnce(&mut Report) -> Result<()>,
    ) -> Result<()> {
        let figures = self.load_during(prefix, report, step)?.end()?;
        report.count("requests under load", figures.requests);
        report.most(
            "longest time without a good answer (ms)",
            figures.longest_gap_ms,
        );
        Ok(())
    }

    /// Requests while members of etcd go, one after the other. A change that is under way at the very member
    /// may be answered with 503, when it cannot be found out what has become of it; every other request
    /// gets a good answer.
    fn under_load_without_members(
        &self,
        prefix: &str,
        report: &mut Report,
        step: impl FnOnce(&mut Report) -> Result<()>,
    ) -> Result<()> {
        let figures = self.load_during(prefix, report, step)?.end_in_trouble()?;
        let other = figures.failed.iter().find(|said| !said.contains(" 503"));
        ensure!(other.is_none(), "a request failed: {other:?}");
        report.count("requests under load", figures.requests);
        report.most(
            "longest time without a good answer (ms)",
            figures.longest_gap_ms,
        );
        report.count(
            "changes answered 503 while members of etcd went",
            figures.failed.len(),
        );
        Ok(())
    }

    /// The work of the whole product goes on while one pod after the other is deleted: as soon as
    /// one is replaced, the next.
    fn test_while_deleting(&self, space: &str, component: &str, report: &mut Report) -> Result<()> {
        let deleted = std::thread::scope(|scope| {
            let test = scope.spawn(|| self.release.test());
            let mut deleted = 0;
            while !test.is_finished() || deleted == 0 {
                let all = pods(space, component)?;
                let one = all.first().context("there is no pod")?;
                let place = format!("--namespace={space}");
                kubectl(&["delete", "pod", one, &place])?;
                deleted += 1;
                wait_ready(space, component, 3, PATIENCE)?;
            }
            let said = test
                .join()
                .map_err(|_| anyhow::anyhow!("helm test panicked"))?;
            said.map(|_| deleted)
        })?;
        report.count("pods deleted", deleted);
        Ok(())
    }

    /// What was on the node is on the two others; nothing that was acknowledged is lost. Until the
    /// cluster notices, some requests are sent to a machine that is not there.
    fn power_failure(&self, report: &mut Report) -> Result<()> {
        let node = self.dispensable()?;
        let load = Load::start(&self.customer(), "power-")?;
        power("off", node)?;
        report.count("nodes that lost their power", 1);
        let that = format!("node/{node}");
        cluster::wait("--for=condition=Ready=Unknown", &that, NAME, PATIENCE)?;
        // The load is made on n1. Pods of a node that is gone stay in the list, and are not ready.
        until("no controller on it to be called ready", PATIENCE, || {
            Ok((!cluster::is_ready_on(NAME, "controller", node)?).then_some(()))
        })?;
        self.release.test()?;
        let components = [(NAME, "etcd"), (NAME, "controller"), (AGENTS, "agent")];
        let restarts = || -> Result<Vec<Option<u64>>> {
            let of_one = |(space, component)| cluster::restarts_on(space, component, node);
            components.into_iter().map(of_one).collect()
        };
        let before = restarts()?;
        power("on", node)?;
        // At first the cluster believes what it knew of the pods before, with their old addresses.
        until("the pods of the node to start again", PATIENCE, || {
            let (now, known) = (restarts()?, before.iter());
            let all = known.zip(now).all(|(old, now)| old.is_none() || now > *old);
            Ok(all.then_some(()))
        })?;
        for (space, component) in components {
            wait_ready(space, component, 3, PATIENCE)?;
        }
        let figures = load.end_in_trouble()?;
        report.figure(
            "requests failed around the power failure",
            figures.failed.len() as u64,
        );
        report.figure(
            "longest time without a good answer then (ms)",
            figures.longest_gap_ms,
        );
        Ok(())
    }
}

/// One node can be drained. A second one cannot: the member of etcd that was on the first has
/// its volume there.
fn drain_nodes(report: &mut Report) -> Result<()> {
    let began = Instant::now();
    drain("n2", 120)?.ok()?;
    report.figure("seconds to drain a node", began.elapsed().as_secs());
    until("three controllers on two nodes", PATIENCE, || {
        Ok((ready(NAME, "controller")? == 3).then_some(()))
    })?;
    let refused = drain("n3", 25)?;
    ensure!(
        !refused.is_good && refused.err.contains("disruption budget"),
        "a second node could be drained:\n{}{}",
        refused.out,
        refused.err
    );
    report.count("evictions refused by a disruption budget", 1);
    for node in ["n2", "n3"] {
        kubectl(&["uncordon", node])?;
    }
    wait_ready(NAME, "etcd", 3, PATIENCE)?;
    wait_ready(NAME, "controller", 3, PATIENCE)
}

/// Switches a node off or on.
fn power(what: &str, node: &str) -> Result<()> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/kube/power");
    let number = node.trim_start_matches('n');
    run(script, [what, number], MOST)?.ok().map(drop)
}

fn drain(node: &str, seconds: u64) -> Result<crate::tool::Said> {
    let timeout = format!("--timeout={seconds}s");
    let arguments = [
        "drain",
        node,
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        &timeout,
    ];
    run("kubectl", arguments, MOST + Duration::from_secs(seconds))
}
