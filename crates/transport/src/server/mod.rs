//! The agent's end: a listener that serves any number of clients, each in a [`Session`] of its own.

mod farewell;
mod lanes;
mod listener;
mod multicast;
mod requests;
mod resets;
mod session;

pub use lanes::{
    AckSender, ChunkSender, FetchLane, SentChunk, SentChunks, StoreLane, WantedChunks,
};
pub use listener::{BindError, Incoming, Listener};
pub use multicast::{MemberNotices, MemberRequest, MemberRequests, MulticastLane};
pub use requests::{
    FinishedReply, ManifestReply, PartReply, Request, StoreManifestReply, StorePartReply,
    WhichAreStoredReply,
};
pub use session::Session;
