//! When all is well again: is everything there that was promised, has everything ended, and is
//! nothing left over?

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use foghorn_tests::disks;
use foghorn_tests::ledger::Ledger;
use foghorn_tests::process::until;
use foghorn_tests::rest::Rest;
use serde::Serialize;
use serde_json::{Value, json};

use crate::checker;
use crate::part::{Held, Kind};
use crate::registers::{BEHIND, Registers};
use crate::topology::Site;

const SETTLED: Duration = Duration::from_secs(60);
/// Copies wait longer and longer after each failure.
const COPIED: Duration = Duration::from_secs(180);
/// Open files of a program that are no leak: connections that have not been closed yet.
const FILES: usize = 120;

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Verdict {
    pub acknowledged: u64,
    pub lost_writes: Vec<String>,
    pub stuck: Vec<String>,
    pub leaks: Vec<String>,
    /// Replicas that are called ready and are not whole.
    pub false_ready: Vec<String>,
    pub replicas: usize,
    pub register_operations: usize,
    /// Registers whose reads were older than a strict reader would accept; no more than was promised.
    pub stale_registers: usize,
}

/// Sockets and files of every part.
pub(crate) fn baseline(site: &Site) -> Result<BTreeMap<String, Held>> {
    let parts = site.parts.iter();
    parts
        .map(|part| Ok((part.name.clone(), part.holds()?)))
        .collect()
}

pub(crate) struct Judge<'s> {
    pub site: &'s Site,
    pub ledger: &'s Ledger,
    pub registers: &'s Registers,
    pub before: &'s BTreeMap<String, Held>,
}

impl Judge<'_> {
    /// `further` is done when all copies should be whole.
    pub(crate) fn judge(&self, further: impl FnOnce(&Rest) -> Result<()>) -> Result<Verdict> {
        let mut verdict = Verdict::default();
        let rests = self.site.patient_rests()?;
        self.tasks(&rests[0], &mut verdict);
        self.replicas(&rests[0], &mut verdict)?;
        if let Err(error) = further(&rests[0]) {
            verdict.stuck.push(format!("at the end: {error:#}"));
        }
        self.writes(&rests, &mut verdict)?;
        self.left_over(&rests[0], &mut verdict)?;
        Ok(verdict)
    }

    fn tasks(&self, rest: &Rest, verdict: &mut Verdict) {
        let mut left = Value::Null;
        let ended = until("all tasks to end", SETTLED, || {
            left = rest.get("/fog/task/active")?.ok()?["tasks"].take();
            let is_empty = left.as_array().is_some_and(Vec::is_empty);
            Ok(is_empty.then_some(()))
        });
        if ended.is_err() {
            let rows = left.as_array().into_iter().flatten();
            let texts = rows.map(|row| format!("task {} of host {}", row["id"], row["hostID"]));
            verdict.stuck.extend(texts);
        }
        let mut open = Vec::new();
        let ended = until("all sessions to end", SETTLED, || {
            let list = rest.get("/foghorn/v1/multicast-sessions")?.ok()?;
            let rows = list["sessions"].as_array().cloned().unwrap_or_default();
            let phase = |row: &Value| row["phase"].as_str().unwrap_or_default().to_owned();
            open = rows;
            open.retain(|row| !["complete", "cancelled"].contains(&phase(row).as_str()));
            Ok(open.is_empty().then_some(()))
        });
        if ended.is_err() {
            verdict
                .leaks
                .extend(open.iter().map(|row| format!("a session goes on: {row}")));
        }
    }

    /// What is wanted somewhere comes there; what is ready is whole by a scrub of its node.
    fn replicas(&self, rest: &Rest, verdict: &mut Verdict) -> Result<()> {
        let list = || {
            let list = rest.get("/foghorn/v1/replication")?.ok()?;
            Ok::<_, anyhow::Error>(list["replicas"].as_array().cloned().unwrap_or_default())
        };
        let wanted_and_not_ready = |row: &Value| row["wanted"] == true && row["state"] != "ready";
        let all = || {
            until("every copy to be whole", COPIED, || {
                Ok((!list()?.iter().any(wanted_and_not_ready)).then_some(()))
            })
        };
        if all().is_err() {
            let rows = list()?;
            let late = rows.iter().filter(|row| wanted_and_not_ready(row));
            verdict
                .stuck
                .extend(late.map(|row| format!("a copy does not come: {row}")));
        }
        // The first scrub may find what flipped; it is mended from another node by the second.
        for round in 0..2 {
            for id in self.node_ids(rest)? {
                let found = scrub(rest, id)?;
                println!("scrub of node {id}: {}", found["damaged"]);
                if round == 1 && found["damaged"] != json!([]) {
                    verdict.false_ready.push(format!("node {id}: {found}"));
                }
            }
            if round == 0 && all().is_err() {
                verdict.stuck.push("damage was not mended".to_owned());
            }
        }
        verdict.replicas = list()?.len();
        Ok(())
    }

    fn node_ids(&self, rest: &Rest) -> Result<Vec<u64>> {
        let list = rest.get("/foghorn/v1/nodes")?.ok()?;
        let rows = list["nodes"].as_array().context("nodes")?;
        let agents = rows.iter().filter(|row| row["online"] == true);
        Ok(agents.filter_map(|row| row["id"].as_u64()).collect())
    }

    fn writes(&self, rests: &[Rest], verdict: &mut Verdict) -> Result<()> {
        for (number, rest) in rests.iter().enumerate() {
            let found = self.ledger.compare(rest)?;
            verdict.acknowledged = found.acknowledged;
            let all = found.lost.into_iter().chain(found.doubled);
            verdict
                .lost_writes
                .extend(all.map(|what| format!("at controller {number}: {what}")));
        }
        verdict.lost_writes.extend(self.registers.read_all(rests)?);
        for (key, operations) in self.registers.history.keys() {
            verdict.register_operations += operations.len();
            if let Err(why) = checker::check("", &operations, BEHIND) {
                let late = checker::latest(&operations, 3);
                let text = format!("register {key} is not linearizable: {why:?}; late: {late:?}");
                verdict.lost_writes.push(text);
            }
            if checker::check("", &operations, Duration::ZERO).is_err() {
                verdict.stale_registers += 1;
            }
        }
        Ok(())
    }

    /// Transfers, sockets, open files, drafts of files.
    fn left_over(&self, rest: &Rest, verdict: &mut Verdict) -> Result<()> {
        let mut busy = Vec::new();
        let idle = until("all nodes to be idle", SETTLED, || {
            let list = rest.get("/foghorn/v1/nodes")?.ok()?;
            busy = list["nodes"].as_array().cloned().unwrap_or_default();
            busy.retain(|row| row["active_transfers"] != 0);
            Ok(busy.is_empty().then_some(()))
        });
        if idle.is_err() {
            let texts = busy
                .iter()
                .map(|row| format!("{} has {} transfers", row["name"], row["active_transfers"]));
            verdict.leaks.extend(texts);
        }
        let more = self.more_is_held();
        if until("sockets and files to be closed", SETTLED, || {
            Ok(self.more_is_held().is_empty().then_some(()))
        })
        .is_err()
        {
            verdict.leaks.extend(more);
        }
        for number in 0..self.site.nodes {
            let files = disks::files(&self.site.state_of(number))?;
            let is_draft = |end: &std::ffi::OsStr| end == "new" || end == "tmp";
            let drafts = files
                .iter()
                .filter(|file| file.extension().is_some_and(is_draft));
            verdict
                .leaks
                .extend(drafts.map(|file| format!("a draft is left: {}", file.display())));
        }
        Ok(())
    }

    fn more_is_held(&self) -> Vec<String> {
        let mut found = Vec::new();
        for part in self
            .site
            .parts
            .iter()
            .filter(|part| part.kind != Kind::Etcd)
        {
            let (Some(before), Ok(now)) = (self.before.get(&part.name), part.holds()) else {
                continue;
            };
            if now.udp > before.udp {
                let udp = (before.udp, now.udp);
                found.push(format!(
                    "sockets for UDP of {}: before and now {udp:?}",
                    part.name
                ));
            }
            if now.files > before.files + FILES {
                let files = (before.files, now.files);
                found.push(format!(
                    "open files of {}: before and now {files:?}",
                    part.name
                ));
            }
        }
        found
    }
}

fn scrub(rest: &Rest, node: u64) -> Result<Value> {
    let path = format!("/foghorn/v1/nodes/{node}/scrub");
    let job = rest.post(&path, &json!({}))?.ok()?["job"].clone();
    until("the end of a scrub", SETTLED, || {
        let status = rest.get(&format!("/foghorn/v1/jobs/{job}"))?.ok()?;
        Ok((status["done"] == true).then_some(status))
    })
}
