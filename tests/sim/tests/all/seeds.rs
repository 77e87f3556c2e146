//! Ten thousand sessions, and those that failed once.

use std::fmt::Write;

use foghorn_sim::campaign::{self, Failure};
use foghorn_sim::scenario::Scenario;
use foghorn_sim::world::World;

#[test]
fn every_session_of_ten_thousand_keeps_its_promises() {
    let mut seeds = campaign::kept_seeds();
    seeds.extend(0..10_000);
    let failures = campaign::run(&seeds, campaign::cores(), 10, |_| ());
    assert!(failures.is_empty(), "{}", describe(&failures));
}

#[test]
fn a_seed_gives_the_same_run_again() {
    for seed in 0..20 {
        let run = || format!("{:?}", World::new(&Scenario::generate(seed)).run());
        assert_eq!(run(), run(), "seed {seed}");
    }
}

fn describe(failures: &[Failure]) -> String {
    let mut text =
        "replay with `sim --seed N --trace`, and keep the seed in tests/sim/seeds.txt:".to_owned();
    for failure in failures {
        let _ = write!(
            text,
            "\nseed {}: {}",
            failure.seed,
            failure.problems.join("; ")
        );
    }
    text
}
