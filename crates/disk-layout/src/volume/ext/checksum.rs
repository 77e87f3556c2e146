//! The two checksums of ext4 metadata.

use crc::{Algorithm, Crc, Table};

/// CRC-32C without the final inversion, so that one sum can be the seed of the next.
const CRC32C: Algorithm<u32> = Algorithm {
    width: 32,
    poly: 0x1edc_6f41,
    init: 0xffff_ffff,
    refin: true,
    refout: true,
    xorout: 0,
    check: 0x1cf9_6d7c,
    residue: 0,
};

static CRC32C_TABLE: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC32C);
static CRC16_TABLE: Crc<u16, Table<1>> = Crc::<u16, Table<1>>::new(&crc::CRC_16_MODBUS);

/// Continues from `seed`; `!0` to begin.
pub(super) fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    // The register starts as the bit-reversed initial value.
    let mut digest = CRC32C_TABLE.digest_with_initial(seed.reverse_bits());
    digest.update(bytes);
    digest.finalize()
}

/// Of all `parts`, one after the other.
pub(super) fn crc16(parts: &[&[u8]]) -> u16 {
    let mut digest = CRC16_TABLE.digest();
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_can_be_continued_and_match_the_published_check_value() {
        assert_eq!(crc32c(!0, b"123456789"), !0xe306_9283);
        assert_eq!(crc32c(crc32c(!0, b"1234"), b"56789"), !0xe306_9283);
        assert_eq!(crc16(&[b"1234", b"56789"]), 0x4b37);
    }
}
