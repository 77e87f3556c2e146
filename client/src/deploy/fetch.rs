//! The first stage: chunks are asked for on several lanes of one connection, a window of them at a
//! time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use foghorn_transport::client::{FetchRequests, Fetched};
use foghorn_transport::{AgentConnection, Source, StreamError};
use foghorn_types::ChunkNumber;
use tokio::sync::mpsc;

use super::shared::{Role, Shared, Way};
use super::sharing::SourceId;
use super::verify::Arrived;
use crate::link::LinkError;
use crate::progress::Work;

/// Lanes per connection: enough that a lane that waits for the verifier does not idle the network.
pub(super) const LANES: usize = 4;

/// Chunks that one lane may be owed. With all lanes this is at most 32 MiB asked for, of which
/// QUIC's windows let a part be on its way.
const WINDOW: usize = 8;

/// How often a lane without anything to do looks for something.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Chunks after which the arrival rate means something.
const RATE_AFTER: u64 = 16;

/// Why a connection is not used any longer.
pub(super) enum FetchEnd {
    /// Every chunk is in its place, or the deploy was stopped.
    Over,
    /// The agent sent something wrong; another agent is asked.
    Distrusted,
    Lost(StreamError),
    /// Another agent serves the task now.
    Moved(Vec<Source>),
    /// The task has ended without us, or the way to the controller is no use.
    Gone(LinkError),
    /// The agent answered with something that was not asked for.
    Disorder,
}

/// What a lane is owed; given back to the board when the lane ends early.
struct Owed<'a> {
    shared: &'a Shared,
    source: SourceId,
    numbers: VecDeque<ChunkNumber>,
}

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        if !self.numbers.is_empty() {
            self.shared
                .update(|board| board.gave_back(self.source, self.numbers.drain(..)));
        }
    }
}

/// Fetches on one connection until everything is right or the connection is of no more use.
pub(super) async fn fetch(
    shared: &Shared,
    way: &Way<'_>,
    connection: &AgentConnection,
    verify: &mpsc::Sender<Arrived>,
) -> FetchEnd {
    let lane = || run_lane(shared, way, connection, verify);
    match tokio::try_join!(lane(), lane(), lane(), lane()) {
        Ok(_) => FetchEnd::Over,
        Err(end) => end,
    }
}

async fn run_lane(
    shared: &Shared,
    way: &Way<'_>,
    connection: &AgentConnection,
    verify: &mpsc::Sender<Arrived>,
) -> Result<(), FetchEnd> {
    let mut changes = shared.watch();
    let (mut requests, mut chunks) = connection.fetch_lane().await.map_err(FetchEnd::Lost)?;
    let mut owed = Owed {
        shared,
        source: way.id,
        numbers: VecDeque::new(),
    };
    loop {
        if shared.stop.is_cancelled() || shared.board().complete() {
            return Ok(());
        }
        if way.role == Role::First && shared.distrusted() {
            return Err(FetchEnd::Distrusted);
        }
        ask(shared, &mut requests, &mut owed).await?;
        let is_idle = owed.numbers.is_empty();
        let waiting_since = Instant::now();
        let answer = tokio::select! {
            biased;
            answer = chunks.next(), if !is_idle => answer,
            _ = changes.changed() => continue,
            // Another source may have fallen silent, which changes nothing on the board.
            () = tokio::time::sleep(LOOK_AGAIN), if is_idle => continue,
            () = shared.stop.cancelled() => return Ok(()),
        };
        shared
            .progress
            .add_busy(Work::Network, waiting_since.elapsed());
        let answer = answer.ok_or(FetchEnd::Disorder)?.map_err(FetchEnd::Lost)?;
        take(shared, way, answer, &mut owed, verify).await?;
    }
}

async fn ask(
    shared: &Shared,
    requests: &mut FetchRequests,
    owed: &mut Owed<'_>,
) -> Result<(), FetchEnd> {
    let room = WINDOW - owed.numbers.len();
    // Asking for every single chunk would double the messages; half a window keeps the agent busy.
    if room < WINDOW / 2 {
        return Ok(());
    }
    let claimed = claim(shared, owed, room);
    if claimed.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = claimed
        .iter()
        .filter_map(|&number| shared.plan.id(number))
        .collect();
    owed.numbers.extend(claimed);
    requests.request(&ids).await.map_err(FetchEnd::Lost)
}

/// What to ask for: what is missing, and at the end what another source would still need long for.
fn claim(shared: &Shared, owed: &Owed<'_>, room: usize) -> Vec<ChunkNumber> {
    let now = shared.now();
    let mut board = shared.board();
    let claimed = board.claim_fetch(owed.source, room, now);
    match claimed.is_empty() && owed.numbers.is_empty() {
        true => board.claim_once_more(owed.source, room, now),
        false => claimed,
    }
}

async fn take(
    shared: &Shared,
    way: &Way<'_>,
    answer: Fetched,
    owed: &mut Owed<'_>,
    verify: &mpsc::Sender<Arrived>,
) -> Result<(), FetchEnd> {
    let id = match &answer {
        Fetched::Chunk(chunk) => chunk.id,
        Fetched::Unavailable { id, .. } => *id,
    };
    let number = *owed
        .numbers
        .front()
        .filter(|&&number| shared.plan.id(number) == Some(id))
        .ok_or(FetchEnd::Disorder)?;
    match answer {
        Fetched::Unavailable { reason, .. } => {
            owed.numbers.pop_front();
            let now = shared.now();
            shared.board().sharing().brought(way.id, number, now);
            shared.refuse(
                number,
                Some(way.id),
                &format!("the agent does not have the chunk ({reason})"),
            );
        }
        Fetched::Chunk(chunk) => {
            way.came(chunk.compressed.len() as u64);
            // A place first: as long as this waits, the chunk is owed. A lane that is dropped here,
            // because another one has lost the connection, gives it back, and it is
            // fetched anew. Closed only when the deploy has ended, which the next round
            // notices.
            let Ok(place) = verify.reserve().await else {
                return Ok(());
            };
            owed.numbers.pop_front();
            let now = shared.now();
            let is_new = shared.board().arrived(way.id, number, now);
            if is_new {
                let lanes = LANES as u32 * shared.connections();
                shared.count_arrival(u64::from(chunk.plain_len), lanes, RATE_AFTER);
                place.send(Arrived {
                    number,
                    source: Some(way.id),
                    plain_len: chunk.plain_len,
                    compressed: chunk.compressed,
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use foghorn_image::{
        ChunkContent, ChunkEntry, ChunkList, DiskGeometry, Manifest, PartitionTable, UsedMask,
    };
    use foghorn_transport::client::FetchedChunk;
    use foghorn_types::{ByteCount, ChunkId, ChunkIndex, SectorSize};
    use futures_util::FutureExt as _;
    use tokio_util::sync::CancellationToken;

    use super::super::board::Board;
    use super::super::plan::Plan;
    use super::*;
    use crate::disk::target::{DiskKind, SeenDisk};
    use crate::disk::{Access, Disk, FileSectors};
    use crate::progress::Progress;

    fn one_chunk(file: &tempfile::NamedTempFile) -> Shared {
        let size = ByteCount::from_mib(1);
        let content = ChunkContent::Data(ChunkId::of(b"it"));
        let chunks = ChunkList::from(vec![ChunkEntry {
            index: ChunkIndex::new(0),
            used: UsedMask::Whole,
            content,
        }]);
        let geometry = DiskGeometry {
            size,
            sector_size: SectorSize::B512,
        };
        let manifest = Manifest {
            geometry,
            table: PartitionTable::None,
            file_systems: Vec::new(),
            chunks,
            notes: Vec::new(),
            disks: Vec::new(),
        };
        let plan = Plan::new(manifest, super::super::part::Placement::Everything);
        let (path, kind) = (file.path().to_owned(), DiskKind::File);
        let seen = SeenDisk {
            path,
            kind,
            size,
            sector_size: None,
            model: None,
            serial: None,
            wwn: None,
        };
        let disk = Disk::open(&seen, Access::Write, FileSectors::Unknown).unwrap();
        let mut board = Board::new(1, |_| true, std::iter::empty(), 1);
        assert_eq!(board.claim_scan(), Some(ChunkNumber::new(0)));
        board.scanned(ChunkNumber::new(0), false, 0, std::time::Duration::ZERO);
        Shared::new(
            plan,
            board,
            Arc::new(disk.into()),
            Arc::new(Progress::default()),
            CancellationToken::new(),
            (1, false),
        )
    }

    #[test]
    fn a_chunk_that_waits_for_the_verifier_when_the_connection_is_lost_is_fetched_again() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let shared = one_chunk(&file);
        let (verify, _full) = mpsc::channel(1);
        verify
            .try_send(Arrived {
                number: ChunkNumber::new(0),
                source: None,
                plain_len: 0,
                compressed: Bytes::new(),
            })
            .unwrap();
        let way = shared.joins("north", Role::First);
        let claim = |most| shared.board().claim_fetch(way.id, most, Duration::ZERO);
        let mut owed = Owed {
            shared: &shared,
            source: way.id,
            numbers: claim(1).into(),
        };
        let id = ChunkId::of(b"it");
        let answer = Fetched::Chunk(FetchedChunk {
            id,
            plain_len: 2,
            compressed: Bytes::from_static(b"it"),
        });
        assert!(
            take(&shared, &way, answer, &mut owed, &verify)
                .now_or_never()
                .is_none(),
            "it has to wait"
        );
        drop(owed);
        assert_eq!(claim(1), [ChunkNumber::new(0)]);
    }
}
