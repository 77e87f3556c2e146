//! A limit: is it kept, and does it change at the full minute that its timetable names?

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::counter::moved;
use crate::figures::Cap;
use crate::nodes::{Nodes, TestImage};

/// In Mbit/s: before and after the change.
const RATES: (u64, u64) = (50, 200);
/// The rate is taken over this long, and looked at so often.
const OVER: Duration = Duration::from_secs(8);
const LOOK: Duration = Duration::from_millis(100);
/// A change that takes longer has not come.
const LATE: Duration = Duration::from_secs(30);

pub(crate) fn measure(nodes: &Nodes, image: &TestImage, smoke: bool) -> Result<Cap> {
    limit(nodes, Some(&format!("{}m", RATES.0)))?;
    nodes.replicated(image.number, true)?;
    wait_begun()?;
    // The first chunks come at once: the limit counts what was moved.
    std::thread::sleep(Duration::from_secs(1));
    let over = if smoke { OVER / 8 } else { OVER };
    let measured = rate(over)?;
    let changed_after = if smoke {
        None
    } else {
        Some(at_the_minute(nodes)?)
    };
    limit(nodes, None)?;
    let started = Instant::now();
    while nodes.replica(image.number)?["state"] != "ready" {
        ensure!(
            started.elapsed() < Duration::from_secs(300),
            "the copy hangs"
        );
        std::thread::sleep(LOOK);
    }
    Ok(Cap {
        set: RATES.0 as f64,
        measured,
        changed_after,
    })
}

/// Seconds from the full minute to the first second in which the new rate holds.
fn at_the_minute(nodes: &Nodes) -> Result<f64> {
    let second = unix()? % 60.0;
    if second > 50.0 {
        // Enough of the old rate is to be seen.
        std::thread::sleep(Duration::from_secs_f64(60.5 - second));
    }
    let minute = (unix()? as u64 / 60 + 1) % (24 * 60);
    let clock = |minute: u64| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    let table = format!(
        "{}-{} {}m, else {}m",
        clock(minute),
        clock(minute + 30),
        RATES.1,
        RATES.0
    );
    limit(nodes, Some(&table))?;
    let wait = 60.0 - unix()? % 60.0;
    std::thread::sleep(Duration::from_secs_f64(wait));
    let due = Instant::now();
    loop {
        let now = due.elapsed();
        ensure!(now < LATE, "the limit did not change at the full minute");
        if rate(Duration::from_secs(1))? > (RATES.0 + RATES.1) as f64 / 2.0 {
            return Ok(now.as_secs_f64());
        }
    }
}

fn unix() -> Result<f64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(now.as_secs_f64())
}

/// On the wire, in Mbit/s.
fn rate(over: Duration) -> Result<f64> {
    let (before, begun) = (moved()?, Instant::now());
    std::thread::sleep(over);
    Ok((moved()? - before) as f64 * 8.0 / 1e6 / begun.elapsed().as_secs_f64())
}

fn wait_begun() -> Result<()> {
    let (before, begun) = (moved()?, Instant::now());
    while moved()? - before < 1 << 20 {
        ensure!(begun.elapsed() < LATE, "the copy does not begin");
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn limit(nodes: &Nodes, timetable: Option<&str>) -> Result<()> {
    let list = nodes.rest().get("/foghorn/v1/replication/limits")?.ok()?;
    let all = list["nodes"].as_array().context("a list")?;
    let south = all.iter().find(|one| one["node"]["name"] == "south");
    let node = south.context("the other node")?["node"]["id"].clone();
    let body = json!({ "node": node, "timetable": timetable });
    let answer = nodes.rest().post("/foghorn/v1/replication/limits", &body)?;
    ensure!(answer.status == 204, "{}: {}", answer.status, answer.body);
    Ok(())
}
