//! Pages of the documentation, whose commands are run as they are printed.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// A page, and those of its commands that were not run yet.
pub struct Page {
    name: String,
    blocks: Vec<Block>,
    left: VecDeque<String>,
}

impl Page {
    /// `name` is its path in this folder of sources, such as `docs/quick-start.md`.
    ///
    /// # Errors
    /// When it cannot be read, or has no shell blocks.
    pub fn read(name: &str) -> Result<Self> {
        let text = fs::read_to_string(sources().join(name)).with_context(|| name.to_owned())?;
        let blocks = blocks(&text);
        let shell = blocks.iter().filter(|block| block.language == "sh");
        let left: VecDeque<_> = shell.flat_map(Block::commands).collect();
        ensure!(!left.is_empty(), "{name} has no commands");
        Ok(Self {
            name: name.to_owned(),
            blocks,
            left,
        })
    }

    /// The first block in another language.
    ///
    /// # Errors
    /// When there is none.
    pub fn text(&self, language: &str) -> Result<&str> {
        let found = self.blocks.iter().find(|block| block.language == language);
        found
            .map(|block| block.text.as_str())
            .with_context(|| format!("{} has lost its block {language}", self.name))
    }

    /// The next command, whatever it is.
    pub fn next_command(&mut self) -> Option<String> {
        self.left.pop_front()
    }

    /// The next command, which begins like this.
    ///
    /// # Errors
    /// When it does not.
    pub fn take(&mut self, start: &str) -> Result<String> {
        match self.left.pop_front() {
            Some(command) if command.starts_with(start) => Ok(command),
            other => bail!("{}: `{start} …` was to come, and not {other:?}", self.name),
        }
    }

    /// The commands before the one that begins like this.
    ///
    /// # Errors
    /// When there is none.
    pub fn take_until(&mut self, start: &str) -> Result<Vec<String>> {
        let found = self.left.iter().position(|next| next.starts_with(start));
        let place = found.with_context(|| format!("{}: no `{start} …` is left", self.name))?;
        Ok(self.left.drain(..place).collect())
    }

    /// The commands that are left.
    pub fn take_rest(&mut self) -> Vec<String> {
        self.left.drain(..).collect()
    }

    /// The next commands begin like this, and are not run.
    ///
    /// # Errors
    /// When one does not.
    pub fn leave_out(&mut self, starts: &[&str]) -> Result<()> {
        starts
            .iter()
            .try_for_each(|start| self.take(start).map(drop))
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// When something is.
    pub fn end(self) -> Result<()> {
        ensure!(self.left.is_empty(), "{}: {:?}", self.name, self.left);
        Ok(())
    }
}

/// The folder of sources.
#[must_use]
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A fenced block of a page.
#[derive(Clone, PartialEq, Debug)]
pub struct Block {
    /// What follows the fence: `sh`, `json`, …
    pub language: String,
    pub text: String,
    /// Of the fence, from 1.
    pub line: usize,
}

impl Block {
    /// The commands of a shell block, without what is explained behind them. A command goes on in
    /// the next line when that is indented.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for line in self.text.lines() {
            let line = without_comment(line);
            match found.last_mut() {
                Some(last) if line.starts_with([' ', '\t']) => {
                    last.push('\n');
                    last.push_str(line);
                }
                _ if line.is_empty() => {}
                _ => found.push(line.to_owned()),
            }
        }
        found
    }
}

fn without_comment(line: &str) -> &str {
    if line.starts_with('#') {
        return "";
    }
    line.split(" #").next().unwrap_or_default().trim_end()
}

/// The fenced blocks of a page, in order.
#[must_use]
pub fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block {
                    language: language.trim().to_owned(),
                    text: String::new(),
                    line: number + 1,
                });
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_without_their_explanation() {
        let page = "```sh\n# first\none 'a#b'   # 1\ntwo \\\n    three |\n    four\n\nfive\n```\n";
        assert_eq!(
            blocks(page)[0].commands(),
            ["one 'a#b'", "two \\\n    three |\n    four", "five"]
        );
    }
}
