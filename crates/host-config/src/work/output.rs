//! What a program has said, bounded.

/// Most characters of a result that are kept for people.
pub const LONGEST_DETAILS: usize = 250;

/// The last bytes of what comes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tail {
    bytes: Vec<u8>,
    most: usize,
}

impl Tail {
    /// Keeps so many bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let bytes = Vec::new();
        Self { bytes, most }
    }

    /// Adds bytes at the end.
    pub fn push(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
        // Not each time, so that a byte is moved about once.
        if self.bytes.len() > self.most.saturating_mul(2) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let surplus = self.bytes.len().saturating_sub(self.most);
        self.bytes.drain(..surplus);
    }

    /// What is kept.
    #[must_use]
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.cut();
        self.bytes
    }
}

/// What is told of an end in [`LONGEST_DETAILS`] characters: why, if there is something to say, and the last of the output. Control
/// characters become blanks.
#[must_use]
pub fn details(why: &str, output: &[u8]) -> String {
    let plain = |text: &str| {
        let blank = text.chars().map(|c| if c.is_control() { ' ' } else { c });
        blank.collect::<String>().trim().to_owned()
    };
    let why: String = plain(why).chars().take(LONGEST_DETAILS).collect();
    let output = plain(&String::from_utf8_lossy(output));
    if why.is_empty() || output.is_empty() {
        return why + last(&output, LONGEST_DETAILS);
    }
    let room = LONGEST_DETAILS.saturating_sub(why.chars().count() + 2);
    match last(&output, room) {
        "" => why,
        output => format!("{why}: {output}"),
    }
}

/// The last characters of a text.
fn last(text: &str, most: usize) -> &str {
    let surplus = text.chars().count().saturating_sub(most);
    let begin = text.char_indices().nth(surplus);
    begin.map_or("", |(at, _)| &text[at..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn details_are_the_end_of_the_output_and_why_it_ended() {
        assert_eq!(details("", b""), "");
        assert_eq!(details("", b" one\ntwo\x1b\n"), "one two");
        assert_eq!(details("stopped", b""), "stopped");
        assert_eq!(details("stopped", b"working\n"), "stopped: working");
        let long = format!("{}end", "x".repeat(1000));
        let said = details("why", long.as_bytes());
        assert_eq!(said.chars().count(), LONGEST_DETAILS);
        assert!(said.starts_with("why: x") && said.ends_with("end"));
        assert_eq!(details(&long, b"output"), "x".repeat(LONGEST_DETAILS));
        assert_eq!(details("", "\u{e4}\u{fffd}".as_bytes()), "\u{e4}\u{fffd}");
    }

    proptest! {
        #[test]
        fn the_end_is_kept(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..20), most in 0_usize..16) {
            let mut tail = Tail::new(most);
            for piece in &pieces {
                tail.push(piece);
            }
            let all = pieces.concat();
            let wanted = &all[all.len().saturating_sub(most)..];
            prop_assert_eq!(tail.into_bytes(), wanted);
        }

        #[test]
        fn details_are_bounded(why in ".{0,300}", output in prop::collection::vec(any::<u8>(), 0..600)) {
            let said = details(&why, &output);
            prop_assert!(said.chars().count() <= LONGEST_DETAILS);
            prop_assert!(!said.chars().any(char::is_control));
        }
    }
}
