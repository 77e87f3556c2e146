//! Metrics that are looked at when somebody asks. They are written here and not recorded, so that a
//! node that was deleted is not shown for ever.

use std::fmt::Write as _;

/// One metric with its samples.
pub(super) struct Gauge {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) samples: Vec<Sample>,
}

/// Labels and a value.
pub(super) struct Sample {
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) value: f64,
}

impl Gauge {
    pub(super) fn new(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            samples: Vec::new(),
        }
    }

    pub(super) fn with<const N: usize>(
        mut self,
        labels: [(&'static str, &str); N],
        value: f64,
    ) -> Self {
        let labels = labels.map(|(name, value)| (name, value.to_owned()));
        self.samples.push(Sample {
            labels: labels.into(),
            value,
        });
        self
    }

    /// Nothing is shown of what is not known.
    pub(super) fn with_known<const N: usize>(
        self,
        labels: [(&'static str, &str); N],
        value: Option<f64>,
    ) -> Self {
        match value {
            Some(value) => self.with(labels, value),
            None => self,
        }
    }
}

/// Prometheus' text format.
pub(super) fn text(gauges: &[Gauge]) -> String {
    let mut out = String::new();
    for gauge in gauges.iter().filter(|gauge| !gauge.samples.is_empty()) {
        let name = gauge.name;
        // Writing into a string does not fail.
        let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} gauge", gauge.help);
        for sample in &gauge.samples {
            let _ = writeln!(out, "{name}{} {}", labels(&sample.labels), sample.value);
        }
    }
    out
}

fn labels(labels: &[(&'static str, String)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let each = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
    format!("{{{}}}", each.collect::<Vec<_>>().join(","))
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_described_and_its_labels_are_safe() {
        let gauges = [
            Gauge::new("foghorn_node_online", "Whether.")
                .with([("node", "a\"b\\c\nd")], 1.0)
                .with_known([("node", "e")], None),
            Gauge::new("foghorn_nothing", "Nobody knows."),
        ];
        assert_eq!(
            text(&gauges),
            "# HELP foghorn_node_online Whether.\n# TYPE foghorn_node_online gauge\nfoghorn_node_online{node=\"a\\\"b\\\\c\\nd\"} 1\n"
        );
    }
}
