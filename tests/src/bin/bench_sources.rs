//! `make bench-sources`: one machine with a fast cable, and one, two and three storage nodes with slow
//! ones that all hold its image.
//!
//! Files are in memory, on a LAN of namespaces (`tests/netlab`), so cables are the limit. Time is from the
//! start of the client to its end: check-in, manifest, the seconds until it asks for further nodes, and
//! the final verification are in it. Prints a table and writes `target/bench/sources.json`, medians
//! of RUNS.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use foghorn_tests::copied_chunks::copy_chunks;
use foghorn_tests::disks::{self, MIB};
use foghorn_tests::lab::{Lab, SERVER};
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, Options, Stack};
use serde_json::{Value, json};

/// Name of the lab, different from the labs of tests.
const LAB: &str = "fhx";
/// Line rates of each storage node, in Mbit/s.
const RATES: [u64; 2] = [100, 200];
const MOST: usize = 3;
const LIMIT: Duration = Duration::from_secs(600);

struct Bench<'l> {
    lab: &'l Lab,
    stack: Stack,
    source: PathBuf,
    image: u32,
    bytes: u64,
    deploys: u32,
}

/// A row of the table.
struct Row {
    rate: u64,
    sources: usize,
    seconds: f64,
    /// How many times faster than from one.
    ratio: f64,
}

impl<'l> Bench<'l> {
    /// An installation on the server of the lab, and a storage node on each client but the first.
    fn start(lab: &'l Lab, folder: &Path, mib: u64) -> Result<Self> {
        let options = Options {
            address: SERVER.to_owned(),
            folder: Some(folder.to_owned()),
            ..Options::default()
        };
        let mut stack = Stack::start_with(Engine::Embedded, &options)?;
        let source = folder.join("source");
        let mut bytes = vec![0; usize::try_from(mib * MIB)?];
        disks::fill_random(&mut bytes, 4);
        std::fs::write(&source, bytes)?;
        let (_, image) = stack.capture("golden", "52:54:00:00:5c:00", &source)?;
        for client in 2..=MOST {
            let (address, words) = (Lab::address(client), lab.words_on_client(client));
            stack.add_agent_elsewhere(&format!("node{client}"), &address, words, "")?;
        }
        copy_chunks(&mut stack)?;
        Ok(Self {
            lab,
            stack,
            source,
            image,
            bytes: mib * MIB,
            deploys: 0,
        })
    }

    /// Seconds of one deploy from up to so many nodes.
    fn deploy(&mut self, sources: usize) -> Result<f64> {
        let rule = json!({"sources_per_client": sources});
        self.stack.rest.put("/foghorn/v1/sites/1", &rule)?.ok()?;
        self.deploys += 1;
        let number = self.deploys;
        let (name, mac) = (
            format!("pc{number}"),
            format!("52:54:00:00:5c:{number:02x}"),
        );
        let target = self.stack.folder().join("target");
        disks::blank(&target, self.bytes)?;
        let host = self.stack.create_host(&name, &mac)?;
        self.stack.assign(host, self.image)?;
        let task = self.stack.order(host, 1)?;
        let report = self.stack.folder().join("report.json");
        let mut command = self.stack.client_command(host, &mac, &target)?;
        command.arg("--report").arg(&report);
        let mut command = self.lab.on_client(1, &command);
        let begun = Instant::now();
        let mut client = Process::start(self.stack.folder(), &name, &mut command)?;
        let status = client.wait(LIMIT)?;
        let seconds = begun.elapsed().as_secs_f64();
        ensure!(status.success(), "{status}:\n{}", client.log());
        self.stack.wait_task(task)?;
        ensure!(disks::same(&target, &self.source)?, "the disk differs");
        std::fs::remove_file(&target)?;
        let report: Value = serde_json::from_slice(&std::fs::read(&report)?)?;
        eprintln!("{seconds:.1} s: {}", report["bytes_from"]);
        let used = report["bytes_from"]
            .as_object()
            .map_or(0, serde_json::Map::len);
        ensure!(used <= sources, "{report}");
        Ok(seconds)
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

fn number(name: &str, otherwise: u64) -> Result<u64> {
    match std::env::var(name) {
        Err(_) => Ok(otherwise),
        Ok(text) => text
            .parse()
            .with_context(|| format!("{name} must be an integer, not {text:?}")),
    }
}

fn to_json(rows: &[Row], mib: u64, runs: u64) -> Value {
    let cases = rows.iter().map(|row| {
        json!({"rate_mbit": row.rate, "sources": row.sources, "seconds": row.seconds,
            "mbit": mib as f64 * MIB as f64 * 8.0 / 1e6 / row.seconds, "ratio": row.ratio})
    });
    json!({"mib": mib, "runs": runs, "cases": cases.collect::<Vec<_>>()})
}

fn main() -> Result<()> {
    let (mib, runs) = (number("MIB", 384)?, number("RUNS", 3)?);
    let output = PathBuf::from("target/bench/sources.json");
    if let Some(word) = std::env::args().nth(1) {
        bail!("unknown argument {word:?}; MIB and RUNS are read from the environment");
    }
    if let Some(folder) = output.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let lab = Lab::up(LAB, MOST, "0")?;
    let folder = tempfile::Builder::new()
        .prefix("foghorn-sources-")
        .tempdir_in("/dev/shm")?;
    let _on_server = lab.enter()?;
    let mut bench = Bench::start(&lab, folder.path(), mib)?;
    let mut rows: Vec<Row> = Vec::new();
    for rate in RATES {
        let words = format!("{rate}mbit");
        lab.server_rate(&words)?;
        for client in 2..=MOST {
            lab.send_rate(client, &words)?;
        }
        let mut alone = f64::NAN;
        for sources in 1..=MOST {
            let times = (0..runs).map(|_| bench.deploy(sources));
            let seconds = median(times.collect::<Result<_>>()?);
            if sources == 1 {
                alone = seconds;
            }
            let ratio = alone / seconds;
            println!("{rate} Mbit/s each, {sources} nodes: {seconds:.1} s, {ratio:.2} times");
            rows.push(Row {
                rate,
                sources,
                seconds,
                ratio,
            });
        }
        let json = serde_json::to_vec_pretty(&to_json(&rows, mib, runs))?;
        std::fs::write(&output, json)?;
    }
    println!("written to {}", output.display());
    Ok(())
}
