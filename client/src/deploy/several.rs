//! Images of several disks: which disk of the machine each disk of the image goes to, and what is
//! checked of all of them before anything is written on any.

use foghorn_image::{CHUNK_SIZE, Manifest, PartitionTable};
use foghorn_types::{ByteOffset, ChunkIndex, DiskPart};

use super::part::{Move, PartError, Placement, place};
use super::table::{self, Wiped};
use super::{DeployError, check_target};
use crate::disk::{Disk, DiskSet};

/// Why it is not known which disk goes where. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum WhichDiskError {
    #[error("the image has {image}, but {selected} {are} selected ({paths}): {advice}", image = disks(*image), selected = disks(*selected), are = if *selected == 1 { "is" } else { "are" })]
    Count {
        image: usize,
        selected: usize,
        paths: String,
        advice: String,
    },
    #[error(
        "the disks of the image fit the disks of this machine ({paths}) in more than one way: give one rule for each disk of the image, in this order: {image}"
    )]
    Ambiguous { paths: String, image: String },
    #[error("the disks of this machine ({paths}) cannot take those of the image: {why}")]
    NoWay { paths: String, why: String },
}

pub(crate) fn disks(count: usize) -> String {
    match count {
        1 => "1 disk".to_owned(),
        n => format!("{n} disks"),
    }
}

/// The disks in the order of the image's. Where rules have given the order, that; otherwise the only
/// one in which all fit, or in which all have the size of the captured ones.
///
/// # Errors
/// [`WhichDiskError`].
pub(super) fn arrange(set: DiskSet, manifest: &Manifest) -> Result<DiskSet, WhichDiskError> {
    let (image, selected) = (manifest.disk_count(), set.count());
    if image != selected {
        let advice = if image == 1 {
            "give one rule (--disk, or in the host: foghorn host edit --disk)".to_owned()
        } else {
            format!(
                "give one rule for each disk of the image, with commas between them (--disk, or in the host: foghorn host edit --disk), in this order: {}",
                names(manifest)
            )
        };
        return Err(WhichDiskError::Count {
            image,
            selected,
            paths: set.paths(),
            advice,
        });
    }
    if set.is_in_order() || image == 1 {
        return Ok(set);
    }
    let targets: Vec<&Disk> = set.iter().map(|(_, disk)| disk).collect();
    let mut problems = Vec::new();
    let (mut fits, mut equal) = (Vec::new(), Vec::new());
    for nth in 0..image {
        let member = manifest.of_disk(nth);
        let checked: Vec<Result<(), DeployError>> = targets
            .iter()
            .map(|disk| check_target(disk, &member))
            .collect();
        if let Some(Err(error)) = checked.iter().find(|checked| checked.is_err())
            && checked.iter().all(Result::is_err)
        {
            problems.push(format!("disk {} of the image fits none ({error})", nth + 1));
        }
        let row: Vec<bool> = checked.iter().map(Result::is_ok).collect();
        let same =
            |(disk, &fits): (&&Disk, &bool)| fits && disk.disk_size() == member.geometry.size;
        equal.push(targets.iter().zip(&row).map(same).collect());
        fits.push(row);
    }
    let order = match (only_way(&fits), only_way(&equal)) {
        (Ways::One(order), _) | (Ways::Several, Ways::One(order)) => order,
        (Ways::Several, _) => {
            return Err(WhichDiskError::Ambiguous {
                paths: set.paths(),
                image: names(manifest),
            });
        }
        (Ways::None, _) => {
            if problems.is_empty() {
                problems.push("there are not enough that are large enough".to_owned());
            }
            return Err(WhichDiskError::NoWay {
                paths: set.paths(),
                why: problems.join("; "),
            });
        }
    };
    Ok(set.arranged(&order))
}

fn names(manifest: &Manifest) -> String {
    let name = |(number, disk): (usize, &foghorn_image::ImageDisk)| {
        format!("{number}. {} ({} bytes)", disk.name, disk.size.bytes())
    };
    let names: Vec<String> = (1..).zip(&manifest.disks).map(name).collect();
    names.join(", ")
}

/// In how many ways each row can have a column of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Ways {
    None,
    /// The column of each row.
    One(Vec<usize>),
    Several,
}

/// `fits[row][column]`, as many rows as columns, at most [`foghorn_image::MAX_DISKS`].
fn only_way(fits: &[Vec<bool>]) -> Ways {
    let count = fits.len();
    // Of each set of columns, in how many ways the first rows can have them; 2 stands for more.
    let mut ways = vec![0_u8; 1 << count];
    ways[0] = 1;
    for columns in 0_usize..ways.len() {
        let row = columns.count_ones() as usize;
        if ways[columns] == 0 || row == count {
            continue;
        }
        for column in (0..count).filter(|&column| fits[row][column]) {
            if columns >> column & 1 == 0 {
                let with = columns | 1 << column;
                ways[with] = (ways[with] + ways[columns]).min(2);
            }
        }
    }
    let mut columns = ways.len() - 1;
    match ways[columns] {
        0 => Ways::None,
        1 => {
            let mut order = vec![0; count];
            for row in (0..count).rev() {
                let taken = (0..count).find(|&column| {
                    columns >> column & 1 == 1
                        && fits[row][column]
                        && ways[columns & !(1 << column)] > 0
                });
                order[row] = taken.unwrap_or_default();
                columns &= !(1 << order[row]);
            }
            Ways::One(order)
        }
        _ => Ways::Several,
    }
}

/// What is known before the first byte is written.
pub(super) struct Prepared {
    pub(super) placement: Placement,
    /// Pieces of tables, at their places on the targets.
    pub(super) pieces: Vec<(ByteOffset, Vec<u8>)>,
    pub(super) wiped: Wiped,
}

/// Checks every disk, and prepares what is wiped first and written last.
///
/// # Errors
/// The refusal of the first disk that is refused.
pub(super) fn prepare(
    set: &DiskSet,
    manifest: &Manifest,
    part: DiskPart,
) -> Result<Prepared, DeployError> {
    if manifest.disks.is_empty() {
        return prepare_one(set.nth(0), manifest, part);
    }
    if !part.is_everything() {
        return Err(PartError::SeveralDisks {
            part,
            count: manifest.disk_count(),
        }
        .into());
    }
    let (mut moves, mut pieces) = (Vec::new(), Vec::new());
    let mut wiped = Wiped::default();
    for ((nth, source), (start, disk)) in (0..).zip(manifest.disk_places()).zip(set.iter()) {
        let member = manifest.of_disk(nth);
        let prepared = prepare_one(disk, &member, part)?;
        let gpt = matches!(member.table, PartitionTable::Gpt(_));
        moves.push(Move {
            source,
            target: ByteOffset::from_bytes(start),
            boot_chunk: (!gpt).then(|| ChunkIndex::new((source.start / CHUNK_SIZE) as u32)),
        });
        pieces.extend(
            prepared
                .pieces
                .into_iter()
                .map(|(offset, bytes)| (ByteOffset::from_bytes(start + offset.bytes()), bytes)),
        );
        wiped.add(&prepared.wiped, start);
    }
    Ok(Prepared {
        placement: Placement::Disks(moves),
        pieces,
        wiped,
    })
}

fn prepare_one(disk: &Disk, manifest: &Manifest, part: DiskPart) -> Result<Prepared, DeployError> {
    let placement = place(disk, manifest, part)?;
    Ok(Prepared {
        pieces: table::render(disk, manifest, &placement)?,
        wiped: table::wiped(disk, manifest, &placement),
        placement,
    })
}

#[cfg(test)]
mod tests {
    use foghorn_image::{
        ChunkList, DiskGeometry, FileSystem, FileSystemKind, ImageDisk, disk_places,
    };
    use foghorn_types::{ByteCount, SectorSize};

    use super::*;
    use crate::disk::target::{DiskKind, SeenDisk};
    use crate::disk::{Access, FileSectors};

    /// An image of disks of so many MiB, of which so many are in use by one volume.
    fn image(disks: &[(u32, u32)]) -> Manifest {
        let sizes = disks.iter().map(|&(size, _)| ByteCount::from_mib(size));
        let places = disk_places(sizes.clone());
        let volume = |(place, &(_, used)): (&foghorn_image::ByteRange, &(u32, u32))| FileSystem {
            partition: 0,
            start: ByteOffset::from_bytes(place.start),
            size: ByteCount::from_mib(used),
            kind: FileSystemKind::Raw,
            used: ByteCount::from_mib(used),
        };
        let disk = |size| ImageDisk {
            size,
            sector_size: SectorSize::B512,
            table: PartitionTable::None,
            name: "a disk".into(),
        };
        let end = places.last().map_or(0, |place| place.end);
        let manifest = Manifest {
            geometry: DiskGeometry {
                size: ByteCount::from_bytes(end),
                sector_size: SectorSize::B512,
            },
            table: PartitionTable::None,
            file_systems: places.iter().zip(disks).map(volume).collect(),
            chunks: ChunkList::new(),
            notes: Vec::new(),
            disks: sizes.map(disk).collect(),
        };
        manifest.validate().unwrap();
        manifest
    }

    /// Disks of so many MiB, with the folder that they are in.
    fn targets(mib: &[u32]) -> (tempfile::TempDir, DiskSet) {
        let folder = tempfile::tempdir().unwrap();
        let open = |(nth, &mib): (usize, &u32)| {
            let path = folder.path().join(nth.to_string());
            let file = std::fs::File::create(&path).unwrap();
            file.set_len(u64::from(mib) << 20).unwrap();
            let seen = SeenDisk {
                path,
                kind: DiskKind::File,
                size: ByteCount::from_mib(mib),
                sector_size: None,
                model: None,
                serial: None,
                wwn: None,
            };
            Disk::open(&seen, Access::Write, FileSectors::Unknown).unwrap()
        };
        let disks = mib.iter().enumerate().map(open).collect();
        (folder, DiskSet::new(disks).unwrap())
    }

    fn sizes(set: &DiskSet) -> Vec<u32> {
        set.iter()
            .map(|(_, disk)| (disk.disk_size().bytes() >> 20) as u32)
            .collect()
    }

    #[test]
    fn without_rules_disks_are_told_apart_by_what_fits_and_else_refused() {
        let image = image(&[(10, 8), (9, 1)]);
        let arranged = |mib: &[u32]| {
            let (_folder, set) = targets(mib);
            arrange(set.without_order(), &image).map(|set| sizes(&set))
        };
        assert_eq!(arranged(&[2, 8]).unwrap(), [8, 2], "only one way fits");
        assert_eq!(arranged(&[9, 10]).unwrap(), [10, 9], "the captured sizes");
        assert!(matches!(
            arranged(&[10, 12]),
            Err(WhichDiskError::Ambiguous { .. })
        ));
        let error = arranged(&[7, 7]).unwrap_err().to_string();
        assert!(error.contains("disk 1 of the image fits none"), "{error}");
        let error = arranged(&[10]).unwrap_err().to_string();
        assert!(
            error.contains("the image has 2 disks, but 1 disk is selected"),
            "{error}"
        );
    }

    #[test]
    fn rules_give_the_order_and_each_disk_is_checked() {
        let image = image(&[(10, 8), (9, 1)]);
        let prepared = |mib: &[u32]| {
            let (_folder, set) = targets(mib);
            let set = arrange(set, &image).unwrap();
            assert_eq!(sizes(&set), mib, "the order of the rules");
            prepare(&set, &image, DiskPart::Everything)
        };
        let error = prepared(&[2, 8]).map(drop).unwrap_err();
        assert!(matches!(error, DeployError::TooSmall { .. }), "{error}");
        let Placement::Disks(moves) = prepared(&[20, 30]).unwrap().placement else {
            panic!("not the placement of several disks");
        };
        let places: Vec<(u64, u64)> = moves
            .iter()
            .map(|disk| (disk.source.start >> 20, disk.target.bytes() >> 20))
            .collect();
        assert_eq!(places, [(0, 0), (11, 21)]);
        let (_folder, set) = targets(&[20, 30]);
        let part = prepare(&set, &image, DiskPart::Table).map(drop);
        assert!(part.unwrap_err().to_string().contains("has 2 disks"));
    }

    fn ways(rows: &[&str]) -> Ways {
        let row = |row: &&str| row.chars().map(|c| c == '1').collect();
        only_way(&rows.iter().map(row).collect::<Vec<_>>())
    }

    #[test]
    fn disks_are_assigned_where_there_is_one_way_only() {
        assert_eq!(ways(&["10", "11"]), Ways::One(vec![0, 1]));
        assert_eq!(ways(&["11", "10"]), Ways::One(vec![1, 0]));
        assert_eq!(ways(&["11", "11"]), Ways::Several);
        assert_eq!(ways(&["10", "10"]), Ways::None);
        assert_eq!(ways(&["111", "011", "001"]), Ways::One(vec![0, 1, 2]));
        assert_eq!(ways(&["001", "111", "011"]), Ways::One(vec![2, 0, 1]));
        assert_eq!(ways(&["110", "110", "111"]), Ways::Several);
        assert_eq!(only_way(&vec![vec![true; 16]; 16]), Ways::Several);
    }
}
