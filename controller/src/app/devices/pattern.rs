//! Patterns for names: globs as in a shell, and those of SQL's LIKE. Pure.

/// A pattern that a whole text matches or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    pieces: Vec<Piece>,
    /// Whether upper and lower case are the same.
    folds: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    /// Any characters, also none.
    Any,
    /// Any one character.
    One,
    Char(char),
    /// One of these, or one that is none of these.
    Set {
        excluded: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Pattern {
    /// `*`, `?`, `[a-z]`, `[!a-z]`; a backslash takes the meaning of the next character away. A bracket
    /// that nothing closes stands for itself.
    #[must_use]
    pub fn glob(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(&char) = chars.get(at) {
            at += 1;
            let piece = match char {
                '*' => Piece::Any,
                '?' => Piece::One,
                '\\' => {
                    let next = chars.get(at).copied();
                    at += usize::from(next.is_some());
                    Piece::Char(next.unwrap_or('\\'))
                }
                '[' => match set(&chars[at..]) {
                    Some((piece, length)) => {
                        at += length;
                        piece
                    }
                    None => Piece::Char('['),
                },
                other => Piece::Char(other),
            };
            pieces.push(piece);
        }
        Self {
            pieces,
            folds: false,
        }
    }

    /// `%` and `_`, without regard to case; a backslash takes the meaning of the next character away.
    #[must_use]
    pub fn like(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            pieces.push(match char {
                '%' => Piece::Any,
                '_' => Piece::One,
                '\\' => Piece::Char(chars.next().unwrap_or('\\')),
                other => Piece::Char(other),
            });
        }
        Self {
            pieces,
            folds: true,
        }
    }

    /// Takes time in proportion to both lengths, at most.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut piece, mut at) = (0, 0);
        // Where to go on with one more character for the last `Any`.
        let mut retry: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.pieces.get(piece) {
                Some(Piece::Any) => {
                    piece += 1;
                    retry = Some((piece, at));
                }
                Some(other) if self.fits(other, text[at]) => {
                    piece += 1;
                    at += 1;
                }
                _ => {
                    let Some((after, from)) = retry else {
                        return false;
                    };
                    (piece, at) = (after, from + 1);
                    retry = Some((after, from + 1));
                }
            }
        }
        self.pieces[piece..].iter().all(|rest| *rest == Piece::Any)
    }

    fn fits(&self, piece: &Piece, char: char) -> bool {
        match piece {
            Piece::Any | Piece::One => true,
            Piece::Char(own) if self.folds => own.to_lowercase().eq(char.to_lowercase()),
            Piece::Char(own) => *own == char,
            Piece::Set { excluded, ranges } => {
                let is_in = |(first, last): &(char, char)| (*first..=*last).contains(&char);
                ranges.iter().any(is_in) != *excluded
            }
        }
    }
}

/// The set whose bracket was just read, and how many characters it takes with the closing one.
fn set(chars: &[char]) -> Option<(Piece, usize)> {
    let excluded = matches!(chars.first(), Some('!' | '^'));
    let begin = usize::from(excluded);
    // A closing bracket that comes first is a member.
    let end = (begin + 1..chars.len()).find(|at| chars[*at] == ']')?;
    let members = &chars[begin..end];
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < members.len() {
        match members[at..] {
            [first, '-', last, ..] => {
                ranges.push((first, last));
                at += 3;
            }
            [one, ..] => {
                ranges.push((one, one));
                at += 1;
            }
            [] => break,
        }
    }
    Some((Piece::Set { excluded, ranges }, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_in_a_shell() {
        for (pattern, yes, no) in [
            ("device-1", "device-1", "device-10"),
            ("device-*", "device-", "a-device-"),
            ("*-1?", "device-10", "device-1"),
            ("d[a-e]v[!x]ce", "device", "dzvice"),
            ("d[!a-e]v", "dzv", "dev"),
            ("[]x]", "]", "y"),
            ("a\\*b", "a*b", "axb"),
            ("[ab", "[ab", "a"),
            ("*a*b*", "xxaxxbxx", "xxbxxaxx"),
            ("*", "", "\0none"),
            ("Device", "Device", "device"),
            ("ü?", "üö", "ü"),
        ] {
            assert!(Pattern::glob(pattern).matches(yes), "{pattern} {yes}");
            if no != "\0none" {
                assert!(!Pattern::glob(pattern).matches(no), "{pattern} {no}");
            }
        }
        assert!(Pattern::glob("").matches("") && !Pattern::glob("").matches("a"));
    }

    #[test]
    fn like_knows_no_case() {
        for (pattern, yes, no) in [
            ("device-%", "DEVICE-7", "a-device-7"),
            ("d_vice", "Device", "dvice"),
            ("100\\%", "100%", "1000"),
            ("%É%", "caféx", "cafe"),
            ("*", "*", "anything"),
        ] {
            assert!(Pattern::like(pattern).matches(yes), "{pattern} {yes}");
            assert!(!Pattern::like(pattern).matches(no), "{pattern} {no}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_longer_than_both_lengths_allow() {
        let pattern = Pattern::glob(&format!("{}b", "*a".repeat(500)));
        assert!(!pattern.matches(&"a".repeat(5000)));
    }
}
