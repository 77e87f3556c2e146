//! Bodies about images: what they contain, their versions, and what storage nodes hold besides.

use foghorn_types::{
    ByteCount, DiskPart, FileId, HostId, ImageId, ManifestId, SnapinId, StorageGroupId,
    StorageNodeId, TaskId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Named, Replica};
use crate::schema::Rfc3339;

/// Something about an image that whoever deploys it should know.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImageNote {
    /// What it is about.
    pub kind: ImageNoteKind,
    /// Partition as Linux counts, from 1; 0: the disk.
    pub partition: u32,
    /// First byte of the disk that it is about; of several disks, in the numbering of the image.
    pub offset: u64,
    /// Bytes that it is about; 0: none in particular.
    pub length: ByteCount,
    /// A sentence, at most 512 bytes.
    pub text: String,
}

/// One disk of an image of several.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImageDisk {
    /// Size of the captured disk in bytes.
    pub size: ByteCount,
    /// Bytes of its sectors.
    pub sector_size: u32,
    /// Its first byte in the numbering of the image's notes.
    pub start: u64,
    /// The smallest disk that can hold it, in bytes.
    pub minimum_size: ByteCount,
    /// Which disk it was: path, model, serial number.
    pub name: String,
}

/// What a note is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageNoteKind {
    /// A partition was captured raw.
    TakenRaw,
    /// The contents are encrypted.
    Encrypted,
    /// A file system was not cleanly unmounted.
    Unclean,
    /// Bytes with data that are not in the image.
    LeftOut,
    /// Bytes that could not be read and are zero in the image.
    Unreadable,
    /// Something unusual about the partition table.
    Table,
    /// Can only be deployed to a disk of exactly the captured size.
    SizeTied,
    /// The image contains only a part of the disk.
    PartOfDisk,
    /// The partition can only be deployed to one of exactly the captured size.
    PartitionSizeTied,
}

/// Images.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImageList {
    /// In the order of their names, without their notes.
    pub images: Vec<ImageStatus>,
    /// Where to continue, as `after`; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An image and its content.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImageStatus {
    /// Id of the image.
    pub id: ImageId,
    /// Its name.
    pub name: String,
    /// The image, the same as `id` and `name`.
    pub image: Named<ImageId>,
    /// Free text.
    pub description: String,
    /// Whether tasks may use it.
    pub enabled: bool,
    /// Whether it is protected from deletion and from captures into it.
    pub protected: bool,
    /// What of a disk a capture takes.
    pub captures: DiskPart,
    /// Whether a capture takes every block, whatever file systems say is in use.
    pub raw: bool,
    /// Whether a capture takes as many disks as the disk rules of its host name.
    pub all_disks: bool,
    /// Whether its deploys put an identity of the machine on the disk, to hosts that do not say otherwise.
    #[serde(default)]
    pub identity: bool,
    /// Storage groups that hold it.
    pub storage_groups: Vec<Named<StorageGroupId>>,
    /// How many versions of it there are: the present one and those that are kept.
    pub version_count: u32,
    /// Name of the user who created it.
    pub created_by: String,
    /// When it was created; absent if that is not known.
    #[schemars(with = "Option<Rfc3339>")]
    pub created: Option<String>,
    /// Absent until the image has been captured.
    pub content: Option<ImageContent>,
    /// How it is on the storage nodes that hold it or are to hold it; empty in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<Replica>,
}

/// What an image contains.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImageContent {
    /// BLAKE3 of its manifest.
    pub manifest: ManifestId,
    /// Its number among the versions of the image.
    #[serde(default)]
    pub version: u32,
    /// The host whose disk was captured, with the name that it had then; absent when that is not
    /// known.
    #[serde(default)]
    pub captured_from: Option<Named<HostId>>,
    /// What of the disk was captured.
    pub part: DiskPart,
    /// Its disks, if there are several.
    #[serde(default)]
    pub disks: Vec<ImageDisk>,
    /// Size of the disk in bytes; of several disks, of the space in which they lie one after the
    /// other.
    pub logical_bytes: ByteCount,
    /// Bytes in use on it.
    pub used_bytes: ByteCount,
    /// Compressed bytes of all its chunks.
    pub stored_bytes: ByteCount,
    /// Compressed bytes that its capture added.
    pub new_bytes: ByteCount,
    /// When it was captured.
    #[schemars(with = "Rfc3339")]
    pub captured: String,
    /// Storage nodes that hold it completely.
    pub nodes: Vec<Named<StorageNodeId>>,
    /// What people should know about it, at most 100.
    #[serde(default)]
    pub notes: Vec<ImageNote>,
    /// How many more notes its manifest has.
    #[serde(default)]
    pub more_notes: u32,
    /// Storage nodes that cannot give it out whole. Deploys use others; without one, they are
    /// refused.
    #[serde(default)]
    pub damaged: Vec<DamagedContent>,
}

/// Content that a storage node cannot give out whole, as a scrub, a verification or a deploy has
/// found, and none has found whole since.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DamagedContent {
    /// The storage node.
    pub node: Named<StorageNodeId>,
    /// The image; absent for the file of a snapin. It has no name if it does not exist here.
    pub image: Option<Named<ImageId>>,
    /// Number of the version of the image; absent when no image here has it.
    #[schemars(range(min = 1))]
    pub version: Option<u32>,
    /// BLAKE3 of its manifest; absent for the file of a snapin.
    pub manifest: Option<ManifestId>,
    /// BLAKE3 of the file; absent for an image.
    pub file: Option<FileId>,
    /// The snapins whose file it is.
    pub snapins: Vec<Named<SnapinId>>,
    /// Damaged chunks that it needs; 0 when only the list of its chunks is damaged.
    pub chunks: u64,
    /// When the first of it was found.
    #[schemars(with = "Rfc3339")]
    pub found: String,
    /// What is wrong with what was found first.
    pub problem: String,
}

/// The versions of an image.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImageVersions {
    /// The image.
    pub image: Named<ImageId>,
    /// The present version, and then those that are kept, the latest replaced first; empty until
    /// the image has been captured.
    pub versions: Vec<ImageVersion>,
    /// How many replaced versions are kept.
    pub keep_versions: u32,
    /// For how many days a replaced version is kept.
    pub keep_days: u64,
}

/// One version of an image.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImageVersion {
    /// Its number; captures count up.
    pub version: u32,
    /// What it is now.
    pub state: VersionState,
    /// BLAKE3 of its manifest.
    pub manifest: ManifestId,
    /// When it was captured.
    #[schemars(with = "Rfc3339")]
    pub captured: String,
    /// The host whose disk was captured, with the name that it had then; absent when that is not
    /// known.
    pub captured_from: Option<Named<HostId>>,
    /// Bytes in use on the captured disk.
    pub used_bytes: ByteCount,
    /// Compressed bytes of all its chunks, which other versions may share.
    pub stored_bytes: ByteCount,
    /// Storage nodes that hold it.
    pub nodes: Vec<Named<StorageNodeId>>,
    /// When another version took its place; absent for the present one.
    #[schemars(with = "Option<Rfc3339>")]
    pub replaced: Option<String>,
    /// Until when it is kept; absent for the present one.
    #[schemars(with = "Option<Rfc3339>")]
    pub kept_until: Option<String>,
    /// Storage nodes that cannot give it out whole.
    #[serde(default)]
    pub damaged: Vec<DamagedContent>,
    /// Deploys that have not ended and write this version, or would if their machines came now.
    pub tasks: Vec<TaskId>,
}

/// What a version of an image is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VersionState {
    /// The content of the image.
    Present,
    /// Replaced, and can be made the present one again.
    Kept,
    /// Its storage nodes are connected, and none of them has it.
    Lost,
}

/// Which version of an image is to be the present one.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UndoRequest {
    /// Its number; the version that was replaced last when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub version: Option<u32>,
}

/// What storage nodes hold and the controller does not know.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OrphanList {
    /// By node, images first.
    pub orphans: Vec<Orphan>,
}

/// Content on a storage node that no image or snapin has, and whose removal nobody has ordered.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Orphan {
    /// The storage node.
    pub node: Named<StorageNodeId>,
    /// For the content of an image: the image that it was captured for. It has no name if it does
    /// not exist here.
    pub image: Option<Named<ImageId>>,
    /// For the content of an image: what it is.
    pub manifest: Option<ManifestId>,
    /// For any other file: its BLAKE3 hash.
    pub file: Option<FileId>,
    /// Whether the image has other content here.
    pub has_other_content: bool,
    /// When it was captured; absent when the node does not know, as for content of earlier versions.
    #[serde(default)]
    #[schemars(with = "Option<Rfc3339>")]
    pub captured: Option<String>,
    /// The host whose disk was captured, with the name that it had then; absent when that is not
    /// known.
    #[serde(default)]
    pub captured_from: Option<Named<HostId>>,
    /// Bytes in use on the captured disk; absent when that is not known.
    #[serde(default)]
    pub used_bytes: Option<ByteCount>,
    /// Compressed bytes of all its chunks; absent when that is not known.
    #[serde(default)]
    pub stored_bytes: Option<ByteCount>,
}

/// Makes content that a storage node holds that of an image.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdoptRequest {
    /// The storage node.
    pub node: StorageNodeId,
    /// The image that the content was captured for.
    pub image: ImageId,
    /// The content.
    pub manifest: ManifestId,
    /// Name of a new image to make of it; without one, the image must exist and have no content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Orders that unknown content is deleted.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DropRequest {
    /// The storage node.
    pub node: StorageNodeId,
    /// For the content of an image: the image that it was captured for, with `manifest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    /// For the content of an image: what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<ManifestId>,
    /// For any other file: its BLAKE3 hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileId>,
}
