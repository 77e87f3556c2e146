//! The boot sector: sizes, and where the master file table starts.

use super::{NAME, ReadVolumeError};
use crate::volume::field::{u16_at, u64_at};

#[derive(Debug)]
pub(super) struct BootSector {
    pub(super) cluster_size: u64,
    pub(super) clusters: u64,
    pub(super) record_size: u64,
    /// Byte of the partition where the master file table starts.
    pub(super) table_offset: u64,
}

impl BootSector {
    /// `size`: bytes of the partition.
    pub(super) fn parse(raw: &[u8], size: u64) -> Result<Self, ReadVolumeError> {
        let damaged = |what: &str| Err(ReadVolumeError::damaged(NAME, what));
        let sector = u64::from(u16_at(raw, 11));
        // Above 128 the byte is a negative power of two.
        let sectors_per_cluster = if raw[13] > 128 {
            1_u64 << (256 - u32::from(raw[13])).min(32)
        } else {
            u64::from(raw[13])
        };
        let cluster_size = sector * sectors_per_cluster;
        if !sector.is_power_of_two()
            || !(256..=4096).contains(&sector)
            || !cluster_size.is_power_of_two()
            || cluster_size > 2 << 20
        {
            return damaged("the sizes of its sectors and clusters are not valid");
        }
        // The same trick, with bytes instead of clusters on the negative side.
        let record_size = match raw[64] as i8 {
            clusters @ 1.. => clusters as u64 * cluster_size,
            power => 1_u64 << power.unsigned_abs().min(63),
        };
        if !record_size.is_power_of_two() || !(512..=65_536).contains(&record_size) {
            return damaged("the size of its file records is not valid");
        }
        let sectors = u64_at(raw, 40);
        if sectors.checked_mul(sector).is_none_or(|bytes| bytes > size) {
            return damaged("it says that it is larger than its partition");
        }
        let clusters = sectors / sectors_per_cluster;
        let first = u64_at(raw, 48);
        if first >= clusters {
            return damaged("its master file table would be outside of it");
        }
        Ok(Self {
            cluster_size,
            clusters,
            record_size,
            table_offset: first * cluster_size,
        })
    }
}
