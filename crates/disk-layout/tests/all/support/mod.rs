//! Disk images made, filled and judged by the tools that everyone uses. A tool that is missing is a
//! failure.

#![allow(dead_code)] // every test program uses its own part of this

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use foghorn_disk_layout::{DirtyPolicy, read_volume};
use foghorn_image::{ByteRange, ByteRanges, FileSystemKind, NoteKind};
use tempfile::TempDir;

/// A sparse image file that goes away with the test.
pub(crate) struct Image {
    pub(crate) dir: TempDir,
    pub(crate) path: PathBuf,
}

impl Image {
    pub(crate) fn new(size: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.img");
        File::create(&path).unwrap().set_len(size).unwrap();
        Self { dir, path }
    }

    pub(crate) fn open(&self) -> File {
        File::open(&self.path).unwrap()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }

    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) {
        use std::os::unix::fs::FileExt;
        File::options()
            .write(true)
            .open(&self.path)
            .unwrap()
            .write_all_at(bytes, offset)
            .unwrap();
    }

    /// A folder with files of many sizes, the same each time.
    pub(crate) fn files(&self) -> PathBuf {
        let folder = self.dir.path().join("files");
        std::fs::create_dir_all(folder.join("sub")).unwrap();
        let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
        for number in 0..40_usize {
            let bytes: Vec<u8> = (0..number * number * 700 + 10)
                .map(|_| {
                    noise ^= noise << 13;
                    noise ^= noise >> 7;
                    noise ^= noise << 17;
                    noise as u8
                })
                .collect();
            let name = if number % 3 == 0 {
                format!("sub/f{number}")
            } else {
                format!("f{number}")
            };
            std::fs::write(folder.join(name), bytes).unwrap();
        }
        folder
    }

    /// Used bytes as partclone sees them, from its domain log.
    pub(crate) fn partclone(&self, kind: &str) -> ByteRanges {
        let (domain, log) = (self.dir.path().join("domain"), self.dir.path().join("log"));
        run(
            &format!("partclone.{kind}"),
            [
                OsStr::new("-D"),
                "-F".as_ref(),
                "-s".as_ref(),
                self.path.as_ref(),
                "-o".as_ref(),
                domain.as_ref(),
                "-L".as_ref(),
                log.as_ref(),
            ],
        );
        let text = std::fs::read_to_string(domain).unwrap();
        let ranges = text.lines().filter(|line| line.ends_with('+')).map(|line| {
            let mut numbers = line
                .split_whitespace()
                .map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16));
            let (start, size) = (
                numbers.next().unwrap().unwrap(),
                numbers.next().unwrap().unwrap(),
            );
            ByteRange::new(start, start + size)
        });
        let ranges: ByteRanges = ranges.collect();
        assert!(!ranges.is_empty(), "partclone wrote no ranges: {text}");
        ranges
    }
}

/// Takes the volume, which must be raw, and gives the one note that says why.
pub(crate) fn raw_because(image: &Image, dirty: DirtyPolicy) -> String {
    let volume = read_volume(&image.open(), dirty).unwrap();
    assert_eq!(volume.kind, FileSystemKind::Raw, "{:?}", volume.notes);
    assert_eq!(volume.used.bytes(), image.open().metadata().unwrap().len());
    let mut notes = volume.notes.iter();
    let note = notes.find(|note| note.kind != NoteKind::PartitionSizeTied);
    let note = note.unwrap_or_else(|| panic!("{:?}", volume.notes));
    assert!(notes.all(|note| note.kind == NoteKind::PartitionSizeTied));
    assert!(note.text.len() <= 500, "{} bytes", note.text.len());
    format!("{:?}: {}", note.kind, note.text)
}

/// Runs a tool to its end and gives what it printed.
pub(crate) fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(tool: &str, arguments: I) -> String {
    feed(tool, arguments, "")
}

/// The same, with something to read for the tool.
pub(crate) fn feed<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
    tool: &str,
    arguments: I,
    input: &str,
) -> String {
    let path = format!(
        "{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    );
    let mut command = Command::new(tool);
    command
        .args(arguments)
        .env("PATH", path)
        .env("LC_ALL", "C")
        .env("MKE2FS_CONFIG", "/dev/null");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|why| panic!("{tool} is needed for this test: {why}"));
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let printed = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.status.success(),
        "{tool} failed ({}): {printed}",
        output.status
    );
    printed
}

/// Makes two sets equal except where they may differ, and shows the difference otherwise.
pub(crate) fn assert_same(ours: &ByteRanges, theirs: &ByteRanges, size: u64, except: &[ByteRange]) {
    let cut = |set: &ByteRanges| {
        let mut without = set.gaps_within(ByteRange::new(0, size));
        for range in except {
            without.push(*range);
        }
        without.gaps_within(ByteRange::new(0, size))
    };
    let (ours, theirs) = (cut(ours), cut(theirs));
    let only = |a: &ByteRanges, b: &ByteRanges| {
        let mut found = ByteRanges::new();
        for range in a {
            found.extend_from(&b.gaps_within(range));
        }
        found
    };
    assert!(
        ours == theirs,
        "only we: {:x?}, only they: {:x?}",
        only(&ours, &theirs),
        only(&theirs, &ours)
    );
}

pub(crate) fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}
