//! What a multicast packet says, once it is opened. Layout: `docs/protocol/multicast.md`.

use std::time::Duration;

use crate::chunks::SessionChunk;
use crate::cursor::{Cursor, Malformed};

/// Bytes of a symbol's packet before its payload.
pub const SYMBOL_HEAD: usize = 12;
/// Most symbols of a group, data and parity together: an index is one byte.
pub(crate) const MAX_SYMBOLS: usize = 256;
/// Most bytes of a symbol: a packet fits into a UDP datagram.
pub const MAX_SYMBOL_SIZE: usize = 65_000;

const SYMBOL: u8 = 1;
const TICK: u8 = 2;
const PROBE: u8 = 3;

/// Number of a group: counts up over all passes of a session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct GroupNumber(pub u32);

/// One packet of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
    /// Counts every packet of the session; never repeats, never goes back, and its gaps are what
    /// was lost.
    pub sequence: u64,
    /// What it says.
    pub body: Body<'a>,
}

/// What a packet carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body<'a> {
    /// Data or parity.
    Symbol(Symbol<'a>),
    /// A sign of life, and where the sender is.
    Tick(Tick),
    /// As long as a symbol's packet, so that one that arrives proves that symbols will.
    Probe {
        /// Zero bytes behind the head.
        padding: u16,
    },
}

/// One symbol of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Symbol<'a> {
    /// The group that it belongs to.
    pub group: GroupNumber,
    /// Low eight bits of the pass's number. Within a pass chunks ascend.
    pub pass: u8,
    /// How many data symbols the group has, 1 to 255.
    pub data_symbols: u8,
    /// Below `data_symbols`: data. From there: parity.
    pub index: u8,
    /// The first chunk of which the group carries bytes.
    pub first_chunk: SessionChunk,
    /// All symbols of a session have the same even size.
    pub payload: &'a [u8],
}

/// What the sender is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// For receivers, or for the time to start.
    Waiting,
    /// Data and repairs flow.
    Sending,
    /// A pass is over; repairs, and hearing what is still missing.
    Settling,
    /// Nobody wants anything any more.
    Over,
}

/// Sent while there is nothing else to send, and every now and then: lets receivers notice what
/// they lost at the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tick {
    /// Where the session is.
    pub phase: Phase,
    /// Number of the pass over the chunks, from 1; 0 before the first.
    pub pass: u8,
    /// Data and first parity of all groups below this have been sent.
    pub next_group: GroupNumber,
    /// Groups below this are not repaired any more.
    pub oldest_group: GroupNumber,
    /// How far apart a receiver's reports should be, in milliseconds.
    pub report_interval_ms: u16,
}

impl Tick {
    /// How far apart a receiver's reports should be.
    #[must_use]
    pub const fn report_interval(&self) -> Duration {
        Duration::from_millis(self.report_interval_ms as u64)
    }
}

impl<'a> Body<'a> {
    /// How many bytes [`encode`](Self::encode) appends.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        match self {
            Self::Symbol(symbol) => SYMBOL_HEAD + symbol.payload.len(),
            Self::Tick(_) => 14,
            Self::Probe { padding } => SYMBOL_HEAD + *padding as usize,
        }
    }

    /// Appends the body as it is before it is sealed.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Symbol(symbol) => {
                out.extend_from_slice(&[SYMBOL, symbol.pass, symbol.data_symbols, symbol.index]);
                out.extend_from_slice(&symbol.group.0.to_le_bytes());
                out.extend_from_slice(&symbol.first_chunk.0.to_le_bytes());
                out.extend_from_slice(symbol.payload);
            }
            Self::Tick(tick) => {
                out.extend_from_slice(&[TICK, tick.pass, tick.phase.code(), 0]);
                out.extend_from_slice(&tick.next_group.0.to_le_bytes());
                out.extend_from_slice(&tick.oldest_group.0.to_le_bytes());
                out.extend_from_slice(&tick.report_interval_ms.to_le_bytes());
            }
            Self::Probe { padding } => {
                out.push(PROBE);
                out.resize(out.len() + SYMBOL_HEAD - 1 + usize::from(*padding), 0);
            }
        }
    }

    /// Reads the body of an opened packet.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(bytes, "multicast packet");
        match cursor.u8()? {
            SYMBOL => Self::decode_symbol(cursor),
            TICK => Self::decode_tick(cursor),
            PROBE => {
                let padding = bytes
                    .len()
                    .checked_sub(SYMBOL_HEAD)
                    .and_then(|padding| u16::try_from(padding).ok());
                Ok(Self::Probe {
                    padding: padding.ok_or(cursor.malformed("length of a probe"))?,
                })
            }
            _ => Err(cursor.malformed("unknown kind")),
        }
    }

    fn decode_symbol(mut cursor: Cursor<'a>) -> Result<Self, Malformed> {
        let [pass, data_symbols, index] = cursor.array()?;
        let group = GroupNumber(cursor.u32()?);
        let first_chunk = SessionChunk(cursor.u32()?);
        let payload = cursor.rest();
        if data_symbols == 0 {
            return Err(cursor.malformed("a group without data symbols"));
        }
        if group.0 == u32::MAX {
            return Err(cursor.malformed("number of a group"));
        }
        if payload.is_empty() || !payload.len().is_multiple_of(2) || payload.len() > MAX_SYMBOL_SIZE
        {
            return Err(cursor.malformed("size of a symbol"));
        }
        Ok(Self::Symbol(Symbol {
            group,
            pass,
            data_symbols,
            index,
            first_chunk,
            payload,
        }))
    }

    fn decode_tick(mut cursor: Cursor<'a>) -> Result<Self, Malformed> {
        let [pass, phase, zero] = cursor.array()?;
        let phase = Phase::from_code(phase).ok_or(cursor.malformed("unknown phase"))?;
        let tick = Tick {
            phase,
            pass,
            next_group: GroupNumber(cursor.u32()?),
            oldest_group: GroupNumber(cursor.u32()?),
            report_interval_ms: cursor.u16()?,
        };
        if zero != 0 || tick.oldest_group > tick.next_group {
            return Err(cursor.malformed("fields of a tick"));
        }
        cursor.end()?;
        Ok(Self::Tick(tick))
    }
}

impl Phase {
    const fn code(self) -> u8 {
        match self {
            Self::Waiting => 0,
            Self::Sending => 1,
            Self::Settling => 2,
            Self::Over => 3,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Waiting,
            1 => Self::Sending,
            2 => Self::Settling,
            3 => Self::Over,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(body: Body<'_>) {
        let mut bytes = Vec::new();
        body.encode(&mut bytes);
        assert_eq!(bytes.len(), body.encoded_len());
        assert_eq!(Body::decode(&bytes), Ok(body));
        for length in 0..bytes.len().min(SYMBOL_HEAD) {
            assert!(
                Body::decode(&bytes[..length]).is_err(),
                "{length} bytes of {body:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn bodies_survive_their_encoding(group in 0..u32::MAX, pass: u8, k in 1..=255_u8, index: u8,
            chunk: u32, size in 1..700_usize,
                                         phase in 0..4_u8, oldest: u32, report_interval_ms: u16) {
            let payload = vec![7; size * 2];
            check(Body::Symbol(Symbol { group: GroupNumber(group), pass, data_symbols: k, index,
                                        first_chunk: SessionChunk(chunk), payload: &payload }));
            check(Body::Probe { padding: size as u16 });
            check(Body::Tick(Tick { phase: Phase::from_code(phase).unwrap(), pass,
                report_interval_ms,
                                    next_group: GroupNumber(group.max(oldest)),
                                        oldest_group: GroupNumber(group.min(oldest)) }));
        }

        #[test]
        fn any_bytes_are_refused_or_taken(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(body) = Body::decode(&bytes) {
                prop_assert_eq!(body.encoded_len(), bytes.len());
            }
        }
    }
}
