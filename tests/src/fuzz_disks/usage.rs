//! What users do with a file system: files are created, overwritten, appended to, truncated, moved
//! and deleted; some have holes, some more room than bytes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

use super::rng::Rng;

/// How much is done.
pub struct Amount {
    /// Bytes written, about.
    pub bytes: u64,
    pub operations: u64,
    /// Links, holes made by the kernel, and room in advance.
    pub posix: bool,
    /// Number in the name of the first file, so that names differ from those of earlier work.
    pub first: u32,
}

/// Works below `root`. A full file system is one of the things that happen.
///
/// # Errors
/// When the file system fails.
pub fn work(root: &Path, rng: &mut Rng, amount: &Amount) -> io::Result<()> {
    let mut work = Work {
        root,
        files: vec![],
        left: amount.bytes,
        noise: (amount.bytes / 4).min(1 << 20),
        next: amount.first,
    };
    for _ in 0..amount.operations {
        let done = match work.step(rng, amount.posix) {
            Err(error) if error.kind() == ErrorKind::StorageFull => work.delete(rng),
            done => done,
        };
        match done {
            // A file that there was no room for.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            done => done?,
        }
    }
    Ok(())
}

struct Work<'a> {
    root: &'a Path,
    files: Vec<PathBuf>,
    left: u64,
    /// Bytes that may still be incompressible.
    noise: u64,
    next: u32,
}

impl Work<'_> {
    fn step(&mut self, rng: &mut Rng, posix: bool) -> io::Result<()> {
        match rng.below(if posix { 100 } else { 76 }) {
            0..40 => self.create(rng),
            40..52 => self.overwrite(rng),
            52..66 => self.delete(rng),
            66..72 => self.truncate(rng),
            72..76 => self.rename(rng),
            76..84 => self.hole(rng),
            84..90 => self.room(rng),
            90..96 => self.link(rng),
            _ => self.many(rng),
        }
    }

    fn name(&mut self, rng: &mut Rng) -> io::Result<PathBuf> {
        let mut folder = self.root.to_owned();
        for _ in 0..rng.below(3) {
            folder.push(format!("d{}", rng.below(4)));
        }
        fs::create_dir_all(&folder)?;
        self.next += 1;
        let end = rng.pick(&["", ".txt", " with a longer name than eight and three.data"]);
        Ok(folder.join(format!("f{}{end}", self.next)))
    }

    fn some(&self, rng: &mut Rng) -> Option<PathBuf> {
        let count = self.files.len() as u64;
        (count > 0).then(|| self.files[rng.below(count) as usize].clone())
    }

    fn contents(&mut self, rng: &mut Rng) -> Vec<u8> {
        let most = rng.pick(&[600, 5000, 5000, 70_000, 70_000, 900_000]);
        let length = rng.below(most).min(self.left);
        self.left -= length;
        let mut bytes = vec![0; length as usize];
        if length <= self.noise && rng.percent(50) {
            self.noise -= length;
            rng.fill(&mut bytes);
        } else {
            let line = format!("line of file {} {:016x}\n", self.next, rng.number());
            for (byte, letter) in bytes.iter_mut().zip(line.bytes().cycle()) {
                *byte = letter;
            }
        }
        bytes
    }

    fn create(&mut self, rng: &mut Rng) -> io::Result<()> {
        let (path, bytes) = (self.name(rng)?, self.contents(rng));
        self.files.push(path.clone());
        fs::write(path, bytes)
    }

    fn overwrite(&mut self, rng: &mut Rng) -> io::Result<()> {
        let Some(path) = self.some(rng) else {
            return Ok(());
        };
        let bytes = self.contents(rng);
        let file = OpenOptions::new().write(true).open(path)?;
        let length = file.metadata()?.len();
        file.write_all_at(&bytes, rng.below(length + 1))
    }

    fn delete(&mut self, rng: &mut Rng) -> io::Result<()> {
        if self.files.is_empty() {
            return Ok(());
        }
        let index = rng.below(self.files.len() as u64) as usize;
        fs::remove_file(self.files.swap_remove(index))
    }

    fn truncate(&mut self, rng: &mut Rng) -> io::Result<()> {
        let Some(path) = self.some(rng) else {
            return Ok(());
        };
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(rng.below(file.metadata()?.len() + 1))
    }

    fn rename(&mut self, rng: &mut Rng) -> io::Result<()> {
        let Some(path) = self.some(rng) else {
            return Ok(());
        };
        let name = self.name(rng)?;
        fs::rename(&path, &name)?;
        self.files.retain(|file| *file != path);
        self.files.push(name);
        Ok(())
    }

    /// A file with a hole in it, by a write far behind its end or by taking bytes away.
    fn hole(&mut self, rng: &mut Rng) -> io::Result<()> {
        let (path, bytes) = (self.name(rng)?, self.contents(rng));
        self.files.push(path.clone());
        let file = File::create(path)?;
        file.write_all_at(&bytes, 0)?;
        if rng.percent(50) {
            return file.write_all_at(b"behind the hole", rng.below(3 << 20));
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        tolerate(fallocate(
            &file,
            flags,
            rng.below(9000),
            rng.within(1, 60_000),
        ))
    }

    /// More room than bytes, or bytes that were never written.
    fn room(&mut self, rng: &mut Rng) -> io::Result<()> {
        let (path, bytes) = (self.name(rng)?, self.contents(rng));
        self.files.push(path.clone());
        let file = File::create(path)?;
        file.write_all_at(&bytes, 0)?;
        let flags = if rng.percent(50) {
            FallocateFlags::KEEP_SIZE
        } else {
            FallocateFlags::empty()
        };
        tolerate(fallocate(&file, flags, 0, rng.within(1, 400_000)))
    }

    fn link(&mut self, rng: &mut Rng) -> io::Result<()> {
        let name = self.name(rng)?;
        match self.some(rng) {
            Some(path) if rng.percent(50) => fs::hard_link(path, &name)?,
            _ => {
                let far = "a target that may not exist/".repeat(rng.within(1, 6) as usize);
                std::os::unix::fs::symlink(far, &name)?;
                return Ok(());
            }
        }
        self.files.push(name);
        Ok(())
    }

    /// A folder with more entries than fit into a block.
    fn many(&mut self, rng: &mut Rng) -> io::Result<()> {
        let folder = self.root.join(format!("many{}", rng.below(3)));
        fs::create_dir_all(&folder)?;
        for _ in 0..rng.within(10, 60) {
            self.next += 1;
            fs::write(folder.join(format!("one of many {}", self.next)), b"")?;
        }
        Ok(())
    }
}

/// Old kinds of file systems cannot do everything.
fn tolerate(done: rustix::io::Result<()>) -> io::Result<()> {
    match done {
        Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
        done => Ok(done?),
    }
}
