//! How much of everything.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

pub(crate) struct Plan {
    pub(crate) devices: u32,
    /// From one poll of a device to its next.
    pub(crate) period: Duration,
    /// Polls of each device that are measured.
    pub(crate) rounds: u32,
    /// How long as much as possible is asked.
    pub(crate) burst: Duration,
    /// Connections over which it is asked then.
    pub(crate) connections: u32,
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
        let devices = number("DEVICES", pick(40, 10_000))?;
        let period = number("PERIOD", pick(1, 30))?;
        let rounds = number("ROUNDS", pick(2, 4))?;
        let burst = number("BURST", pick(1, 15))?;
        let connections = number("CONNECTIONS", pick(4, 32))?;
        ensure!(
            [devices, period, rounds, burst, connections]
                .into_iter()
                .all(|number| number > 0),
            "DEVICES, PERIOD, ROUNDS, BURST and CONNECTIONS must be at least 1"
        );
        Ok(Self {
            devices,
            period: Duration::from_secs(period.into()),
            rounds,
            burst: Duration::from_secs(burst.into()),
            connections,
            output: output.map_or_else(default_output, Ok)?,
        })
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

/// `bench/gateway.json` in the folder that Cargo builds into.
fn default_output() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program
        .parent()
        .and_then(Path::parent)
        .context("the program is in a folder of the build")?;
    Ok(target.join("bench/gateway.json"))
}
