//! Partitions as people name them in options: `2`, `2,5`, `all`; of several disks `1:2,2:5`.

use std::collections::BTreeSet;

use foghorn_disk_layout::PartitionSet;

/// What stands for every partition.
pub(crate) const ALL: &str = "all";

/// The partitions that an option names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Partitions {
    option: &'static str,
    all: bool,
    /// Number of the disk, counted from 1, if one was given; number of the partition.
    named: BTreeSet<(Option<u32>, u32)>,
}

/// A text that names no partition.
#[derive(Debug, thiserror::Error)]
#[error(
    "{option}: {text:?} is no partition: give numbers as Linux counts, such as 2 or 2,5 (of several disks with the number of the disk, such as 1:2), or all"
)]
pub struct ParsePartitionsError {
    option: &'static str,
    text: String,
}

/// Partitions that the disks of a task cannot have.
#[derive(Debug, thiserror::Error)]
pub enum PartitionsError {
    #[error(
        "{option} names partition {partition}, but {count} disks are captured: name the disk too, such as 1:{partition}"
    )]
    WhichDisk {
        option: &'static str,
        partition: u32,
        count: usize,
    },
    #[error("{option} names partition {partition} of disk {disk}, but there are {count} disks")]
    NoSuchDisk {
        option: &'static str,
        disk: u32,
        partition: u32,
        count: usize,
    },
}

impl Partitions {
    /// Those of an option, which may be given more than once.
    ///
    /// # Errors
    /// The first text that is none.
    pub(crate) fn parse(
        option: &'static str,
        given: &[String],
    ) -> Result<Self, ParsePartitionsError> {
        let mut parsed = Self {
            option,
            all: false,
            named: BTreeSet::new(),
        };
        for text in given.iter().flat_map(|list| list.split(',')).map(str::trim) {
            if text == ALL {
                parsed.all = true;
                continue;
            }
            let (disk, partition) = match text.split_once(':') {
                Some((disk, partition)) => (disk.parse().ok().filter(|&n| n > 0), partition),
                None => (None, text),
            };
            match partition.parse() {
                Ok(number) if disk.is_some() || !text.contains(':') => {
                    parsed.named.insert((disk, number));
                }
                _ => {
                    return Err(ParsePartitionsError {
                        option,
                        text: text.to_owned(),
                    });
                }
            }
        }
        Ok(parsed)
    }

    /// Whether all are meant.
    pub(crate) fn are_all(&self) -> bool {
        self.all
    }

    /// Those of each of `count` disks.
    ///
    /// # Errors
    /// When it is not clear which disk one is on, or that disk is not there.
    pub(crate) fn of_disks(&self, count: usize) -> Result<Vec<PartitionSet>, PartitionsError> {
        if self.all {
            return Ok(vec![PartitionSet::All; count]);
        }
        let option = self.option;
        let mut sets = vec![BTreeSet::new(); count];
        for &(disk, partition) in &self.named {
            let number = match disk {
                Some(number) => number,
                None if count == 1 => 1,
                None => {
                    return Err(PartitionsError::WhichDisk {
                        option,
                        partition,
                        count,
                    });
                }
            };
            let Some(set) = sets.get_mut(number as usize - 1) else {
                return Err(PartitionsError::NoSuchDisk {
                    option,
                    disk: number,
                    partition,
                    count,
                });
            };
            set.insert(partition);
        }
        Ok(sets.into_iter().map(PartitionSet::Only).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_disks(text: &str, count: usize) -> Result<Vec<Vec<u32>>, PartitionsError> {
        let parsed = Partitions::parse("--raw", &[text.to_owned()]).unwrap();
        let list = |set: &PartitionSet| match set {
            PartitionSet::All => vec![u32::MAX],
            PartitionSet::Only(numbers) => numbers.iter().copied().collect(),
        };
        Ok(parsed.of_disks(count)?.iter().map(list).collect())
    }

    #[test]
    fn of_several_disks_each_partition_has_its_disk() {
        assert_eq!(of_disks("2,5", 1).unwrap(), [vec![2, 5]]);
        assert_eq!(of_disks("1:2,1:5", 1).unwrap(), [vec![2, 5]]);
        assert_eq!(of_disks("2:1, 1:3,2:0", 2).unwrap(), [vec![3], vec![0, 1]]);
        assert_eq!(of_disks("all", 2).unwrap(), vec![vec![u32::MAX]; 2]);
        for (text, count, why) in [
            ("3", 2, "name the disk too, such as 1:3"),
            ("3:1", 2, "partition 1 of disk 3"),
            ("2:1", 1, "partition 1 of disk 2"),
        ] {
            let error = of_disks(text, count).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        for text in ["0:1", "x:1", "1:", ":1", "1:2:3", ""] {
            assert!(
                Partitions::parse("--raw", &[text.to_owned()]).is_err(),
                "{text}"
            );
        }
    }
}
