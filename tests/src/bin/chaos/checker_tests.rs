//! Histories that fit, and histories that do not.

use super::*;

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn wrote(value: &str, from: u64, to: u64) -> Operation {
    Operation {
        did: Did::Wrote(value.to_owned()),
        asked: at(from),
        answered: Some(at(to)),
        at: String::new(),
    }
}

fn read(value: &str, from: u64, to: u64) -> Operation {
    Operation {
        did: Did::Read(value.to_owned()),
        asked: at(from),
        answered: Some(at(to)),
        at: String::new(),
    }
}

fn unanswered(value: &str, from: u64) -> Operation {
    Operation {
        did: Did::Wrote(value.to_owned()),
        asked: at(from),
        answered: None,
        at: String::new(),
    }
}

fn fits(operations: &[Operation]) -> bool {
    check("", operations, Duration::ZERO).is_ok()
}

#[test]
fn what_happens_in_turn_fits() {
    assert!(fits(&[]));
    assert!(fits(&[
        read("", 0, 1),
        wrote("a", 2, 3),
        read("a", 4, 5),
        wrote("b", 6, 7),
        read("b", 8, 9)
    ]));
}

#[test]
fn writes_at_once_may_come_in_any_order() {
    let both = [wrote("a", 0, 10), wrote("b", 0, 10)];
    assert!(fits(&[both[0].clone(), both[1].clone(), read("a", 11, 12)]));
    assert!(fits(&[both[0].clone(), both[1].clone(), read("b", 11, 12)]));
    assert!(fits(&[
        both[0].clone(),
        both[1].clone(),
        read("b", 1, 2),
        read("a", 3, 12)
    ]));
}

#[test]
fn a_lost_write_is_found() {
    assert!(!fits(&[wrote("a", 0, 1), read("", 2, 3)]));
    assert!(!fits(&[
        wrote("a", 0, 1),
        wrote("b", 2, 3),
        read("a", 4, 5)
    ]));
}

#[test]
fn a_write_that_comes_back_is_found() {
    let back = [
        wrote("a", 0, 10),
        wrote("b", 0, 10),
        read("b", 11, 12),
        read("a", 13, 14),
        read("b", 15, 16),
    ];
    assert!(!fits(&back));
    // What a controller that was halted writes late.
    assert!(!fits(&[
        wrote("old", 0, 5),
        wrote("new", 6, 7),
        read("new", 8, 9),
        read("old", 10, 11)
    ]));
}

#[test]
fn two_readers_that_see_writes_in_different_orders_are_found() {
    let writes = [wrote("a", 0, 100), wrote("b", 0, 100)];
    let mut all = writes.to_vec();
    all.extend([read("a", 10, 11), read("b", 12, 13), read("a", 14, 15)]);
    assert!(!fits(&all));
}

#[test]
fn a_read_of_what_nobody_wrote_is_found() {
    assert!(!fits(&[wrote("a", 0, 1), read("c", 2, 3)]));
}

#[test]
fn a_write_without_an_answer_may_have_happened_or_not() {
    assert!(fits(&[
        wrote("a", 0, 1),
        unanswered("b", 2),
        read("a", 3, 4)
    ]));
    assert!(fits(&[
        wrote("a", 0, 1),
        unanswered("b", 2),
        read("a", 3, 4),
        read("b", 5, 6)
    ]));
    assert!(!fits(&[
        wrote("a", 0, 1),
        unanswered("b", 2),
        read("b", 3, 4),
        read("a", 5, 6)
    ]));
    assert!(!fits(&[unanswered("b", 9), read("b", 3, 4)]));
}

#[test]
fn a_read_may_be_as_old_as_was_promised_and_no_older() {
    let all = [wrote("a", 0, 1), wrote("b", 100, 101), read("a", 150, 151)];
    assert!(check("", &all, at(60)).is_ok());
    assert!(check("", &all, at(40)).is_err());
    let stuck = check("", &all, at(40)).unwrap_err();
    assert_eq!(stuck.value, "b");
}

#[test]
fn long_histories_take_moments() {
    let mut all = Vec::new();
    for turn in 0..3000_u64 {
        let start = turn * 10;
        all.push(wrote(&format!("{turn}"), start, start + 25));
        all.push(read(&format!("{turn}"), start + 5, start + 40));
    }
    assert!(check("", &all, at(100)).is_ok());
    all.push(read("7", 40_000, 40_001));
    assert!(check("", &all, at(100)).is_err());
}

#[test]
fn the_latest_reads_are_named() {
    let operations = [
        wrote("a", 0, 10),
        wrote("b", 20, 30),
        read("a", 25, 26),
        read("a", 90, 95),
        read("a", 50, 55),
        read("b", 96, 97),
    ];
    let late = latest(&operations, 1);
    assert_eq!(late, [(at(60), &operations[3])]);
    assert_eq!(latest(&operations, 9).len(), 2);
}
