//! What goes wrong: kills, a full disk, a wrong clock, an older backup.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use foghorn_tests::small_disk::SmallDisk;
use foghorn_tests::stack::{Engine, Stack};
use foghorn_tests::wrong_clock::{self, CLOCK_FILE};
use serde_json::json;

/// A controller whose disk has room again has to take writes within this time.
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// Kills one part without warning and starts it again.
pub(crate) fn kill_one(stack: &mut Stack, engine: Engine, choice: u64) -> Result<&'static str> {
    match choice % 4 {
        0 | 1 => {
            stack.controller.kill()?;
            stack.restart_controller()?;
            Ok("controller")
        }
        3 if engine == Engine::Etcd => {
            stack.kill_etcd()?;
            stack.restart_etcd()?;
            Ok("etcd")
        }
        _ => {
            stack.agents[0].process.kill()?;
            stack.restart_agent(0)?;
            Ok("agent")
        }
    }
}

/// Fills the disk under everything, and empties it again. The controller has to take writes again
/// by itself. Returns how long that took.
pub(crate) fn full_disk(
    stack: &mut Stack,
    engine: Engine,
    disk: &SmallDisk,
    full: Duration,
) -> Result<Duration> {
    disk.fill()?;
    std::thread::sleep(full);
    let is_refused = stack
        .rest
        .get("/readyz")
        .map_or(true, |answer| answer.status != 200);
    disk.make_room()?;
    let start = Instant::now();
    if engine == Engine::Etcd {
        // It ends when its disk is full, and is not ours.
        let _ = stack.kill_etcd();
        stack.restart_etcd()?;
    }
    while start.elapsed() < BACK_WITHIN {
        if stack.controller.is_running()? && takes_writes(stack) {
            println!("a full disk: /readyz said so: {is_refused}");
            if !stack.agents[0].process.is_running()? {
                bail!("the agent ended when its disk was full");
            }
            return Ok(start.elapsed());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    // So that the rest can be run.
    let _ = stack.controller.kill();
    stack.restart_controller()?;
    bail!(
        "the controller took no writes {BACK_WITHIN:?} after its disk had room again, until it was restarted"
    )
}

fn takes_writes(stack: &Stack) -> bool {
    let ready = stack
        .rest
        .get("/readyz")
        .is_ok_and(|answer| answer.status == 200);
    let name = format!("write{}", std::process::id());
    let body = json!({"name": name});
    ready
        && stack
            .rest
            .post("/fog/os/create", &body)
            .is_ok_and(|answer| {
                // It is there from the last try.
                answer.status == 200 || answer.body.contains("Already created")
            })
}

/// Moves the controller's clock by so many seconds; 0 puts it right.
pub(crate) fn move_clock(seconds: i64) -> Result<()> {
    let file = std::env::var_os(CLOCK_FILE).context("the clock library is not loaded")?;
    wrong_clock::move_by(Path::new(&file), seconds)
}

/// Copies the files of the store, at rest, to `backup`.
pub(crate) fn back_up(stack: &mut Stack, backup: &Path) -> Result<()> {
    stack.with_store_at_rest(|folder| copy(folder, backup))
}

/// Puts them back.
pub(crate) fn restore(stack: &mut Stack, backup: &Path) -> Result<()> {
    stack.with_store_at_rest(|folder| {
        fs::remove_dir_all(folder)?;
        copy(backup, folder)
    })
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(
        status.success(),
        "could not copy {} to {}",
        from.display(),
        to.display()
    );
    Ok(())
}
