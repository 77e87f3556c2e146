//! How packets get lost.

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::clock::Nanos;

/// A bad state does not outlast a pause of the stream of this length: what disturbs a line passes,
/// packets or not.
const PASSES: Nanos = Nanos::millis(50);

/// A model of loss on one stretch. Put on a trunk it is correlated: all machines behind it lose the
/// same packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Loss {
    /// Nothing is lost.
    #[default]
    None,
    /// Each packet with this probability.
    Independent(f64),
    /// Gilbert–Elliott: a good state and a bad one.
    Bursty {
        /// Probability per packet that the good state turns bad.
        to_bad: f64,
        /// Probability per packet that the bad state turns good.
        to_good: f64,
        /// Loss while the state is bad.
        bad: f64,
    },
}

impl Loss {
    /// Share of packets that get lost in the long run.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match *self {
            Self::None => 0.0,
            Self::Independent(p) => p,
            Self::Bursty {
                to_bad,
                to_good,
                bad,
            } => bad * to_bad / (to_bad + to_good),
        }
    }
}

/// A model of loss and the state it is in.
#[derive(Debug)]
pub struct LossState {
    model: Loss,
    bad: bool,
    at: Nanos,
}

impl LossState {
    /// Starts in the good state.
    #[must_use]
    pub const fn new(model: Loss) -> Self {
        Self {
            model,
            bad: false,
            at: Nanos::ZERO,
        }
    }

    /// Whether the next packet gets lost.
    pub fn loses(&mut self, now: Nanos, rng: &mut Rng) -> bool {
        self.bad &= now.since(self.at) < PASSES;
        self.at = now;
        match self.model {
            Loss::None => false,
            Loss::Independent(p) => rng.f64() < p,
            Loss::Bursty {
                to_bad,
                to_good,
                bad,
            } => {
                let turn = if self.bad { to_good } else { to_bad };
                if rng.f64() < turn {
                    self.bad = !self.bad;
                }
                self.bad && rng.f64() < bad
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(model: Loss) -> f64 {
        let (mut state, mut rng) = (LossState::new(model), Rng::with_seed(1));
        (0..200_000)
            .filter(|_| state.loses(Nanos::ZERO, &mut rng))
            .count() as f64
            / 200_000.0
    }

    #[test]
    fn models_lose_what_they_say() {
        for model in [
            Loss::None,
            Loss::Independent(0.05),
            Loss::Bursty {
                to_bad: 0.002,
                to_good: 0.05,
                bad: 0.6,
            },
        ] {
            assert!(
                (measured(model) - model.mean()).abs() < 0.003,
                "{model:?}: {}",
                measured(model)
            );
        }
    }
}
