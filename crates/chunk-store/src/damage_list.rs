//! The list of what is damaged, as text: one line for each finding, with tabs between its fields.

use std::collections::BTreeMap;

use foghorn_types::{ChunkId, FileId, ManifestId, Timestamp};
use tracing::warn;

/// One finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) at: Timestamp,
    pub(crate) problem: String,
}

/// Who needs a chunk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Needed {
    pub(crate) by: Vec<ManifestId>,
    pub(crate) by_files: Vec<FileId>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DamagedEntry {
    pub(crate) found: Found,
    /// `None`: nobody has looked yet.
    pub(crate) needed: Option<Needed>,
}

/// The file's contents.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Lines {
    pub(crate) chunks: BTreeMap<ChunkId, DamagedEntry>,
    pub(crate) manifests: BTreeMap<ManifestId, Found>,
    pub(crate) files: BTreeMap<FileId, Found>,
}

impl Lines {
    pub(crate) fn len(&self) -> usize {
        self.chunks.len() + self.manifests.len() + self.files.len()
    }

    pub(crate) fn encode(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for (id, entry) in &self.chunks {
            let (by, by_files) = match &entry.needed {
                Some(needed) => (listed(&needed.by), listed(&needed.by_files)),
                None => ("?".to_owned(), "?".to_owned()),
            };
            let (at, problem) = (entry.found.at.as_millis(), &entry.found.problem);
            let _ = writeln!(text, "chunk\t{id}\t{at}\t{by}\t{by_files}\t{problem}");
        }
        for (id, found) in &self.manifests {
            let (at, problem) = (found.at.as_millis(), &found.problem);
            let _ = writeln!(text, "manifest\t{id}\t{at}\t{problem}");
        }
        for (id, found) in &self.files {
            let (at, problem) = (found.at.as_millis(), &found.problem);
            let _ = writeln!(text, "file\t{id}\t{at}\t{problem}");
        }
        text
    }

    /// Lines that are not ours are left out: a later scrub finds what they said.
    pub(crate) fn decode(text: &str) -> Self {
        let mut lines = Self::default();
        for line in text.lines() {
            if lines.take(line).is_none() {
                warn!(line, "a line of the list of damaged content cannot be read");
            }
        }
        lines
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let (kind, rest) = line.split_once('\t')?;
        let (id, rest) = rest.split_once('\t')?;
        let (at, rest) = rest.split_once('\t')?;
        let found = |problem: &str| {
            Some(Found {
                at: Timestamp::from_millis(at.parse().ok()?),
                problem: problem.to_owned(),
            })
        };
        match kind {
            "chunk" => {
                let (by, rest) = rest.split_once('\t')?;
                let (by_files, problem) = rest.split_once('\t')?;
                let needed = match by {
                    "?" => None,
                    by => Some(Needed {
                        by: parsed(by)?,
                        by_files: parsed(by_files)?,
                    }),
                };
                let found = found(problem)?;
                let entry = DamagedEntry { found, needed };
                self.chunks.insert(id.parse().ok()?, entry);
            }
            "manifest" => drop(self.manifests.insert(id.parse().ok()?, found(rest)?)),
            "file" => drop(self.files.insert(id.parse().ok()?, found(rest)?)),
            _ => return None,
        }
        Some(())
    }
}

fn listed<T: std::fmt::Display>(ids: &[T]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.join(",")
}

fn parsed<T: std::str::FromStr>(ids: &str) -> Option<Vec<T>> {
    let ids = ids.split(',').filter(|id| !id.is_empty());
    ids.map(|id| id.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_cannot_be_read_take_nothing_else_with_them() {
        let id = ManifestId::of(b"one");
        let text = format!("nonsense\nmanifest\t{id}\t7\ttorn\nfile\tx\t1\ty\nchunk\t\t\t\n");
        let lines = Lines::decode(&text);
        assert_eq!(lines.len(), 1);
        assert_eq!(
            lines.manifests[&id],
            Found {
                at: Timestamp::from_millis(7),
                problem: "torn".to_owned()
            }
        );
    }
}
