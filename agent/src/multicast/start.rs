//! When a session begins to send. Pure.

use foghorn_types::Timestamp;

/// What the order says about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct StartRule {
    /// Start when so many are there; 0: do not count.
    pub receivers: u32,
    /// Start then, whoever is there.
    pub at: Option<Timestamp>,
    /// Start then at the latest, if anybody is there.
    pub latest: Option<Timestamp>,
}

impl StartRule {
    /// Whether to start now that `arrived` receivers have come.
    pub(super) fn is_due(&self, arrived: usize, now: Timestamp) -> bool {
        let counted = match (self.receivers, self.at) {
            (0, Some(_)) => false,
            (receivers, _) => arrived >= receivers.max(1) as usize,
        };
        let late = |time: Option<Timestamp>| time.is_some_and(|time| now >= time);
        counted || (arrived > 0 && (late(self.at) || late(self.latest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(rule: StartRule, arrived: usize, now: i64) -> bool {
        rule.is_due(arrived, Timestamp::from_millis(now))
    }

    #[test]
    fn each_condition_starts_it() {
        let none = StartRule::default();
        assert!(
            !due(none, 0, 0) && due(none, 1, 0),
            "nothing to wait for but somebody"
        );
        let three = StartRule {
            receivers: 3,
            latest: Some(Timestamp::from_millis(100)),
            ..none
        };
        assert!(
            !due(three, 2, 99) && due(three, 3, 0) && due(three, 1, 100) && !due(three, 0, 100)
        );
        let at = StartRule {
            at: Some(Timestamp::from_millis(50)),
            ..none
        };
        assert!(!due(at, 9, 49) && due(at, 1, 50));
        let both = StartRule { receivers: 2, ..at };
        assert!(due(both, 2, 0) && due(both, 1, 50));
    }
}
