//! Ids, units and small value types shared by every part of Foghorn, and how an error is shown with
//! its causes.
//!
//! Pure: no I/O, no clock beyond [`Timestamp::now`], no knowledge of any other crate of ours.
//! Everything here may be serialised, because ids and units mean the same on every boundary;
//! aggregates live elsewhere and may not.

#![warn(missing_docs)]

mod chain;
mod chunk_id;
mod complaint;
mod disk_hint;
mod disk_part;
mod disk_rule;
mod ids;
mod mac;
mod machine_uuid;
mod mistyped;
mod name_pattern;
mod names;
mod notice_kind;
mod role;
mod subnet;
mod timestamp;
mod timetable;
mod units;

pub use chain::{Chain, chain};
pub use chunk_id::{ChunkId, Digest, FileId, ManifestId, ParseDigestError, PartId};
pub use complaint::{Complaint, complaint};
pub use disk_part::DiskPart;
pub use disk_rule::{DiskRule, DiskRules, MAX_DISK_RULES, ParseDiskRuleError};
pub use ids::{
    DeviceGroupId, FactoryTokenId, GroupId, HostId, HostTokenId, ImageId, JoinTokenId,
    ParseIdError, SessionId, SnapinId, StorageGroupId, StorageNodeId, TaskId, TaskTypeId,
};
pub use mac::{MacAddress, ParseMacError};
pub use machine_uuid::{MachineUuid, ParseMachineUuidError};
pub use mistyped::is_mistyped;
pub use name_pattern::{NamePattern, ParseNamePatternError};
pub use names::{
    BadHostName, CertificateName, LONGEST_HOST_NAME, NodeName, ParseCertificateNameError,
    ParseNodeNameError, check_host_name,
};
pub use notice_kind::{NoticeKind, ParseNoticeKindError};
pub use role::{ParseRoleError, Role};
pub use subnet::{ParseSubnetError, Subnet};
pub use timestamp::{ParseTimestampError, Timestamp};
pub use timetable::{Allowed, ParseTimetableError, Timetable};
pub use units::{
    BitRate, ByteCount, ByteOffset, ChunkIndex, ChunkNumber, LimitTooLow, ParseBitRateError,
    SectorSize, UnknownSectorSize,
};
