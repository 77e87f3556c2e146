//! Certificates and tokens expire: when two clocks differ, valid ones look expired.

use jiff::{SignedDuration, Timestamp, fmt::rfc2822};

use super::Finding;
use crate::api::Api;

/// A smaller difference has no effect: our certificates start five minutes in the past.
const FINE: SignedDuration = SignedDuration::from_secs(30);
const TOO_MUCH: SignedDuration = SignedDuration::from_mins(4);

pub(super) fn check(api: &Api) -> Vec<Finding> {
    match api.date() {
        Ok(Some(date)) => vec![judge(&date, Timestamp::now())],
        Ok(None) => vec![Finding::warn(
            "clock",
            "the server's answers have no date",
            "compare the clocks yourself",
        )],
        Err(error) => vec![Finding::warn("clock", error.to_string(), "try again")],
    }
}

fn judge(date: &str, here: Timestamp) -> Finding {
    let there = match rfc2822::parse(date) {
        Ok(zoned) => zoned.timestamp(),
        Err(_) => {
            return Finding::warn(
                "clock",
                format!("could not read the server's date {date:?}"),
                "compare the clocks yourself",
            );
        }
    };
    let skew = here.duration_since(there).abs();
    let found = format!("{} s difference", skew.as_secs());
    let todo = "synchronise both clocks with NTP";
    match skew {
        skew if skew <= FINE => Finding::ok("clock", found),
        skew if skew <= TOO_MUCH => Finding::warn("clock", found, todo),
        _ => Finding::fail("clock", found, todo),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn the_farther_apart_the_worse() {
        let here: Timestamp = "2026-11-21T22:00:00Z".parse().unwrap();
        let verdict = |date| judge(date, here).verdict;
        assert_eq!(verdict("Sat, 21 Nov 2026 22:00:05 GMT"), Verdict::Ok);
        assert_eq!(verdict("Sat, 21 Nov 2026 21:58:00 GMT"), Verdict::Warn);
        assert_eq!(verdict("Sat, 21 Nov 2026 23:00:00 GMT"), Verdict::Fail);
        assert_eq!(verdict("yesterday"), Verdict::Warn);
    }
}
