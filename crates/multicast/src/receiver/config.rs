//! The settings of a receiver.

use std::time::Duration;

use crate::chunks::MAX_CHUNKS;
use crate::packet::MAX_SYMBOL_SIZE;

/// Settings of a [`Receiver`](crate::Receiver).
#[derive(Clone, Debug)]
pub struct ReceiverConfig {
    /// How many distinct data chunks the manifest has.
    pub chunks: u32,
    /// Bytes of a symbol; the sender says it.
    pub symbol_size: usize,
    /// Most bytes held for groups and chunks, judged ones excepted. When it is full, groups pass
    /// by.
    pub memory: usize,
    /// After so long without a packet the group counts as not heard.
    pub unheard_after: Duration,
    /// How long a symbol may be late before it counts as missing.
    pub reorder_grace: Duration,
    /// A report goes out at least so often.
    pub keep_alive: Duration,
}

impl ReceiverConfig {
    /// The defaults: 48 MiB, 2 s, 3 ms, 200 ms.
    #[must_use]
    pub const fn new(chunks: u32, symbol_size: usize) -> Self {
        Self {
            chunks,
            symbol_size,
            memory: 48 << 20,
            unheard_after: Duration::from_secs(2),
            reorder_grace: Duration::from_millis(3),
            keep_alive: Duration::from_millis(200),
        }
    }

    pub(crate) fn check(&self) -> Result<(), InvalidConfig> {
        check_session(self.chunks, self.symbol_size)
    }
}

pub(crate) const fn check_session(chunks: u32, symbol_size: usize) -> Result<(), InvalidConfig> {
    if chunks > MAX_CHUNKS {
        return Err(InvalidConfig::Chunks(chunks));
    }
    // The table of one segment and a byte must fit a group of a single symbol.
    if symbol_size < 32 || symbol_size > MAX_SYMBOL_SIZE || !symbol_size.is_multiple_of(2) {
        return Err(InvalidConfig::SymbolSize(symbol_size));
    }
    Ok(())
}

/// Why a session cannot be as it was described.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum InvalidConfig {
    #[error("chunks: {0} are more than a session can have ({MAX_CHUNKS})")]
    Chunks(u32),
    #[error("symbol_size: {0} is not an even number from 32 to {MAX_SYMBOL_SIZE}")]
    SymbolSize(usize),
    #[error("data_symbols: {0} is not from 1 to 192")]
    DataSymbols(u8),
    #[error("window: {0} bytes hold less than four groups")]
    Window(usize),
}
