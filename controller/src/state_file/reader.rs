//! Reads a file: what it is, whether it is whole, and its contents one after the other.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use data_encoding::HEXLOWER;

use super::content::{Content, Digest, LARGEST};
use super::key::Sealer;
use super::{FORMAT, FileError, Header};

const LONGEST_HEADER: u64 = 4096;
/// Compressed and encrypted, a block is hardly longer than it was.
const LONGEST_BLOCK: usize = LARGEST + (64 << 10);
/// `blake3:`, 64 digits, the end of the line.
const LAST_LINE: usize = 72;

/// A file that is whole and whose passphrase is known.
pub struct Checked {
    pub header: Header,
    pub entries: u64,
    /// Files of the certificate authority: names and contents.
    pub(super) authority: Vec<(String, Vec<u8>)>,
    pub(super) digest: [u8; 32],
    file: File,
    sealer: Sealer,
    first_block: u64,
}

/// Reads the whole file once: compares its checksum, decrypts every block, and counts.
///
/// # Errors
/// See [`FileError`]
pub fn check(mut file: File, passphrase: &str) -> Result<Checked, FileError> {
    let (header, line) = read_header(&mut file)?;
    let first_block = line.len() as u64 + 1;
    compare_checksum(&mut file)?;
    let sealer = Sealer::new(&header.kdf, passphrase, &line)
        .map_err(|_| FileError::Damaged("the parameters of its key are not usable"))?;
    let mut checked = Checked {
        header,
        entries: 0,
        authority: Vec::new(),
        digest: [0; 32],
        file,
        sealer,
        first_block,
    };
    let (mut digest, mut end, mut authority) = (Digest::default(), None, Vec::new());
    for content in checked.contents()? {
        if end.is_some() {
            return Err(FileError::Damaged("something follows its last block"));
        }
        match content? {
            Content::Entries(pairs) => {
                for (key, value) in &pairs {
                    if std::str::from_utf8(key).is_err() {
                        return Err(FileError::Damaged("a key is not text"));
                    }
                    digest.add(key, value);
                }
            }
            Content::Authority(files) => authority = files,
            Content::End(said) => end = Some(said),
        }
    }
    let end = end.ok_or(FileError::Damaged("its last block is missing"))?;
    if end != digest.end() {
        return Err(FileError::Damaged(
            "it has other entries than its last block says",
        ));
    }
    let name = |(name, content): (Vec<u8>, Vec<u8>)| Some((String::from_utf8(name).ok()?, content));
    checked.authority = authority.into_iter().filter_map(name).collect();
    checked.entries = end.entries;
    checked.digest = end.digest;
    Ok(checked)
}

pub(super) fn read_header(file: &mut File) -> Result<(Header, Vec<u8>), FileError> {
    file.seek(SeekFrom::Start(0))?;
    let mut line = Vec::new();
    BufReader::new(&mut *file)
        .take(LONGEST_HEADER)
        .read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(FileError::NotOurs);
    }
    // The version first: another one may have another header.
    let value: serde_json::Value = serde_json::from_slice(&line).map_err(|_| FileError::NotOurs)?;
    let found = value["foghorn_state"].as_u64().ok_or(FileError::NotOurs)?;
    if found != u64::from(FORMAT) {
        let found = u32::try_from(found).unwrap_or(u32::MAX);
        return Err(FileError::Format { found });
    }
    let header: Header = serde_json::from_value(value)
        .map_err(|_| FileError::Damaged("its header is not complete"))?;
    Ok((header, line))
}

fn compare_checksum(file: &mut File) -> Result<(), FileError> {
    let length = file.metadata()?.len();
    let covered = length
        .checked_sub(LAST_LINE as u64)
        .ok_or(FileError::Damaged("it is too short"))?;
    file.seek(SeekFrom::Start(0))?;
    let mut hash = blake3::Hasher::new();
    hash.update_reader((&mut *file).take(covered))?;
    let mut last = [0; LAST_LINE];
    file.read_exact(&mut last)?;
    let checksum = HEXLOWER.encode(hash.finalize().as_bytes());
    if last == format!("blake3:{checksum}\n").as_bytes() {
        Ok(())
    } else {
        Err(FileError::Damaged(
            "its checksum is another, or its end is missing",
        ))
    }
}

impl Checked {
    /// The contents from the first block.
    pub(super) fn contents(&mut self) -> Result<Contents<'_>, FileError> {
        self.file.seek(SeekFrom::Start(self.first_block))?;
        Ok(Contents {
            file: BufReader::new(&mut self.file),
            sealer: &self.sealer,
            number: 0,
            is_over: false,
        })
    }
}

/// See [`Checked::contents`].
pub(super) struct Contents<'f> {
    file: BufReader<&'f mut File>,
    sealer: &'f Sealer,
    number: u64,
    is_over: bool,
}

impl Contents<'_> {
    fn read(&mut self) -> Result<Option<Content>, FileError> {
        let mut length = [0; 4];
        self.file.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length == 0 {
            return Ok(None);
        }
        if length > LONGEST_BLOCK {
            return Err(FileError::Damaged("a block is too long"));
        }
        let mut sealed = vec![0; length];
        self.file.read_exact(&mut sealed)?;
        // The file is as it was written, so what does not open with this key has another.
        let packed = self
            .sealer
            .open(self.number, sealed)
            .ok_or(FileError::Passphrase)?;
        self.number += 1;
        let bytes = zstd::bulk::decompress(&packed, LARGEST)
            .map_err(|_| FileError::Damaged("a block cannot be decompressed"))?;
        Content::read(&bytes)
            .map(Some)
            .ok_or(FileError::Damaged("a block has no content that is known"))
    }
}

impl Iterator for Contents<'_> {
    type Item = Result<Content, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.read();
        self.is_over = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}
