//! Pack files: where they are, appending to the last one, reading records, and finding records in
//! damaged ones.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use crate::problem::ChunkProblem;
use crate::record::{HEADER_LEN, MAGIC, RecordHeader};

/// Number of a pack; newer packs have greater ones.
pub(crate) type PackNumber = u32;

/// The directory of packs.
#[derive(Debug)]
pub(crate) struct PackDir {
    path: PathBuf,
}

impl PackDir {
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&path)?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn path_of(&self, pack: PackNumber) -> PathBuf {
        self.path.join(format!("{pack:08}.pack"))
    }

    /// All packs, ascending.
    pub(crate) fn list(&self) -> io::Result<Vec<PackNumber>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let number: Option<PackNumber> = name
                .to_str()
                .and_then(|name| name.strip_suffix(".pack"))
                .and_then(|stem| stem.parse().ok());
            numbers.extend(number);
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Opens a pack to append to it. A new one is in its directory for good when this returns.
    pub(crate) fn open_for_append(&self, pack: PackNumber) -> io::Result<File> {
        let path = self.path_of(pack);
        let is_new = !path.exists();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        if is_new {
            sync_dir(&self.path)?;
        }
        Ok(file)
    }

    pub(crate) fn open_for_read(&self, pack: PackNumber) -> io::Result<File> {
        File::open(self.path_of(pack))
    }

    pub(crate) fn remove(&self, pack: PackNumber) -> io::Result<()> {
        fs::remove_file(self.path_of(pack))?;
        sync_dir(&self.path)
    }

    pub(crate) fn len_of(&self, pack: PackNumber) -> io::Result<u64> {
        Ok(fs::metadata(self.path_of(pack))?.len())
    }
}

/// Makes creations, renames and removals in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A record could not be read.
#[derive(Debug)]
pub(crate) enum RecordFault {
    Damaged(ChunkProblem),
    Io(io::Error),
}

/// Reads the record at `offset` and checks it against its checksum.
pub(crate) fn read_record(
    file: &File,
    offset: u64,
    stored_len: u32,
    depth: ScanDepth,
) -> Result<(RecordHeader, Vec<u8>), RecordFault> {
    let mut head = [0; HEADER_LEN];
    let fault = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => RecordFault::Damaged(ChunkProblem::Gone),
        _ => RecordFault::Io(error),
    };
    file.read_exact_at(&mut head, offset).map_err(fault)?;
    let stored = read_at(file, offset + HEADER_LEN as u64, stored_len as usize).map_err(fault)?;
    let header = RecordHeader::decode(head).ok_or(RecordFault::Damaged(ChunkProblem::Header))?;
    let believed = depth == ScanDepth::Headers && header.stored_len == stored_len;
    if believed || header.matches(&stored) {
        Ok((header, stored))
    } else {
        Err(RecordFault::Damaged(ChunkProblem::Checksum))
    }
}

/// Reads into memory that is not cleared before: a megabyte for every chunk that is sent.
fn read_at(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let at = offset + bytes.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut bytes), at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // The allocator may have given more than was asked for.
    bytes.truncate(len);
    Ok(bytes)
}

/// How closely a record is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ScanDepth {
    /// Headers only: fast, for packs that were complete when the index was lost.
    Headers,
    /// Every byte: for whatever may have been cut off while it was written.
    Contents,
}

/// A record found by a scan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub offset: u64,
    pub header: RecordHeader,
}

/// Walks over the records of a pack; after damage it looks for the next record that is whole.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    file: &'a File,
    position: u64,
    end: u64,
    depth: ScanDepth,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(file: &'a File, from: u64, end: u64, depth: ScanDepth) -> Self {
        Self {
            file,
            position: from,
            end,
            depth,
        }
    }

    /// The next record, or `None` at the end of the pack.
    pub(crate) fn next(&mut self) -> io::Result<Option<Found>> {
        if let Some(header) = self.record_at(self.position, self.depth)? {
            return Ok(Some(self.accept(self.position, header)));
        }
        let mut from = self.position + 1;
        while let Some(candidate) = self.find_magic(from)? {
            // Chunks may contain what looks like a header; only the checksum tells.
            if let Some(header) = self.record_at(candidate, ScanDepth::Contents)? {
                return Ok(Some(self.accept(candidate, header)));
            }
            from = candidate + 1;
        }
        Ok(None)
    }

    fn accept(&mut self, offset: u64, header: RecordHeader) -> Found {
        self.position = offset + header.record_len();
        Found { offset, header }
    }

    fn record_at(&self, offset: u64, depth: ScanDepth) -> io::Result<Option<RecordHeader>> {
        if offset + HEADER_LEN as u64 > self.end {
            return Ok(None);
        }
        let mut head = [0; HEADER_LEN];
        self.file.read_exact_at(&mut head, offset)?;
        let Some(header) = RecordHeader::decode(head) else {
            return Ok(None);
        };
        if offset + header.record_len() > self.end {
            return Ok(None);
        }
        if depth == ScanDepth::Contents {
            let mut stored = vec![0; header.stored_len as usize];
            self.file
                .read_exact_at(&mut stored, offset + HEADER_LEN as u64)?;
            return Ok(header.matches(&stored).then_some(header));
        }
        Ok(Some(header))
    }

    fn find_magic(&self, mut from: u64) -> io::Result<Option<u64>> {
        let mut window = vec![0; 256 << 10];
        while from + MAGIC.len() as u64 <= self.end {
            let len = usize::try_from(self.end - from)
                .map_or(window.len(), |left| left.min(window.len()));
            self.file.read_exact_at(&mut window[..len], from)?;
            if let Some(at) = window[..len]
                .windows(MAGIC.len())
                .position(|bytes| bytes == MAGIC)
            {
                return Ok(Some(from + at as u64));
            }
            // The last bytes may be the first ones of a magic that the next window completes.
            from += (len - MAGIC.len() + 1) as u64;
        }
        Ok(None)
    }
}
