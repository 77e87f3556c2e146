//! Goes through the files, judges each answer and counts.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use anyhow::{Context as _, Result};
use foghorn_tests::stack::Engine;
use foghorn_types::Timestamp;
use serde_json::Value;

use super::apart::Apart;
use super::compare::{self, Context, Difference};
use super::deviations::Deviations;
use super::http::Reply;
use super::own_words::OwnWords;
use super::recording::{Exchange, Folder};
use super::server::Server;
use super::steer;

#[derive(Default)]
pub(crate) struct Tally {
    same: usize,
    deviating: usize,
    pub(crate) different: usize,
    /// Deviating records by rule; one may fall under several.
    by_rule: BTreeMap<String, usize>,
}

impl Tally {
    fn deviates(&mut self, rules: impl IntoIterator<Item = String>) {
        self.deviating += 1;
        for rule in rules {
            *self.by_rule.entry(rule).or_default() += 1;
        }
    }

    pub(crate) fn print(&self, rules: &Deviations) {
        for (rule, count) in &self.by_rule {
            println!("deviation {rule}: {count}");
        }
        for rule in rules.certain() {
            if !self.by_rule.contains_key(&rule.name) {
                println!("no deviation: {}", rule.name);
            }
        }
        let all = self.same + self.deviating + self.different;
        println!(
            "records {all}, same {}, deviations {}, different {}",
            self.same, self.deviating, self.different
        );
    }
}

/// Replays every file on a fresh server.
///
/// # Errors
/// When a server cannot be started or does not answer; differences are counted.
pub(crate) async fn run(
    folder: &Folder,
    rules: &Deviations,
    engine: Engine,
    verbose: bool,
) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut own_words = None;
    for (name, records) in &folder.files {
        let mut server = Server::start(engine).await?;
        if own_words.is_none() {
            own_words = Some(OwnWords::learn(&mut server, &folder.seed).await?);
        }
        let mut file = File {
            name,
            own_words: own_words
                .as_ref()
                .context("the descriptions of default rows were not loaded")?,
            rules,
            sent: HashSet::new(),
            apart: Apart::default(),
            clock: String::new(),
            padded: false,
            verbose,
        };
        for record in &folder.setup {
            file.remember(record);
            server.replay(record, &record.path).await?;
        }
        for record in records {
            let consequence = rules
                .consequence()
                .filter(|_| file.apart.clashes_unseen(record));
            if let Some(rule) = rules.apart(record).or(consequence) {
                tally.deviates([rule.name.clone()]);
                continue;
            }
            file.keep_time(record).await;
            let reply = server.replay(record, &file.apart.our_path(record)).await?;
            if file.judge(record, &reply, &mut tally) {
                steer::catch_up(&mut server, record, &reply).await?;
            }
            file.remember(record);
        }
        server.stop().await;
    }
    Ok(tally)
}

struct File<'f> {
    name: &'f str,
    own_words: &'f OwnWords,
    rules: &'f Deviations,
    sent: HashSet<String>,
    apart: Apart,
    /// The recorded server's time of the last such row.
    clock: String,
    /// A name with blanks around it has been sent.
    padded: bool,
    verbose: bool,
}

impl File<'_> {
    /// Rows of `history` are told apart by their second, and a second row of `inventory` for one host
    /// is refused within one: where the recording is a second on, so are we.
    async fn keep_time(&mut self, record: &Exchange) {
        let Some(time) = record.response["body"]["createdTime"]
            .as_str()
            .filter(|_| matches!(record.object().0, "history" | "inventory"))
        else {
            return;
        };
        if record.method != "GET" && *time > *self.clock {
            let into_second = Timestamp::now().as_millis().rem_euclid(1000);
            tokio::time::sleep(Duration::from_millis(1000 - into_second.unsigned_abs())).await;
            self.clock = time.to_owned();
        }
    }

    /// Texts that were sent and taken; a refused request has changed nothing.
    fn remember(&mut self, record: &Exchange) {
        if record.response["status"] == 200
            && let Ok(body) = serde_json::from_slice::<Value>(&record.body)
        {
            texts(&body, &mut self.sent);
            self.padded |= body["name"]
                .as_str()
                .is_some_and(|name| name.starts_with(' '));
        }
    }

    /// Counts the answer. Returns whether it deviates.
    fn judge(&mut self, record: &Exchange, reply: &Reply, tally: &mut Tally) -> bool {
        let any_ids = record.object().0 == "hookevent";
        let context = Context {
            own_words: self.own_words,
            sent: &self.sent,
            any_ids,
        };
        let differences = compare::differences(&record.response, reply, &context);
        if differences.is_empty() {
            self.apart.note_same(record);
            self.apart.note_refused(record, reply);
            tally.same += 1;
            return false;
        }
        self.apart.note_created(record, reply);
        match self.rules_for(record, reply, &differences, &context) {
            Ok(rules) => {
                self.apart.note(record, reply, &differences);
                if self.verbose {
                    println!(
                        "{} {}: {rules:?}: {} {}",
                        self.name, record.id, differences[0].at, differences[0].text
                    );
                }
                tally.deviates(rules);
                true
            }
            Err(difference) => {
                tally.different += 1;
                let (at, text) = (&difference.at, &difference.text);
                println!(
                    "{}: {} {} {}: {at} {text}",
                    self.name, record.id, record.method, record.path
                );
                false
            }
        }
    }

    /// The rules under which all differences fall, or the first that falls under none.
    fn rules_for(
        &self,
        record: &Exchange,
        reply: &Reply,
        differences: &[Difference],
        context: &Context<'_>,
    ) -> Result<BTreeSet<String>, Difference> {
        let under_rules = |differences: &[Difference]| -> Result<BTreeSet<String>, Difference> {
            differences
                .iter()
                .map(|one| {
                    self.rules
                        .rule(record, reply, one, self.padded)
                        .map(|rule| rule.name.clone())
                        .ok_or_else(|| one.clone())
                })
                .collect()
        };
        under_rules(differences).or_else(|unruled| {
            let consequence = self
                .rules
                .consequence()
                .map(|rule| rule.name.clone())
                .ok_or_else(|| unruled.clone())?;
            if self.apart.is_about(record) {
                return Ok(BTreeSet::from([consequence]));
            }
            let ours = compare::body(reply);
            let (left, right) = self
                .apart
                .aligned(record, &record.response["body"], &ours)
                .ok_or_else(|| unruled.clone())?;
            let mut rest = Vec::new();
            compare::compare("", &left, &right, context, &mut rest);
            let mut rules = under_rules(&rest)?;
            rules.insert(consequence);
            Ok(rules)
        })
    }
}

fn texts(value: &Value, out: &mut HashSet<String>) {
    match value {
        Value::String(text) => {
            out.insert(text.trim().to_owned());
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, out)),
        Value::Object(members) => members.values().for_each(|item| texts(item, out)),
        _ => {}
    }
}
