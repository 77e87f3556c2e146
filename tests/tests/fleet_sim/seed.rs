//! One seed after the other, each in a thread of its own, whose name makes its randomness.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use crate::engine::Bug;
use crate::scenario::Scenario;
use crate::template::Template;
use crate::world::{Outcome, World};

/// The seed under which the template is made: the same for all.
const OF_TEMPLATE: u64 = 0;

/// Runs something in a thread whose randomness follows from a seed (`random.c`).
fn seeded<R: Send + 'static>(
    seed: u64,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<std::thread::Result<R>> {
    let thread = std::thread::Builder::new()
        .name(format!("seed {}", seed % 10_000_000_000))
        .stack_size(16 << 20)
        .spawn(|| catch_unwind(AssertUnwindSafe(work)));
    let ended = thread.context("could not start a thread")?.join();
    Ok(ended.unwrap_or_else(Err))
}

fn template() -> Result<Arc<Template>> {
    match seeded(OF_TEMPLATE, Template::make)? {
        Ok(made) => Ok(Arc::new(made?)),
        Err(panic) => anyhow::bail!("the template was not made: {}", text_of(&*panic)),
    }
}

fn run(seed: u64, template: &Arc<Template>, bug: Option<Bug>, is_told: bool) -> Result<Outcome> {
    let template = template.clone();
    let ran = seeded(seed, move || {
        World::new(Scenario::generate(seed, bug), &template, is_told).run()
    })?;
    Ok(ran.unwrap_or_else(|panic| Outcome {
        problems: vec![format!("panic: {}", text_of(&*panic))],
        ..Outcome::default()
    }))
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

/// Runs a share of seeds, and prints a line for each: seed, trace, time of its end, commits, tasks that
/// are complete and others, problems.
pub(crate) fn work_through(seeds: &[u64], bug: Option<Bug>) -> Result<ExitCode> {
    let template = template()?;
    for seed in seeds {
        let outcome = run(*seed, &template, bug, false)?;
        println!(
            "{seed}\t{:016x}\t{}\t{}\t{}\t{}\t{}",
            outcome.trace,
            outcome.ended_at,
            outcome.commits,
            outcome.complete,
            outcome.not_complete,
            outcome.problems.join("; ").replace(['\n', '\t'], " "),
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs one seed for people.
pub(crate) fn repeat(
    seed: u64,
    bug: Option<Bug>,
    is_told: bool,
    log: Option<tracing::Level>,
) -> Result<ExitCode> {
    if let Some(level) = log {
        tracing_subscriber::fmt()
            .with_max_level(level)
            .without_time()
            .with_ansi(false)
            .init();
    }
    println!("{:#?}", Scenario::generate(seed, bug));
    let outcome = run(seed, &template()?, bug, is_told)?;
    println!("{outcome:#?}");
    Ok(match outcome.problems.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
