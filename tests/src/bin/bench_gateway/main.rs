//! `make bench-gateway`: devices at their gateway, on a real etcd and on the embedded store.
//!
//! Every device has a key and a certificate of its own, by registration. First each polls for its
//! configuration when its turn comes, over a new connection with mutual TLS, as real ones do; one of
//! ten has a newer configuration in the first round. Then some of them ask as fast as they can. They
//! are on the same machine as the controller. Prints a table against the targets and writes
//! `target/bench/gateway.json`. `--smoke` does the same with little of everything, to see that it works;
//! its figures mean nothing.

mod device;
mod fleet;
mod load;
mod plan;
mod report;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use foghorn_test_ports::free_port;
use foghorn_tests::factory::{self, Operator, SCOPES};
use foghorn_tests::stack::{Engine, Options, Stack};
use tokio::runtime::Builder;

use plan::Plan;
use report::Figures;

const STOP_WITHIN: Duration = Duration::from_secs(60);
/// `Date` does not name the second that lasts, so whoever asks in the second of a change asks again.
const SECOND_OF_CHANGE: Duration = Duration::from_millis(1100);

fn main() -> Result<()> {
    let plan = Plan::read()?;
    let folder = plan.output.parent().context("the file has a folder")?;
    std::fs::create_dir_all(folder)?;
    let mut all = Vec::new();
    for engine in [Engine::Etcd, Engine::Embedded] {
        all.push(measure(engine, &plan, folder)?);
    }
    report::print(&all);
    std::fs::write(
        &plan.output,
        serde_json::to_vec_pretty(&report::to_json(&all))?,
    )?;
    println!("written to {}", plan.output.display());
    Ok(())
}

fn measure(engine: Engine, plan: &Plan, folder: &Path) -> Result<Figures> {
    let port = free_port()?;
    // Beside the figures, so on a disk: a temporary folder may be memory, where durable costs
    // nothing.
    let options = Options {
        controller: factory::settings(port),
        folder: Some(folder.to_owned()),
        ..Options::default()
    };
    let mut stack = Stack::controller_only(engine, &options)?;
    let operator = Operator::new(&stack.rest, &SCOPES)?;
    let begun = Instant::now();
    let devices: Arc<[_]> = fleet::register(&operator, plan.devices)?.into();
    let seconds = |since: Instant| since.elapsed().as_secs_f64();
    let count = devices.len();
    eprintln!(
        "{engine:?}: {count} devices registered in {:.1} s",
        seconds(begun)
    );

    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let gateway = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    std::thread::sleep(SECOND_OF_CHANGE);
    let begun = Instant::now();
    runtime.block_on(fleet::first_contact(&devices, gateway))?;
    eprintln!("{engine:?}: all have spoken in {:.1} s", seconds(begun));
    fleet::change(&operator)?;
    std::thread::sleep(SECOND_OF_CHANGE);

    let before = stack.controller.cpu_seconds()?;
    let polls = load::polls(&devices, gateway, plan.period, plan.rounds);
    let polls = runtime.block_on(polls)?;
    let between = stack.controller.cpu_seconds()?;
    eprintln!("{engine:?}: {} polls answered", polls.answers());
    let fresh = polls.answers() as u64 - polls.not_modified;
    let expected = u64::from(fleet::grouped(plan.devices));
    ensure!(
        polls.errors > 0 || fresh == expected,
        "{fresh} polls brought a configuration; {expected} devices had a new one"
    );
    let burst = load::burst(&devices, gateway, plan.connections, plan.burst);
    let burst = runtime.block_on(burst)?;
    let after = stack.controller.cpu_seconds()?;
    let peak = stack.controller.peak_memory_kib();
    let figures = Figures {
        engine,
        devices: plan.devices,
        polls,
        polls_cpu: between - before,
        burst,
        burst_cpu: after - between,
        rss_mib: peak.context("the controller's memory")? as f64 / 1024.0,
    };
    let ended = stack.controller.stop(STOP_WITHIN)?;
    ensure!(ended.success(), "the controller ended with {ended}");
    Ok(figures)
}
