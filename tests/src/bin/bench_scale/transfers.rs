//! Tasks with clients that check in as real ones do; what they transfer is made up by the agents.

use std::ops::Range;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use foghorn_proto::http::CHECK_IN_PATH;
use foghorn_tests::process::until;
use foghorn_tests::rest::Rest;
use serde_json::{Value, json};

use super::agent::Command;
use super::board::Board;
use super::fleet::Fleet;
use super::{fill, for_each};

pub(crate) const DEPLOY: u32 = 1;
pub(crate) const CAPTURE: u32 = 2;
/// Hosts of a group that is ordered in one request.
const GROUP: usize = 250;
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// A controller lets few copies begin at a time.
const COPIED_WITHIN: Duration = Duration::from_secs(300);
const TRY_AGAIN: u16 = 503;

/// Hosts that have no task yet.
pub(crate) struct Hosts {
    free: Range<u32>,
}

impl Hosts {
    pub(crate) fn new(count: u32) -> Self {
        Self {
            free: 1..count.saturating_add(1),
        }
    }

    pub(crate) fn take(&mut self, count: u32) -> Result<Range<u32>> {
        let first = self.free.start;
        ensure!(
            self.free.end - first >= count,
            "HOSTS is too small for so many tasks"
        );
        self.free.start += count;
        Ok(first..first + count)
    }
}

/// A client can have one key for several tasks; making one takes longer than using it.
static CSR: LazyLock<String> = LazyLock::new(|| {
    let make = || -> Result<String> {
        let key = rcgen::KeyPair::generate()?;
        let request = rcgen::CertificateParams::default().serialize_request(&key)?;
        Ok(request.pem()?)
    };
    make().expect("the system has random bytes")
});

/// Orders a task for one host.
pub(crate) fn order(rest: &Rest, host: u32, kind: u32) -> Result<()> {
    let path = format!("/fog/host/{host}/task");
    rest.post(&path, &json!({ "taskTypeID": kind }))?.ok()?;
    Ok(())
}

pub(crate) fn boot_token(rest: &Rest, host: u32) -> Result<String> {
    let path = format!("/foghorn/v1/hosts/{host}/boot-token");
    let answer = rest.post(&path, &json!({}))?.ok()?;
    Ok(answer["token"].as_str().context("a token")?.to_owned())
}

/// A client begins the task of its host.
pub(crate) fn check_in(rest: &Rest, host: u32, token: &str) -> Result<()> {
    let body = json!({ "mac": fill::mac(host), "boot_token": token, "csr_pem": *CSR,
        "software": "foghorn-client (simulated)" });
    // Two changes at once may be told to try again, and clients do.
    for _ in 0..10 {
        let answer = rest.post(CHECK_IN_PATH, &body)?;
        if answer.status != TRY_AGAIN {
            return answer.ok().map(drop);
        }
    }
    rest.post(CHECK_IN_PATH, &body)?.ok().map(drop)
}

/// Waits until the controller says that the task is in this state.
pub(crate) fn wait_state(rest: &Rest, task: u32, state: &str) -> Result<()> {
    until(&format!("task {task} to be {state}"), PATIENCE, || {
        let status: Value = rest.get(&format!("/foghorn/v1/tasks/{task}"))?.ok()?;
        Ok((status["state"] == state).then_some(()))
    })
}

/// One host's disk becomes the image, which is copied to all agents.
pub(crate) fn capture(rest: &Rest, fleet: &Fleet, host: Range<u32>, image: u32) -> Result<()> {
    let host = host.start;
    order(rest, host, CAPTURE)?;
    let opened = fleet.board.wait_opened(host, PATIENCE)?;
    check_in(rest, host, &boot_token(rest, host)?)?;
    wait_state(rest, opened.task, "running")?;
    let task = opened.task;
    fleet.tell(opened.agent, Command::End { task });
    fleet.board.wait_recorded(task, PATIENCE)?;
    fleet.board.forget(host);
    until("copies of the image everywhere", COPIED_WITHIN, || {
        // The answer has a row for each of them.
        std::thread::sleep(Duration::from_millis(200));
        let found = rest.get(&format!("/foghorn/v1/images/{image}"))?.ok()?;
        let copies = found["replicas"].as_array().into_iter().flatten();
        let ready = copies.filter(|copy| copy["state"] == "ready").count();
        Ok((ready >= fleet.len()).then_some(()))
    })
}

/// Begins the transfers of these hosts, and waits until all of them run.
pub(crate) fn begin(rest: &Rest, fleet: &Fleet, hosts: Range<u32>) -> Result<()> {
    let hosts: Vec<u32> = hosts.collect();
    for (place, some) in hosts.chunks(GROUP).enumerate() {
        let body = json!({ "name": format!("hall {place}"), "hosts": some });
        let group = rest.post("/fog/group/create", &body)?.ok()?;
        let id = group["id"].as_str().context("a group has an id")?;
        let path = format!("/fog/group/{id}/task");
        rest.post(&path, &json!({ "taskTypeID": DEPLOY }))?.ok()?;
    }
    eprintln!("{} tasks are ordered", hosts.len());
    for_each(rest, &hosts, |rest, host| {
        fleet.board.wait_opened(*host, PATIENCE)?;
        check_in(rest, *host, &boot_token(rest, *host)?)
    })?;
    all_run(rest, &fleet.board)
}

/// Waits until every task that an agent has runs.
pub(crate) fn all_run(rest: &Rest, board: &Board) -> Result<()> {
    for_each(rest, &board.tasks(), |rest, task| {
        wait_state(rest, *task, "running")
    })
}
