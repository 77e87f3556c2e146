//! The file that says which points were reached, and what happened at them.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Names a file to append to.
const VARIABLE: &str = "FOGHORN_FAULTS_LOG";

#[derive(Debug)]
pub(crate) struct Record {
    file: File,
    /// Written already by this process: a point in a loop is one line.
    known: Mutex<BTreeSet<&'static str>>,
}

impl Record {
    /// The record of this process, if one is wanted.
    pub(crate) fn of_process() -> Option<&'static Self> {
        static RECORD: OnceLock<Option<Record>> = OnceLock::new();
        RECORD.get_or_init(Self::open).as_ref()
    }

    fn open() -> Option<Self> {
        let path = std::env::var_os(VARIABLE)?;
        match OpenOptions::new().create(true).append(true).open(&path) {
            Ok(file) => Some(Self {
                file,
                known: Mutex::default(),
            }),
            Err(problem) => {
                eprintln!("error: {VARIABLE} names {path:?}, which cannot be opened: {problem}");
                std::process::exit(2);
            }
        }
    }

    pub(crate) fn reached(&self, point: &'static str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.insert(point) {
            self.line(&format!("reached {point}\n"));
        }
    }

    pub(crate) fn happened(&self, point: &str, what: &str) {
        self.line(&format!("{what} {point}\n"));
    }

    /// One write each, so that lines of several processes do not mix.
    fn line(&self, line: &str) {
        if let Err(problem) = (&self.file).write_all(line.as_bytes()) {
            eprintln!("error: could not record a fault point: {problem}");
        }
    }
}
