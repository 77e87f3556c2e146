//! Settings of a session.

use std::time::Duration;

use crate::packet::SYMBOL_HEAD;
use crate::parity::MAX_DATA_SYMBOLS;
use crate::rate::Rate;
use crate::receiver::{InvalidConfig, check_session};
use crate::seal::{HEADER, TAG};

/// Internet protocol of a group's address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl IpVersion {
    /// Bytes of the Ethernet, IP and UDP headers.
    #[must_use]
    pub const fn frame_headers(self) -> usize {
        14 + self.headers()
    }

    /// Bytes of the IP and UDP headers.
    #[must_use]
    pub const fn headers(self) -> usize {
        match self {
            Self::V4 => 20 + 8,
            Self::V6 => 40 + 8,
        }
    }
}

/// The largest symbol whose packet fits the MTU of a link, in bytes; `None` when the MTU is too
/// small for any.
#[must_use]
pub fn symbol_size_for(mtu: usize, ip: IpVersion) -> Option<usize> {
    let size = mtu.checked_sub(ip.headers() + HEADER + SYMBOL_HEAD + TAG)? / 2 * 2;
    check_session(0, size).is_ok().then_some(size)
}

/// How slow a receiver may be before it continues by unicast.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Floor {
    /// It must take so many bytes per second on the wire (or all, when less is sent).
    Rate(Rate),
    /// It must take so many of a million of what the middle receiver takes.
    Share(u32),
}

/// Settings of a [`Sender`](crate::Sender).
#[derive(Clone, Debug)]
pub struct SenderConfig {
    /// How many distinct data chunks the manifest has.
    pub chunks: u32,
    /// Bytes of a symbol, see [`symbol_size_for`].
    pub symbol_size: usize,
    /// Data symbols of a full group, 1 to 192.
    pub data_symbols: u8,
    /// Bytes of headers around a packet on the wire that count for the rate: Ethernet, IP and UDP.
    pub packet_overhead: u32,
    /// Upper bound of the rate; without one, what the group sustains is searched for.
    pub max_rate: Option<Rate>,
    /// Where the search begins. Too low costs a moment, too high a small image's worth of loss.
    pub first_rate: Rate,
    /// How slow a receiver may be.
    pub floor: Floor,
    /// Most bytes of groups kept for repairs; with parity it may take a third more.
    pub window: usize,
    /// How many chunks are asked for ahead of their turn; each takes up to 1 MiB.
    pub read_ahead: u32,
    /// How long a receiver may be silent.
    pub silence: Duration,
    /// What so many receivers or fewer lack after a pass, they get by unicast.
    pub few: u16,
    /// How long after a pass to wait for receivers that still have chunks to judge or groups to be
    /// repaired.
    pub settle: Duration,
    /// How long a driver that woke up late may catch up for.
    pub catch_up: Duration,
    /// How long a receiver that went to unicast for being slow stays there before it may join
    /// again.
    pub rest: Duration,
}

impl SenderConfig {
    /// The defaults: groups of 192, a rate searched for from 20 Mbit/s, a floor of half the rate, a
    /// window of 48 MiB, 12 chunks ahead, 1 s of silence, unicast for what one receiver lacks,
    /// 2 s to settle, 10 ms to catch up, 10 s of rest.
    #[must_use]
    pub const fn new(chunks: u32, symbol_size: usize, ip: IpVersion) -> Self {
        Self {
            chunks,
            symbol_size,
            data_symbols: MAX_DATA_SYMBOLS as u8,
            packet_overhead: ip.frame_headers() as u32,
            max_rate: None,
            first_rate: Rate::from_megabits(20),
            floor: Floor::Share(500_000),
            window: 48 << 20,
            read_ahead: 12,
            silence: Duration::from_secs(1),
            few: 1,
            settle: Duration::from_secs(2),
            catch_up: Duration::from_millis(10),
            rest: Duration::from_secs(10),
        }
    }

    pub(super) fn check(&self) -> Result<(), InvalidConfig> {
        check_session(self.chunks, self.symbol_size)?;
        if self.data_symbols == 0 || usize::from(self.data_symbols) > MAX_DATA_SYMBOLS {
            return Err(InvalidConfig::DataSymbols(self.data_symbols));
        }
        if self.window < 4 * self.group_size() {
            return Err(InvalidConfig::Window(self.window));
        }
        Ok(())
    }

    pub(super) const fn group_size(&self) -> usize {
        self.data_symbols as usize * self.symbol_size
    }
}
