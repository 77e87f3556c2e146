//! Reads chunks for a session's thread, a few at a time.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use foghorn_multicast::{ChunkSet, SessionChunk, Unavailable};
use foghorn_transport::multicast::in_image;
use foghorn_types::chain;
use futures_util::{StreamExt, pin_mut};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::control::{Command, deliver};
use crate::disk::Disk;
use crate::healing::Healing;
use crate::served_image::ServedImage;

/// Reads at a time: as many as hide a disk's latency.
const READS: usize = 4;

/// Answers each number with its chunk until the session is over. `image` keeps the chunks from the
/// sweep meanwhile.
pub(super) async fn load(
    (disk, healing): (Disk, Arc<Healing>),
    image: Arc<ServedImage>,
    numbers: mpsc::Receiver<SessionChunk>,
    commands: SyncSender<Command>,
    cancel: CancellationToken,
) {
    let answering = async {
        // Receivers verify every chunk, so hashing it here as well would only cost time. What they
        // reject is asked for again, and then it matters whether it is damaged here.
        let mut read_before = ChunkSet::new();
        let reads = ReceiverStream::new(numbers)
            .map(|number| {
                let verify = !read_before.insert(number);
                read((&disk, &healing), &image, number, verify)
            })
            .buffered(READS);
        pin_mut!(reads);
        while let Some(command) = reads.next().await {
            if !deliver(&commands, command).await {
                return;
            }
        }
    };
    cancel.run_until_cancelled(answering).await;
}

async fn read(
    (disk, healing): (&Disk, &Healing),
    image: &ServedImage,
    number: SessionChunk,
    verify: bool,
) -> Command {
    let Some(id) = image.chunks.id(in_image(number)) else {
        return Command::Chunk {
            number,
            bytes: Err(Unavailable),
        };
    };
    let read = match verify {
        true => disk.read(image.manifest, id).await,
        false => disk.read_unverified(id).await,
    };
    let bytes = match read {
        Ok(chunk) => Ok(chunk.compressed),
        Err(problem) => {
            error!(
                chunk = %id,
                error = %chain(&problem),
                "a chunk of a multicast session cannot be read"
            );
            // The stream does not wait for it: receivers fetch it by unicast, where each waits until
            // another node has given it.
            healing.ask();
            Err(Unavailable)
        }
    };
    Command::Chunk { number, bytes }
}
