//! Why a change of the state is refused. Expected, part of the contract, and answered by every
//! dialect in its own words.

use foghorn_types::{DiskPart, ImageId, StorageNodeId};

use crate::store::StoreError;

/// A change that was not made. Nothing has been stored.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("{class} {id} does not exist")]
    NotFound { class: &'static str, id: u32 },
    #[error("{field} is required")]
    Missing { field: &'static str },
    #[error("{field}: {value:?} belongs to {class} {owner} already")]
    Taken {
        class: &'static str,
        field: &'static str,
        value: String,
        owner: u32,
    },
    #[error("{field}: {why}")]
    Invalid { field: &'static str, why: String },
    /// An object as it would be after the change cannot be used for anything; FOG stores such
    /// objects and then denies that they exist.
    #[error("{field}: {why}")]
    Unusable { field: &'static str, why: String },
    /// The row would be what it already is, and FOG says so with "not found".
    #[error("an equal {class} exists already: {owner}")]
    Unchanged { class: &'static str, owner: u32 },
    #[error("{class} {id} is in use by task {task}")]
    InUse {
        class: &'static str,
        id: u32,
        task: u32,
    },
    #[error("{class} {id} is protected: set \"protected\" to 0 before deleting it")]
    Protected { class: &'static str, id: u32 },
    /// What has ended is not changed any more.
    #[error("{class} {id} has ended")]
    Ended { class: &'static str, id: u32 },
    #[error("the body is not JSON: line {line}, column {column}")]
    BrokenJson { line: usize, column: usize },
    #[error("{field}: a list of {count} elements, at most {most} are accepted in one request")]
    TooLong {
        field: String,
        count: usize,
        most: usize,
    },
    /// A parameter of the query has a value that means nothing.
    #[error("{name}: {why}")]
    Parameter { name: &'static str, why: String },
    /// A member of what selects objects to be changed means nothing: without it, more would be
    /// changed than was asked for.
    #[error("{name}: {why}")]
    Selector { name: String, why: String },
    /// The object is not the version that the change was meant for.
    #[error("{class} {id} has changed: its version is not the one in If-Match")]
    Precondition { class: &'static str, id: u32 },
    #[error("invalid task type")]
    BadTaskType,
    #[error(transparent)]
    Task(#[from] TaskRefusal),
    #[error("nothing to cancel: {0}")]
    NothingToCancel(String),
    #[error("the same objects are being changed by other requests, try again")]
    Contended,
    #[error("{}", not_stored(.0))]
    Store(#[from] StoreError),
    #[error("the change was stored, but the cache of this controller did not reach it in time")]
    Lagging,
    /// Everything was checked, and nothing was to be stored.
    #[error("this is a dry run, nothing was stored")]
    Rehearsed,
}

/// Why a task cannot be created or served. Where FOG has words for it, they are FOG's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TaskRefusal {
    #[error("Image is not valid")]
    NoImage,
    #[error("Image is not enabled")]
    ImageDisabled,
    #[error("Image is in no storage group")]
    NoStorageGroup,
    #[error("Image has no content: capture it first")]
    NoContent,
    #[error("Image is protected: set \"protected\" of image {image} to 0 before capturing into it")]
    ProtectedImage { image: ImageId },
    #[error(
        "Image has no version {version} that is kept: see `foghorn image versions`, or leave the version out"
    )]
    NoVersion { version: u32 },
    #[error("the multicast session sends another version of the image")]
    OtherVersion,
    /// The type of the image stands for several disks, and its choice of partitions for one part.
    #[error(
        "Image has imageTypeID {image_type} (all disks), which can only be imaged whole, but its imagePartitionTypeID stands for {part}: set imagePartitionTypeID to 1, or imageTypeID to 1, 2 or 4"
    )]
    PartOfDisks { image_type: u32, part: DiskPart },
    #[error(
        "Host has a kernelDevice that is no list of disk rules: use one rule for each disk (path:/dev/…, serial:…, wwn:…, size:>=N,<=N) with commas between them, or all, or leave it empty and give them to the client (--disk)"
    )]
    BadDiskRules,
    #[error(
        "Host has a kernelDevice that selects several disks, but the image is of one disk: set kernelDevice to one rule, or the image's imageTypeID to 3 (all disks)"
    )]
    RulesForOneDisk,
    #[error(
        "Image contains {image} disks, but the host's kernelDevice selects {rules}: set kernelDevice to one rule for each disk, with commas between them, in the order of the image"
    )]
    DiskCount { image: usize, rules: usize },
    #[error(
        "Image contains {disks} disks, but its imageTypeID stands for one: set imageTypeID to 3 (all disks), or capture it again"
    )]
    SeveralDisks { disks: usize },
    #[error(
        "Image has imageTypeID {image_type}, which is not an image type that can be captured or deployed: set it to 1, 2, 3 or 4"
    )]
    UnknownImageType { image_type: u32 },
    #[error(
        "Image has imagePartitionTypeID {choice}, which is not a choice of partitions: its type must be all, mbr or the number of a partition"
    )]
    UnknownPartitionType { choice: u32 },
    /// The image was captured with another choice of partitions.
    #[error(
        "Image contains only {has}, but its imagePartitionTypeID stands for {wanted}: capture it again, or set imagePartitionTypeID as it was when it was captured"
    )]
    OtherPart { has: DiskPart, wanted: DiskPart },
    #[error(
        "Image does not contain {wanted}, for which its imagePartitionTypeID stands: set imagePartitionTypeID to what it contains, or capture it again"
    )]
    NoSuchPart { wanted: DiskPart },
    /// A capture would replace content that is perhaps newer than the store.
    #[error(
        "Storage node {node} holds content of image {image} that is unknown here: adopt or drop it first, see `foghorn image orphans`"
    )]
    UnknownContent { node: StorageNodeId, image: ImageId },
    /// A deploy of it would not be complete.
    #[error(
        "Image {image} is damaged on storage node {node} ({chunks} chunks), and no connected storage node has it whole: capture it again, or deploy an earlier version (`foghorn image versions`), or connect a storage node that has it whole; `foghorn doctor` says more"
    )]
    DamagedImage {
        image: ImageId,
        node: StorageNodeId,
        chunks: u64,
    },
    #[error("Host is already a member of an active task")]
    HostBusy,
    #[error("No hosts to task")]
    NoHosts,
    #[error("No hosts available to task")]
    NoFreeHosts,
    #[error("the maximum number of multicast sessions is being sent")]
    TooManySessions,
    #[error("no multicast group is free")]
    NoMulticastGroup,
    #[error("all places of the storage node are taken")]
    NoPlace,
}

impl TaskRefusal {
    /// Whether a FOG server refuses it too.
    #[must_use]
    pub fn is_of_fog(self) -> bool {
        matches!(
            self,
            Self::NoImage
                | Self::ImageDisabled
                | Self::NoStorageGroup
                | Self::HostBusy
                | Self::NoHosts
                | Self::NoFreeHosts
        )
    }
}

impl Refusal {
    /// Whether the same request may succeed later without anything else being changed.
    #[must_use]
    pub fn may_succeed_later(&self) -> bool {
        matches!(
            self,
            Self::Contended
                | Self::Lagging
                | Self::Store(StoreError::Unavailable { .. } | StoreError::Unwritable { .. })
        )
    }
}

/// With the reason if whoever asked can do something about it.
fn not_stored(error: &StoreError) -> String {
    match error {
        StoreError::Unwritable { why, .. } => format!("could not store the change: {why}"),
        _ => "could not store the change".to_owned(),
    }
}
