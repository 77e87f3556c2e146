//! Disks of an image of several, for people.

use foghorn_rest_types::native::ImageDisk;

/// A line for each disk.
pub(super) fn lines(disks: &[ImageDisk]) -> Vec<String> {
    let line = |disk: &ImageDisk| {
        format!(
            "{}: {} ({} bytes), sectors of {}, needs at least {} bytes",
            disk.name,
            disk.size,
            disk.size.bytes(),
            disk.sector_size,
            disk.minimum_size.bytes()
        )
    };
    disks.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use foghorn_types::ByteCount;

    use super::*;

    #[test]
    fn each_disk_is_a_line() {
        let disk = ImageDisk {
            size: ByteCount::from_mib(4),
            sector_size: 512,
            start: 0,
            minimum_size: ByteCount::from_mib(3),
            name: "/dev/sda".into(),
        };
        let lines = lines(&[disk.clone(), disk]);
        assert_eq!(
            lines[1],
            "/dev/sda: 4.00 MiB (4194304 bytes), sectors of 512, needs at least 3145728 bytes"
        );
        assert_eq!(lines.len(), 2);
    }
}
