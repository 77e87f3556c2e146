//! When the trouble is over: everything ends, and is the same everywhere.

use std::collections::BTreeMap;

use foghorn_controller::state::classes::Group;
use foghorn_controller::store::Revision;

use super::{RUNS, run_of};
use crate::scenario::Millis;
use crate::world::World;

/// No controller may show what is older.
const STALE_AFTER: Millis = 2_000;
/// A controller that was started needs this long, with a slow store.
const STARTS_WITHIN: Millis = 5_000;
const GROUPS: &str = "/foghorn/v1/obj/group/";

/// What one controller shows.
struct Shown {
    revision: Revision,
    /// It says itself that what it shows may be old.
    says_so: bool,
    runs: BTreeMap<u32, String>,
    groups: Vec<String>,
    online: usize,
}

impl World {
    fn shown(&self, host: usize) -> Option<Shown> {
        let skew = self.hosts[host].skew;
        let process = self.hosts[host].process.as_ref()?;
        process.with(skew, |bare| {
            let ctx = bare.ctx();
            let (revision, runs, groups) = ctx.state.read_at(|tables, revision| {
                let runs = tables.runs().iter();
                let runs = runs.map(|run| (run.task.get(), format!("{:?}", run.life)));
                let groups = tables.of::<Group>().iter().map(|row| row.name.clone());
                (revision, runs.collect(), groups.collect())
            });
            let nodes = ctx.live.nodes();
            Shown {
                revision,
                says_so: ctx.state.stale_for().is_some() || !ctx.state.is_ready(),
                runs,
                groups,
                online: nodes.values().filter(|node| node.online).count(),
            }
        })
    }

    /// What has yet to end, in words.
    pub(crate) fn still_goes_on(&self) -> Option<String> {
        if self.people_wait > 0 {
            return Some(format!("{} people wait for an answer", self.people_wait));
        }
        let mut runs = self.judge.runs.values();
        if let Some(run) = runs.find(|run| !run.is_finished()) {
            return Some(format!("task {} is {:?}", run.task, run.life.state()));
        }
        let clients = self.clients.iter().find_map(|client| client.goes_on());
        clients.or_else(|| self.agents.iter().find_map(|agent| agent.goes_on()))
    }

    /// No controller is behind for long.
    pub(crate) fn look_at_delay(&mut self) {
        let now = self.now;
        self.judge.revisions.push((now, self.engine.revision));
        let mut latest_first = self.judge.revisions.iter().rev();
        let old = latest_first.find(|(at, _)| at + STALE_AFTER <= now);
        let Some((_, wanted)) = old.copied() else {
            return;
        };
        for host in 0..self.hosts.len() {
            let Some(shown) = self
                .shown(host)
                .filter(|_| now > self.hosts[host].started_at + STARTS_WITHIN)
            else {
                continue;
            };
            if shown.revision < wanted && !shown.says_so {
                self.problem(format!(
                    "controller {host} is at revision {}, and {wanted} was there {STALE_AFTER} ms ago",
                    shown.revision
                ));
            }
        }
    }

    /// Where controllers differ from the store or from each other, in words.
    pub(crate) fn differs(&self) -> Option<String> {
        let runs = self.engine.under(RUNS).filter_map(run_of);
        let runs: BTreeMap<u32, String> = runs
            .map(|run| (run.task.get(), format!("{:?}", run.life)))
            .collect();
        for host in 0..self.hosts.len() {
            let Some(shown) = self.shown(host) else {
                return Some(format!("controller {host} has not started"));
            };
            if shown.runs != runs {
                return Some(format!(
                    "controller {host} shows other tasks than the store has"
                ));
            }
            if let Some(group) = self
                .judge
                .groups
                .iter()
                .find(|name| !shown.groups.contains(name))
            {
                return Some(format!("controller {host} does not show the group {group}"));
            }
            if shown.online != self.agents.len() {
                return Some(format!(
                    "controller {host} shows {} of {} nodes as connected",
                    shown.online,
                    self.agents.len()
                ));
            }
        }
        None
    }

    /// What was acknowledged is there, once.
    pub(crate) fn judge_end(&mut self) {
        let text = |entry: &foghorn_controller::store::Entry| {
            let row: serde_json::Value = serde_json::from_slice(&entry.value).ok()?;
            Some(row["f"]["name"].as_str()?.to_owned())
        };
        let stored: Vec<String> = self.engine.under(GROUPS).filter_map(text).collect();
        for name in self.judge.groups.clone() {
            let count = stored.iter().filter(|other| **other == name).count();
            if count != 1 {
                self.problem(format!(
                    "the group {name} was acknowledged, and is there {count} times"
                ));
            }
        }
        for (host, keys) in self.judge.orders.clone() {
            let tasks = self
                .judge
                .runs
                .values()
                .filter(|run| run.host.get() == host)
                .count();
            if tasks > keys.len() {
                self.problem(format!(
                    "host {host} has {tasks} tasks of {} orders",
                    keys.len()
                ));
            }
        }
    }
}
