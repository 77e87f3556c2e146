//! Disks in memory of which only pages that are not zero are kept.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use foghorn_disk_layout::ReadAt;

use super::SIZE;

pub(crate) const PAGE: u64 = 4096;

/// Pages of 4096 bytes by their number.
#[derive(Clone, Default)]
pub(crate) struct Layer(pub(crate) BTreeMap<u64, Vec<u8>>);

impl Layer {
    /// The first [`SIZE`] bytes of a file.
    pub(crate) fn of_file(path: &Path) -> Self {
        let mut bytes = Vec::new();
        let file = File::open(path).unwrap();
        file.take(SIZE).read_to_end(&mut bytes).unwrap();
        bytes.resize(SIZE as usize, 0);
        let pages = (0..).zip(bytes.chunks(PAGE as usize));
        let used = pages.filter(|(_, page)| **page != [0; PAGE as usize][..page.len()]);
        Self(used.map(|(number, page)| (number, page.to_vec())).collect())
    }

    pub(crate) fn has(&self, offset: u64) -> bool {
        self.0.contains_key(&(offset / PAGE))
    }

    pub(crate) fn write_to(&self, file: &File) {
        for (number, page) in &self.0 {
            file.write_all_at(page, number * PAGE).unwrap();
        }
    }
}

/// A partition of [`SIZE`] bytes: what the first of these layers has in a sector counts, then what
/// the next has.
pub(crate) struct Layers<'a>(pub(crate) &'a [&'a Layer]);

impl ReadAt for Layers<'_> {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if offset + buffer.len() as u64 > SIZE {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.fill(0);
        for layer in self.0.iter().rev() {
            let end = offset + buffer.len() as u64;
            for (number, page) in layer.0.range(offset / PAGE..end.div_ceil(PAGE)) {
                for (sector, bytes) in (0..).zip(page.chunks(512)) {
                    let start = number * PAGE + sector * 512;
                    let (from, to) = (start.max(offset), (start + 512).min(end));
                    if from < to && bytes != [0; 512] {
                        let target = &mut buffer[(from - offset) as usize..(to - offset) as usize];
                        target.copy_from_slice(&bytes[(from - start) as usize..][..target.len()]);
                    }
                }
            }
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        SIZE
    }
}
