//! The table of `docs/operations/what-a-capture-takes.md`: its rows, and how to make everything that
//! they name.
//!
//! A row names one or several things and one or several states; each thing in each state is made
//! here, by its own tools where Debian has them, else by the description of its format.

pub mod disks;
pub mod others;
pub mod volumes;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::disks::MIB;
use crate::old_content::{on_enough, text};
use crate::tools::run;

/// The page, as it is in the repository.
const PAGE: &str = include_str!("../../../docs/operations/what-a-capture-takes.md");

/// A row of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    pub what: Vec<String>,
    pub states: Vec<String>,
    pub captured: String,
    /// An option of the client, without its backquotes; empty: there is none.
    pub flag: String,
}

/// The rows of the table.
///
/// # Errors
/// When the page has no such table.
pub fn rows() -> Result<Vec<Row>> {
    let mut rows = vec![];
    let mut lines = PAGE
        .lines()
        .skip_while(|line| *line != "| what is there | state | captured how | flag |")
        .skip(2);
    while let Some(line) = lines.next().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.trim())
            .collect();
        let [what, state, captured, flag] = cells[..] else {
            anyhow::bail!("not four cells: {line}");
        };
        let list = |cell: &str| cell.split(", ").map(str::to_owned).collect();
        rows.push(Row {
            what: list(what),
            states: list(state),
            captured: captured.to_owned(),
            flag: flag.trim_matches('`').to_owned(),
        });
    }
    ensure!(rows.len() > 20, "only {} rows were found", rows.len());
    Ok(rows)
}

/// Makes something in a file that exists and has its size.
pub type Make = Box<dyn Fn(&Path) -> Result<()> + Send + Sync>;

/// One thing in one state.
pub struct Thing {
    pub what: &'static str,
    pub state: &'static str,
    /// What must be said about it, where something is.
    pub says: &'static str,
    /// Its size in MiB.
    pub mib: u64,
    pub place: Place,
    pub make: Make,
}

/// Where a thing is made.
pub enum Place {
    /// In a partition of this type, as sgdisk names it.
    Partition(&'static str),
    /// It is the whole disk.
    Disk(Disk),
}

/// What is expected of a whole disk.
#[derive(Clone, Default)]
pub struct Disk {
    /// Partitions as Linux counts, where there is a table.
    pub partitions: &'static [u32],
    /// Options that every capture of it needs.
    pub arguments: &'static [&'static str],
    /// Data that is beside the partitions, in bytes from the start.
    pub data_at: Option<u64>,
}

/// Everything.
#[must_use]
pub fn all() -> Vec<Thing> {
    let mut all = volumes::all();
    all.extend(others::all());
    all.extend(disks::all());
    all
}

pub(crate) fn patch(file: &Path, at: u64, bytes: &[u8]) -> Result<()> {
    Ok(File::options()
        .write(true)
        .open(file)?
        .write_all_at(bytes, at)?)
}

pub(crate) fn bytes<const N: usize>(file: &Path, at: u64) -> Result<[u8; N]> {
    let mut found = [0; N];
    File::open(file)?.read_exact_at(&mut found, at)?;
    Ok(found)
}

/// Bytes that are not zero, as data of somebody would be.
pub(crate) fn data(file: &Path, at: u64, length: usize) -> Result<()> {
    let mut noise = vec![0; length];
    crate::disks::fill_random(&mut noise, at + 1);
    patch(file, at, &noise)
}

/// Runs a command line in which `FILE` is the file and `DIR` a folder with a file in it.
pub(crate) fn tool(line: &str, file: &Path) -> Result<()> {
    let folder = tempfile::tempdir_in(file.parent().context("a file lies in a folder")?)?;
    std::fs::write(folder.path().join("file"), vec![7; 100 * 4096])?;
    let words: Vec<String> = line
        .split(' ')
        .map(|word| match word {
            "FILE" => Ok(text(file)?.to_owned()),
            "DIR" => Ok(text(folder.path())?.to_owned()),
            other => Ok(other.to_owned()),
        })
        .collect::<Result<_>>()?;
    run(&words[0], &words[1..]).map(drop)
}

/// The same where the tool wants more room than the file has; the start of what it makes is taken.
pub(crate) fn tool_with_room(line: &str, file: &Path, mib: u64) -> Result<()> {
    on_enough(file, mib * MIB, |whole| tool(line, Path::new(whole)))
}
