//! What was done, how often, and how long it took.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::versions::Tried;

#[derive(Default)]
pub(crate) struct Report {
    steps: Vec<(String, Duration)>,
    counts: BTreeMap<&'static str, u64>,
    tried: Vec<Tried>,
}

impl Report {
    /// Does a step and says how long it took; a failure is named after the step.
    ///
    /// # Errors
    /// Those of the step.
    pub(crate) fn step<T>(
        &mut self,
        name: &str,
        step: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let began = Instant::now();
        let done = step(self).with_context(|| format!("step {name:?}"))?;
        let took = began.elapsed();
        println!("chart: {:>6.1} s  {name}", took.as_secs_f64());
        self.steps.push((name.to_owned(), took));
        Ok(done)
    }

    pub(crate) fn count(&mut self, what: &'static str, more: usize) {
        *self.counts.entry(what).or_default() += more as u64;
    }

    /// The largest of several figures.
    pub(crate) fn most(&mut self, what: &'static str, value: u64) {
        let known = self.counts.entry(what).or_default();
        *known = value.max(*known);
    }

    /// A figure that is not a sum.
    pub(crate) fn figure(&mut self, what: &'static str, value: u64) {
        self.counts.insert(what, value);
    }

    /// Which versions something was done with, to its end.
    pub(crate) fn tried(&mut self, more: Vec<Tried>) {
        self.tried.extend(more);
    }

    pub(crate) fn to_json(&self) -> Value {
        let steps: Vec<Value> = self
            .steps
            .iter()
            .map(|(name, took)| json!({ "step": name, "seconds": tenths(*took) }))
            .collect();
        json!({ "counts": self.counts, "steps": steps, "tried": self.tried })
    }
}

fn tenths(took: Duration) -> f64 {
    (took.as_secs_f64() * 10.0).round() / 10.0
}

impl fmt::Display for Report {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Duration = self.steps.iter().map(|(_, took)| *took).sum();
        writeln!(
            to,
            "chart: {:.0} s in {} steps",
            all.as_secs_f64(),
            self.steps.len()
        )?;
        for (what, count) in &self.counts {
            writeln!(to, "chart: {count:>6}  {what}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_named_after_its_step_and_counts_add_up() {
        let mut report = Report::default();
        report.count("objects", 2);
        report
            .step("one", |report| {
                report.count("objects", 3);
                Ok(())
            })
            .unwrap();
        let failed = report.step("two", |_| -> Result<()> { anyhow::bail!("broken") });
        let failed = format!("{:#}", failed.unwrap_err());
        assert!(
            failed.contains("two") && failed.contains("broken"),
            "{failed}"
        );
        let shown = report.to_json();
        assert_eq!(shown["counts"]["objects"], 5);
        assert_eq!(shown["steps"].as_array().unwrap().len(), 1);
    }
}
