//! A range of multicast groups to choose addresses from. Pure.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Maximum number of addresses in a range: no site has more concurrent streams.
const MOST: u32 = 1 << 16;

/// Consecutive multicast groups of one family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupRange {
    first: IpAddr,
    /// At least 1.
    count: u32,
}

/// A text or address that is not a range of multicast groups.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GroupRangeError {
    #[error("{0:?} is not a range; write it like \"239.255.64.0/18\" or \"ff18::4648:0/112\"")]
    NotARange(String),
    #[error("{0} is not a multicast group that sessions may use")]
    NotMulticast(IpAddr),
    #[error("{0} has bits set after its prefix; the range starts at {1}")]
    Unaligned(String, IpAddr),
}

impl GroupRange {
    /// `count` groups from `first` on, at least one; cut off where multicast or 65536 addresses
    /// end.
    ///
    /// # Errors
    /// When `first` is not a usable group.
    pub fn starting_at(first: IpAddr, count: u32) -> Result<Self, GroupRangeError> {
        let usable = match first {
            // 224.0.0.0/24 belongs to the protocols of the LAN itself.
            IpAddr::V4(v4) => v4.is_multicast() && v4.octets()[..3] != [224, 0, 0],
            // ff01 never leaves the machine.
            IpAddr::V6(v6) => v6.is_multicast() && v6.segments()[0] & 0xf > 1,
        };
        if !usable {
            return Err(GroupRangeError::NotMulticast(first));
        }
        let room = match first {
            IpAddr::V4(v4) => {
                u128::from(u32::from(Ipv4Addr::new(239, 255, 255, 255)) - u32::from(v4)) + 1
            }
            IpAddr::V6(v6) => (u128::MAX - u128::from(v6)).saturating_add(1),
        };
        let count = count
            .clamp(1, MOST)
            .min(u32::try_from(room).unwrap_or(MOST));
        Ok(Self { first, count })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Always false: a range has at least one group.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        self.first.is_ipv6()
    }

    /// How many of its groups are free.
    #[must_use]
    pub fn free(&self, used: &HashSet<IpAddr>) -> usize {
        self.len()
            - used
                .iter()
                .filter(|address| self.contains(**address))
                .count()
    }

    /// A free group. The search starts at `start`, so that a released address is not immediately
    /// assigned to another session.
    #[must_use]
    pub fn pick(&self, used: &HashSet<IpAddr>, start: u32) -> Option<IpAddr> {
        (0..self.count)
            .map(|step| self.at((start % self.count + step) % self.count))
            .find(|group| !used.contains(group))
    }

    fn contains(&self, address: IpAddr) -> bool {
        let offset = match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(one)) => {
                u32::from(one).checked_sub(u32::from(first)).map(u128::from)
            }
            (IpAddr::V6(first), IpAddr::V6(one)) => u128::from(one).checked_sub(u128::from(first)),
            _ => None,
        };
        offset.is_some_and(|offset| offset < u128::from(self.count))
    }

    fn at(&self, number: u32) -> IpAddr {
        match self.first {
            IpAddr::V4(v4) => Ipv4Addr::from(u32::from(v4) + number).into(),
            IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) + u128::from(number)).into(),
        }
    }
}

impl FromStr for GroupRange {
    type Err = GroupRangeError;

    /// `ADDRESS/PREFIX`; an address alone is one group.
    fn from_str(text: &str) -> Result<Self, GroupRangeError> {
        let refuse = || GroupRangeError::NotARange(text.to_owned());
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => {
                (address, Some(prefix.parse::<u32>().map_err(|_| refuse())?))
            }
            None => (text.trim(), None),
        };
        let first: IpAddr = address.parse().map_err(|_| refuse())?;
        let bits = if first.is_ipv4() { 32 } else { 128 };
        let host = bits
            - prefix
                .filter(|prefix| *prefix <= bits)
                .or(prefix.is_none().then_some(bits))
                .ok_or_else(refuse)?;
        let begin: IpAddr = match first {
            IpAddr::V4(v4) => Ipv4Addr::from(cleared(u32::from(v4).into(), host) as u32).into(),
            IpAddr::V6(v6) => Ipv6Addr::from(cleared(v6.into(), host)).into(),
        };
        if begin != first {
            return Err(GroupRangeError::Unaligned(text.to_owned(), begin));
        }
        Self::starting_at(first, 1_u32.checked_shl(host).unwrap_or(MOST))
    }
}

/// The number without its last `bits` bits.
fn cleared(number: u128, bits: u32) -> u128 {
    number
        .checked_shr(bits)
        .and_then(|rest| rest.checked_shl(bits))
        .unwrap_or(0)
}

impl fmt::Display for GroupRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.first, self.at(self.count - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> GroupRange {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_are_written_as_prefixes() {
        assert_eq!(
            range("239.255.64.0/18").to_string(),
            "239.255.64.0 to 239.255.127.255"
        );
        assert_eq!(range("239.1.2.3").to_string(), "239.1.2.3 to 239.1.2.3");
        assert_eq!(
            range("ff18::4648:0/112").to_string(),
            "ff18::4648:0 to ff18::4648:ffff"
        );
        assert_eq!(range("ff18::/16").len(), 65_536, "more serve nobody");
        assert_eq!(
            GroupRange::starting_at("239.255.255.254".parse().unwrap(), 64)
                .unwrap()
                .len(),
            2
        );
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "",
            "group",
            "239.255.0.0/33",
            "239.255.64.1/18",
            "10.0.0.0/8",
            "224.0.0.0/28",
            "fe80::/64",
            "ff01::/112",
        ] {
            assert!(text.parse::<GroupRange>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_address_is_given_once() {
        let range = range("239.255.0.0/28");
        let mut used = HashSet::new();
        for start in 0..16 {
            assert_eq!(range.free(&used), 16 - used.len());
            assert!(used.insert(range.pick(&used, start * 7).unwrap()));
        }
        assert_eq!((range.pick(&used, 3), range.free(&used)), (None, 0));
        let back = "239.255.0.9".parse().unwrap();
        used.remove(&back);
        used.insert("239.9.9.9".parse().unwrap());
        assert_eq!((range.pick(&used, 3), range.free(&used)), (Some(back), 1));
    }
}
