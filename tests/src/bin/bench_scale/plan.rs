//! How much of everything.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

/// Transfers of one node at a time, at most: those that are measured need places, too.
const TRANSFERS_EACH: u32 = 8;

pub(crate) struct Plan {
    pub(crate) agents: u32,
    pub(crate) hosts: u32,
    pub(crate) transfers: u32,
    /// Hosts of the large store; 0: leave it out.
    pub(crate) million: u32,
    /// Tasks that are timed, idle and again under load.
    pub(crate) orders: u32,
    /// Tasks that are followed from their creation to their end.
    pub(crate) lives: u32,
    /// How long etcd's writes are counted while nothing happens.
    pub(crate) rest_s: u32,
    /// Requests for a page, and searches, in the large store.
    pub(crate) requests: u32,
    /// Where the figures are written.
    pub(crate) output: PathBuf,
}

impl Plan {
    pub(crate) fn read() -> Result<Self> {
        let (mut smoke, mut output) = (false, None);
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--smoke" => smoke = true,
                "--output" => {
                    let file = words.next().context("--output needs a file")?;
                    output = Some(PathBuf::from(file));
                }
                other => {
                    bail!("unknown argument {other:?}; known ones are --smoke and --output FILE")
                }
            }
        }
        let pick = |small, large| if smoke { small } else { large };
        let plan = Self {
            agents: number("AGENTS", pick(8, 1_000))?,
            hosts: number("HOSTS", pick(400, 100_000))?,
            transfers: number("TRANSFERS", pick(20, 5_000))?,
            million: number("MILLION", pick(2_000, 1_000_000))?,
            orders: number("ORDERS", pick(5, 500))?,
            lives: number("LIVES", pick(4, 200))?,
            rest_s: pick(1, 20),
            requests: pick(20, 500),
            output: output.map_or_else(default_output, Ok)?,
        };
        ensure!(
            plan.agents > 0 && plan.orders > 0 && plan.lives > 0,
            "AGENTS, ORDERS and LIVES must be at least 1"
        );
        let room = plan.agents.saturating_mul(TRANSFERS_EACH);
        ensure!(
            plan.transfers <= room && plan.lives <= room,
            "TRANSFERS and LIVES must be at most {TRANSFERS_EACH} for each of the {} AGENTS",
            plan.agents
        );
        Ok(plan)
    }
}

fn number(name: &str, otherwise: u32) -> Result<u32> {
    match std::env::var(name) {
        Err(_) => Ok(otherwise),
        Ok(text) => text
            .parse()
            .with_context(|| format!("{name} must be an integer, not {text:?}")),
    }
}

/// `bench/scale.json` in the folder that Cargo builds into.
fn default_output() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program
        .parent()
        .and_then(std::path::Path::parent)
        .context("the program is in a folder of the build")?;
    Ok(target.join("bench/scale.json"))
}
