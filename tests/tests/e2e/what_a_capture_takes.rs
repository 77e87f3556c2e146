//! The table of `docs/operations/what-a-capture-takes.md`, row by row: what it names is built and
//! captured by the real client, and must be taken, noted or refused as the row says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use foghorn_image::{FileSystem, FileSystemKind, Manifest, Note, NoteKind, PartitionTable};
use foghorn_tests::disks::{self, MIB};
use foghorn_tests::old_content::copy_data;
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, PATIENCE, Stack};
use foghorn_tests::takes::{self, Disk, Place, Row, Thing};
use foghorn_tests::tools::run;

/// Exit status of a client that refused.
const REFUSED: i32 = 5;

/// FOG's number of a capture.
const CAPTURE: u32 = 2;

/// Partitions of one disk, to keep disks small.
const TOGETHER: usize = 16;

fn row_of<'a>(rows: &'a [Row], thing: &Thing) -> Option<&'a Row> {
    let has = |list: &[String], name: &str| list.iter().any(|one| one == name);
    let mut found = rows
        .iter()
        .filter(|row| has(&row.what, thing.what) && has(&row.states, thing.state));
    found.next().filter(|_| found.next().is_none())
}

#[test]
fn every_row_can_be_built_and_everything_that_is_built_has_a_row() {
    let (rows, things) = (takes::rows().unwrap(), takes::all());
    let built: BTreeSet<(&str, &str)> = things
        .iter()
        .map(|thing| (thing.what, thing.state))
        .collect();
    for row in &rows {
        for what in &row.what {
            for state in &row.states {
                assert!(
                    built.contains(&(what.as_str(), state.as_str())),
                    "nothing makes {what:?} in the state {state:?}"
                );
            }
        }
    }
    for thing in &things {
        assert!(
            row_of(&rows, thing).is_some(),
            "{:?} in the state {:?} is not in one row of the table",
            thing.what,
            thing.state
        );
    }
}

/// How a client ended.
struct Ended {
    code: i32,
    log: String,
    /// Of an image that has a content.
    manifest: Option<Manifest>,
}

impl Ended {
    fn manifest(&self) -> Result<&Manifest> {
        self.manifest.as_ref().with_context(|| {
            let code = self.code;
            format!("the client ended with {code}:\n{}", self.log)
        })
    }

    /// Refused for a reason that says this, with nothing in the image.
    fn is_refused(&self, says: &[&str]) -> Result<()> {
        ensure!(self.code == REFUSED, "{}:\n{}", self.code, self.log);
        ensure!(self.manifest.is_none(), "the image has a content");
        for text in says {
            ensure!(self.log.contains(text), "no {text:?} in\n{}", self.log);
        }
        Ok(())
    }
}

/// Captures one disk after the other, each from a new host into a new image.
struct Bench {
    stack: Stack,
    captures: AtomicU32,
}

impl Bench {
    fn capture<S: AsRef<str>>(&self, disk: &Path, arguments: &[S]) -> Result<Ended> {
        let number = self.captures.fetch_add(1, Ordering::Relaxed);
        let mac = format!(
            "52:54:00:00:{:02x}:{:02x}",
            0x80 + number / 256,
            number % 256
        );
        let name = format!("source{number}");
        let host = self.stack.create_host(&name, &mac)?;
        let image = self.stack.create_image(&name)?;
        self.stack.assign(host, image)?;
        let task = self.stack.order(host, CAPTURE)?;
        let mut command = self.stack.client_command(host, &mac, disk)?;
        command.args(arguments.iter().map(AsRef::as_ref));
        let mut client = Process::start(self.stack.folder(), &name, &mut command)?;
        let code = client.wait(PATIENCE)?.code().context("an exit code")?;
        let state = self.stack.settled(task)?;
        ensure!(
            (state["state"] == "complete") == (code == 0),
            "{code}: {state}"
        );
        Ok(Ended {
            code,
            log: client.log(),
            manifest: self.manifest(image)?,
        })
    }

    fn manifest(&self, image: u32) -> Result<Option<Manifest>> {
        let path = format!("/foghorn/v1/images/{image}");
        let shown = self.stack.rest.get(&path)?.ok()?;
        let Some(id) = shown["content"]["manifest"].as_str() else {
            return Ok(None);
        };
        let name = format!("{id}.manifest");
        let files = disks::files(&self.stack.agents[0].state)?;
        let file = files
            .iter()
            .find(|file| file.ends_with(&name))
            .context("the node has no manifest")?;
        Ok(Some(Manifest::decode(&fs::read(file)?)?))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.stack.folder().join(name)
    }

    /// A GPT disk with these things in its partitions, from 1 on.
    fn disk_of(&self, name: &str, things: &[&Thing]) -> Result<PathBuf> {
        let disk = self.file(name);
        let total: u64 = things.iter().map(|thing| thing.mib).sum();
        disks::blank(&disk, (total + 2) * MIB)?;
        let mut words = vec![];
        let mut start = 1;
        for (number, thing) in (1..).zip(things) {
            let Place::Partition(kind) = thing.place else {
                bail!("{:?} is a disk of its own", thing.what);
            };
            let volume = self.file(&format!("{name}-{number}"));
            disks::blank(&volume, thing.mib * MIB)?;
            (thing.make)(&volume)
                .with_context(|| format!("{:?}, {:?}", thing.what, thing.state))?;
            copy_data(&volume, &disk, start * MIB)?;
            fs::remove_file(volume)?;
            words.push(format!("-n{number}:{}:+{}M", start * 2048, thing.mib));
            words.push(format!("-t{number}:{kind}"));
            start += thing.mib;
        }
        words.push(
            disk.to_str()
                .context("temporary paths are text")?
                .to_owned(),
        );
        run("sgdisk", &words)?;
        Ok(disk)
    }
}

/// The words of a flag, with these numbers for its `N`.
fn words(flag: &str, numbers: &[u32]) -> Vec<String> {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    let word = |word: &str| match word {
        "N" => numbers.join(","),
        other => other.to_owned(),
    };
    flag.split(' ')
        .filter(|part| !part.is_empty())
        .map(word)
        .collect()
}

/// How one partition was taken, in the words of the table.
fn found(fs: &FileSystem, notes: &[&Note], says: &str) -> Result<String> {
    let how = if fs.kind == FileSystemKind::Raw {
        ensure!(fs.used == fs.size, "raw, but not all of it is in use");
        "raw"
    } else {
        ensure!(fs.used < fs.size, "all of it is in use");
        "used blocks"
    };
    let [note] = notes else {
        ensure!(notes.is_empty(), "{notes:?}");
        return Ok(how.to_owned());
    };
    ensure!(note.text.contains(says), "no {says:?} in {note:?}");
    let about = if note.kind == NoteKind::Encrypted {
        " about keys"
    } else {
        ""
    };
    Ok(format!("{how}, with a note{about}"))
}

fn is_taken(ended: &Ended, number: u32, thing: &Thing, how: &str) -> Result<()> {
    let manifest = ended.manifest()?;
    let mut all = manifest.file_systems.iter();
    let fs = all
        .find(|fs| fs.partition == number)
        .context("a partition")?;
    let of_it = |note: &&Note| note.partition == number;
    let (ties, notes): (Vec<&Note>, Vec<&Note>) = manifest
        .notes
        .iter()
        .filter(of_it)
        .partition(|note| note.kind == NoteKind::PartitionSizeTied);
    let is_unclean = |note: &&&Note| note.kind == NoteKind::Unclean;
    let also_unclean = notes.len() == 2 && notes.iter().filter(is_unclean).count() == 1;
    let notes: Vec<&Note> = notes
        .into_iter()
        .filter(|note| !also_unclean || note.kind != NoteKind::Unclean)
        .collect();
    let mut found = found(fs, &notes, thing.says)?;
    if also_unclean {
        found += ", and one that it is unclean";
    }
    if !ties.is_empty() {
        found += "; only for partitions of the same size";
    }
    ensure!(found == how, "taken as {found:?} ({notes:?})");
    Ok(())
}

/// One thing to try, which is independent of the others.
type Trial<'a> = Box<dyn Fn(&Bench) -> Result<()> + Send + Sync + 'a>;

/// What can be captured together, and how the rows say that it is taken.
fn together<'a>(name: String, things: Vec<(&'a Thing, &'a Row)>) -> Trial<'a> {
    Box::new(move |bench| {
        let parts: Vec<&Thing> = things.iter().map(|(thing, _)| *thing).collect();
        let disk = bench.disk_of(&name, &parts)?;
        let numbers: Vec<u32> = (1..).zip(&parts).map(|(number, _)| number).collect();
        let ended = bench.capture(&disk, &words(&things[0].1.flag, &numbers))?;
        for (number, (thing, row)) in numbers.iter().zip(&things) {
            is_taken(&ended, *number, thing, &row.captured)
                .with_context(|| format!("{}, {}", thing.what, thing.state))?;
        }
        Ok(fs::remove_file(disk)?)
    })
}

/// What is refused without a flag: one disk of all of it, of which one partition at a time is not
/// named by the flag.
fn refused<'a>(bench: &Bench, things: &[(&'a Thing, &'a Row)]) -> Result<Vec<Trial<'a>>> {
    let parts: Vec<&Thing> = things.iter().map(|(thing, _)| *thing).collect();
    let disk = bench.disk_of("refused", &parts)?;
    let numbers: Vec<u32> = (1..).zip(&parts).map(|(number, _)| number).collect();
    let mut trials: Vec<Trial<'a>> = vec![];
    for (number, (thing, row)) in (1..).zip(things.to_vec()) {
        let (disk, others) = (disk.clone(), numbers.clone());
        trials.push(Box::new(move |bench| {
            let others: Vec<u32> = others
                .iter()
                .copied()
                .filter(|one| *one != number)
                .collect();
            let ended = bench.capture(&disk, &words(&row.flag, &others))?;
            let option = row.flag.split(' ').next().context("a flag")?;
            ended
                .is_refused(&[&format!("partition {number}"), thing.says, option])
                .with_context(|| format!("{}, {}", thing.what, thing.state))
        }));
    }
    let things = things.to_vec();
    trials.push(Box::new(move |bench| {
        let ended = bench.capture(&disk, &words(&things[0].1.flag, &numbers))?;
        for (number, (thing, row)) in (1..).zip(&things) {
            let how = row.captured.strip_prefix(REFUSED_BUT).context("how")?;
            is_taken(&ended, number, thing, how)
                .with_context(|| format!("{}, {}", thing.what, thing.state))?;
        }
        Ok(())
    }));
    Ok(trials)
}

/// The start of a cell of what is refused without the flag.
const REFUSED_BUT: &str = "refused; with the flag ";

/// A whole disk.
fn whole<'a>(name: String, thing: &'a Thing, disk: &'a Disk, row: &'a Row) -> Trial<'a> {
    Box::new(move |bench| {
        let path = bench.file(&name);
        disks::blank(&path, thing.mib * MIB)?;
        let about = || format!("{}, {}", thing.what, thing.state);
        (thing.make)(&path).with_context(about)?;
        whole_disk(bench, &path, thing, disk, row).with_context(about)?;
        Ok(fs::remove_file(path)?)
    })
}

fn whole_disk(bench: &Bench, path: &Path, thing: &Thing, disk: &Disk, row: &Row) -> Result<()> {
    let ended = bench.capture(path, disk.arguments)?;
    let with_flag = || {
        let flag = words(&row.flag, &[0]);
        bench.capture(path, &flag)
    };
    if let Some(how) = row.captured.strip_prefix(REFUSED_BUT) {
        ended.is_refused(&[thing.says, &row.flag])?;
        return is_disk(&with_flag()?, thing, disk, how);
    }
    match row.captured.split_once("; with the flag ") {
        Some((how, with)) => {
            is_disk(&ended, thing, disk, how)?;
            is_disk(&with_flag()?, thing, disk, with)
        }
        None if row.captured == "refused" => ended.is_refused(&[thing.says]),
        None => is_disk(&ended, thing, disk, &row.captured),
    }
}

/// Holds a disk against the words of its row.
fn is_disk(ended: &Ended, thing: &Thing, disk: &Disk, how: &str) -> Result<()> {
    let manifest = ended.manifest()?;
    let (how, tied) = match how.strip_suffix("; only for disks of the same size") {
        Some(how) => (how, true),
        None => (how, false),
    };
    let has_kind = |kind| manifest.notes.iter().any(|note| note.kind == kind);
    ensure!(has_kind(NoteKind::SizeTied) == tied, "{:?}", manifest.notes);
    let (how, noted) = match how.strip_suffix(", with a note") {
        Some(how) => (how, true),
        None => (how, false),
    };
    let of_table = [NoteKind::Table, NoteKind::LeftOut, NoteKind::SizeTied];
    let said = manifest
        .notes
        .iter()
        .any(|note| note.text.contains(thing.says));
    let is_noted = manifest
        .notes
        .iter()
        .any(|note| of_table.contains(&note.kind) || note.kind == NoteKind::TakenRaw && how == RAW);
    ensure!(
        is_noted == noted && (said || !noted),
        "{:?}",
        manifest.notes
    );
    let numbers: Vec<u32> = manifest
        .file_systems
        .iter()
        .map(|fs| fs.partition)
        .collect();
    let is_divided = manifest.table != PartitionTable::None;
    if let Some(at) = disk.data_at {
        let is_taken = how != "by partition";
        ensure!(is_used(manifest, at) == is_taken, "the data at byte {at}");
    }
    let fs = manifest.file_systems.first().context("a file system")?;
    match how {
        "by partition" | BESIDE => {
            ensure!(is_divided && numbers == disk.partitions, "{numbers:?}");
        }
        RAW => ensure!(
            !is_divided && numbers == [0] && fs.kind == FileSystemKind::Raw && fs.used == fs.size,
            "{fs:?}"
        ),
        "as one partition with number 0" => ensure!(
            !is_divided && numbers == [0] && fs.kind != FileSystemKind::Raw,
            "{fs:?}"
        ),
        other => bail!("nobody knows what {other:?} means"),
    }
    Ok(())
}

/// In cells of whole disks.
const RAW: &str = "the whole disk raw";
const BESIDE: &str = "by partition, and what is beside them";

fn is_used(manifest: &Manifest, byte: u64) -> bool {
    let chunk = |entry: &foghorn_image::ChunkEntry| u64::from(entry.index.get()) == byte / MIB;
    let mut entries = manifest.chunks.iter();
    entries
        .find(chunk)
        .is_some_and(|entry| entry.used.contains((byte % MIB) as usize))
}

#[test]
fn everything_is_taken_as_its_row_says() {
    let bench = Bench {
        stack: Stack::start(Engine::Embedded).unwrap(),
        captures: AtomicU32::new(0),
    };
    let (rows, things) = (takes::rows().unwrap(), takes::all());
    let (mut plain, mut flagged, mut unclean) = (vec![], vec![], vec![]);
    let mut trials: Vec<Trial<'_>> = vec![];
    for (number, thing) in things.iter().enumerate() {
        let row = row_of(&rows, thing).unwrap();
        match &thing.place {
            Place::Disk(disk) => trials.push(whole(format!("disk{number}"), thing, disk, row)),
            Place::Partition(_) if row.captured.starts_with(REFUSED_BUT) => {
                unclean.push((thing, row));
            }
            Place::Partition(_) if row.flag.is_empty() => plain.push((thing, row)),
            Place::Partition(_) => flagged.push((thing, row)),
        }
    }
    for (name, parts) in [("plain", plain), ("flagged", flagged)] {
        for (number, parts) in parts.chunks(TOGETHER).enumerate() {
            trials.push(together(format!("{name}{number}"), parts.to_vec()));
        }
    }
    trials.extend(refused(&bench, &unclean).unwrap());
    let faults = try_all(&bench, &trials);
    let captures = bench.captures.load(Ordering::Relaxed);
    println!(
        "{} rows, {} things, {captures} captures",
        rows.len(),
        things.len()
    );
    assert!(faults.is_empty(), "{}", faults.join("\n======\n"));
}

/// Runs the trials, two at a time; what is wrong with them.
fn try_all(bench: &Bench, trials: &[Trial<'_>]) -> Vec<String> {
    let faults = Mutex::new(vec![]);
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(trial) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = trial(bench) {
                faults.lock().unwrap().push(format!("{error:#}"));
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    faults.into_inner().unwrap()
}
