//! Holds the deployed disks against the captured one.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::judge::{self, Facts};
use super::make::Trees;
use super::shape::{DiskShape, MIB, PartitionShape, TableShape};
use super::sparse::{extract, first_difference};
use super::table::type_says_raw;
use super::tree;

/// Longest gap that a capture must take.
const LARGE_GAP: u64 = 64 * MIB;

/// Everything there is to compare.
pub struct Case<'a> {
    pub shape: &'a DiskShape,
    pub trees: &'a Trees,
    pub source: &'a Path,
    /// The blank one first.
    pub targets: &'a [Target<'a>],
    /// Bytes of the disk that the image itself says it has left out.
    pub left_out: &'a [Range<u64>],
    /// For copies of partitions.
    pub scratch: &'a Path,
}

pub struct Target<'a> {
    pub disk: &'a Path,
    pub size: u64,
}

/// Everything that is wrong with the targets, in words.
///
/// # Errors
/// When something cannot be compared.
pub fn compare(case: &Case<'_>) -> Result<Vec<String>> {
    let mut faults = vec![];
    let source = Whole::read(case.source, case.shape)?;
    let mut wholes = vec![];
    for (number, target) in (1..).zip(case.targets) {
        let mut own = vec![];
        let size = fs::metadata(target.disk)?.len();
        if size != target.size {
            own.push(format!("its size became {size}, was {}", target.size));
        }
        let whole = Whole::read(target.disk, case.shape)?;
        own.extend(source.table_faults(&whole));
        own.extend(beside_partitions(case, target)?);
        faults.extend(
            own.into_iter()
                .map(|text| format!("target {number}: {text}")),
        );
        wholes.push(whole);
    }
    for part in &case.shape.partitions {
        let texts = Parts::new(case, part)?.compare()?;
        faults.extend(
            texts
                .into_iter()
                .map(|text| format!("partition {}: {text}", part.number)),
        );
    }
    if let [blank, old] = &wholes[..] {
        let fresh = |signature: &&String| {
            !blank.signatures.contains(signature) && !source.signatures.contains(signature)
        };
        let stale: Vec<&String> = old.signatures.iter().filter(fresh).collect();
        if !stale.is_empty() {
            let shown = &stale[..stale.len().min(3)];
            faults.push(format!(
                "{} old signatures are on the whole disk: {shown:?}",
                stale.len()
            ));
        }
    }
    Ok(faults)
}

/// What tools say about a whole disk.
struct Whole {
    table: Option<String>,
    verdict: Option<String>,
    entries_lba: u64,
    signatures: Vec<String>,
    facts: Facts,
}

impl Whole {
    fn read(disk: &Path, shape: &DiskShape) -> Result<Self> {
        let seen = judge::Seen::new(disk, shape.sector)?;
        let gpt = matches!(shape.table, TableShape::Gpt { .. });
        let header = &mut [0; 80];
        std::os::unix::fs::FileExt::read_exact_at(&fs::File::open(disk)?, header, shape.sector)?;
        let verdict = if gpt {
            Some(judge::gpt_verdict(seen.path())?)
        } else {
            None
        };
        let divided = shape.table != TableShape::None;
        Ok(Self {
            table: if divided {
                Some(judge::table(seen.path())?)
            } else {
                None
            },
            verdict,
            entries_lba: u64::from_le_bytes(header[72..80].try_into()?),
            signatures: judge::signatures(seen.path(), fs::metadata(disk)?.len())?,
            facts: judge::blkid(Path::new(seen.path()), 0, fs::metadata(disk)?.len())?,
        })
    }

    fn table_faults(&self, target: &Self) -> Vec<String> {
        let mut faults = vec![];
        if self.table != target.table {
            let show = |table: &Option<String>| table.clone().unwrap_or_default();
            faults.push(format!(
                "the table is\n{}and should be\n{}",
                show(&target.table),
                show(&self.table)
            ));
        }
        if let Some(verdict) = &target.verdict {
            if !judge::is_sound(verdict) {
                faults.push(format!("sgdisk -v says {verdict}"));
            }
            if self.entries_lba != target.entries_lba {
                faults.push(format!(
                    "the GPT entries are in sector {}, not {}",
                    target.entries_lba, self.entries_lba
                ));
            }
        }
        // A superblock at the end of the last partition can be at the end of the disk as well, on
        // one of the disks.
        let kind = |whole: &Self| whole.facts.value("PTTYPE").map(str::to_owned);
        if self.table.is_some() && kind(self).is_some() && kind(self) != kind(target) {
            faults.push(format!(
                "blkid says {:?}, not {:?}",
                target.facts, self.facts
            ));
        }
        faults
    }
}

/// Bytes of the disk that are neither a partition's nor a GPT's.
fn beside(shape: &DiskShape) -> Vec<Range<u64>> {
    let mut from = 0;
    let mut ranges = vec![];
    if let TableShape::Gpt {
        entries_lba, slots, ..
    } = shape.table
    {
        ranges.extend([0..440, 2 * shape.sector..entries_lba * shape.sector]);
        from = entries_lba * shape.sector + (slots * 128).next_multiple_of(shape.sector);
    }
    for part in &shape.partitions {
        ranges.push(from..part.start);
        from = part.start + part.size;
    }
    ranges.retain(|range| !range.is_empty());
    ranges
}

fn beside_partitions(case: &Case<'_>, target: &Target<'_>) -> Result<Vec<String>> {
    let mut faults = vec![];
    for range in beside(case.shape) {
        if range.end - range.start > LARGE_GAP {
            continue;
        }
        if let Some(at) = first_difference(case.source, target.disk, range.clone())? {
            faults.push(format!("byte {at} of the gap {range:?} is not as captured"));
        }
    }
    for stray in &case.shape.strays {
        let range = stray.start..stray.start + stray.size;
        let named = case
            .left_out
            .iter()
            .any(|out| out.start <= range.start && out.end >= range.end);
        if !named && first_difference(case.source, target.disk, range.clone())?.is_some() {
            faults.push(format!(
                "the data at {range:?} is neither there nor named by the image"
            ));
        }
    }
    Ok(faults)
}

/// One partition, on all disks.
struct Parts<'a> {
    case: &'a Case<'a>,
    part: &'a PartitionShape,
    facts: Facts,
}

impl<'a> Parts<'a> {
    fn new(case: &'a Case<'a>, part: &'a PartitionShape) -> Result<Self> {
        let facts = judge::blkid(case.source, part.start, part.size)?;
        Ok(Self { case, part, facts })
    }

    /// Only what blkid takes for one of the known file systems, without doubt, may be captured by
    /// its used blocks.
    fn must_be_equal(&self) -> bool {
        let known = ["ext2", "ext3", "ext4", "ntfs", "vfat"];
        !self.facts.kind().is_some_and(|kind| known.contains(&kind))
            || type_says_raw(self.part)
            || self.part.volume_size > self.part.size
    }

    fn compare(&self) -> Result<Vec<String>> {
        let mut faults = vec![];
        let range = self.part.start..self.part.start + self.part.size;
        let mut seen = vec![];
        for (number, target) in (1..).zip(self.case.targets) {
            let differs = first_difference(self.case.source, target.disk, range.clone())?;
            if let Some(at) = differs
                && self.must_be_equal()
            {
                faults.push(format!(
                    "target {number}: byte {} of {:?} (blkid: {}) is not as captured",
                    at - range.start,
                    self.part.content,
                    self.facts.kind().unwrap_or("in doubt")
                ));
                continue;
            }
            if differs.is_none() {
                seen.push(None);
                continue;
            }
            let volume = self.extract(target.disk, &format!("target{number}"))?;
            seen.push(Some(judge::signatures(path(&volume), self.part.size)?));
            let texts = self.volume_faults(&volume, target.disk)?;
            faults.extend(
                texts
                    .into_iter()
                    .map(|text| format!("target {number}: {text}")),
            );
            fs::remove_file(volume)?;
        }
        faults.extend(self.signature_fault(seen)?);
        Ok(faults)
    }

    /// `seen`: the signatures on each target, none where all bytes are those of the source.
    fn signature_fault(&self, seen: Vec<Option<Vec<String>>>) -> Result<Option<String>> {
        if seen.len() != 2 || seen.iter().all(Option::is_none) {
            return Ok(None);
        }
        let source = self.extract(self.case.source, "source")?;
        let captured = judge::signatures(path(&source), self.part.size)?;
        fs::remove_file(source)?;
        let mut seen = seen
            .into_iter()
            .map(|found| found.unwrap_or_else(|| captured.clone()));
        let (blank, old) = (seen.next(), seen.next());
        Ok((blank != old).then(|| format!("signatures are {old:?}, on a blank disk {blank:?}")))
    }

    fn extract(&self, disk: &Path, name: &str) -> Result<PathBuf> {
        let volume = self
            .case
            .scratch
            .join(format!("{name}-{}", self.part.number));
        extract(disk, self.part.start, self.part.size, &volume)?;
        Ok(volume)
    }

    fn volume_faults(&self, volume: &Path, disk: &Path) -> Result<Vec<String>> {
        let mut faults = vec![];
        let facts = judge::blkid(volume, 0, self.part.size)?;
        if facts != self.facts {
            faults.push(format!("blkid says {facts:?}, not {:?}", self.facts));
        }
        if self.part.volume_size < self.part.size {
            let end = self.part.start + self.part.size;
            let tail = self.part.start + self.part.volume_size..end;
            if let Some(at) = first_difference(self.case.source, disk, tail)? {
                faults.push(format!(
                    "byte {} behind the end of the file system is not as captured",
                    at - self.part.start
                ));
            }
        }
        let content = self.part.content;
        if !content.has_files() {
            // What blkid sees is the old content, which is not whole.
            return Ok(faults);
        }
        // Also replays a journal, without which nothing can be checked.
        match judge::files(content, volume) {
            Ok(files) => {
                if let Some(expected) = self.case.trees.get(&self.part.number) {
                    faults.extend(tree::difference(expected, &files));
                }
            }
            Err(error) => faults.push(format!("its files cannot be read: {error:#}")),
        }
        if let Some(complaint) = judge::complaint(content, volume)? {
            let original = self.extract(self.case.source, "source")?;
            if self.part.unclean {
                judge::files(content, &original)?;
            }
            if judge::complaint(content, &original)?.is_none() {
                faults.push(complaint);
            }
            fs::remove_file(original)?;
        }
        Ok(faults)
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

#[cfg(test)]
mod tests;
