//! What a query in Prometheus' language asks for: which metrics, with which labels. It understands
//! no more of the language than that, and says nothing about whether the query makes sense: for that
//! there is `promtool`.

mod exported;
mod tokens;

use std::collections::BTreeSet;

use anyhow::{Result, bail};

pub use self::exported::{Exported, Series};
use self::tokens::{Token, tokens};

/// One use of a metric.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Selector {
    pub metric: String,
    pub matchers: Vec<Matcher>,
}

/// `state="queued"`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Matcher {
    pub label: String,
    /// What the label has to be, where that is one value. An expression, a variable of Grafana and
    /// what must not be are none.
    pub value: Option<String>,
}

/// Everything that a query asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    pub selectors: Vec<Selector>,
    /// Labels by which is grouped, matched or joined.
    pub labels: BTreeSet<String>,
}

impl Query {
    /// # Errors
    /// When the text ends in the middle of something, or has a character that no query has.
    pub fn read(text: &str) -> Result<Self> {
        let mut reader = Reader {
            tokens: tokens(text)?,
            next: 0,
            query: Self::default(),
        };
        reader.read()?;
        Ok(reader.query)
    }
}

/// Before a list of labels.
const LISTS: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];
/// Words that are neither metrics nor functions.
const WORDS: [&str; 8] = [
    "and", "or", "unless", "bool", "offset", "atan2", "inf", "nan",
];
/// Grafana's own: a metric, and the label whose values are wanted.
const LABEL_VALUES: &str = "label_values";

struct Reader {
    tokens: Vec<Token>,
    next: usize,
    query: Query,
}

impl Reader {
    fn read(&mut self) -> Result<()> {
        while let Some(token) = self.take() {
            match token {
                Token::Name(name) => self.name(name)?,
                Token::Mark('{') => self.selector(String::new())?,
                Token::Mark('[') => self.skip_range()?,
                _ => {}
            }
        }
        Ok(())
    }

    fn name(&mut self, name: String) -> Result<()> {
        let lower = name.to_ascii_lowercase();
        if LISTS.contains(&lower.as_str()) {
            return self.list();
        }
        if WORDS.contains(&lower.as_str()) {
            return Ok(());
        }
        match self.peek() {
            Some(Token::Mark('(')) if name == LABEL_VALUES => self.label_values(),
            // A function.
            Some(Token::Mark('(')) => Ok(()),
            // An aggregation, whose labels are said before what is aggregated.
            Some(Token::Name(next)) if LISTS.contains(&next.to_ascii_lowercase().as_str()) => {
                // `a on (b) c` is a metric, `sum by (b) (c)` is not: only an aggregation has these.
                if !["by", "without"].contains(&next.to_ascii_lowercase().as_str()) {
                    self.metric(name);
                }
                Ok(())
            }
            Some(Token::Mark('{')) => {
                self.next += 1;
                self.selector(name)
            }
            _ => {
                self.metric(name);
                Ok(())
            }
        }
    }

    fn metric(&mut self, metric: String) {
        self.query.selectors.push(Selector {
            metric,
            matchers: Vec::new(),
        });
    }

    /// `(a, b)`; what may have none, such as `group_left`, has none.
    fn list(&mut self) -> Result<()> {
        if self.peek() != Some(&Token::Mark('(')) {
            return Ok(());
        }
        self.next += 1;
        loop {
            match self.take() {
                Some(Token::Name(label) | Token::Text(label)) => {
                    self.query.labels.insert(label);
                }
                Some(Token::Mark(',')) => {}
                Some(Token::Mark(')')) => return Ok(()),
                other => bail!("a list of labels has {other:?}"),
            }
        }
    }

    /// After the opening brace.
    fn selector(&mut self, name: String) -> Result<()> {
        let mut selector = Selector {
            metric: name,
            matchers: Vec::new(),
        };
        loop {
            match self.take() {
                Some(Token::Mark('}')) => break,
                Some(Token::Mark(',')) => {}
                Some(Token::Name(label)) => {
                    let matcher = self.matcher(label)?;
                    if matcher.label != "__name__" {
                        selector.matchers.push(matcher);
                    } else if let Some(value) = matcher.value {
                        selector.metric = value;
                    } else {
                        bail!("metrics whose names are not written out");
                    }
                }
                other => bail!("the labels of {:?} have {other:?}", selector.metric),
            }
        }
        if selector.metric.is_empty() {
            bail!("{:?} is asked of no metric", selector.matchers);
        }
        self.query.selectors.push(selector);
        Ok(())
    }

    fn matcher(&mut self, label: String) -> Result<Matcher> {
        let (operator, value) = (self.take(), self.take());
        let (Some(Token::Operator(operator)), Some(Token::Text(value))) = (operator, value) else {
            bail!("{label} is not compared with a text");
        };
        let is_one = operator == "=" && !value.contains('$') && !value.is_empty();
        Ok(Matcher {
            label,
            value: is_one.then_some(value),
        })
    }

    /// `label_values(metric{…}, label)` or `label_values(label)`: what is last is the label.
    fn label_values(&mut self) -> Result<()> {
        let end = self.tokens[self.next..]
            .iter()
            .position(|token| *token == Token::Mark(')'));
        let Some(end) = end.map(|end| self.next + end) else {
            bail!("{LABEL_VALUES} has no end");
        };
        let Some(Token::Name(label)) = self.tokens.get(end - 1).cloned() else {
            bail!("{LABEL_VALUES} without a label");
        };
        self.query.labels.insert(label);
        let after = self.tokens.split_off(end - 1);
        self.read()?;
        self.tokens.extend(after);
        self.next = end + 1;
        Ok(())
    }

    fn skip_range(&mut self) -> Result<()> {
        loop {
            match self.take() {
                Some(Token::Mark(']')) => return Ok(()),
                Some(_) => {}
                None => bail!("a range has no end"),
            }
        }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.next += 1;
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Query {
        Query::read(text).unwrap_or_else(|error| panic!("{text}: {error:#}"))
    }

    fn metrics(text: &str) -> Vec<String> {
        let selectors = read(text).selectors.into_iter();
        selectors.map(|selector| selector.metric).collect()
    }

    fn labels(text: &str) -> Vec<String> {
        read(text).labels.into_iter().collect()
    }

    #[test]
    fn functions_and_words_are_no_metrics() {
        for (text, wanted) in [
            ("up", vec!["up"]),
            ("rate(a_total[5m]) > 0.5", vec!["a_total"]),
            ("sum by (x, y) (rate(a[5m])) / b", vec!["a", "b"]),
            ("sum(a) by (x)", vec!["a"]),
            ("SUM BY (x) (a) OR b", vec!["a", "b"]),
            ("a offset 5m and b unless on (x) c", vec!["a", "b", "c"]),
            ("a * on (x) group_left (y) b", vec!["a", "b"]),
            ("a == bool 1 or b < +Inf", vec!["a", "b"]),
            ("job:a:rate5m > 0", vec!["job:a:rate5m"]),
            ("a - time() < 7 * 86400 + 20e9 - 0x1F - 1e-3", vec!["a"]),
            ("a @ end() + b[1h:5m] # c", vec!["a", "b"]),
            ("histogram_quantile(0.99, a_bucket)", vec!["a_bucket"]),
            ("vector(1)", vec![]),
        ] {
            assert_eq!(metrics(text), wanted, "{text}");
        }
    }

    #[test]
    fn labels_are_those_of_lists_and_of_matchers() {
        assert_eq!(labels("sum by (x, y) (a) / on (z) b"), ["x", "y", "z"]);
        assert_eq!(labels("sum without () (a)"), [""; 0]);
        let query = read(r#"a{x="1", y!="2", z=~"3|4", w="$job", v='a\'"}'} > 5"#);
        let asked: Vec<_> = query.selectors[0]
            .matchers
            .iter()
            .map(|matcher| (matcher.label.as_str(), matcher.value.as_deref()))
            .collect();
        assert_eq!(
            asked,
            [
                ("x", Some("1")),
                ("y", None),
                ("z", None),
                ("w", None),
                ("v", Some("a'\"}"))
            ]
        );
        assert_eq!(metrics(r#"{__name__="a", x="1"}"#), ["a"]);
    }

    #[test]
    fn variables_of_grafana_are_neither() {
        let text = "sum by (x) (rate(a{job=\"$job\"}[$__rate_interval])) > $limit + ${other:raw}";
        assert_eq!(
            (metrics(text), labels(text)),
            (vec!["a".into()], vec!["x".into()])
        );
        let values = "label_values(a{job=\"$job\"}, node)";
        assert_eq!(
            (metrics(values), labels(values)),
            (vec!["a".into()], vec!["node".into()])
        );
        assert_eq!(metrics("label_values(node)"), [""; 0]);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for text in [
            "a{x=\"1\"",
            "a{x=\"1}",
            "a{x=1}",
            "{x=\"1\"}",
            "a[5m",
            "sum by (x (a)",
            "a ; b",
            "{__name__=~\"a.*\"}",
        ] {
            assert!(Query::read(text).is_err(), "{text}");
        }
    }
}
