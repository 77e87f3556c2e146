//! The report that a receiver sends to the sender. Layout: `docs/protocol/multicast.md`.

use crate::cursor::{Cursor, Malformed, put_varint};
use crate::packet::GroupNumber;

/// Most groups in one report; with them a report fits a QUIC datagram of 1200 bytes.
pub const MAX_DEFICITS: usize = 256;
/// Most bytes of a report that is taken.
pub const MAX_REPORT: usize = 2048;

const VERSION: u8 = 1;

/// The stage of a transfer that keeps it from being faster.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Stage {
    /// Waiting for the network.
    #[default]
    Network,
    /// Decompression and verification (deploy), or hashing and compression (capture).
    Compression,
    /// Reading or writing the disk.
    Disk,
}

/// How many symbols a receiver still needs to make a group whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deficit {
    /// The group.
    pub group: GroupNumber,
    /// 1 to 255; `None` when it has heard nothing of the group and cannot know.
    pub missing: Option<u8>,
}

/// Where a receiver stands. The newest report replaces those before it; losing one does no harm.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Report {
    /// Highest packet number heard; zero before the first, which is never number zero. Deficits
    /// count what was there then.
    pub as_of: u64,
    /// Packets that should have come since the first heard.
    pub expected: u64,
    /// Packets that came.
    pub received: u64,
    /// Symbols made from parity.
    pub repaired: u64,
    /// Datagrams that were not authentic packets of the session.
    pub rejected: u64,
    /// Datagrams that the kernel dropped because the socket's buffer was full.
    pub socket_drops: u64,
    /// Groups not taken because the memory was full.
    pub skipped_groups: u32,
    /// Complete chunks that have not been judged yet.
    pub chunks_in_hand: u32,
    /// Chunks said to be right so far, over the reliable stream. When the sender has fewer, there
    /// are some on the way.
    pub chunks_declared: u32,
    /// What limits the receiver.
    pub stage: Stage,
    /// How full the queues behind the network are, in percent.
    pub fill_percent: u8,
    /// Ascending by group; at most [`MAX_DEFICITS`].
    pub deficits: Vec<Deficit>,
}

impl Report {
    /// As bytes; at most [`MAX_REPORT`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let deficits = &self.deficits[..self.deficits.len().min(MAX_DEFICITS)];
        let mut out = Vec::with_capacity(40 + deficits.len() * 3);
        out.push(VERSION);
        for number in [
            self.as_of,
            self.expected,
            self.received,
            self.repaired,
            self.rejected,
            self.socket_drops,
        ] {
            put_varint(&mut out, number);
        }
        for number in [
            self.skipped_groups,
            self.chunks_in_hand,
            self.chunks_declared,
        ] {
            put_varint(&mut out, u64::from(number));
        }
        out.push(self.stage.code());
        out.push(self.fill_percent.min(100));
        put_varint(&mut out, deficits.len() as u64);
        let mut next = 0;
        for deficit in deficits {
            put_varint(&mut out, u64::from(deficit.group.0).saturating_sub(next));
            out.push(deficit.missing.unwrap_or(0));
            next = u64::from(deficit.group.0) + 1;
        }
        out
    }

    /// Reads [`encode`](Self::encode)'s bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(bytes, "multicast report");
        if bytes.len() > MAX_REPORT {
            return Err(cursor.malformed("too long"));
        }
        if cursor.u8()? != VERSION {
            return Err(cursor.malformed("unknown version"));
        }
        let mut report = Self {
            as_of: cursor.varint()?,
            expected: cursor.varint()?,
            received: cursor.varint()?,
            repaired: cursor.varint()?,
            rejected: cursor.varint()?,
            socket_drops: cursor.varint()?,
            skipped_groups: cursor.number()?,
            chunks_in_hand: cursor.number()?,
            chunks_declared: cursor.number()?,
            stage: Stage::from_code(cursor.u8()?).ok_or(cursor.malformed("unknown stage"))?,
            fill_percent: cursor.u8()?,
            deficits: Vec::new(),
        };
        if report.fill_percent > 100 {
            return Err(cursor.malformed("fill above 100 percent"));
        }
        if report.received > report.expected {
            return Err(cursor.malformed("more packets received than sent"));
        }
        report.deficits = decode_deficits(&mut cursor)?;
        cursor.end()?;
        Ok(report)
    }
}

fn decode_deficits(cursor: &mut Cursor<'_>) -> Result<Vec<Deficit>, Malformed> {
    let count: usize = cursor.number()?;
    if count > MAX_DEFICITS {
        return Err(cursor.malformed("too many groups"));
    }
    let mut deficits = Vec::with_capacity(count);
    let mut next = 0_u64;
    for _ in 0..count {
        let group = cursor.number::<u32>().map(|gap| next + u64::from(gap))?;
        let number =
            u32::try_from(group).map_err(|_| cursor.malformed("number of a group too large"))?;
        let missing = cursor.u8()?;
        deficits.push(Deficit {
            group: GroupNumber(number),
            missing: (missing > 0).then_some(missing),
        });
        next = group + 1;
    }
    Ok(deficits)
}

impl Stage {
    const fn code(self) -> u8 {
        match self {
            Self::Network => 1,
            Self::Compression => 2,
            Self::Disk => 3,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Network,
            2 => Self::Compression,
            3 => Self::Disk,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reports_survive_their_encoding(as_of: u64, expected: u64, lost: u64, skipped_groups: u32,
            stage in 1..4_u8,
                                          fill_percent in 0..=100_u8,
                                          deficits in prop::collection::btree_map(any::<u32>(),
                                              any::<u8>(), 0..MAX_DEFICITS)) {
            let report = Report {
                as_of, expected, received: expected - lost.min(expected), repaired: lost,
                    skipped_groups, fill_percent,
                stage: Stage::from_code(stage).unwrap(),
                deficits: deficits.iter().map(|(&group, &missing)| {
                    Deficit { group: GroupNumber(group), missing: (missing > 0).then_some(missing) }
                }).collect(),
                ..Report::default()
            };
            let bytes = report.encode();
            prop_assert!(bytes.len() <= MAX_REPORT);
            prop_assert_eq!(Report::decode(&bytes).unwrap(), report);
            prop_assert!(Report::decode(&bytes[..bytes.len() - 1]).is_err());
        }

        #[test]
        fn any_bytes_are_refused_or_taken(mut bytes in prop::collection::vec(any::<u8>(), 1..200)) {
            bytes[0] = VERSION;
            if let Ok(report) = Report::decode(&bytes) {
                prop_assert_eq!(report.encode(), bytes);
            }
        }
    }

    #[test]
    fn a_full_report_fits_a_quic_datagram() {
        let deficits = (0..MAX_DEFICITS as u32).map(|n| Deficit {
            group: GroupNumber(4_000_000 + 2 * n),
            missing: Some(9),
        });
        let report = Report {
            as_of: 1 << 40,
            expected: 1 << 40,
            received: 1 << 39,
            deficits: deficits.collect(),
            ..Report::default()
        };
        assert!(report.encode().len() < 1100);
    }
}
