//! Every saga with a fault at each of its points, twice in a row: it ends done, or fails cleanly and
//! succeeds when it is tried again; and nothing is left behind. One group of sagas, because the last
//! thing that is checked is that every point of `docs/fault-points.md` was reached and has had its
//! faults. The groups run side by side, each on an installation of its own.

#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute, not their helpers

mod cold;
mod copies;
mod deleting;
mod failing_over;
mod imaging;
mod list;
mod nodes;
mod rig;
mod snapins;
mod state;

use anyhow::{Context, Result, bail, ensure};
use foghorn_tests::stack::Engine;

use crate::list::{Fault, Listed, faults_of};
use crate::rig::Reached;

/// A group of sagas, which share an installation.
struct Group {
    name: &'static str,
    /// Beginnings of the names of the points whose faults it has.
    points: &'static [&'static str],
    run: fn(&[Fault]) -> Result<Reached>,
}

/// Every point belongs to one saga at least, by the beginning of its name.
static GROUPS: [Group; 11] = [
    Group {
        name: "capture, the machine and the node's disk",
        points: &[
            "client.request.",
            "client.check-in.",
            "client.capture.",
            "client.end.",
            "store.pack.",
            "store.index.",
            "store.record.",
            "store.manifest.",
        ],
        run: imaging::captures,
    },
    Group {
        name: "capture, the node and the controller",
        points: &[
            "agent.capture.",
            "agent.end.",
            "agent.journal.",
            "controller.order.",
            "controller.boot-token.",
            "controller.check-in.",
            "controller.assign.",
            "controller.task.",
            "controller.end.",
            "controller.ids.",
            "controller.store.",
            "controller.embedded.",
        ],
        run: imaging::captures,
    },
    Group {
        name: "deploy",
        points: &["client.deploy.", "client.resume."],
        run: imaging::deploys,
    },
    Group {
        name: "multicast and fail-over",
        points: &[
            "agent.multicast.",
            "controller.multicast.",
            "controller.node-failure.",
        ],
        run: failing_over::group,
    },
    Group {
        name: "replicate",
        points: &["agent.replica.", "controller.replica."],
        run: copies::group,
    },
    Group {
        name: "cold copies",
        points: &["agent.cold."],
        run: cold::group,
    },
    Group {
        name: "delete",
        points: &[
            "agent.job.",
            "controller.delete.",
            "controller.removal.",
            "controller.version.",
            "store.image.",
            "store.sweep.",
        ],
        run: deleting::group,
    },
    Group {
        name: "enrol and remove nodes",
        points: &[
            "agent.enrol.",
            "agent.identity.",
            "controller.enrol.",
            "controller.join-token.",
            "controller.revoke.",
        ],
        run: nodes::joining,
    },
    Group {
        name: "renew",
        points: &["agent.renew.", "controller.renew."],
        run: nodes::renewal,
    },
    Group {
        name: "snapin files",
        points: &["agent.snapin.", "controller.snapin.", "store.snapin."],
        run: snapins::group,
    },
    Group {
        name: "export, import and backup",
        points: &[
            "controller.backup.",
            "controller.export.",
            "controller.import.",
        ],
        run: state::group,
    },
];

#[test]
fn every_saga_ends_well_with_a_fault_at_each_of_its_points() {
    all().unwrap();
}

/// The same on etcd, where the state is: what the controller stores.
#[test]
fn captures_end_well_on_etcd_with_a_fault_at_each_write() {
    on_etcd().unwrap();
}

fn on_etcd() -> Result<()> {
    let listed = list::read()?;
    let points = [
        "controller.store.",
        "controller.check-in.",
        "controller.end.",
    ];
    imaging::captures_on(Engine::Etcd, &faults_of(&listed, &points)).map(drop)
}

/// Only these, by `FOGHORN_SAGAS=deploy,delete`; all without it.
fn is_wanted(group: &Group) -> bool {
    match std::env::var("FOGHORN_SAGAS") {
        Ok(wanted) if !wanted.is_empty() => wanted.split(',').any(|name| group.name.contains(name)),
        _ => true,
    }
}

fn all() -> Result<()> {
    let listed = list::read()?;
    let groups: Vec<&Group> = GROUPS.iter().filter(|group| is_wanted(group)).collect();
    let ended: Vec<Result<Reached>> = std::thread::scope(|scope| {
        let running: Vec<_> = groups
            .iter()
            .map(|group| {
                let faults = faults_of(&listed, group.points);
                // Told when it happens, and not only when the slowest group has ended.
                let tell = |error: &anyhow::Error| eprintln!("{}: {error:#}", group.name);
                scope.spawn(move || (group.run)(&faults).inspect_err(tell))
            })
            .collect();
        let joined = running.into_iter().map(|run| {
            run.join()
                .unwrap_or_else(|_| bail!("it panicked; see above"))
        });
        joined.collect()
    });
    let (mut reached, mut problems) = (Reached::new(), Vec::new());
    for (group, ended) in groups.iter().zip(ended) {
        match ended {
            Ok(of_group) => reached.extend(of_group),
            Err(error) => problems.push(format!("{}: {error:#}", group.name)),
        }
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n\n"));
    if groups.len() == GROUPS.len() {
        every_point_was_reached(&listed, &reached)?;
    }
    Ok(())
}

fn every_point_was_reached(listed: &[Listed], reached: &Reached) -> Result<()> {
    let lonely = listed.iter().find(|point| {
        let belongs = |group: &Group| {
            group
                .points
                .iter()
                .any(|start| point.name.starts_with(start))
        };
        !GROUPS.iter().any(belongs)
    });
    if let Some(point) = lonely {
        bail!("no saga has the point {}: add it to GROUPS", point.name);
    }
    let missed = listed.iter().find(|point| !reached.contains(&point.name));
    match missed {
        Some(point) => Err(anyhow::anyhow!("{} was never reached", point.name)),
        None => Ok(()),
    }
    .context("a point that no saga reaches proves nothing")
}
