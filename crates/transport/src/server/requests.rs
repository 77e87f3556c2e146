//! The requests of a client, each with the only answers that fit. A reply that is dropped
//! unanswered resets its stream: the client sees a fault that a new connection may cure.

use bytes::Bytes;
use foghorn_multicast::Report;
use foghorn_types::{ByteCount, ChunkId, ManifestId, PartId};

use crate::frame::{FrameWriter, StreamError};
use crate::server::lanes::{FetchLane, StoreLane};
use crate::server::multicast::MulticastLane;
use crate::session::{ClientOutcome, ClientProgress};
use crate::wire::{AgentMessage, MAX_MANIFEST, cut};

/// What a client wants.
#[derive(Debug)]
pub enum Request {
    /// The manifest of the session's image.
    FetchManifest(ManifestReply),
    /// A lane on which the client asks for chunks.
    Fetch(FetchLane),
    /// Which of these are stored (and will stay until the session ends)?
    WhichAreStored(Vec<ChunkId>, WhichAreStoredReply),
    /// A lane on which the client sends chunks.
    Store(StoreLane),
    /// The encoded manifest of a captured disk is to be stored.
    StoreManifest(Bytes, StoreManifestReply),
    /// The part of the session's manifest with this number is wanted.
    FetchPart(u32, PartReply),
    /// A part of the manifest of a disk of this size is to be stored.
    StorePart(ByteCount, Bytes, StorePartReply),
    /// How far the client is; needs no answer.
    Progress(ClientProgress),
    /// Compressed bytes that the client has fetched from other agents, in all; needs no answer.
    Elsewhere(u64),
    /// The client would hear the multicast session of its task.
    JoinMulticast(MulticastLane),
    /// How the multicast session arrives at the client.
    MulticastReport(Report),
    /// Answer only when the controller has recorded it.
    Finished(ClientOutcome, FinishedReply),
}

macro_rules! reply {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(FrameWriter);

        impl $name {
            pub(super) fn new(writer: FrameWriter) -> Self {
                Self(writer)
            }

            /// Says why it cannot be done; the client does not try again. `reason` is cut to 1 KiB.
            ///
            /// # Errors
            /// When the client has gone.
            pub async fn refuse(mut self, reason: &str) -> Result<(), StreamError> {
                self.0.send(&AgentMessage::RequestRefused { reason: cut(reason.to_owned()) }).await?;
                self.0.finish();
                Ok(())
            }
        }
    };
}

// A macro only because the six differ in nothing but the one answer below that each of them has
// for itself.
reply!(
    /// Answers [`Request::FetchManifest`].
    ManifestReply
);
reply!(
    /// Answers [`Request::WhichAreStored`].
    WhichAreStoredReply
);
reply!(
    /// Answers [`Request::StoreManifest`].
    StoreManifestReply
);
reply!(
    /// Answers [`Request::FetchPart`].
    PartReply
);
reply!(
    /// Answers [`Request::StorePart`].
    StorePartReply
);
reply!(
    /// Answers [`Request::Finished`].
    FinishedReply
);

impl ManifestReply {
    /// Sends the encoded manifest; refuses by itself when it is larger than the protocol allows.
    ///
    /// # Errors
    /// When the client has gone.
    pub async fn send(mut self, manifest: Bytes) -> Result<(), StreamError> {
        match u32::try_from(manifest.len()) {
            Ok(len) if len <= MAX_MANIFEST => {
                self.0
                    .send_with(&AgentMessage::Manifest { len }, manifest)
                    .await?;
                self.0.finish();
                Ok(())
            }
            _ => {
                self.refuse("the manifest is larger than the protocol allows")
                    .await
            }
        }
    }
}

impl WhichAreStoredReply {
    /// One answer per id, in the order asked.
    ///
    /// # Errors
    /// When the client has gone.
    pub async fn send(mut self, stored: Vec<bool>) -> Result<(), StreamError> {
        self.0.send(&AgentMessage::Stored { stored }).await?;
        self.0.finish();
        Ok(())
    }
}

impl StoreManifestReply {
    /// The manifest is durable under this id.
    ///
    /// # Errors
    /// When the client has gone.
    pub async fn stored(mut self, id: ManifestId) -> Result<(), StreamError> {
        self.0.send(&AgentMessage::ManifestStored { id }).await?;
        self.0.finish();
        Ok(())
    }
}

impl PartReply {
    /// Sends the part, which is at most [`MAX_PART`](foghorn_image::MAX_PART) long.
    ///
    /// # Errors
    /// When the client has gone.
    pub async fn send(mut self, part: Bytes) -> Result<(), StreamError> {
        let len = part.len() as u32;
        self.0.send_with(&AgentMessage::Part { len }, part).await?;
        self.0.finish();
        Ok(())
    }
}

impl StorePartReply {
    /// The part is durable under this id.
    ///
    /// # Errors
    /// When the client has gone.
    pub async fn stored(mut self, id: PartId) -> Result<(), StreamError> {
        self.0.send(&AgentMessage::PartStored { id }).await?;
        self.0.finish();
        Ok(())
    }
}

impl FinishedReply {
    /// The controller has recorded the end of the task.
    ///
    /// # Errors
    /// When the client has gone.
    pub async fn recorded(mut self) -> Result<(), StreamError> {
        self.0.send(&AgentMessage::Recorded).await?;
        self.0.finish();
        Ok(())
    }
}
