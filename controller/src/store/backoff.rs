//! Growing pauses between attempts.

use std::time::Duration;

/// Doubles from a first pause up to a longest one.
///
/// No random part: what waits here are a handful of controllers and each follows its own engine, so
/// there is no herd to break up, and a test that counts attempts stays exact.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
        }
    }

    /// How long to pause before the attempt that comes now.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (self.next * 2).min(self.longest);
        pause
    }

    /// An attempt went well: the next failure starts from the first pause again.
    pub fn succeeded(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_the_longest_and_starts_again_after_success() {
        let millis = Duration::from_millis;
        let mut backoff = Backoff::new(millis(100), millis(350));
        let pauses: Vec<_> = std::iter::repeat_with(|| backoff.pause()).take(4).collect();
        assert_eq!(pauses, [millis(100), millis(200), millis(350), millis(350)]);
        backoff.succeeded();
        assert_eq!(backoff.pause(), millis(100));
    }
}
