//! `make bench-scale`: one controller with a real etcd, many storage nodes, many hosts, many
//! transfers that report, and the same controller with a million hosts.
//!
//! The storage nodes are simulated ([`agent`]): each has joined with a token, has a certificate of
//! its own and speaks the real protocol over a link of its own, but has no disk and no clients.
//! Prints a table against what is promised and writes `target/bench/scale.json`. `--smoke` does the
//! same with little of everything, to see that it works; its figures mean nothing.

mod agent;
mod board;
mod etcd;
mod fill;
mod fleet;
mod million;
mod orders;
mod plan;
mod report;
mod transfers;
mod writes;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use foghorn_tests::rest::Rest;
use foghorn_tests::stack::{Engine, Options, Stack};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use fleet::Fleet;
use plan::Plan;
use report::Figures;

/// A store with a million hosts is larger than etcd takes by default.
const ETCD_QUOTA: &str = "--quota-backend-bytes=8589934592";
const STOP_WITHIN: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let plan = Plan::read()?;
    let folder = plan.output.parent().context("the file has a folder")?;
    std::fs::create_dir_all(folder)?;
    raise_limit_of_files()?;
    let mut figures = fleet_figures(&plan, folder)?;
    if plan.million > 0 {
        figures.million = Some(million::measure(&plan, folder)?);
    }
    report::print(&figures);
    std::fs::write(
        &plan.output,
        serde_json::to_vec_pretty(&report::to_json(&figures))?,
    )?;
    println!("written to {}", plan.output.display());
    Ok(())
}

/// A link is a file, and so is a request.
fn raise_limit_of_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).context("could not raise the limit of open files")
}

/// A controller that has been set up and stopped, with its etcd, and an image.
fn stopped(folder: &Path) -> Result<(Stack, u32)> {
    // Beside the figures, so on a disk: a temporary folder may be memory, where durable costs
    // nothing.
    let options = Options {
        folder: Some(folder.to_owned()),
        etcd: vec![ETCD_QUOTA.to_owned()],
        ..Options::default()
    };
    let mut stack = Stack::controller_only(Engine::Etcd, &options)?;
    let image = stack.create_image("lab")?;
    stack.controller.stop(STOP_WITHIN)?;
    Ok((stack, image))
}

/// Fills the store and starts the controller on it; returns how long it took until it was ready.
fn filled(stack: &mut Stack, hosts: u32, image: u32) -> Result<Duration> {
    let started = Instant::now();
    fill::hosts(&stack.etcd_url()?, hosts, image)?;
    let took = started.elapsed().as_secs_f64();
    eprintln!("{hosts} hosts: filled in {took:.1} s");
    let started = Instant::now();
    stack.restart_controller()?;
    let ready = started.elapsed();
    eprintln!("{hosts} hosts: ready in {:.1} s", ready.as_secs_f64());
    Ok(ready)
}

/// Everything but the million hosts.
fn fleet_figures(plan: &Plan, folder: &Path) -> Result<Figures> {
    let (mut stack, image) = stopped(folder)?;
    let ready = filled(&mut stack, plan.hosts, image)?;
    let fleet = Fleet::start(&stack.rest, plan.agents)?;
    let mut hosts = transfers::Hosts::new(plan.hosts);
    transfers::capture(&stack.rest, &fleet, hosts.take(1)?, image)?;
    eprintln!("{} agents are linked, an image is captured", plan.agents);
    let idle = orders::measure(&stack.rest, &fleet.board, hosts.take(plan.orders)?)?;
    eprintln!("idle: {idle}");
    let etcd = stack.etcd_url()?;
    let writes = writes::measure(&stack.rest, &fleet, hosts.take(plan.lives)?, &etcd, plan)?;
    eprintln!("etcd writes for each change of a task: {writes}");
    let begun = Instant::now();
    transfers::begin(&stack.rest, &fleet, hosts.take(plan.transfers)?)?;
    let took = begun.elapsed().as_secs_f64();
    eprintln!("{} transfers: begun in {took:.1} s", plan.transfers);
    let reported = fleet.board.reports();
    let since = Instant::now();
    let loaded = orders::measure(&stack.rest, &fleet.board, hosts.take(plan.orders)?)?;
    // A short run sees reports, too: each transfer sends one a second.
    std::thread::sleep(Duration::from_secs(2).saturating_sub(since.elapsed()));
    let reports = (fleet.board.reports() - reported) as f64 / since.elapsed().as_secs_f64();
    eprintln!("loaded: {loaded}, {reports:.0} reports/s");
    transfers::all_run(&stack.rest, &fleet.board)?;
    let lost = fleet.board.lost();
    let peak = stack.controller.peak_memory_kib();
    let figures = Figures {
        agents: plan.agents,
        hosts: plan.hosts,
        transfers: plan.transfers,
        idle,
        loaded,
        writes,
        rss_mib: mib(peak.context("the controller's memory")?),
        ready,
        reports_per_second: reports,
        links_lost: lost,
        million: None,
    };
    drop(fleet);
    let ended = stack.controller.stop(STOP_WITHIN)?;
    ensure!(ended.success(), "the controller ended with {ended}");
    Ok(figures)
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// The same caller with connections of its own.
fn another(rest: &Rest) -> Result<Rest> {
    Rest::new(&rest.url, &rest.ca_pem, &rest.api_token, &rest.user_token)
}

/// Does something for each item, with a few requests at a time.
fn for_each<T: Sync>(
    rest: &Rest,
    items: &[T],
    act: impl Fn(&Rest, &T) -> Result<()> + Sync,
) -> Result<()> {
    const WORKERS: usize = 8;
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let worker = || -> Result<()> {
            let rest = another(rest)?;
            loop {
                let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                match items.get(at) {
                    Some(item) => act(&rest, item)?,
                    None => return Ok(()),
                }
            }
        };
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })
}
