//! A content-addressed store of chunks on a disk, and of the manifests that make images of them.
//!
//! Chunks lie zstd-compressed in append-only pack files, so that a whole batch becomes durable with
//! one flush; an index (redb) says where. Packs describe themselves: the index can be lost and is
//! then rebuilt by reading them, and because whatever lies behind the indexed part of a pack is
//! read again at start, the packs alone are the log that an acknowledgement rests on. Why:
//! `docs/decisions/0002-packs.md`.
//!
//! Invariants:
//! * what a put returned for is whole and on stable storage, whatever happens to the process or the
//!   power afterwards;
//! * a chunk in the store had the hash that its id says when it came in; damage since then is found
//!   by [`Store::scrub`] or by reading, named, remembered until it is found whole
//!   ([`Store::damage`]), and healed by putting the chunk again;
//! * no chunk goes away while an image, a file beside images, or a capture that has put it or was
//!   told that it is here, needs it; but for what is elsewhere as well, on order
//!   ([`Store::evict`]).
//!
//! Everything blocks; async callers use threads made for blocking. One process per directory.

#![warn(missing_docs)]

mod damage;
mod damage_list;
mod elsewhere;
mod files;
mod group_commit;
mod guard;
mod index;
mod manifests;
mod pack;
mod part_check;
mod parts;
mod problem;
mod put;
mod read;
mod record;
mod recovery;
mod room;
mod scrub;
mod space;
mod store;
mod survey;
mod sweep;
mod verify;
mod writer;

pub use damage::{ContentDamage, Damage};
pub use elsewhere::{Elsewhere, verify_chunk};
pub use files::{FileDirError, PutFileError, ReadFileError};
pub use guard::{CaptureGuard, ManifestPin};
pub use index::IndexError;
pub use manifests::{
    DropImageError, ListManifestsError, PutManifestError, ReadManifestError, ReadableManifests,
};
pub use part_check::{PARTS, Presence};
pub use parts::PutPartError;
pub use problem::ChunkProblem;
pub use put::{NewChunk, PutError, PutReport};
pub use read::{ReadChunkError, StoredChunk};
pub use scrub::{DamagedChunk, DamagedRecord, RecordName, ScrubError, ScrubProgress, ScrubReport};
pub use space::Space;
pub use store::{OpenStoreError, Options, Stats, Store};
pub use sweep::{SweepError, SweepReport};
