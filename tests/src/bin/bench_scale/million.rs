//! The same controller on a store with a million hosts.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use foghorn_tests::rest::Rest;

use super::orders::Percentiles;
use super::plan::Plan;
use super::{STOP_WITHIN, fill, filled, for_each, mib, stopped};

pub(crate) struct Million {
    pub(crate) hosts: u32,
    pub(crate) ready: Duration,
    pub(crate) rss_mib: f64,
    pub(crate) page: Percentiles,
    pub(crate) search: Percentiles,
}

const PAGE: u32 = 100;

pub(crate) fn measure(plan: &Plan, folder: &Path) -> Result<Million> {
    let hosts = plan.million;
    let (mut stack, image) = stopped(folder)?;
    let ready = filled(&mut stack, hosts, image)?;
    // Spread over the fleet: 7919 is prime.
    let places: Vec<u32> = (0..plan.requests)
        .map(|number| number.wrapping_mul(7919) % hosts)
        .collect();
    let pages = |place: &u32| {
        let start = place % (hosts - hosts.min(PAGE) + 1);
        let rows = hosts.min(PAGE) as usize;
        (format!("/fog/host?start={start}&length={PAGE}"), rows)
    };
    let page = timed(&stack.rest, &places, pages)?;
    let names = |place: &u32| (format!("/fog/host/search/{}", fill::name(place + 1)), 1);
    let search = timed(&stack.rest, &places, names)?;
    let peak = stack.controller.peak_memory_kib();
    let rss_mib = mib(peak.context("the controller's memory")?);
    eprintln!("{hosts} hosts: page {page}, search {search}, memory {rss_mib:.0} MiB");
    stack.controller.stop(STOP_WITHIN)?;
    Ok(Million {
        hosts,
        ready,
        rss_mib,
        page,
        search,
    })
}

/// Sends a request for each place, eight at a time; each answer has to have so many hosts.
fn timed(
    rest: &Rest,
    places: &[u32],
    request: impl Fn(&u32) -> (String, usize) + Sync,
) -> Result<Percentiles> {
    let samples = Mutex::new(Vec::new());
    for_each(rest, places, |rest, place| {
        let (path, rows) = request(place);
        let asked = Instant::now();
        let answer = rest.get(&path)?;
        let took = asked.elapsed().as_secs_f64() * 1000.0;
        let answer = answer.ok()?;
        let found = answer["hosts"].as_array().map_or(0, Vec::len);
        ensure!(found == rows, "{path} has {found} hosts, not {rows}");
        let mut samples = samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.push(took);
        Ok(())
    })?;
    let samples = samples.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Percentiles::of(samples))
}
