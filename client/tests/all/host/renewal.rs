//! Certificates that end are renewed, and with nothing that is not better.

use std::fs;

use foghorn_client::host::CheckedIn;
use rcgen::KeyPair;

use super::gateway::{Authority, Gateway};
use super::machine::Machine;

pub(super) const DEVICE: &str = "0a1b2c3d-0000-4000-8000-00000000000f";
const OTHER: &str = "0a1b2c3d-0000-4000-8000-000000000010";

pub(super) fn machine(days: [u64; 2]) -> (Machine, Authority, KeyPair, String) {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    let chain = authority.certify(&key, DEVICE, days);
    let identity = (chain.clone(), key.serialize_pem());
    let machine = Machine::with(Gateway::start(&authority), &authority, &identity);
    (machine, authority, key, chain)
}

/// Whether a certificate was asked for in the one check-in, and the one that the machine has after it.
fn check_in(machine: &Machine) -> (bool, String) {
    assert_eq!(machine.check_in().unwrap(), CheckedIn::NoConfig);
    let requests = machine.gateway.requests();
    let asked = requests.iter().any(|one| one.line == "POST /certificate");
    let stored = fs::read_to_string(machine.path("sota/client.pem")).unwrap();
    (asked, stored)
}

#[test]
fn a_certificate_is_renewed_in_the_last_third_of_its_life() {
    let (machine, authority, key, old) = machine([80, 20]);
    let new = authority.certify(&key, DEVICE, [0, 100]);
    machine.gateway.renew_with(&new);
    assert_eq!(check_in(&machine), (true, new.clone()));
    assert_ne!(old, new);
    // The next check-in shows the new one, and leaves it alone.
    assert_eq!(check_in(&machine), (false, new));

    let (early, authority, key, old) = self::machine([60, 40]);
    early
        .gateway
        .renew_with(&authority.certify(&key, DEVICE, [0, 100]));
    assert_eq!(check_in(&early), (false, old));
}

#[test]
fn a_certificate_that_is_not_better_is_not_taken() {
    let (machine, authority, key, old) = machine([80, 20]);
    // 403: the check-in itself succeeds.
    assert_eq!(check_in(&machine), (true, old.clone()));
    let foreign = KeyPair::generate().unwrap();
    for wrong in [
        authority.certify(&foreign, DEVICE, [0, 100]),
        authority.certify(&key, OTHER, [0, 100]),
        authority.certify(&key, DEVICE, [0, 10]),
        "text".to_owned(),
    ] {
        machine.gateway.renew_with(&wrong);
        assert_eq!(check_in(&machine), (true, old.clone()));
    }
}

#[test]
fn a_machine_says_which_start_of_it_this_is() {
    let machine = Machine::new();
    machine.check_in().unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let requests = machine.gateway.requests();
    assert_eq!(requests[0].boot.as_deref(), Some(boot.trim()));
}
