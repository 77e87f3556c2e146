//! How many short codes may be tried. A right one and a wrong one look the same here, so all are
//! counted. docs/security.md computes from these numbers how likely it is to guess one.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::throttle::Buckets;
use crate::config::Allowance;

/// From one address: a room behind one router, and one more every five seconds.
const PER_ADDRESS: Allowance = Allowance {
    burst: 40,
    refill: Duration::from_secs(5),
};
/// From all addresses.
const IN_TOTAL: Allowance = Allowance {
    burst: 400,
    refill: Duration::from_secs(1),
};
/// Of one code, for one host, in the time that a code is good for.
const PER_HOST: Allowance = Allowance {
    burst: 8,
    refill: Duration::from_secs(15 * 60),
};

/// Tries by address, of all, and by code and host.
#[derive(Debug)]
pub(super) struct Codes {
    addresses: Buckets<IpAddr>,
    all: Buckets<()>,
    hosts: Buckets<([u8; 32], u32)>,
}

impl Codes {
    pub(super) fn new() -> Self {
        Self {
            addresses: Buckets::new(PER_ADDRESS),
            all: Buckets::new(IN_TOTAL),
            hosts: Buckets::new(PER_HOST),
        }
    }

    /// How long this address has to wait.
    pub(super) fn wait(&self, from: IpAddr, now: Instant) -> Option<Duration> {
        let wait = self.addresses.wait(&from, now);
        wait.max(self.all.wait(&(), now))
    }

    /// Counts a try. Returns whether it was the last one of this address, or of all.
    pub(super) fn tried(&mut self, from: IpAddr, now: Instant) -> bool {
        let last_of_address = self.addresses.fail(&from, now);
        self.all.fail(&(), now) || last_of_address
    }

    /// Counts a try of one code for one host. Returns whether it is allowed.
    pub(super) fn may_try(&mut self, key: ([u8; 32], u32), now: Instant) -> bool {
        let may = self.hosts.wait(&key, now).is_none();
        if may {
            self.hosts.fail(&key, now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guesser_gets_eight_tries_of_a_code_for_a_host() {
        let (mut codes, start) = (Codes::new(), Instant::now());
        let room = [1; 32];
        let tries = (0..100).filter(|_| codes.may_try((room, 1), start)).count();
        assert_eq!(tries, 8);
        assert!(codes.may_try((room, 2), start), "another host");
        assert!(codes.may_try(([2; 32], 1), start), "another code");
        let later = start + Duration::from_secs(14 * 60);
        assert!(!codes.may_try((room, 1), later));
    }

    #[test]
    fn one_address_and_all_together_are_slowed_down() {
        let (mut codes, start) = (Codes::new(), Instant::now());
        let from = |number: u16| IpAddr::from([10, 0, (number >> 8) as u8, number as u8]);
        let mut try_from = |number, now| {
            let may = codes.wait(from(number), now).is_none();
            if may {
                codes.tried(from(number), now);
            }
            may
        };
        assert_eq!((0..100).filter(|_| try_from(0, start)).count(), 40);
        assert!(try_from(0, start + Duration::from_secs(6)));
        let others = (1..1000).filter(|number| try_from(*number, start)).count();
        assert!((350..=400).contains(&others), "{others}");
    }

    #[test]
    fn the_tries_of_a_quarter_of_an_hour_are_few() {
        let (mut codes, start) = (Codes::new(), Instant::now());
        let mut tries = 0;
        for second in 0..900 {
            let now = start + Duration::from_secs(second);
            for number in 0..2000_u16 {
                let from = IpAddr::from([10, 0, (number >> 8) as u8, number as u8]);
                if codes.wait(from, now).is_some() {
                    break;
                }
                codes.tried(from, now);
                tries += 1;
            }
        }
        assert!(tries <= 1300, "docs/security.md says 1300: {tries}");
        assert!(tries > 1000, "{tries}");
    }
}
