//! Writes archives in the format of POSIX (ustar): without times, users' names and anything else
//! that differs from one machine to the next.

use std::io::{self, Write};

use super::tree::{Entry, Kind};

const BLOCK: usize = 512;

pub(crate) struct Archive<W> {
    to: W,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(to: W) -> Self {
        Self { to }
    }

    /// # Errors
    /// When the path is longer than 100 bytes, or `to` takes nothing more.
    pub(crate) fn put(&mut self, path: &str, entry: &Entry) -> io::Result<()> {
        match &entry.kind {
            Kind::Folder => {
                let header = header(&format!("{path}/"), entry, b'5', 0, "")?;
                self.to.write_all(&header)
            }
            Kind::Link(target) => self.to.write_all(&header(path, entry, b'2', 0, target)?),
            Kind::File(bytes) => {
                self.to
                    .write_all(&header(path, entry, b'0', bytes.len(), "")?)?;
                self.to.write_all(bytes)?;
                let over = bytes.len() % BLOCK;
                let padding = if over == 0 { 0 } else { BLOCK - over };
                self.to.write_all(&[0; BLOCK][..padding])
            }
        }
    }

    /// # Errors
    /// When `to` takes nothing more.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.to.write_all(&[0; 2 * BLOCK])?;
        Ok(self.to)
    }
}

/// What comes before each file. Numbers are octal, in text that ends with a zero.
fn header(
    path: &str,
    entry: &Entry,
    kind: u8,
    size: usize,
    target: &str,
) -> io::Result<[u8; BLOCK]> {
    let mut header = [0; BLOCK];
    field(&mut header[..100], path)?;
    field(&mut header[100..108], &format!("{:07o}\0", entry.mode))?;
    field(&mut header[108..116], &format!("{:07o}\0", entry.owner))?;
    field(&mut header[116..124], &format!("{:07o}\0", entry.owner))?;
    field(&mut header[124..136], &format!("{size:011o}\0"))?;
    field(&mut header[136..148], &format!("{:011o}\0", 0))?;
    // The sum is made as if its own field were blanks.
    field(&mut header[148..156], "        ")?;
    header[156] = kind;
    field(&mut header[157..257], target)?;
    field(&mut header[257..265], "ustar\x0000")?;
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    field(&mut header[148..156], &format!("{sum:06o}\0 "))?;
    Ok(header)
}

fn field(place: &mut [u8], text: &str) -> io::Result<()> {
    let place = place
        .get_mut(..text.len())
        .ok_or_else(|| io::Error::other(format!("{text} is too long for this archive")))?;
    place.copy_from_slice(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::super::tree::Tree;
    use super::*;

    fn archive(tree: &Tree) -> Vec<u8> {
        let mut archive = Archive::new(Vec::new());
        for (path, entry) in tree.iter() {
            archive.put(path, entry).unwrap();
        }
        archive.finish().unwrap()
    }

    #[test]
    fn tar_of_this_machine_reads_it() {
        let mut tree = Tree::default();
        tree.folder("data", 0o700, 65532);
        tree.file("usr/bin/program", 0o755, vec![7; 513]);
        tree.file("usr/empty", 0o644, Vec::new());
        tree.link("usr/link", "bin/program");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.tar");
        fs::write(&file, archive(&tree)).unwrap();
        let list = Command::new("tar")
            .env("TZ", "UTC")
            .args(["--numeric-owner", "-tvf"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(list.status.success(), "{list:?}");
        let list = String::from_utf8(list.stdout).unwrap();
        let lines: Vec<String> = list
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            lines,
            [
                "drwx------ 65532/65532 0 1970-01-01 00:00 data/",
                "drwxr-xr-x 0/0 0 1970-01-01 00:00 usr/",
                "drwxr-xr-x 0/0 0 1970-01-01 00:00 usr/bin/",
                "-rwxr-xr-x 0/0 513 1970-01-01 00:00 usr/bin/program",
                "-rw-r--r-- 0/0 0 1970-01-01 00:00 usr/empty",
                "lrwxrwxrwx 0/0 0 1970-01-01 00:00 usr/link -> bin/program",
            ]
        );
    }

    #[test]
    fn a_path_that_has_no_room_is_an_error() {
        let mut tree = Tree::default();
        tree.file(&"x".repeat(101), 0o644, Vec::new());
        let (path, entry) = tree.iter().next().unwrap();
        let refused = Archive::new(Vec::new()).put(path, entry).unwrap_err();
        assert!(refused.to_string().contains("too long"), "{refused}");
    }
}
