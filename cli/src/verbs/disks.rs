//! Disks of an image of several, for people.

use foghorn_rest_types::native::ImageDisk;
use serde_json::{Map, Value, json};

/// Puts a line for each disk in a table of fields.
pub(super) fn add_to(fields: &mut Map<String, Value>, disks: &[ImageDisk]) {
    for (number, disk) in (1..).zip(disks) {
        let line = format!(
            "{}: {} ({} bytes), sectors of {}, needs at least {} bytes",
            disk.name,
            disk.size,
            disk.size.bytes(),
            disk.sector_size,
            disk.minimum_size.bytes()
        );
        fields.insert(format!("disk {number}"), json!(line));
    }
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
        let mut fields = Map::new();
        add_to(&mut fields, &[disk.clone(), disk]);
        assert_eq!(
            fields["disk 2"],
            "/dev/sda: 4.00 MiB (4194304 bytes), sectors of 512, needs at least 3145728 bytes"
        );
        assert_eq!(fields.len(), 2);
    }
}
