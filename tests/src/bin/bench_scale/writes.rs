//! How many writes of etcd a change of a task's state costs.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Result;
use foghorn_tests::rest::Rest;

use super::agent::Command;
use super::fleet::Fleet;
use super::plan::Plan;
use super::transfers::{DEPLOY, PATIENCE, boot_token, check_in, order, wait_state};
use super::{etcd, for_each};

/// Created, assigned, checked in, running, ended.
const CHANGES: u32 = 5;

/// Takes a task of each host from its creation to its end. What is written while nothing happens,
/// and the boot tokens, which are no changes of a task, are not counted.
pub(crate) fn measure(
    rest: &Rest,
    fleet: &Fleet,
    hosts: Range<u32>,
    url: &str,
    plan: &Plan,
) -> Result<f64> {
    let (before, since) = (etcd::writes(url)?, Instant::now());
    std::thread::sleep(Duration::from_secs(plan.rest_s.into()));
    let idle = (etcd::writes(url)? - before) / since.elapsed().as_secs_f64();
    let hosts: Vec<u32> = hosts.collect();
    let mut counted = 0.0;
    let mut count = |act: &mut dyn FnMut() -> Result<()>| -> Result<()> {
        let (before, since) = (etcd::writes(url)?, Instant::now());
        act()?;
        counted += etcd::writes(url)? - before - idle * since.elapsed().as_secs_f64();
        Ok(())
    };
    count(&mut || {
        for_each(rest, &hosts, |rest, host| {
            order(rest, *host, DEPLOY)?;
            fleet.board.wait_opened(*host, PATIENCE).map(drop)
        })
    })?;
    let mut tokens = Vec::new();
    for host in &hosts {
        tokens.push((*host, boot_token(rest, *host)?));
    }
    count(&mut || {
        for_each(rest, &tokens, |rest, (host, token)| {
            check_in(rest, *host, token)?;
            let opened = fleet.board.wait_opened(*host, PATIENCE)?;
            wait_state(rest, opened.task, "running")?;
            let task = opened.task;
            fleet.tell(opened.agent, Command::End { task });
            fleet.board.wait_recorded(task, PATIENCE)?;
            fleet.board.forget(*host);
            Ok(())
        })
    })?;
    Ok(counted / (hosts.len() as f64 * f64::from(CHANGES)))
}
