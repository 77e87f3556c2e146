//! Where the clusters of a file are.

use super::{NAME, ReadVolumeError};
use crate::volume::field::Source;

/// Consecutive clusters of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run {
    pub(super) clusters: u64,
    /// First cluster on the volume; `None` where the file has a hole.
    pub(super) first: Option<u64>,
}

/// Decodes a run list; `None` when it is not valid.
pub(super) fn decode_runs(mut bytes: &[u8]) -> Option<Vec<Run>> {
    let mut runs = Vec::new();
    let mut previous = 0_u64;
    loop {
        let (&head, rest) = bytes.split_first()?;
        if head == 0 {
            return Some(runs);
        }
        let (length, rest) = rest.split_at_checked(usize::from(head & 0xf))?;
        let (offset, rest) = rest.split_at_checked(usize::from(head >> 4))?;
        bytes = rest;
        let clusters = u64::try_from(signed(length)?)
            .ok()
            .filter(|&clusters| clusters > 0)?;
        let first = if offset.is_empty() {
            None
        } else {
            previous = previous.checked_add_signed(signed(offset)?)?;
            Some(previous)
        };
        runs.push(Run { clusters, first });
    }
}

/// A little-endian two's complement number of 1 to 8 bytes.
fn signed(bytes: &[u8]) -> Option<i64> {
    let sign = *bytes.last()? >> 7;
    let mut whole = [if sign == 1 { 0xff } else { 0 }; 8];
    whole.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(whole))
}

/// The contents of a file, or the beginning of them.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) runs: Vec<Run>,
    /// Bytes of the whole file.
    pub(super) size: u64,
    /// Bytes that were ever written; what follows reads as zero.
    pub(super) initialised: u64,
    /// Whether the clusters hold something else than the bytes of the file: they are compressed or
    /// encrypted.
    pub(super) is_packed: bool,
    pub(super) cluster_size: u64,
}

impl Stream {
    /// Whether the runs cover the whole file.
    pub(super) fn is_complete(&self) -> bool {
        self.clusters().saturating_mul(self.cluster_size) >= self.size
    }

    /// Clusters that the runs cover, with holes.
    pub(super) fn clusters(&self) -> u64 {
        self.runs
            .iter()
            .fold(0_u64, |sum, run| sum.saturating_add(run.clusters))
    }

    /// The first `length` bytes of a file of users, in which there may be holes.
    pub(super) fn contents(
        &self,
        source: &Source<'_>,
        length: u64,
        what: &'static str,
    ) -> Result<Vec<u8>, ReadVolumeError> {
        let is_hole = self.runs.first().is_some_and(|run| run.first.is_none());
        if is_hole || self.initialised < length {
            return Ok(vec![0; length as usize]);
        }
        self.read(source, 0, length, what)
    }

    /// `length` bytes from `offset` on. Memory for them is reserved only as they are found to
    /// exist.
    pub(super) fn read(
        &self,
        source: &Source<'_>,
        mut offset: u64,
        length: u64,
        what: &'static str,
    ) -> Result<Vec<u8>, ReadVolumeError> {
        let mut bytes = Vec::new();
        for run in &self.runs {
            let in_run = run.clusters.saturating_mul(self.cluster_size);
            if offset >= in_run {
                offset -= in_run;
                continue;
            }
            let hole = || ReadVolumeError::damaged(NAME, format!("there is a hole in {what}"));
            let place = run
                .first
                .ok_or_else(hole)?
                .saturating_mul(self.cluster_size)
                .saturating_add(offset);
            let part = (in_run - offset).min(length - bytes.len() as u64);
            bytes.extend(source.bytes(place, part, what)?);
            offset = 0;
            if bytes.len() as u64 == length {
                return Ok(bytes);
            }
        }
        Err(ReadVolumeError::damaged(
            NAME,
            format!("{what} ends too early"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_go_forward_and_backward_and_have_holes() {
        let run = |clusters, first| Run { clusters, first };
        let list = [0x21, 0x18, 0x34, 0x56, 0x11, 0x30, 0xf0, 0x01, 0x05, 0x00];
        assert_eq!(
            decode_runs(&list).unwrap(),
            [
                run(0x18, Some(0x5634)),
                run(0x30, Some(0x5624)),
                run(5, None)
            ]
        );
        for bad in [
            &[0x21, 0x18][..],
            &[0x11, 0, 0, 0],
            &[0x11, 1, 0xff, 0],
            &[0x9f, 1],
            &[0x10, 1],
        ] {
            assert_eq!(decode_runs(bad), None, "{bad:x?}");
        }
    }
}
