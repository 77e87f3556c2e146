//! What was measured, against what is promised.

use std::fmt;

use serde_json::{Value, json};

/// A copy of an image of which the node had nothing.
pub(crate) struct Copied {
    /// Compressed bytes of the chunks.
    pub(crate) bytes: u64,
    /// That the giving end has put on the wire meanwhile.
    pub(crate) wire: u64,
    /// Seconds from the order to the controller's word that every chunk was verified.
    pub(crate) whole: f64,
    /// The same from the first bytes on the wire.
    pub(crate) copying: f64,
}

pub(crate) struct Run {
    pub(crate) copied: Copied,
    /// Seconds of the TCP copy.
    pub(crate) tcp: f64,
}

/// A copy of an image of which the node had everything.
pub(crate) struct Second {
    pub(crate) bytes: u64,
    pub(crate) of: u64,
    pub(crate) seconds: f64,
}

/// A copy under a limit, in Mbit/s.
pub(crate) struct Cap {
    pub(crate) set: f64,
    pub(crate) measured: f64,
    /// Seconds after the full minute at which the limit changed; `None` when that was left out.
    pub(crate) changed_after: Option<f64>,
}

pub(crate) struct Figures {
    mib: u64,
    /// Of the link, in Mbit/s.
    link: u64,
    pub(crate) runs: Vec<Run>,
    pub(crate) second: Option<Second>,
    pub(crate) cap: Option<Cap>,
}

fn mbit(bytes: u64, seconds: f64) -> f64 {
    bytes as f64 * 8.0 / 1e6 / seconds
}

impl Run {
    fn rate(&self) -> f64 {
        mbit(self.copied.bytes, self.copied.copying)
    }

    fn tcp_rate(&self) -> f64 {
        mbit(self.copied.bytes, self.tcp)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wire = mbit(self.copied.wire, self.copied.copying);
        write!(
            f,
            "{:.0} Mbit/s of chunks ({wire:.0} Mbit/s on the wire), {:.1} s from the order; TCP {:.0} Mbit/s",
            self.rate(),
            self.copied.whole,
            self.tcp_rate()
        )
    }
}

impl Figures {
    pub(crate) fn new(mib: u64, link: u64) -> Self {
        Self {
            mib,
            link,
            runs: Vec::new(),
            second: None,
            cap: None,
        }
    }

    fn median(&self, of: impl Fn(&Run) -> f64) -> f64 {
        let mut all: Vec<f64> = self.runs.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(0.0)
    }

    /// Of the link, of what is on the wire.
    fn wire_share(&self) -> f64 {
        let rate = |run: &Run| mbit(run.copied.wire, run.copied.copying);
        self.median(rate) / self.link as f64
    }

    fn share(&self) -> f64 {
        self.median(Run::rate) / self.link as f64
    }

    fn of_tcp(&self) -> f64 {
        self.median(|run| run.rate() / run.tcp_rate())
    }

    fn second_share(&self) -> f64 {
        let share = |second: &Second| second.bytes as f64 / second.of as f64;
        self.second.as_ref().map_or(1.0, share)
    }

    pub(crate) fn to_json(&self) -> Value {
        let all = |of: fn(&Run) -> f64| self.runs.iter().map(of).collect::<Vec<_>>();
        json!({
            "mib": self.mib, "runs": self.runs.len(), "link_mbit": self.link,
            "replication": {
                "mbit": self.median(Run::rate), "share_of_link": self.share(),
                "share_of_link_on_wire": self.wire_share(), "share_of_tcp": self.of_tcp(),
                "seconds_from_order": self.median(|run| run.copied.whole),
                "seconds_copying": self.median(|run| run.copied.copying),
                "each_mbit": all(Run::rate),
            },
            "tcp": { "mbit": self.median(Run::tcp_rate), "each_mbit": all(Run::tcp_rate) },
            "second_pass": self.second.as_ref().map(|second| json!({
                "bytes": second.bytes, "of": second.of, "share": self.second_share(),
                "seconds": second.seconds,
            })),
            "cap": self.cap.as_ref().map(|cap| json!({
                "set_mbit": cap.set, "measured_mbit": cap.measured,
                "seconds_after_the_minute": cap.changed_after,
            })),
        })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = |is_kept: bool| if is_kept { "kept" } else { "NOT KEPT" };
        let percent = |share: f64| share * 100.0;
        writeln!(
            f,
            "cold chunks: {:.0} Mbit/s, {:.1} % of the link ({:.1} % with headers), {:.1} % of TCP; promised 90 %: {}",
            self.median(Run::rate),
            percent(self.share()),
            percent(self.wire_share()),
            percent(self.of_tcp()),
            kept(self.share() >= 0.9)
        )?;
        writeln!(
            f,
            "from the order to the last word: {:.1} s; TCP from file to file: {:.0} Mbit/s",
            self.median(|run| run.copied.whole),
            self.median(Run::tcp_rate)
        )?;
        if let Some(second) = &self.second {
            writeln!(
                f,
                "identical image: {} of {} bytes ({:.3} %) in {:.1} s; promised 1 %: {}",
                second.bytes,
                second.of,
                percent(self.second_share()),
                second.seconds,
                kept(self.second_share() <= 0.01)
            )?;
        }
        if let Some(cap) = &self.cap {
            write!(
                f,
                "limit {:.0} Mbit/s: {:.1} Mbit/s on the wire",
                cap.set, cap.measured
            )?;
            match cap.changed_after {
                Some(after) => writeln!(f, "; the next one held {after:.1} s after the minute")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}
