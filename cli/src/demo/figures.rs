//! The tables with the results.

use std::time::Duration;

use foghorn_rest_types::native::ImageContent;
use foghorn_types::ByteCount;

use crate::human;
use crate::output::Table;

/// One transfer, measured from the start of the client to its end.
pub(super) struct Transfer {
    pub(super) what: String,
    pub(super) took: Duration,
}

/// Sizes, what deduplication and compression saved, and the speed of each transfer over the used
/// bytes.
pub(super) fn table(content: &ImageContent, transfers: &[Transfer]) -> String {
    let mut sizes = Table::new(&["DISK", "USED", "STORED", "DEDUP RATIO"]);
    let ratio = content.used_bytes.bytes() as f64 / content.stored_bytes.bytes().max(1) as f64;
    sizes.row([
        content.logical_bytes.to_string(),
        content.used_bytes.to_string(),
        content.stored_bytes.to_string(),
        format!("{ratio:.2}"),
    ]);
    let mut speeds = Table::new(&["TRANSFER", "SECONDS", "RATE"]);
    for transfer in transfers {
        let rate = rate(content.used_bytes, transfer.took);
        speeds.row([
            transfer.what.clone(),
            format!("{:.2}", transfer.took.as_secs_f64()),
            human::rate(rate),
        ]);
    }
    format!("{}\n{}", sizes.render(), speeds.render())
}

/// Bytes per second.
fn rate(bytes: ByteCount, took: Duration) -> ByteCount {
    let rate = bytes.bytes() as f64 / took.as_secs_f64().max(1e-3);
    ByteCount::from_bytes(rate as u64)
}

#[cfg(test)]
mod tests {
    use foghorn_types::ManifestId;

    use super::*;

    #[test]
    fn the_ratio_is_used_over_stored() {
        let content = ImageContent {
            manifest: ManifestId::of(b"m"),
            version: 1,
            captured_from: None,
            part: foghorn_types::DiskPart::Everything,
            disks: vec![],
            logical_bytes: ByteCount::from_mib(1024),
            used_bytes: ByteCount::from_mib(512),
            stored_bytes: ByteCount::from_mib(256),
            new_bytes: ByteCount::from_mib(256),
            captured: String::new(),
            nodes: vec![],
            notes: vec![],
            more_notes: 0,
            damaged: vec![],
        };
        let text = table(
            &content,
            &[Transfer {
                what: "capture".into(),
                took: Duration::from_secs(2),
            }],
        );
        assert!(text.contains("1.00 GiB") && text.contains("2.00"), "{text}");
        assert!(text.contains("256 MiB/s"), "{text}");
    }
}
