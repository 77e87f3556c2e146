//! Runs seeds on several workers against one installation.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::compare::{Case, Target, compare};
use super::report::{Report, SeedResult};
use super::session::Session;
use super::shape::{Content, DiskShape, OldTarget};
use super::{judge, make, sparse, table, target};
use crate::stack::{Engine, Options, Stack};

/// Exit status of a client that refuses a disk.
const REFUSED: i32 = 5;

/// Seeds after which the installation is started anew, since its store keeps what it was given.
const SEEDS_PER_STACK: usize = 250;

/// Seeds that failed once.
const KEPT: &str = include_str!("../../disk-seeds.txt");

pub struct Campaign {
    pub seeds: Vec<u64>,
    pub jobs: usize,
    /// Where disks are while they are used.
    pub work: PathBuf,
    /// Where disks of failed seeds are kept.
    pub keep: Option<PathBuf>,
}

/// The seeds of `tests/disk-seeds.txt`.
#[must_use]
pub fn kept_seeds() -> Vec<u64> {
    KEPT.lines()
        .filter_map(|line| line.split('#').next()?.trim().parse().ok())
        .collect()
}

impl Campaign {
    /// Runs every seed; `tell` hears of each failure and of the progress.
    ///
    /// # Errors
    /// When no installation can be started.
    pub fn run(&self, tell: impl Fn(&Report, Option<&SeedResult>) + Sync) -> Result<Report> {
        let began = Instant::now();
        let report = Mutex::new(Report::default());
        for seeds in self.seeds.chunks(SEEDS_PER_STACK) {
            let stack = Stack::start_with(
                Engine::Embedded,
                &Options {
                    folder: Some(self.work.clone()),
                    ..Options::default()
                },
            )?;
            let next = AtomicUsize::new(0);
            let worker = |number| -> Result<()> {
                let session = Session::new(&stack, number)?;
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let shape = DiskShape::generate(*seed);
                    let faults = self
                        .seed(&shape, &session)
                        .unwrap_or_else(|error| vec![format!("could not be run: {error:#}")]);
                    let result = SeedResult {
                        seed: *seed,
                        faults,
                    };
                    let mut report = report
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    report.seconds = began.elapsed().as_secs_f64();
                    tell(&report, (!result.faults.is_empty()).then_some(&result));
                    report.add(&shape, result);
                }
                Ok(())
            };
            std::thread::scope(|scope| {
                let workers: Vec<_> = (0..self.jobs)
                    .map(|number| scope.spawn(move || worker(number)))
                    .collect();
                workers
                    .into_iter()
                    .try_for_each(|worker| worker.join().expect("workers do not panic"))
            })?;
        }
        let mut report = report
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        report.seconds = began.elapsed().as_secs_f64();
        ensure!(
            report.seeds == self.seeds.len() as u64,
            "{} of {} seeds were run",
            report.seeds,
            self.seeds.len()
        );
        Ok(report)
    }

    fn seed(&self, shape: &DiskShape, session: &Session<'_>) -> Result<Vec<String>> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("seed{}-", shape.seed))
            .tempdir_in(&self.work)?;
        let faults = run_seed(shape, session, folder.path());
        let failed = !faults.as_ref().is_ok_and(Vec::is_empty);
        if let Some(keep) = self.keep.as_ref().filter(|_| failed) {
            let place = keep.join(format!("seed{}", shape.seed));
            keep_disks(folder.path(), &place)?;
            fs::write(
                place.join("shape.txt"),
                format!("{shape}\n{:#?}\n", shape.targets()),
            )?;
        }
        faults
    }
}

fn keep_disks(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        if path.is_file() {
            let size = fs::metadata(&path)?.len();
            sparse::extract(
                &path,
                0,
                size,
                &to.join(path.file_name().context("a name")?),
            )?;
        }
    }
    Ok(())
}

/// Whether a partition needs its journal replayed, or has an old NTFS under other content that is
/// still taken for one. What is in doubt, or has the type of something else, is captured raw,
/// journal and all.
fn is_unclean(shape: &DiskShape, source: &Path, folder: &Path) -> Result<bool> {
    for part in &shape.partitions {
        let is_old = part.old.is_some() && !matches!(part.content, Content::Ntfs { .. });
        if !(part.unclean || is_old) || table::type_says_raw(part) {
            continue;
        }
        let facts = judge::blkid(source, part.start, part.size)?;
        let unclean = match facts.kind() {
            Some(kind) if kind.starts_with("ext") => part.unclean,
            Some("ntfs") if is_old => {
                let volume = folder.join("old-ntfs");
                sparse::extract(source, part.start, part.size, &volume)?;
                judge::ntfs_is_unclean(&volume)?
            }
            _ => false,
        };
        if unclean {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the disk has no table, and something that counts from its end. `None`: it has nothing of the
/// kind. `Some(false)`: it had once.
fn is_for_this_size_only(shape: &DiskShape) -> Option<bool> {
    let whole = shape.partitions.first().filter(|part| part.number == 0)?;
    if whole.content.has_marks_at_end() && whole.volume_size == whole.size {
        return Some(true);
    }
    let other = whole.old.filter(|old| old.has_marks_at_end());
    other
        .or(Some(whole.content).filter(|content| content.has_marks_at_end()))
        .map(|_| false)
}

fn run_seed(shape: &DiskShape, session: &Session<'_>, folder: &Path) -> Result<Vec<String>> {
    let source = folder.join("source");
    let trees = make::disk(shape, &source, folder, true).context("the disk was not built")?;
    let written = fs::metadata(&source)?.modified()?;
    let mut options: &[&str] = &[];
    if is_unclean(shape, &source, folder)? {
        let ended = session.capture(&source, shape.sector, options)?;
        if ended.code != Some(REFUSED) {
            return Ok(vec![format!(
                "an unclean file system was not refused: {}",
                ended.complaint()
            )]);
        }
        options = &["--accept-dirty"];
    }
    let ended = session.capture(&source, shape.sector, options)?;
    if !ended.is_complete() {
        return Ok(vec![format!("the capture failed: {}", ended.complaint())]);
    }
    let mut faults = vec![];
    if fs::metadata(&source)?.modified()? != written {
        faults.push("the capture wrote to the disk".to_owned());
    }
    let left_out = session.left_out()?;
    let mut targets = vec![];
    for (number, target) in (1..).zip(shape.targets()) {
        let disk = folder.join(format!("target{number}"));
        target::build(&target, shape, &disk, folder).context("the target was not built")?;
        let ended = session.deploy(&disk, shape.sector)?;
        let is_refused = ended.code == Some(REFUSED);
        match is_for_this_size_only(shape).filter(|_| target.size != shape.size) {
            Some(true) if !is_refused => {
                faults.push(format!("the deploy to target {number} was not refused"));
                return Ok(faults);
            }
            Some(_) if is_refused => continue,
            _ => {}
        }
        if !ended.is_complete() {
            faults.push(format!(
                "the deploy to target {number} failed: {}",
                ended.complaint()
            ));
            return Ok(faults);
        }
        targets.push((target, disk));
    }
    targets.sort_by_key(|(target, _)| target.old != OldTarget::Blank);
    let targets: Vec<Target<'_>> = targets
        .iter()
        .map(|(target, disk)| Target {
            disk,
            size: target.size,
        })
        .collect();
    faults.extend(compare(&Case {
        shape,
        trees: &trees,
        source: &source,
        targets: &targets,
        left_out: &left_out,
        scratch: folder,
    })?);
    Ok(faults)
}
