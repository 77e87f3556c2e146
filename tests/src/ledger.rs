//! What was acknowledged, and whether it is still there, once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::rest::Rest;
use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

/// A host that was created and whose creation was answered.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// The last description that was answered, and one that may or may not have been stored.
    pub said: String,
    pub maybe: Option<String>,
    /// An edit may still come from a controller that was halted: it may say anything.
    pub in_doubt: bool,
    /// Snapin jobs that were ordered for it, each under a key of its own.
    pub jobs: usize,
}

#[derive(Clone, Default)]
struct Book {
    hosts: BTreeMap<String, Written>,
    /// Hosts whose deletion was answered.
    gone: BTreeSet<String>,
    /// Hosts of which nobody knows whether they are there: their last request was never answered.
    unsure: BTreeSet<String>,
    acknowledged: u64,
}

/// Everything that was acknowledged.
#[derive(Default)]
pub struct Ledger {
    book: Mutex<Book>,
}

/// A ledger as it was when a backup was made.
pub struct Page(Book);

/// What a comparison with the store found.
#[derive(Clone, Default, Debug, Serialize)]
pub struct Findings {
    pub acknowledged: u64,
    pub lost: Vec<String>,
    pub doubled: Vec<String>,
}

impl Ledger {
    fn with<R>(&self, change: impl FnOnce(&mut Book) -> R) -> R {
        change(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn created(&self, host: &str) {
        self.with(|book| {
            book.acknowledged += 1;
            book.hosts.insert(host.to_owned(), Written::default());
        });
    }

    pub fn about_to_say(&self, host: &str, text: &str) {
        self.with(|book| {
            if let Some(written) = book.hosts.get_mut(host) {
                written.maybe = Some(text.to_owned());
            }
        });
    }

    pub fn said(&self, host: &str, text: &str) {
        self.with(|book| {
            book.acknowledged += 1;
            if let Some(written) = book.hosts.get_mut(host) {
                text.clone_into(&mut written.said);
                written.maybe = None;
            }
        });
    }

    /// It was answered, and an earlier attempt may still be carried out.
    pub fn said_in_doubt(&self, host: &str) {
        self.with(|book| {
            book.acknowledged += 1;
            if let Some(written) = book.hosts.get_mut(host) {
                written.in_doubt = true;
            }
        });
    }

    pub fn job_made(&self, host: &str) {
        self.with(|book| {
            book.acknowledged += 1;
            if let Some(written) = book.hosts.get_mut(host) {
                written.jobs += 1;
            }
        });
    }

    pub fn deleted(&self, host: &str) {
        self.with(|book| {
            book.acknowledged += 1;
            book.hosts.remove(host);
            book.gone.insert(host.to_owned());
        });
    }

    /// Nobody answered for so long that the host is counted neither as there nor as gone.
    pub fn unsure(&self, host: &str) {
        self.with(|book| {
            book.hosts.remove(host);
            book.unsure.insert(host.to_owned());
        });
    }

    #[must_use]
    pub fn knows(&self, host: &str) -> bool {
        self.with(|book| book.hosts.contains_key(host))
    }

    #[must_use]
    pub fn page(&self) -> Page {
        Page(self.with(|book| book.clone()))
    }

    /// The store was put back to what it was; what came since is not expected any more.
    pub fn put_back(&self, page: Page) {
        self.with(|book| {
            let acknowledged = book.acknowledged;
            *book = page.0;
            book.acknowledged = acknowledged;
        });
    }

    /// Compares with what the API shows. Nobody may write meanwhile.
    ///
    /// # Errors
    /// When the API does not answer.
    pub fn compare(&self, rest: &Rest) -> Result<Findings> {
        let book = self.with(|book| book.clone());
        let hosts = rest.get("/fog/host")?.ok()?;
        let hosts = hosts["hosts"].as_array().context("a list of hosts")?;
        let jobs = rest.get("/fog/snapinjob")?.ok()?;
        let jobs = jobs["snapinjobs"].as_array().context("a list of jobs")?;
        let mut found = Findings {
            acknowledged: book.acknowledged,
            ..Findings::default()
        };
        let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
        let mut by_name: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
        for host in hosts {
            by_name.entry(text(host, "name")).or_default().push(host);
        }
        for (name, rows) in by_name.iter().filter(|(_, rows)| rows.len() > 1) {
            found
                .doubled
                .push(format!("{} hosts are called {name}", rows.len()));
        }
        for (name, written) in &book.hosts {
            let Some(row) = by_name.get(name).and_then(|rows| rows.first()) else {
                found.lost.push(format!("host {name} is not there"));
                continue;
            };
            let says = text(row, "description");
            if !written.in_doubt && says != written.said && Some(&says) != written.maybe.as_ref() {
                let said = &written.said;
                found
                    .lost
                    .push(format!("host {name} says {says:?}, not {said:?}"));
            }
            let id = text(row, "id");
            let made = jobs.iter().filter(|job| text(job, "hostID") == id).count();
            let expected = written.jobs;
            match made.cmp(&expected) {
                std::cmp::Ordering::Less => {
                    found
                        .lost
                        .push(format!("host {name} has {made} jobs of {expected}"));
                }
                std::cmp::Ordering::Greater => {
                    found
                        .doubled
                        .push(format!("host {name} has {made} jobs, not {expected}"));
                }
                std::cmp::Ordering::Equal => {}
            }
        }
        for name in book.gone.iter().filter(|name| by_name.contains_key(*name)) {
            found
                .lost
                .push(format!("host {name} was deleted and is there"));
        }
        Ok(found)
    }
}
