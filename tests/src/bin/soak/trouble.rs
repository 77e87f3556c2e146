//! What goes wrong: kills, a full disk, a wrong clock, an older backup.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use foghorn_tests::stack::{Engine, Stack};
use foghorn_tests::tools;
use serde_json::json;

/// Name of the variable with the file that moves the controller's clock.
pub(crate) const CLOCK_FILE: &str = "CLOCK_FILE";
/// A controller whose disk has room again has to take writes within this time.
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// A file system of its own in a file, that can be filled without harm to anybody else.
pub(crate) struct SmallDisk {
    pub folder: PathBuf,
    image: PathBuf,
}

impl SmallDisk {
    /// # Errors
    /// Without root.
    pub(crate) fn make(place: &Path, mib: u64) -> Result<Self> {
        let (image, folder) = (place.join("small.img"), place.join("small"));
        File::create(&image)?.set_len(mib << 20)?;
        fs::create_dir_all(&folder)?;
        tools::run(
            "mke2fs",
            ["-q", "-t", "ext4", "-m", "0", &image.display().to_string()],
        )?;
        let (from, to) = (image.display().to_string(), folder.display().to_string());
        tools::run("mount", ["-o", "loop", &from, &to])?;
        Ok(Self { folder, image })
    }

    /// Takes all the room that is left.
    ///
    /// # Errors
    /// When something else than the room stops it.
    pub(crate) fn fill(&self) -> Result<()> {
        let mut ballast = File::create(self.ballast())?;
        for size in [1 << 20, 4096, 1] {
            let piece = vec![0x5a; size];
            while ballast.write_all(&piece).is_ok() {}
        }
        // What is written last is not on the disk yet, and may not fit.
        let _ = ballast.sync_all();
        Ok(())
    }

    /// # Errors
    /// When it is not full.
    pub(crate) fn make_room(&self) -> Result<()> {
        Ok(fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let folder = self.folder.display().to_string();
        // The loop device goes with the mount.
        if let Err(error) = tools::run("umount", ["-l", &folder]) {
            eprintln!("could not unmount {folder}: {error:#}");
        }
        let _ = fs::remove_file(&self.image);
    }
}

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
    let file = PathBuf::from(file);
    let new = file.with_extension("new");
    fs::write(&new, seconds.to_string())?;
    Ok(fs::rename(new, file)?)
}

/// Builds the library that moves the clock.
pub(crate) fn build_clock(folder: &Path) -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/soak/clock.c");
    let library = folder.join("clock.so");
    let words = ["-shared", "-fPIC", "-O2", "-o"];
    let words = words.iter().map(|word| (*word).to_owned());
    let files = [&library, &source].map(|path| path.display().to_string());
    tools::run("cc", words.chain(files).chain(["-ldl".to_owned()]))?;
    Ok(library)
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
