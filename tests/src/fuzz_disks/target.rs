//! What is on a disk before an image is deployed to it.

use std::fs::OpenOptions;
use std::path::Path;

use anyhow::Result;

use super::rng::Rng;
use super::shape::{DiskShape, OldTarget, TargetShape};
use super::volume::noise;
use super::{make, signatures, sparse};

/// Builds the target in the file `disk` for the image of `source`.
///
/// # Errors
/// When a tool refuses or the disk cannot be written.
pub fn build(target: &TargetShape, source: &DiskShape, disk: &Path, scratch: &Path) -> Result<()> {
    let mut rng = Rng::new(source.seed, 3);
    sparse::blank(disk, target.size)?;
    match &target.old {
        OldTarget::Blank => {}
        OldTarget::Noise => {
            let file = OpenOptions::new().write(true).open(disk)?;
            let (size, end) = (target.size, 40_000.min(target.size));
            for (from, to) in [(0, end), (0, size), (0, size), (size - end, size)] {
                noise(&file, &mut rng, from, to)?;
            }
        }
        OldTarget::Signatures(contents) => {
            for content in contents {
                let whole = rng.percent(40);
                let (start, size) = if whole || source.partitions.is_empty() {
                    (0, target.size)
                } else {
                    let part =
                        &source.partitions[rng.below(source.partitions.len() as u64) as usize];
                    (part.start, part.size)
                };
                signatures::write(disk, start, size, *content, &mut rng)?;
            }
        }
        OldTarget::Disk(other) => {
            make::disk(other, disk, scratch, false)?;
            OpenOptions::new()
                .write(true)
                .open(disk)?
                .set_len(target.size)?;
        }
    }
    Ok(())
}
