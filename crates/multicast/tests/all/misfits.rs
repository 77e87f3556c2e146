//! One receiver is dead, slow, or lying: it is dealt with, and the others hardly notice.

use std::time::Duration;

use crate::support::{Lan, Spec, Trouble};
use foghorn_multicast::Rate;

/// Time of the healthy ones beside the misfit over their time without it, and why the misfit was
/// sent away.
fn beside(trouble: Trouble) -> (Lan, f64) {
    let spec = Spec {
        receivers: 4,
        chunks: 250,
        chunk_size: 1 << 20,
        sealed: false,
        ..Spec::default()
    };
    let alone = {
        let mut lan = Lan::new(spec.clone());
        lan.machines[3].trouble = Trouble::DiesAfter(Duration::ZERO);
        lan.run();
        lan.assert_all_complete();
        lan.slowest()
    };
    let mut lan = Lan::new(spec);
    lan.machines[3].trouble = trouble;
    lan.run();
    lan.assert_all_complete();
    let ratio = lan.slowest().as_secs_f64() / alone.as_secs_f64();
    eprintln!("{:?}: {ratio:.4}", lan.machines[3].sent_away);
    (lan, ratio)
}

fn reason(lan: &Lan) -> &str {
    lan.machines[3].sent_away.as_deref().unwrap()
}

#[test]
fn a_dead_one_is_dropped_within_a_second_and_costs_nothing() {
    let (lan, ratio) = beside(Trouble::DiesAfter(Duration::from_secs(2)));
    assert!(
        reason(&lan).starts_with("silent after 2."),
        "{}",
        reason(&lan)
    );
    assert!(ratio < 1.005);
}

#[test]
fn one_with_a_slow_link_goes_on_by_unicast() {
    let (lan, ratio) = beside(Trouble::Loses(750));
    assert!(
        reason(&lan).starts_with("its network link takes") || reason(&lan).starts_with("it needs"),
        "{}",
        reason(&lan)
    );
    assert!(ratio < 1.02);
}

#[test]
fn one_with_a_slow_disk_goes_on_by_unicast() {
    let (lan, ratio) = beside(Trouble::SlowDisk(
        Rate::from_megabits(50).bytes_per_second(),
    ));
    assert!(
        reason(&lan).starts_with("its disk takes"),
        "{}",
        reason(&lan)
    );
    assert!(ratio < 1.02);
    assert!(
        lan.machines[3].most_memory <= (48 << 20) + (1 << 20),
        "{}",
        lan.machines[3].most_memory
    );
}

#[test]
fn one_that_lies_is_bounded_and_sent_away() {
    let (lan, ratio) = beside(Trouble::Lies);
    assert!(
        reason(&lan).starts_with("it needs more repairs"),
        "{}",
        reason(&lan)
    );
    assert!(ratio < 1.03);
}
