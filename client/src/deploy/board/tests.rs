use proptest::prelude::*;

use super::*;

const NOW: Duration = Duration::ZERO;

fn n(number: u32) -> ChunkNumber {
    ChunkNumber::new(number)
}

/// What the only source is asked for.
fn fetch(board: &mut Board, most: usize) -> Vec<ChunkNumber> {
    let only = board.sharing().joins("only");
    board.claim_fetch(only, most, NOW)
}

fn comes(board: &mut Board, number: ChunkNumber) -> bool {
    let only = board.sharing().joins("only");
    board.arrived(only, number, NOW)
}

#[test]
fn a_blank_disk_costs_only_the_sample() {
    let mut board = Board::new(1000, |_| true, std::iter::empty(), 1);
    let mut looked = 0;
    while let Some(number) = board.claim_scan() {
        board.scanned(number, false, 0, Duration::ZERO);
        looked += 1;
    }
    assert_eq!(looked, SAMPLE);
    assert_eq!(fetch(&mut board, 2000).len(), 1000);
}

#[test]
fn a_previous_version_is_scanned_whole_and_only_misses_are_fetched() {
    let mut board = Board::new(1000, |_| true, std::iter::empty(), 1);
    while let Some(number) = board.claim_scan() {
        board.scanned(
            number,
            number.get() % 20 != 3,
            1 << 20,
            Duration::from_millis(3),
        );
    }
    assert_eq!(fetch(&mut board, 2000).len(), 50);
}

#[test]
fn marked_chunks_are_scanned_even_when_the_sample_misses() {
    let mut board = Board::new(1000, |_| true, (500..510).chain([2000]).map(n), 1);
    let mut found = 0;
    while let Some(number) = board.claim_scan() {
        let hit = (500..510).contains(&number.get());
        found += u32::from(hit);
        board.scanned(number, hit, 1 << 20, Duration::from_millis(1));
        if found == 10 {
            break;
        }
    }
    assert_eq!(found, 10);
}

#[test]
fn what_is_left_to_a_session_is_fetched_when_it_is_released_or_over() {
    let mut board = Board::new(100, |_| true, std::iter::empty(), 1);
    while let Some(number) = board.claim_scan() {
        board.scanned(number, false, 0, Duration::ZERO);
    }
    board.stream_begins();
    assert_eq!(board.stream_wants().len(), 100);
    assert!(
        fetch(&mut board, 100).is_empty(),
        "all is left to the session"
    );
    board.released([7, 8].map(n));
    assert_eq!(fetch(&mut board, 100), [7, 8].map(n));
    assert_eq!(board.streamed(n(8)), Some(true), "the session was faster");
    assert!(
        !comes(&mut board, n(8)),
        "what a lane brings then is dropped"
    );
    assert_eq!(board.streamed(n(8)), Some(false));
    assert_eq!(board.streamed(n(9)), Some(true));
    board.written(n(8));
    board.bad(n(9), None);
    let (news, missed) = board.take_stream_news();
    assert_eq!(news, [StreamNews::Right(n(8)), StreamNews::Bad(n(9))]);
    assert!(missed.is_empty());
    assert_eq!(fetch(&mut board, 100), [n(9)], "damaged chunks are fetched");
    board.stream_ends();
    assert_eq!(fetch(&mut board, 200).len(), 97);
}

#[test]
fn a_session_is_worth_joining_again_on_a_blank_disk() {
    let mut board = Board::new(1000, |_| true, std::iter::empty(), 1);
    for _ in 0..SAMPLE {
        let number = board.claim_scan().unwrap();
        board.scanned(number, false, 1 << 20, Duration::from_millis(1));
    }
    board.stream_begins();
    board.stream_ends();
    let known = fetch(&mut board, SAMPLE).len();
    assert_eq!(known, SAMPLE, "what was found missing");
    assert!(
        board.lacks_something(),
        "the rest, which nobody has looked at"
    );
    fetch(&mut board, 1000);
    assert!(!board.lacks_something());
}

#[test]
fn a_session_is_asked_for_what_a_scan_misses() {
    let mut board = Board::new(1000, |_| true, std::iter::empty(), 1);
    for _ in 0..SAMPLE {
        let number = board.claim_scan().unwrap();
        board.scanned(number, true, 1 << 20, Duration::from_millis(1));
    }
    board.stream_begins();
    assert!(
        board.stream_wants().is_empty(),
        "the disk seems to hold it all"
    );
    let looked = board.claim_scan().unwrap();
    board.scanned(looked, false, 1 << 20, Duration::from_millis(1));
    let (news, missed) = board.take_stream_news();
    assert!(news.is_empty() && missed.len() == 1);
}

proptest! {
    /// Whatever happens in whatever order, every chunk ends up right exactly once.
    #[test]
    fn every_chunk_becomes_right(chunks in 0usize..200, on_disk in any::<u64>(),
        steps in prop::collection::vec(0u8..5, 0..400)) {
        let mut board = Board::new(chunks, |_| true, std::iter::empty(), 1);
        let mut scanning = Vec::new();
        let mut fetching: Vec<ChunkNumber> = Vec::new();
        let mut arrived = Vec::new();
        let mut written = vec![false; chunks];
        let endless = (0u8..5).filter(|&step| step != 2).cycle();
        for step in steps.into_iter().chain(endless) {
            match step {
                0 => scanning.extend(board.claim_scan()),
                1 => if let Some(number) = scanning.pop() {
                    let hit = on_disk >> (number.get() % 64) & 1 == 1;
                    if hit { prop_assert!(!std::mem::replace(&mut written[number.index()],
                        true)); }
                    board.scanned(number, hit, 1, Duration::from_nanos(1));
                },
                2 => {
                    let only = board.sharing().joins("only");
                    board.gave_back(only, fetching.drain(..));
                },
                3 => {
                    fetching.extend(fetch(&mut board, 3));
                    if let Some(number) = fetching.pop() { prop_assert!(comes(&mut board, number)); arrived.push(number); }
                },
                _ => if let Some(number) = arrived.pop() {
                    prop_assert!(!std::mem::replace(&mut written[number.index()], true));
                    board.written(number);
                    prop_assert!(!comes(&mut board, number));
                },
            }
            if board.complete() { break; }
        }
        prop_assert!(written.iter().all(|&w| w));
    }
}
