//! The state of every chunk of a deploy, and which stage handles it next. Pure: scanner, network
//! and writer call it, and nothing waits here.
//!
//! ```text
//! Unknown ──claim_scan──▶ Scanning ──hit──▶ Right (found at another place only: Arrived)
//!    │                        └─────miss──▶ Missing
//!    └─claim_fetch (as the policy allows)─┐   │ claim_fetch
//!                                         ▼   ▼
//!             Missing ◀──gave_back, bad── Fetching ──arrived──▶ Arrived ──written──▶ Right
//!                └──────────────────────streamed──────────────────▲
//! ```
//!
//! While a multicast session is joined, what is missing is left to it: lanes get only what was
//! released.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use foghorn_multicast::ChunkSet;
use foghorn_transport::multicast::in_session;
use foghorn_types::{BitRate, ChunkNumber};

use super::policy::{Decision, Evidence, SAMPLE, decide};
use super::sharing::{Sharing, SourceId};

/// How many of the latest scans count for the hit ratio.
const RECENT: usize = 128;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ChunkState {
    Unknown,
    Scanning,
    Missing,
    Fetching,
    Arrived,
    Right,
}

/// ChunkState of every distinct chunk of a deploy.
#[derive(Debug)]
pub struct Board {
    states: Vec<ChunkState>,
    /// To be scanned before anything else: the sample, then what a resume bitmap names. From the
    /// back.
    scan_first: Vec<ChunkNumber>,
    front: usize,
    far: usize,
    missing: VecDeque<ChunkNumber>,
    sample_left: usize,
    recent: VecDeque<bool>,
    bad: HashMap<ChunkNumber, u32>,
    right: usize,
    /// Time that scanners took, and plain bytes that they read in it.
    scan_time: Duration,
    scan_bytes: u64,
    scanners: u64,
    fetch_rate: Option<BitRate>,
    stream: Stream,
    sharing: Sharing,
}

/// What is left to a multicast session.
#[derive(Debug, Default)]
struct Stream {
    joined: bool,
    /// Missing, and not left to the session: it said so, or what came was damaged.
    released: VecDeque<ChunkNumber>,
    news: Vec<StreamNews>,
    /// Found missing since the session was told what is wanted.
    missed: ChunkSet,
}

/// What became of a chunk while a multicast session was joined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamNews {
    /// It is at its places, however it came.
    Right(ChunkNumber),
    /// What came was not it.
    Bad(ChunkNumber),
}

impl Board {
    /// `marked` are chunks that an earlier run says it wrote: scanned first, believed only when
    /// they hash right. Chunks that are not `needed` go nowhere: there is nothing to do for them.
    #[must_use]
    pub fn new(
        chunks: usize,
        needed: impl Fn(ChunkNumber) -> bool,
        marked: impl Iterator<Item = ChunkNumber>,
        scanners: usize,
    ) -> Self {
        let wanted: Vec<u32> = (0..chunks as u32)
            .filter(|&number| needed(ChunkNumber::new(number)))
            .collect();
        let mut states = vec![ChunkState::Right; chunks];
        for &number in &wanted {
            states[number as usize] = ChunkState::Unknown;
        }
        let sample = wanted.len().min(SAMPLE);
        let mut scan_first: Vec<ChunkNumber> =
            marked.filter(|number| number.index() < chunks).collect();
        scan_first.reverse();
        // Spread over the whole, and without the very first chunk, which belongs to the boot loader
        // and is often wiped.
        scan_first.extend(
            (0..sample)
                .map(|n| ChunkNumber::new(wanted[(2 * n + 1) * wanted.len() / (2 * sample)]))
                .rev(),
        );
        Self {
            states,
            scan_first,
            front: 0,
            far: chunks,
            missing: VecDeque::new(),
            sample_left: sample,
            recent: VecDeque::with_capacity(RECENT),
            bad: HashMap::new(),
            right: chunks - wanted.len(),
            scan_time: Duration::ZERO,
            scan_bytes: 0,
            scanners: scanners as u64,
            fetch_rate: None,
            stream: Stream::default(),
            sharing: Sharing::default(),
        }
    }

    /// Which source owes what.
    pub fn sharing(&mut self) -> &mut Sharing {
        &mut self.sharing
    }

    /// Whether enough was looked at to tell whether the disk holds anything of use.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.sample_left == 0
    }

    #[must_use]
    pub fn decision(&self) -> Decision {
        let hits = self.recent.iter().filter(|&&hit| hit).count();
        decide(&Evidence {
            sample_left: self.sample_left,
            hit_ratio: if self.recent.is_empty() {
                0.0
            } else {
                hits as f64 / self.recent.len() as f64
            },
            scan_rate: BitRate::average(
                self.scan_bytes.saturating_mul(self.scanners),
                self.scan_time,
            ),
            fetch_rate: self.fetch_rate,
        })
    }

    /// The next chunk for a scanner; `None` when it can stop for good.
    pub fn claim_scan(&mut self) -> Option<ChunkNumber> {
        while let Some(number) = self.scan_first.pop() {
            if self.states[number.index()] == ChunkState::Unknown {
                self.states[number.index()] = ChunkState::Scanning;
                return Some(number);
            }
        }
        if self.decision() == Decision::Fetch {
            return None;
        }
        while self.front < self.far {
            let number = self.front;
            self.front += 1;
            if self.states[number] == ChunkState::Unknown {
                self.states[number] = ChunkState::Scanning;
                return Some(numbered(number));
            }
        }
        None
    }

    /// A scanner has looked. `bytes` and `time` are what it cost; a hole costs neither.
    pub fn scanned(&mut self, number: ChunkNumber, hit: bool, bytes: u64, time: Duration) {
        self.note_scan(hit, bytes, time);
        if hit {
            self.turned_right(number);
        } else {
            self.states[number.index()] = ChunkState::Missing;
            self.missing.push_back(number);
            if self.stream.joined {
                self.stream.missed.insert(in_session(number));
            }
        }
    }

    /// A scanner found the chunk at one of its places; it is on its way to the others.
    pub fn found_somewhere(&mut self, number: ChunkNumber, bytes: u64, time: Duration) {
        self.note_scan(true, bytes, time);
        self.states[number.index()] = ChunkState::Arrived;
    }

    fn note_scan(&mut self, hit: bool, bytes: u64, time: Duration) {
        self.scan_bytes += bytes;
        self.scan_time += time;
        self.sample_left = self.sample_left.saturating_sub(1);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(hit);
    }

    /// Up to `most` chunks to fetch now from this source.
    pub fn claim_fetch(
        &mut self,
        source: SourceId,
        most: usize,
        now: Duration,
    ) -> Vec<ChunkNumber> {
        let (mut claimed, mut not_there) = (Vec::new(), Vec::new());
        let decision = self.decision();
        while claimed.len() < most {
            let Some(number) = self
                .claim_missing()
                .or_else(|| self.claim_unknown(decision))
            else {
                break;
            };
            if self.sharing.may_have(source, number) {
                self.states[number.index()] = ChunkState::Fetching;
                self.sharing.asked(source, number, now);
                claimed.push(number);
            } else {
                not_there.push(number);
            }
        }
        for number in not_there {
            self.give_to_lanes(number);
        }
        claimed
    }

    /// Up to `most` chunks that another source owes and would need long for, for a source that finds
    /// nothing else to fetch.
    pub fn claim_once_more(
        &mut self,
        source: SourceId,
        most: usize,
        now: Duration,
    ) -> Vec<ChunkNumber> {
        // What another one has brought meanwhile is still owed by the slow one.
        let wanted = |number: ChunkNumber| self.states[number.index()] == ChunkState::Fetching;
        let claimed = self.sharing.once_more(source, now, most, wanted);
        for number in &claimed {
            self.sharing.asked(source, *number, now);
        }
        claimed
    }

    /// What is missing and, while a session is joined, not left to it.
    fn claim_missing(&mut self) -> Option<ChunkNumber> {
        let queue = if self.stream.joined {
            &mut self.stream.released
        } else {
            &mut self.missing
        };
        // A session may have brought some of them in the meantime.
        while let Some(number) = queue.pop_front() {
            if self.states[number.index()] == ChunkState::Missing {
                return Some(number);
            }
        }
        None
    }

    fn give_to_lanes(&mut self, number: ChunkNumber) {
        self.states[number.index()] = ChunkState::Missing;
        if self.stream.joined {
            self.stream.released.push_back(number);
        } else {
            self.missing.push_front(number);
        }
    }

    /// A multicast session is to be joined: from now on what is missing is left to it.
    pub fn stream_begins(&mut self) {
        self.stream = Stream {
            joined: true,
            ..Stream::default()
        };
    }

    /// What the session is to bring: what is missing, and what nobody has looked at unless the disk
    /// seems to hold most of it. What is found missing later is told by
    /// [`take_stream_news`](Self::take_stream_news).
    pub fn stream_wants(&mut self) -> ChunkSet {
        (self.stream.news, self.stream.missed) = (Vec::new(), ChunkSet::new());
        let unknown = self.decision() != Decision::Scan;
        let wanted = |state: &ChunkState| {
            *state == ChunkState::Missing || (unknown && *state == ChunkState::Unknown)
        };
        let numbers = (0..)
            .map(ChunkNumber::new)
            .zip(&self.states)
            .filter(|(_, state)| wanted(state));
        numbers.map(|(number, _)| in_session(number)).collect()
    }

    /// The session is over: lanes take the rest.
    pub fn stream_ends(&mut self) {
        let released = std::mem::take(&mut self.stream).released;
        for number in released.into_iter().rev() {
            self.missing.push_front(number);
        }
    }

    /// These will not come by multicast.
    pub fn released(&mut self, numbers: impl IntoIterator<Item = ChunkNumber>) {
        for number in numbers {
            if matches!(
                self.states.get(number.index()),
                Some(ChunkState::Missing | ChunkState::Unknown)
            ) {
                self.give_to_lanes(number);
            }
        }
    }

    /// A chunk came by multicast. Whether it is taken: not when it came otherwise before. `None`: a
    /// scanner is looking for it at this moment.
    pub fn streamed(&mut self, number: ChunkNumber) -> Option<bool> {
        match self.states.get(number.index())? {
            ChunkState::Scanning => None,
            ChunkState::Unknown | ChunkState::Missing | ChunkState::Fetching => {
                self.states[number.index()] = ChunkState::Arrived;
                Some(true)
            }
            ChunkState::Arrived | ChunkState::Right => Some(false),
        }
    }

    /// What became of chunks since this was asked last, and what was found missing besides.
    pub fn take_stream_news(&mut self) -> (Vec<StreamNews>, ChunkSet) {
        (
            std::mem::take(&mut self.stream.news),
            std::mem::take(&mut self.stream.missed),
        )
    }

    fn turned_right(&mut self, number: ChunkNumber) {
        self.states[number.index()] = ChunkState::Right;
        self.right += 1;
        if self.stream.joined {
            self.stream.news.push(StreamNews::Right(number));
        }
    }

    fn claim_unknown(&mut self, decision: Decision) -> Option<ChunkNumber> {
        if self.stream.joined {
            return None;
        }
        // What an earlier run wrote is most likely there: it waits for the scanner whatever the
        // policy says.
        if !self.scan_first.is_empty() {
            return None;
        }
        while self.front < self.far {
            let number = match decision {
                Decision::Scan => return None,
                // Disk order, as nobody scans any more.
                Decision::Fetch => {
                    self.front += 1;
                    self.front - 1
                }
                Decision::Share => {
                    self.far -= 1;
                    self.far
                }
            };
            if self.states[number] == ChunkState::Unknown {
                return Some(numbered(number));
            }
        }
        None
    }

    /// The source could not bring these after all.
    pub fn gave_back(&mut self, source: SourceId, numbers: impl IntoIterator<Item = ChunkNumber>) {
        for number in numbers {
            let by_nobody = self.sharing.gave_back(source, number);
            if by_nobody && self.states[number.index()] == ChunkState::Fetching {
                self.give_to_lanes(number);
            }
        }
    }

    /// Whether this arrival was waited for; a chunk that comes twice is dropped.
    pub fn arrived(&mut self, source: SourceId, number: ChunkNumber, now: Duration) -> bool {
        self.sharing.brought(source, number, now);
        // Missing: another source has brought something else for it meanwhile.
        let expected = matches!(
            self.states[number.index()],
            ChunkState::Fetching | ChunkState::Missing
        );
        if expected {
            self.states[number.index()] = ChunkState::Arrived;
        }
        expected
    }

    /// What arrived was not what its id says. Returns how often that has happened to this chunk; it
    /// is to be fetched again, from another source if there is one.
    pub fn bad(&mut self, number: ChunkNumber, source: Option<SourceId>) -> u32 {
        if let Some(source) = source {
            self.sharing.refused(source, number);
        }
        if matches!(
            self.states[number.index()],
            ChunkState::Arrived | ChunkState::Fetching
        ) {
            match self.sharing.is_owed(number) {
                true => self.states[number.index()] = ChunkState::Fetching,
                false => self.give_to_lanes(number),
            }
            if self.stream.joined {
                self.stream.news.push(StreamNews::Bad(number));
            }
        }
        let times = self.bad.entry(number).or_insert(0);
        *times += 1;
        *times
    }

    /// The chunk is at all its places.
    pub fn written(&mut self, number: ChunkNumber) {
        if self.states[number.index()] != ChunkState::Right {
            self.turned_right(number);
        }
    }

    /// How fast plain bytes of chunks arrive.
    pub fn measured_fetch_rate(&mut self, rate: BitRate) {
        self.fetch_rate = Some(rate);
    }

    #[must_use]
    pub fn is_right(&self, number: ChunkNumber) -> bool {
        self.states[number.index()] == ChunkState::Right
    }

    /// Whether there are chunks that nobody fetches yet and that are missing, or are to be fetched
    /// without a look at the disk.
    #[must_use]
    pub fn lacks_something(&self) -> bool {
        let unseen = self.front < self.far
            && self.scan_first.is_empty()
            && self.decision() != Decision::Scan;
        unseen || !self.missing.is_empty()
    }

    #[must_use]
    pub fn complete(&self) -> bool {
        self.right == self.states.len()
    }
}

/// An image has at most as many chunks as fit in 32 bits.
fn numbered(index: usize) -> ChunkNumber {
    ChunkNumber::new(index as u32)
}

#[cfg(test)]
mod tests;
