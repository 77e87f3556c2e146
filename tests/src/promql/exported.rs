//! What `/metrics` shows, in Prometheus' text format.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};

use super::{Query, Selector};

/// Labels of one metric, with every value that was seen of each.
pub type Series = BTreeMap<String, BTreeSet<String>>;

/// Labels that Prometheus adds when it reads.
const ADDED: [&str; 2] = ["job", "instance"];
/// What Prometheus itself says of everything that it reads.
const OF_PROMETHEUS: &str = "up";

/// Metrics by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Exported(BTreeMap<String, Series>);

impl Exported {
    /// Adds what one program shows.
    ///
    /// # Errors
    /// When a line is neither a comment nor a sample.
    pub fn add(&mut self, text: &str) -> Result<()> {
        let lines = text.lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let sample = || format!("{line:?} is not a sample");
            let end = line.find(['{', ' ']).with_context(sample)?;
            let (name, rest) = line.split_at(end);
            let series = self.0.entry(name.to_owned()).or_default();
            let Some(labels) = rest.strip_prefix('{') else {
                continue;
            };
            read_labels(labels, series).with_context(sample)?;
        }
        Ok(())
    }

    #[must_use]
    pub fn has(&self, metric: &str) -> bool {
        metric == OF_PROMETHEUS || self.0.contains_key(metric)
    }

    /// What of a query nobody exports, in words: metrics, labels of metrics, values of labels, and
    /// labels by which is grouped, or which a legend shows, and which no metric of the query has.
    /// `more` are such labels that are said elsewhere than in the query.
    #[must_use]
    pub fn lacks(&self, query: &Query, more: &BTreeSet<String>) -> Vec<String> {
        let mut lacks: Vec<String> = query
            .selectors
            .iter()
            .flat_map(|selector| self.lacks_of(selector))
            .collect();
        for label in query.labels.union(more) {
            let is_there = ADDED.contains(&label.as_str())
                || query.selectors.iter().any(|selector| {
                    let series = self.0.get(&selector.metric);
                    series.is_some_and(|series| series.contains_key(label))
                });
            if !is_there {
                lacks.push(format!("no metric of it has the label {label}"));
            }
        }
        lacks
    }

    fn lacks_of(&self, selector: &Selector) -> Vec<String> {
        let metric = &selector.metric;
        if metric == OF_PROMETHEUS {
            return Vec::new();
        }
        let Some(series) = self.0.get(metric) else {
            return vec![format!("nothing exports {metric}")];
        };
        let asked = selector.matchers.iter();
        let asked = asked.filter(|matcher| !ADDED.contains(&matcher.label.as_str()));
        asked
            .filter_map(|matcher| {
                let label = &matcher.label;
                match (series.get(label), &matcher.value) {
                    (None, _) => Some(format!("{metric} has no label {label}")),
                    (Some(values), Some(value)) if !values.contains(value) => {
                        Some(format!("{metric} never has {label}={value:?}"))
                    }
                    _ => None,
                }
            })
            .collect()
    }
}

/// `a="1",b="2"} 3`.
fn read_labels(mut rest: &str, series: &mut Series) -> Result<()> {
    while !rest.starts_with('}') {
        let (label, after) = rest.split_once("=\"").context("a label has no value")?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next() {
                Some((at, '"')) => break at + 1,
                Some((_, '\\')) => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, c)) => value.push(c),
                    None => bail!("a value has no end"),
                },
                Some((_, c)) => value.push(c),
                None => bail!("a value has no end"),
            }
        };
        series.entry(label.to_owned()).or_default().insert(value);
        rest = after[end..].trim_start_matches(',');
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP a_total Things.\n# TYPE a_total counter\n\
        a_total{by=\"x, \\\"y\\\"}\",outcome=\"ok\"} 1\na_total{by=\"z\",outcome=\"failed\"} 0\n\
        b 2\n\nc_bucket{le=\"+Inf\"} 3\n";

    fn lacks(query: &str, more: &[&str]) -> Vec<String> {
        let mut exported = Exported::default();
        exported.add(TEXT).expect("samples");
        let more = more.iter().map(|&label| label.to_owned()).collect();
        exported.lacks(&Query::read(query).expect("a query"), &more)
    }

    #[test]
    fn what_is_there_lacks_nothing() {
        for query in [
            r#"sum by (by, instance) (rate(a_total{outcome="failed", job="$job"}[5m])) / b"#,
            r#"a_total{by="x, \"y\"}"}"#,
            "sum by (le) (c_bucket)",
            r#"up{job="foghorn"} == 0"#,
        ] {
            assert_eq!(lacks(query, &["instance"]), [""; 0], "{query}");
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        assert_eq!(
            lacks("rate(d_total[5m]) > b", &[]),
            ["nothing exports d_total"]
        );
        assert_eq!(lacks(r#"b{state="x"}"#, &[]), ["b has no label state"]);
        assert_eq!(
            lacks(r#"a_total{outcome="lost"}"#, &[]),
            ["a_total never has outcome=\"lost\""]
        );
        let by = "no metric of it has the label node";
        assert_eq!(lacks("sum by (node) (a_total)", &[]), [by]);
        assert_eq!(lacks("a_total", &["node"]), [by]);
    }

    #[test]
    fn what_is_no_sample_is_an_error() {
        for text in ["a_total", "a{b=\"c} 1", "a{b} 1"] {
            assert!(Exported::default().add(text).is_err(), "{text}");
        }
    }
}
