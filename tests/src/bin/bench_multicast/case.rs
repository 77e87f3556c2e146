//! What is measured: number of receivers, rate, loss, and which receiver misbehaves.

use std::time::Duration;

/// Line rate of every link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rate {
    Mbit200,
    Gbit1,
}

impl Rate {
    pub(crate) const ALL: [Self; 2] = [Self::Mbit200, Self::Gbit1];

    /// In the notation of tc.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Mbit200 => "200mbit",
            Self::Gbit1 => "1gbit",
        }
    }

    pub(crate) fn mbit(self) -> u64 {
        match self {
            Self::Mbit200 => 200,
            Self::Gbit1 => 1000,
        }
    }
}

/// What is wrong with the last receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trouble {
    None,
    /// Its cable is unplugged after a third of the time and stays unplugged.
    Dead,
    /// Its line has a quarter of the rate.
    Slow,
    /// It starts when a third of the time has passed.
    Late,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Case {
    pub(crate) clients: usize,
    pub(crate) rate: Rate,
    /// Percent of the packets that each receiver loses, independently.
    pub(crate) loss: u32,
    pub(crate) trouble: Trouble,
}

impl Case {
    /// `8x200-1`: eight receivers, 200 Mbit/s, 1 % loss.
    pub(crate) fn name(&self) -> String {
        let trouble = match self.trouble {
            Trouble::None => "",
            Trouble::Dead => "-dead",
            Trouble::Slow => "-slow",
            Trouble::Late => "-late",
        };
        format!(
            "{}x{}-{}{trouble}",
            self.clients,
            self.rate.mbit(),
            self.loss
        )
    }

    /// Seconds that the payload alone takes at the line rate.
    pub(crate) fn line_seconds(&self, mib: u64) -> f64 {
        (mib << 20) as f64 * 8.0 / (self.rate.mbit() * 1_000_000) as f64
    }

    /// When the last receiver's trouble starts.
    pub(crate) fn third(&self, mib: u64) -> Duration {
        Duration::from_secs_f64(self.line_seconds(mib) / 3.0)
    }
}

/// Every case that the benchmark knows.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for rate in Rate::ALL {
        for clients in [1, 4, 8] {
            for loss in [0, 1, 5] {
                cases.push(Case {
                    clients,
                    rate,
                    loss,
                    trouble: Trouble::None,
                });
            }
        }
    }
    for trouble in [Trouble::Dead, Trouble::Slow, Trouble::Late] {
        cases.push(Case {
            clients: 8,
            rate: Rate::Mbit200,
            loss: 0,
            trouble,
        });
    }
    cases
}

/// Enough to see that everything runs.
pub(crate) fn smoke() -> Vec<Case> {
    vec![Case {
        clients: 2,
        rate: Rate::Gbit1,
        loss: 0,
        trouble: Trouble::None,
    }]
}
