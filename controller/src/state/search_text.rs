//! The texts of all rows of a table in one piece of memory, ready to be searched.
//!
//! A search looks for a substring in every stored field of every row. Row by row that is a hundred
//! thousand little texts that have to be found in memory and folded; here it is one scan, at the
//! speed of memory, over texts that were folded when they were stored. The scan gives candidates;
//! where a needle has several parts the caller looks at the fields again.

use std::collections::HashMap;

use memchr::memmem::Finder;

/// Between two fields. A needle with this in it may find too much here, never too little.
const BORDER: u8 = 0x1f;
/// Room of replaced and deleted rows is given back when it is more than this, and more than what is
/// in use.
const LEAST_WASTE: usize = 64 << 10;

/// See the module.
#[derive(Default)]
pub(crate) struct SearchText {
    text: Vec<u8>,
    /// Where the texts begin, ascending, and whose they are; 0 for a row that was replaced or
    /// deleted.
    starts: Vec<(usize, u32)>,
    /// Where in `starts` a row is.
    places: HashMap<u32, usize>,
    wasted: usize,
}

/// Upper case, as [`super::value::fold`]; most texts are ASCII and need no memory of their own.
fn push_folded(out: &mut Vec<u8>, text: &str) {
    let text = text.trim();
    if text.is_ascii() {
        out.extend(text.bytes().map(|byte| byte.to_ascii_uppercase()));
    } else {
        out.extend_from_slice(text.to_uppercase().as_bytes());
    }
}

impl SearchText {
    /// Replaces the texts of a row.
    pub(crate) fn put<T: AsRef<str>>(&mut self, id: u32, texts: impl Iterator<Item = T>) {
        self.remove(id);
        let start = self.text.len();
        for text in texts {
            let text = text.as_ref();
            if !text.is_empty() {
                push_folded(&mut self.text, text);
                self.text.push(BORDER);
            }
        }
        if self.text.len() > start {
            self.places.insert(id, self.starts.len());
            self.starts.push((start, id));
        }
    }

    pub(crate) fn remove(&mut self, id: u32) {
        let Some(place) = self.places.remove(&id) else {
            return;
        };
        self.wasted += self.end(place) - self.starts[place].0;
        self.starts[place].1 = 0;
        if self.wasted > LEAST_WASTE && self.wasted > self.text.len() / 2 {
            self.tidy();
        }
    }

    /// Ids of the rows in which `part`, which is folded, occurs; each once, in no particular order.
    pub(crate) fn find(&self, part: &str) -> Vec<u32> {
        let finder = Finder::new(part);
        let mut found = Vec::new();
        let (mut from, mut place) = (0, 0);
        while let Some(hit) = finder.find(&self.text[from..]) {
            let hit = from + hit;
            place += self.starts[place..].partition_point(|(start, _)| *start <= hit);
            // `place` is now the row after the hit; the hit's own is one before.
            match self.starts[place - 1].1 {
                0 => {}
                id => found.push(id),
            }
            match self.starts.get(place) {
                Some((next, _)) => from = *next,
                None => break,
            }
        }
        found
    }

    fn end(&self, place: usize) -> usize {
        self.starts
            .get(place + 1)
            .map_or(self.text.len(), |(start, _)| *start)
    }

    /// Moves what is in use together.
    fn tidy(&mut self) {
        let mut tidy = Self::default();
        tidy.text.reserve(self.text.len() - self.wasted);
        for (place, (start, id)) in self
            .starts
            .iter()
            .enumerate()
            .filter(|(_, (_, id))| *id != 0)
        {
            tidy.places.insert(*id, tidy.starts.len());
            tidy.starts.push((tidy.text.len(), *id));
            tidy.text
                .extend_from_slice(&self.text[*start..self.end(place)]);
        }
        *self = tidy;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(rows: &[(u32, &[&str])]) -> SearchText {
        let mut text = SearchText::default();
        for (id, fields) in rows {
            text.put(*id, fields.iter());
        }
        text
    }

    #[test]
    fn finds_rows_whatever_the_case_and_never_across_fields() {
        let text = with(&[
            (1, &["lab-pc01", "", "büro"]),
            (2, &["lab-pc02", "pc01 was here"]),
            (3, &["ab", "cd"]),
        ]);
        assert_eq!(text.find("PC01"), [1, 2]);
        assert_eq!(text.find("BÜRO"), [1]);
        assert_eq!(text.find("LAB"), [1, 2]);
        assert!(text.find("ABCD").is_empty() && text.find("PC03").is_empty());
    }

    #[test]
    fn knows_only_the_last_texts_of_a_row() {
        let mut text = with(&[(1, &["one"]), (2, &["two"])]);
        text.put(1, ["three"].iter());
        text.remove(2);
        assert!(text.find("ONE").is_empty() && text.find("TWO").is_empty());
        assert_eq!(text.find("THREE"), [1]);
    }

    #[test]
    fn gives_room_back() {
        let mut text = SearchText::default();
        let long = "x".repeat(1000);
        for round in 0..1000_u32 {
            text.put(7, [format!("{long}{round}")].iter());
            text.put(round + 10, ["kept"].iter());
        }
        assert!(
            text.text.len() < 2 * LEAST_WASTE + 20_000,
            "{}",
            text.text.len()
        );
        assert_eq!(text.find("X999"), [7]);
        assert!(text.find("X998").is_empty());
        assert_eq!(text.find("KEPT").len(), 1000);
    }
}
