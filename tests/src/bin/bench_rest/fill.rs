//! Fills an installation through its REST API, so that the measured data was created by clients.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail, ensure};
use foghorn_tests::rest::Rest;
use serde_json::{Value, json};

/// Concurrent requests.
const WORKERS: usize = 16;
/// Attempts per create, because concurrent creates can conflict.
const ATTEMPTS: u32 = 100;
const TRY_AGAIN: u16 = 503;
/// Hosts of a group that is made in one request.
const GROUP: u32 = 1000;
/// A task that needs no image: hardware inventory.
const INVENTORY: u32 = 10;

/// The name of host `number`, counted from 1. As searches want it: one name is not part of another.
pub(crate) fn name(number: u32) -> String {
    format!("pc{number:06}")
}

/// The address of host `number`.
pub(crate) fn mac(number: u32) -> String {
    let [_, a, b, c] = number.to_be_bytes();
    format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")
}

pub(crate) fn hosts(rest: &Rest, count: u32) -> Result<()> {
    let next = AtomicU32::new(1);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let rest = another(rest)?;
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number > count {
                            return Ok(());
                        }
                        let body = json!({
                            "name": name(number),
                            "macs": [mac(number)],
                            "description": format!("room {}, seat {}", number / 32, number % 32),
                        });
                        create(&rest, &body)?;
                    }
                })
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })
}

/// Creates at the same time may be told to try again, and do.
fn create(rest: &Rest, body: &Value) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let reply = rest.post("/fog/host/create", body)?;
        if reply.status != TRY_AGAIN {
            return reply.ok().map(drop);
        }
    }
    bail!("could not create a host in {ATTEMPTS} attempts")
}

/// Gives the first hosts, by id, an active task each.
pub(crate) fn tasks(rest: &Rest, count: u32) -> Result<()> {
    if count <= 100 {
        for host in 1..=count {
            rest.post(
                &format!("/fog/host/{host}/task"),
                &json!({ "taskTypeID": INVENTORY }),
            )?
            .ok()?;
        }
    } else {
        for (place, first) in (1..=count).step_by(GROUP as usize).enumerate() {
            let hosts: Vec<u32> = (first..(first + GROUP).min(count + 1)).collect();
            let body = json!({ "name": format!("hall {place}"), "hosts": hosts });
            let group = rest.post("/fog/group/create", &body)?.ok()?;
            let id = group["id"].as_str().context("a group has an id")?;
            rest.post(
                &format!("/fog/group/{id}/task"),
                &json!({ "taskTypeID": INVENTORY }),
            )?
            .ok()?;
        }
    }
    // The last one and none after it: the whole list is larger than the client takes.
    for (start, rows) in [(count - 1, 1), (count, 0)] {
        let page = rest
            .get(&format!("/fog/task/active?start={start}&length=1"))?
            .ok()?;
        ensure!(
            page["count"] == rows,
            "{} active tasks from number {start}, not {rows}",
            page["count"]
        );
    }
    Ok(())
}

/// The same caller with connections of its own.
fn another(rest: &Rest) -> Result<Rest> {
    Rest::new(&rest.url, &rest.ca_pem, &rest.api_token, &rest.user_token)
}
