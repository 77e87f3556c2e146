//! Several sources in simulated time, by seed: of any speed, some of which die, fall silent and wake
//! up again, or hold damaged chunks. Every chunk becomes right once, little comes twice, and a
//! source that is slow or gone costs no more than the time in which it is noticed.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use foghorn_types::ChunkNumber;

use super::board::Board;
use super::sharing::SourceId;

/// As of a connection.
const LANES: usize = 4;
const WINDOW: usize = 8;
const STEP: Duration = Duration::from_millis(50);
const SEEDS: u64 = 400;

/// A small generator (xorshift), so that a seed is the same run everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// A node with one connection.
struct Node {
    id: SourceId,
    /// Chunks in a second.
    rate: f64,
    /// What is left of the last step, in chunks.
    credit: f64,
    dies: Option<Duration>,
    silent: Option<(Duration, Duration)>,
    damaged: BTreeSet<u32>,
    lanes: Vec<VecDeque<ChunkNumber>>,
    is_dead: bool,
}

struct Run {
    board: Board,
    nodes: Vec<Node>,
    chunks: u32,
    now: Duration,
    twice: usize,
    came: usize,
}

impl Run {
    /// The first node lives, is never silent, and has whatever others lack.
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let chunks = 50 + random.below(600) as u32;
        let mut board = Board::new(chunks as usize, |_| true, std::iter::empty(), 1);
        while let Some(number) = board.claim_scan() {
            board.scanned(number, false, 0, Duration::ZERO);
        }
        let count = 1 + random.below(4);
        let nodes = (0..count).map(|nth| {
            let at = |random: &mut Random| Duration::from_millis(random.below(20_000));
            let (dies, begins) = (at(&mut random), at(&mut random));
            let silence = Duration::from_millis(500 + random.below(30_000));
            Node {
                id: board.sharing().joins(&format!("node{nth}")),
                rate: 0.5 + random.below(100) as f64,
                credit: 0.0,
                dies: (nth > 0 && random.below(3) == 0).then_some(dies),
                silent: (nth > 0 && random.below(3) == 0).then_some((begins, begins + silence)),
                damaged: (0..chunks)
                    .filter(|_| nth > 0 && random.below(50) == 0)
                    .collect(),
                lanes: vec![VecDeque::new(); LANES],
                is_dead: false,
            }
        });
        let nodes = nodes.collect();
        Self {
            board,
            nodes,
            chunks,
            now: Duration::ZERO,
            twice: 0,
            came: 0,
        }
    }

    fn step(&mut self, nth: usize) {
        let (board, now) = (&mut self.board, self.now);
        let node = &mut self.nodes[nth];
        if node.is_dead {
            return;
        }
        if node.dies.is_some_and(|at| at <= now) {
            node.is_dead = true;
            for lane in &mut node.lanes {
                board.gave_back(node.id, lane.drain(..));
            }
            board.sharing().leaves(node.id);
            return;
        }
        for lane in &mut node.lanes {
            let room = WINDOW - lane.len();
            if room < WINDOW / 2 {
                continue;
            }
            let mut claimed = board.claim_fetch(node.id, room, now);
            if claimed.is_empty() && lane.is_empty() {
                claimed = board.claim_once_more(node.id, room, now);
            }
            lane.extend(claimed);
        }
        let is_silent = |(from, to)| from <= now && now < to;
        if node.silent.is_some_and(is_silent) {
            return;
        }
        node.credit = (node.credit + node.rate * STEP.as_secs_f64()).min(node.rate.max(1.0));
        while node.credit >= 1.0 {
            let fullest = node.lanes.iter_mut().max_by_key(|lane| lane.len());
            let Some(number) = fullest.and_then(VecDeque::pop_front) else {
                break;
            };
            node.credit -= 1.0;
            self.came += 1;
            if !board.arrived(node.id, number, now) {
                self.twice += 1;
            } else if node.damaged.contains(&number.get()) {
                board.bad(number, Some(node.id));
            } else {
                assert!(!board.is_right(number), "{number:?} was written before");
                board.written(number);
            }
        }
    }

    /// Until everything is right; the seconds that it took.
    fn seconds(&mut self) -> f64 {
        let mut ticked = Duration::ZERO;
        while !self.board.complete() {
            assert!(self.now < Duration::from_secs(3600), "it does not end");
            for nth in 0..self.nodes.len() {
                self.step(nth);
            }
            self.now += STEP;
            if self.now - ticked >= Duration::from_secs(1) {
                self.board.sharing().tick(self.now - ticked);
                ticked = self.now;
            }
        }
        self.now.as_secs_f64()
    }
}

#[test]
fn whatever_becomes_of_further_sources_the_first_is_never_held_up() {
    for seed in 1..=SEEDS {
        let mut run = Run::new(seed);
        let alone = f64::from(run.chunks) / run.nodes[0].rate;
        let seconds = run.seconds();
        // A silent source is noticed after two seconds, and what a slow one owes is fetched again.
        let owed = (LANES * WINDOW * run.nodes.len()) as f64 / run.nodes[0].rate;
        assert!(
            seconds <= alone + owed + 5.0,
            "seed {seed}: {seconds} s instead of {alone} s from the first alone"
        );
        let bound = LANES * WINDOW * run.nodes.len();
        assert!(
            run.twice <= bound,
            "seed {seed}: {} chunks came twice",
            run.twice
        );
    }
}

#[test]
fn equal_sources_share_the_work() {
    for count in 1..=4_u32 {
        let mut run = Run::new(1);
        run.nodes.clear();
        run.chunks = 600;
        run.board = Board::new(600, |_| true, std::iter::empty(), 1);
        while let Some(number) = run.board.claim_scan() {
            run.board.scanned(number, false, 0, Duration::ZERO);
        }
        for nth in 0..count {
            run.nodes.push(Node {
                id: run.board.sharing().joins(&format!("node{nth}")),
                rate: 25.0,
                credit: 0.0,
                dies: None,
                silent: None,
                damaged: BTreeSet::new(),
                lanes: vec![VecDeque::new(); LANES],
                is_dead: false,
            });
        }
        let seconds = run.seconds();
        let ideal = 600.0 / (25.0 * f64::from(count));
        assert!(
            seconds <= ideal * 1.1 + 0.5,
            "{count} sources: {seconds} s, not {ideal} s"
        );
        assert_eq!(run.came, 600, "{count} sources");
    }
}
