//! Does a deployed disk equal the captured one? Checked with programs that are not part of Foghorn:
//! the checker of each file system, and a hash of every file as these programs read it. Nothing is
//! mounted, so root is not needed.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::disk::path_text;
use super::tools::{ToolError, run, run_any};

#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error("could not write to {}", path.display())]
    Folder {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("could not read the partition table of {}", path.display())]
    Table {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("sgdisk reports problems on {}: {said}", path.display())]
    NotContent { path: PathBuf, said: String },
    #[error("{} differs from the captured disk: {what}", path.display())]
    Different { path: PathBuf, what: String },
}

/// What was found on one disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Survey {
    /// Type and listing of every partition: one line per file, hash first. Partitions that no tool
    /// can read have one line.
    partitions: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Dump {
    partitiontable: Table,
}

#[derive(Deserialize)]
struct Table {
    #[serde(default)]
    label: String,
    #[serde(default = "usual_sector")]
    sectorsize: u64,
    #[serde(default)]
    partitions: Vec<Partition>,
}

#[derive(Deserialize)]
struct Partition {
    start: u64,
    size: u64,
}

fn usual_sector() -> u64 {
    512
}

impl Survey {
    /// Number of files that were hashed.
    pub(super) fn files(&self) -> usize {
        self.partitions
            .iter()
            .map(|(_, listing)| listing.lines().count())
            .sum()
    }

    /// # Errors
    /// Reports the partition and the first file that differ.
    pub(super) fn same_as(&self, captured: &Self, disk: &Path) -> Result<(), CheckError> {
        let different = |what| CheckError::Different {
            path: disk.to_owned(),
            what,
        };
        if self.partitions.len() != captured.partitions.len() {
            let what = format!(
                "{} partitions instead of {}",
                self.partitions.len(),
                captured.partitions.len()
            );
            return Err(different(what));
        }
        for (number, (ours, theirs)) in self.partitions.iter().zip(&captured.partitions).enumerate()
        {
            if ours != theirs {
                let line = theirs
                    .1
                    .lines()
                    .find(|line| !ours.1.lines().any(|other| other == *line));
                let what = line.unwrap_or("an additional file, or a different file system");
                return Err(different(format!("partition {}: {what}", number + 1)));
            }
        }
        Ok(())
    }
}

/// Checks every file system of `disk` with its own checker and hashes every file.
///
/// # Errors
/// When a checker reports problems or a tool fails.
pub(super) fn survey(disk: &Path, work: &Path) -> Result<Survey, CheckError> {
    let dump = run("sfdisk", ["--json", path_text(disk)])?;
    let table = serde_json::from_slice::<Dump>(&dump)
        .map_err(|source| CheckError::Table {
            path: disk.to_owned(),
            source,
        })?
        .partitiontable;
    if table.label == "gpt" {
        let said = String::from_utf8_lossy(&run("sgdisk", ["-v", path_text(disk)])?).into_owned();
        if !said.contains("No problems found") {
            return Err(CheckError::NotContent {
                path: disk.to_owned(),
                said: said.trim().to_owned(),
            });
        }
    }
    let mut partitions = Vec::new();
    for partition in &table.partitions {
        // A temporary folder per partition, removed with it: the files of four disks at once would
        // fill a small machine.
        let folder = tempfile::Builder::new()
            .prefix("part-")
            .tempdir_in(work)
            .map_err(|source| CheckError::Folder {
                path: work.to_owned(),
                source,
            })?;
        let image = folder.path().join("image");
        run(
            "dd",
            [
                format!("if={}", path_text(disk)),
                format!("of={}", path_text(&image)),
                "bs=1M".to_owned(),
                "iflag=skip_bytes,count_bytes".to_owned(),
                format!("skip={}", partition.start * table.sectorsize),
                format!("count={}", partition.size * table.sectorsize),
                "conv=sparse".to_owned(),
                "status=none".to_owned(),
            ],
        )?;
        partitions.push(survey_partition(&image, folder.path())?);
    }
    Ok(Survey { partitions })
}

fn survey_partition(image: &Path, folder: &Path) -> Result<(String, String), CheckError> {
    // blkid's exit status 2 means that it does not recognise the contents.
    let kind = run_any(
        "blkid",
        ["-p", "-o", "value", "-s", "TYPE", path_text(image)],
    )?
    .stdout;
    let kind = String::from_utf8_lossy(&kind).trim().to_owned();
    let files = folder.join("files");
    fs::create_dir(&files).map_err(|source| CheckError::Folder {
        path: files.clone(),
        source,
    })?;
    match kind.as_str() {
        "ext2" | "ext3" | "ext4" => {
            run("e2fsck", ["-f", "-n", path_text(image)])?;
            run(
                "debugfs",
                [
                    "-R",
                    &format!("rdump / {}", path_text(&files)),
                    path_text(image),
                ],
            )?;
        }
        "vfat" => {
            run("fsck.fat", ["-n", path_text(image)])?;
            // An empty file system makes mcopy fail for want of a match, which the listing will
            // show as empty.
            run_any(
                "mcopy",
                [
                    "-s",
                    "-n",
                    "-Q",
                    "-i",
                    path_text(image),
                    "::*",
                    path_text(&files),
                ],
            )?;
        }
        "ntfs" => {
            run("ntfsfix", ["-n", path_text(image)])?;
            return Ok((kind, hash_ntfs(image, &files)?));
        }
        _ => {
            let hash = run("sha256sum", [path_text(image)])?;
            let hash = String::from_utf8_lossy(&hash[..hash.len().min(64)]).into_owned();
            return Ok((kind, format!("{hash}  whole partition\n")));
        }
    }
    Ok((kind, hash_files(&files)?))
}

/// One line per file, in the order of their names.
fn hash_files(files: &Path) -> Result<String, CheckError> {
    let script = "cd \"$0\" && find . -type f -print0 | sort -z | xargs -0 -r sha256sum";
    Ok(String::from_utf8_lossy(&run("sh", ["-c", script, path_text(files)])?).into_owned())
}

fn hash_ntfs(image: &Path, files: &Path) -> Result<String, CheckError> {
    let listing = run("ntfsls", ["-R", "-F", "-p", "/", path_text(image)])?;
    for (number, path) in ntfs_files(&String::from_utf8_lossy(&listing))
        .iter()
        .enumerate()
    {
        let content = run("ntfscat", [path_text(image), path.as_str()])?;
        let place = files.join(format!("{number:06}"));
        fs::write(&place, content).map_err(|source| CheckError::Folder {
            path: place,
            source,
        })?;
    }
    hash_files(files)
}

/// The files in a recursive listing of `ntfsls`: folders are headings that end in a colon, and
/// entries that end in a slash.
fn ntfs_files(listing: &str) -> Vec<String> {
    let mut folder = "/".to_owned();
    let mut files = Vec::new();
    for line in listing.lines().filter(|line| !line.is_empty()) {
        match line
            .strip_suffix(':')
            .filter(|heading| heading.starts_with('/'))
        {
            Some(heading) => folder = format!("{}/", heading.trim_end_matches('/')),
            None if line.ends_with('/') => {}
            None => files.push(format!("{folder}{line}")),
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recursive_listing_becomes_paths() {
        let listing = "/:\nA FILE.BIN\nfolder/\n\n/folder:\nB.BIN\n";
        assert_eq!(ntfs_files(listing), ["/A FILE.BIN", "/folder/B.BIN"]);
    }

    #[test]
    fn a_file_changed_on_a_real_disk_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let disk = super::super::disk::make(folder.path(), 4 << 20, |_| {}).unwrap();
        let captured = survey(&disk, folder.path()).unwrap();
        assert_eq!(
            captured
                .partitions
                .iter()
                .map(|(kind, _)| kind.as_str())
                .collect::<Vec<_>>(),
            ["vfat", "ext4", "ntfs"]
        );
        assert!(captured.files() > 20, "{}", captured.files());
        survey(&disk, folder.path())
            .unwrap()
            .same_as(&captured, &disk)
            .unwrap();

        let other = folder.path().join("other");
        fs::write(&other, "not what was captured").unwrap();
        let esp = format!("{}@@1M", path_text(&disk));
        run(
            "mcopy",
            [
                "-o",
                "-i",
                &esp,
                path_text(&other),
                "::/EFI/BOOT/FILE000.BIN",
            ],
        )
        .unwrap();
        let error = survey(&disk, folder.path())
            .unwrap()
            .same_as(&captured, &disk)
            .unwrap_err()
            .to_string();
        assert!(error.contains("FILE000.BIN"), "{error}");
    }

    #[test]
    fn a_changed_file_is_named() {
        let survey = |listing: &str| Survey {
            partitions: vec![("ext4".to_owned(), listing.to_owned())],
        };
        let captured = survey("11  ./a\n22  ./b\n");
        assert_eq!(captured.files(), 2);
        assert!(
            survey("11  ./a\n22  ./b\n")
                .same_as(&captured, Path::new("d"))
                .is_ok()
        );
        let error = survey("11  ./a\n23  ./b\n")
            .same_as(&captured, Path::new("d"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("partition 1") && error.contains("./b"),
            "{error}"
        );
        assert!(
            Survey { partitions: vec![] }
                .same_as(&captured, Path::new("d"))
                .is_err()
        );
    }
}
