//! Builds the disk of a shape.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::rng::Rng;
use super::shape::{DiskShape, PartitionShape, Stray};
use super::tree::Tree;
use super::volume::{State, Volume, noise};
use super::{sparse, table};

/// The files of each partition that has some, by its number.
pub type Trees = BTreeMap<u32, Tree>;

/// Builds the disk in the file `disk`, with work files in `scratch`. `used`: with files in its
/// file systems.
///
/// # Errors
/// When a tool or the kernel refuses.
pub fn disk(shape: &DiskShape, disk: &Path, scratch: &Path, used: bool) -> Result<Trees> {
    sparse::blank(disk, shape.size)?;
    for (stream, stray) in (100..).zip(&shape.strays) {
        write_stray(disk, *stray, &mut Rng::new(shape.seed, stream))?;
    }
    let mut trees = Trees::new();
    for (stream, part) in (200..).zip(&shape.partitions) {
        let mut rng = Rng::new(shape.seed, stream);
        let tree = partition(shape, part, disk, scratch, used, &mut rng)
            .with_context(|| format!("partition {}", part.number))?;
        trees.insert(part.number, tree);
    }
    table::write(disk, shape)?;
    Ok(trees)
}

/// Fills the place of a stray with noise, so that none of its bytes is zero by chance only.
fn write_stray(disk: &Path, stray: Stray, rng: &mut Rng) -> Result<()> {
    let mut bytes = vec![0; stray.size as usize];
    rng.fill(&mut bytes);
    let file = OpenOptions::new().write(true).open(disk)?;
    Ok(file.write_all_at(&bytes, stray.start)?)
}

fn partition(
    shape: &DiskShape,
    part: &PartitionShape,
    disk: &Path,
    scratch: &Path,
    used: bool,
    rng: &mut Rng,
) -> Result<Tree> {
    let image = scratch.join(format!("volume{}", part.number));
    sparse::blank(&image, part.size)?;
    let volume = |content| Volume {
        image: &image,
        content,
        sector: shape.sector,
        start: part.start,
    };
    if let Some(old) = part.old.filter(|_| used) {
        // What does not fit was never there.
        if let Err(error) = volume(old).make(State::Fresh, rng)
            && !format!("{error:#}").contains("could not make")
        {
            return Err(error);
        }
    }
    OpenOptions::new()
        .write(true)
        .open(&image)?
        .set_len(part.volume_size)?;
    let state = match (used, part.unclean) {
        (false, _) => State::Fresh,
        (true, false) => State::Used,
        (true, true) => State::Unclean,
    };
    let tree = volume(part.content).make(state, rng)?;
    sparse::copy(&image, 0, disk, part.start, part.size.min(part.volume_size))?;
    fs::remove_file(&image)?;
    if part.volume_size < part.size {
        let file = OpenOptions::new().write(true).open(disk)?;
        noise(
            &file,
            rng,
            part.start + part.volume_size,
            part.start + part.size,
        )?;
    }
    Ok(tree)
}
