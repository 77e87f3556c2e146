//! Pages of the documentation, whose commands are run as they are printed.

/// A fenced block of a page.
#[derive(Clone, PartialEq, Debug)]
pub struct Block {
    /// What follows the fence: `sh`, `json`, …
    pub language: String,
    pub text: String,
    /// Of the fence, from 1.
    pub line: usize,
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
