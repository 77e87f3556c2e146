//! Clients with a valid session that send manifests to harm the node.

use bytes::Bytes;
use foghorn_image::{
    ChunkContent, ChunkEntry, ChunkList, DiskGeometry, Manifest, ManifestPart, ManifestWriter,
    PART_CHUNKS, PartitionTable, UsedMask,
};
use foghorn_types::{ByteCount, ChunkIndex, ManifestId, SectorSize};

use crate::support::Node;
use crate::support::client::start_capture;

/// Peak memory of this process, in which the agent runs, in MiB. Other tests in it take some, too.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() >> 10
}

fn zero_chunks(count: u32) -> impl Iterator<Item = ChunkEntry> {
    (0..count).map(|index| ChunkEntry {
        index: ChunkIndex::new(index),
        used: UsedMask::Whole,
        content: ChunkContent::Zero,
    })
}

fn disk_of(chunks: u32) -> Manifest {
    Manifest {
        geometry: DiskGeometry {
            size: ByteCount::from_mib(chunks),
            sector_size: SectorSize::B512,
        },
        table: PartitionTable::None,
        file_systems: Vec::new(),
        chunks: ChunkList::new(),
        notes: Vec::new(),
        disks: Vec::new(),
    }
}

fn part(bytes: impl Into<Vec<u8>>) -> ManifestPart {
    ManifestPart::new(Bytes::from(bytes.into()))
}

#[tokio::test]
async fn parts_beyond_what_such_a_disk_can_have_are_refused() {
    let node = Node::start().await;
    let (client, _) = start_capture(&node, 1).await;
    let disk = ByteCount::from_mib(1);
    client.store_part(disk, &part([1; 2000])).await.unwrap();
    // Once more, it costs nothing and is counted once.
    for _ in 0..5 {
        client.store_part(disk, &part([1; 2000])).await.unwrap();
    }
    client.store_part(disk, &part([2; 80])).await.unwrap();
    let other = client
        .store_part(ByteCount::from_mib(2), &part([3; 80]))
        .await;
    let other = other.unwrap_err();
    assert!(!other.is_transient());
    let reason = foghorn_types::chain(&other).to_string();
    assert!(reason.contains("one of 2097152 bytes"), "{reason}");
    let beyond = client.store_part(disk, &part([4; 80])).await.unwrap_err();
    let reason = foghorn_types::chain(&beyond).to_string();
    assert!(reason.contains("has a manifest of at most"), "{reason}");
    let parts = std::fs::read_dir(node.folder.path().join("chunks/parts"));
    assert_eq!(parts.unwrap().count(), 2);
    node.agent.shutdown().await;
}

/// Memory is measured for the whole process, in which other tests would count.
#[test]
fn endless_zero_chunks_cost_nothing() {
    let alone = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hostile_manifests::endless_zero_chunks_alone"])
        .args(["--ignored", "--nocapture"])
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&alone.stdout);
    assert!(
        alone.status.success() && shown.contains("1 passed"),
        "{shown}{}",
        String::from_utf8_lossy(&alone.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a child of the test above"]
async fn endless_zero_chunks_alone() {
    // Inside of one manifest, 4 MiB of them are 4 TiB.
    let chunks = 4 << 20;
    let inline = Manifest {
        chunks: zero_chunks(chunks).collect(),
        ..disk_of(chunks)
    };
    let inline = Bytes::from(inline.encode());
    // In parts, which are all the same.
    let chunks = 1100 * PART_CHUNKS;
    let disk = disk_of(chunks);
    let (mut writer, mut parts) = (ManifestWriter::default(), Vec::new());
    for entry in zero_chunks(chunks) {
        writer.push(&entry);
        parts.extend(writer.take_parts());
    }
    let (root, rest) = writer.finish(&disk);
    let root = Bytes::from(root);
    parts.extend(rest);
    assert_eq!(parts.len(), 1100);

    let node = Node::start().await;
    let before = peak();
    let (client, _) = start_capture(&node, 1).await;
    assert_eq!(
        client.store_manifest(inline.clone()).await.unwrap(),
        ManifestId::of(&inline)
    );
    let (client, _) = start_capture(&node, 2).await;
    let refused = client.store_manifest(root.clone()).await.unwrap_err();
    let reason = foghorn_types::chain(&refused).to_string();
    assert!(reason.contains("is not in the store"), "{reason}");
    for part in &parts[..5] {
        client.store_part(disk.geometry.size, part).await.unwrap();
    }
    assert_eq!(
        client.store_manifest(root.clone()).await.unwrap(),
        ManifestId::of(&root)
    );
    let stored = std::fs::read_dir(node.folder.path().join("chunks/parts"));
    assert_eq!(stored.unwrap().count(), 1, "equal parts are stored once");
    let grown = peak() - before;
    assert!(grown < 100, "{grown} MiB");
    node.agent.shutdown().await;
}
