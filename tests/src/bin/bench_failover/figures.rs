//! What was measured, against what is promised.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

/// What happens to a controller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Kill,
    Term,
    Stop,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Kill, Self::Term, Self::Stop];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Term => "term",
            Self::Stop => "stop",
        }
    }
}

/// One round, from the signal on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    /// The longest time without a good answer through the balancer.
    pub(crate) requests: Duration,
    pub(crate) failed: usize,
    /// Until a task that was ordered after the signal has its node.
    pub(crate) scheduling: Duration,
    /// Until the node has the order of that task.
    pub(crate) order: Duration,
    /// Until another controller has the link of the node.
    pub(crate) link: Duration,
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "requests {:?}, {} failed; scheduling {:?}, order {:?}, link {:?}",
            self.requests, self.failed, self.scheduling, self.order, self.link
        )
    }
}

/// Name of a figure, how it is read from a round, and what is promised at most for each kind, in
/// milliseconds.
type Column = (&'static str, fn(&Took) -> Duration, [Option<u64>; 3]);

const COLUMNS: [Column; 4] = [
    (
        "requests",
        |took| took.requests,
        [Some(1000), Some(500), None],
    ),
    (
        "scheduling",
        |took| took.scheduling,
        [Some(2000), Some(500), None],
    ),
    ("order", |took| took.order, [Some(4000), Some(500), None]),
    (
        "link",
        |took| took.link,
        [Some(5000), Some(500), Some(5000)],
    ),
];

#[derive(Default)]
pub(crate) struct Figures(BTreeMap<Kind, Vec<Took>>);

struct Summary {
    p50: f64,
    max: f64,
}

impl Figures {
    pub(crate) fn add(&mut self, kind: Kind, took: Took) {
        self.0.entry(kind).or_default().push(took);
    }

    fn summary(&self, kind: Kind, of: fn(&Took) -> Duration) -> Summary {
        let rounds = self.0.get(&kind).into_iter().flatten();
        let mut all: Vec<f64> = rounds.map(|took| of(took).as_secs_f64() * 1000.0).collect();
        all.sort_by(f64::total_cmp);
        Summary {
            p50: all.get(all.len() / 2).copied().unwrap_or(0.0),
            max: all.last().copied().unwrap_or(0.0),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let kinds = Kind::ALL.map(|kind| {
            let mut entry = serde_json::Map::new();
            let rounds = self.0.get(&kind).map_or(0, Vec::len);
            let failed = self.0.get(&kind).into_iter().flatten();
            let failed: usize = failed.map(|took| took.failed).sum();
            entry.insert("rounds".into(), rounds.into());
            entry.insert("failed_requests".into(), failed.into());
            for (name, of, _) in COLUMNS {
                let Summary { p50, max } = self.summary(kind, of);
                let both = json!({ "p50": p50.round(), "max": max.round() });
                entry.insert(format!("{name}_ms"), both);
            }
            (kind.name().to_owned(), Value::Object(entry))
        });
        Value::Object(kinds.into_iter().collect())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "what  figure      p50 ms  max ms  promised")?;
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            for (name, of, promised) in COLUMNS {
                let Summary { p50, max } = self.summary(kind, of);
                write!(f, "{:<5} {name:<10} {p50:>7.0} {max:>7.0}", kind.name())?;
                match promised[place] {
                    None => writeln!(f)?,
                    Some(most) => {
                        let verdict = if max <= most as f64 { "" } else { "  MISSED" };
                        writeln!(f, "  {most:>8}{verdict}")?;
                    }
                }
            }
        }
        Ok(())
    }
}
