//! The promises in numbers, in virtual time: exact on any computer.

use foghorn_sim::figures;

#[test]
fn the_promised_numbers_are_reached() {
    let missed = figures::measure(figures::TEST_MIB).missed();
    assert!(missed.is_empty(), "{missed:#?}");
}
