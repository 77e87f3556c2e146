//! What an import did, for people and for programs.

use serde::Serialize;

use super::apply::Done;
use super::plan::{Job, Work};
use super::read::BadLine;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Output, Table};

/// Wrong lines that are printed one by one.
const MOST_SHOWN: usize = 40;

/// A host of the file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Named {
    pub(super) line: u64,
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) fields: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) dry_run: bool,
    pub(super) created: Vec<Named>,
    pub(super) changed: Vec<Named>,
    /// Hosts that are different on the server and were left as they are.
    pub(super) different: Vec<Named>,
    pub(super) equal: u64,
    pub(super) refused: Vec<BadLine>,
    /// Hosts that were not reached because the server was lost.
    pub(super) not_done: Vec<Named>,
    /// New hosts whose image was left out, because its number means nothing here.
    pub(super) without_image: u64,
    #[serde(skip)]
    pub(super) lost: Option<String>,
}

impl Report {
    pub(super) fn add(&mut self, job: &Job, done: Option<Done>) {
        let mut named = named(job);
        let is_new = matches!(job.work, Work::Create { .. });
        match done {
            Some(Done::Created { id }) => {
                named.id = Some(id);
                self.created.push(named);
            }
            Some(Done::WouldWork) if is_new => self.created.push(named),
            Some(Done::Changed | Done::WouldWork) => self.changed.push(named),
            Some(Done::Refused { reason }) => {
                self.refused
                    .push(BadLine::new(job.line, "(server)", reason));
            }
            Some(Done::Lost { reason }) => {
                self.lost.get_or_insert(reason);
                self.not_done.push(named);
            }
            None => self.not_done.push(named),
        }
    }

    /// Prints the report and says how the command ends.
    ///
    /// # Errors
    /// When the server was lost, or standard output cannot be written.
    pub(super) fn finish(self, output: Output) -> Result<Exit, Failure> {
        self.tell_refused();
        let mut table = Table::new(&["ID", "LINE", "HOST", "RESULT"]);
        let (made, altered) = match self.dry_run {
            true => ("would be created", "would be changed"),
            false => ("created", "changed"),
        };
        let groups = [
            (&self.created, made),
            (&self.changed, altered),
            (&self.different, "differs, left as it is"),
            (&self.not_done, "not done"),
        ];
        for (hosts, result) in groups {
            for host in hosts {
                let fields = match host.fields.as_slice() {
                    [] => String::new(),
                    fields => format!(" ({})", fields.join(", ")),
                };
                let id = host.id.map_or_else(|| "-".to_owned(), |id| id.to_string());
                table.row([
                    id,
                    host.line.to_string(),
                    host.name.clone(),
                    format!("{result}{fields}"),
                ]);
            }
        }
        output.show(&table, &self)?;
        output.say(&self.summary());
        if self.without_image > 0 {
            output.say(&format!(
                "{} without an image: numbers of images of another server mean nothing here; \
                 --image NAME, --image-map NUMBER=NAME or --keep-image-ids with --update sets one",
                human::count(
                    usize::try_from(self.without_image).unwrap_or(usize::MAX),
                    "new host"
                )
            ));
        }
        self.exit()
    }

    fn tell_refused(&self) {
        for bad in self.refused.iter().take(MOST_SHOWN) {
            eprintln!("error: line {}, {}: {}", bad.line, bad.field, bad.reason);
        }
        if self.refused.len() > MOST_SHOWN {
            eprintln!("error: and {} more lines", self.refused.len() - MOST_SHOWN);
        }
    }

    fn summary(&self) -> String {
        let would = if self.dry_run { "would be " } else { "" };
        let mut text = format!(
            "{would}created {}, {would}changed {}, already equal {}, different and left {}, refused {}",
            self.created.len(),
            self.changed.len(),
            self.equal,
            self.different.len(),
            self.refused.len()
        );
        if !self.not_done.is_empty() {
            text.push_str(&format!(", not done {}", self.not_done.len()));
        }
        if !self.different.is_empty() {
            text.push_str("; --update changes those that are different");
        }
        text
    }

    fn exit(&self) -> Result<Exit, Failure> {
        let worked = self.created.len() + self.changed.len();
        if let Some(reason) = &self.lost {
            let exit = if worked > 0 {
                Exit::Partly
            } else {
                Exit::Failed
            };
            let what = format!(
                "the server was lost: {} stored, {} not",
                human::count(worked, "host"),
                self.not_done.len()
            );
            return Err(Failure::new(exit, what).caused_by(reason.clone()).advise(
                "run the same command again: what is stored already is recognised as equal",
            ));
        }
        let fine = worked > 0 || self.equal > 0;
        Ok(match (self.refused.is_empty(), self.different.is_empty()) {
            (true, true) => Exit::Ok,
            (false, _) if !fine => Exit::Failed,
            _ => Exit::Partly,
        })
    }
}

pub(super) fn named(job: &Job) -> Named {
    let (id, fields) = match &job.work {
        Work::Create { .. } => (None, Vec::new()),
        Work::Change { host, fields, .. } => (Some(host.get()), fields.clone()),
    };
    Named {
        line: job.line,
        name: job.name.clone(),
        id,
        fields,
    }
}
