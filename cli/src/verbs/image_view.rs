//! Images as people see them.

use foghorn_rest_types::native::{ImageContent, ImageStatus, Replica, ReplicaState};

use super::object::dash;
use super::{damage, disks, notes, replication};
use crate::human::{self, argument, yes_no};
use crate::native::Native;
use crate::output::{Output, Table};
use crate::sheet::Sheet;

const COLUMNS: [&str; 10] = [
    "ID",
    "NAME",
    "SIZE",
    "USED",
    "STORED",
    "VERSION",
    "CAPTURED",
    "NODES",
    "ENABLED",
    "PROTECTED",
];

pub(super) fn table(output: Output, images: &[Native<ImageStatus>]) -> Table {
    let mut table = Table::new(&COLUMNS);
    for image in images.iter().map(|image| &image.view) {
        let content = image.content.as_ref();
        table.row([
            image.id.to_string(),
            image.name.clone(),
            dash(content.map(|content| content.logical_bytes)),
            dash(content.map(|content| content.used_bytes)),
            dash(content.map(|content| content.stored_bytes)),
            dash(content.map(|content| version(image, content))),
            dash(content.map(|content| output.time(&content.captured))),
            dash(content.map(|content| content.nodes.len())),
            yes_no(image.enabled).to_owned(),
            yes_no(image.protected).to_owned(),
        ]);
    }
    table
}

/// `4`, or `4 (2 kept)` if earlier versions are kept.
fn version(image: &ImageStatus, content: &ImageContent) -> String {
    match image.version_count.saturating_sub(1) {
        0 => content.version.to_string(),
        kept => format!("{} ({kept} kept)", content.version),
    }
}

pub(super) fn sheet(output: Output, image: &ImageStatus) -> Sheet {
    let mut sheet = Sheet::new(format!("image {} (id {})", image.name, image.id));
    sheet.maybe("description", Some(image.description.as_str()));
    sheet.field("enabled", yes_no(image.enabled));
    sheet.field("protected", yes_no(image.protected));
    let kind = match (image.raw, image.all_disks) {
        (true, _) => ", every block",
        (_, true) => ", of all disks that the disk rules name",
        _ => "",
    };
    sheet.field("captures take", format!("{}{kind}", image.captures));
    if image.identity {
        sheet.field("deploys put", "an identity of the machine on the disk");
    }
    let groups: Vec<_> = image
        .storage_groups
        .iter()
        .map(|group| &*group.name)
        .collect();
    sheet.maybe("storage groups", Some(groups.join(", ")));
    sheet.maybe("created by", Some(image.created_by.as_str()));
    sheet.maybe(
        "created",
        image.created.as_deref().map(|at| output.time(at)),
    );
    sheet.group("content");
    match &image.content {
        Some(content) => add_content(output, &mut sheet, image, content),
        None => sheet.field("captured", "never: it has no content"),
    }
    sheet
}

fn add_content(output: Output, sheet: &mut Sheet, image: &ImageStatus, content: &ImageContent) {
    sheet.field("captured", output.time(&content.captured));
    let from = content.captured_from.as_ref();
    sheet.maybe("captured from", from.map(|host| host.name.as_str()));
    sheet.field("version", version(image, content));
    sheet.field("contains", content.part.to_string());
    if content.disks.is_empty() {
        sheet.field("size of disk", content.logical_bytes.to_string());
    }
    for (number, line) in (1..).zip(disks::lines(&content.disks)) {
        sheet.field(&format!("disk {number}"), line);
    }
    sheet.field("used", content.used_bytes.to_string());
    sheet.field("stored", format!("{}, compressed", content.stored_bytes));
    let nodes: Vec<_> = content.nodes.iter().map(|node| &*node.name).collect();
    sheet.field(
        "on nodes",
        if nodes.is_empty() {
            "none".to_owned()
        } else {
            nodes.join(", ")
        },
    );
    for replica in &image.replicas {
        if replica.state != ReplicaState::Ready {
            sheet.field(
                &format!("copy to {}", replica.node.name),
                copy_in_words(output, replica),
            );
        }
    }
    for damage in &content.damaged {
        let field = format!("damaged on {}", damage.node.name);
        sheet.field(&field, damage::in_words(damage));
    }
    sheet.field("manifest", content.manifest.to_string());
    sheet.lines("notes", notes::lines(&content.notes, content.more_notes));
}

/// `copying, 12/340 chunks, 80.0 MiB/s from north`
fn copy_in_words(output: Output, replica: &Replica) -> String {
    let mut words = replica.state.as_str().to_owned();
    if let Some(progress) = &replica.progress {
        let total = progress
            .total
            .map_or("?".to_owned(), |total| total.to_string());
        words.push_str(&format!(", {}/{total} chunks", progress.verified));
        if let Some(source) = &progress.source {
            words.push_str(&format!(", {} from {source}", human::rate(progress.rate)));
        }
    }
    let note = replication::note(output, replica);
    match note.is_empty() {
        true => words,
        false => format!("{words}: {note}"),
    }
}

/// What one usually does with an image next.
pub(super) fn next(image: &ImageStatus) -> String {
    let name = argument(&image.name, image.id.get());
    if image.protected && image.content.is_none() {
        // Nothing is captured into it.
        format!("foghorn image show {name}")
    } else if image.content.is_some() {
        format!("foghorn image deploy {name} --host HOST")
    } else {
        format!("foghorn image capture {name} --host HOST")
    }
}

#[cfg(test)]
mod tests {
    use foghorn_rest_types::native::Named;
    use foghorn_types::{ByteCount, DiskPart, HostId, ImageId, ManifestId, StorageNodeId};

    use super::*;
    use crate::human::Zone;
    use crate::output::Format;

    const UTC: Output = Output {
        format: Format::Table,
        quiet: false,
        zone: Zone::Utc,
    };

    fn image(content: Option<ImageContent>) -> ImageStatus {
        let id = ImageId::new(3).unwrap();
        let name = "win11".to_owned();
        ImageStatus {
            id,
            name: name.clone(),
            image: Named { id, name },
            description: String::new(),
            enabled: true,
            protected: false,
            captures: DiskPart::Everything,
            raw: false,
            all_disks: false,
            identity: false,
            storage_groups: Vec::new(),
            version_count: if content.is_some() { 3 } else { 0 },
            created_by: "anna".into(),
            created: None,
            content,
            replicas: Vec::new(),
        }
    }

    fn content() -> ImageContent {
        ImageContent {
            manifest: ManifestId::of(b"m"),
            version: 4,
            captured_from: Some(Named {
                id: HostId::new(7).unwrap(),
                name: "golden".into(),
            }),
            part: DiskPart::Everything,
            disks: vec![],
            logical_bytes: ByteCount::from_mib(65_536),
            used_bytes: ByteCount::from_mib(20_480),
            stored_bytes: ByteCount::from_mib(10_240),
            new_bytes: ByteCount::ZERO,
            captured: "2026-11-29T14:04:05Z".into(),
            nodes: vec![Named {
                id: StorageNodeId::new(1).unwrap(),
                name: "north".into(),
            }],
            notes: vec![],
            more_notes: 0,
            damaged: Vec::new(),
        }
    }

    #[test]
    fn a_list_has_sizes_the_version_and_the_time_of_capture() {
        let native = |view: ImageStatus| Native {
            raw: serde_json::to_value(&view).unwrap(),
            view,
        };
        let images = [native(image(Some(content()))), native(image(None))];
        let text = table(UTC, &images).render();
        let rows: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split("  ").collect())
            .collect();
        let rows: Vec<Vec<&str>> = rows
            .into_iter()
            .map(|row| {
                row.into_iter()
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty())
                    .collect()
            })
            .collect();
        assert_eq!(rows[0], COLUMNS);
        assert_eq!(
            rows[1],
            [
                "3",
                "win11",
                "64.0 GiB",
                "20.0 GiB",
                "10.0 GiB",
                "4 (2 kept)",
                "2026-11-29 14:04:05 +0000",
                "1",
                "yes",
                "no"
            ]
        );
        assert_eq!(
            rows[2],
            ["3", "win11", "-", "-", "-", "-", "-", "-", "yes", "no"]
        );
    }

    #[test]
    fn an_image_is_shown_in_words() {
        let text = sheet(UTC, &image(Some(content()))).render();
        for line in [
            "image win11 (id 3)",
            "  captured       2026-11-29 14:04:05 +0000",
            "  captured from  golden",
            "  version        4 (2 kept)",
            "  stored         10.0 GiB, compressed",
            "  on nodes       north",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let empty = sheet(UTC, &image(None)).render();
        assert!(empty.contains("never: it has no content"), "{empty}");
        assert_eq!(
            next(&image(None)),
            "foghorn image capture win11 --host HOST"
        );
        assert_eq!(
            next(&image(Some(content()))),
            "foghorn image deploy win11 --host HOST"
        );
    }
}
