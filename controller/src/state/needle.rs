//! What a search looks for: a text with wildcards, without regard to case.

use super::value::fold;

/// Stands for exactly one character of a searched text.
const ANY_CHARACTER: char = '_';

/// Parts of a searched text that must follow one another; between them anything may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Needle {
    /// Folded, with [`ANY_CHARACTER`] in them.
    parts: Vec<String>,
    /// The hexadecimal digits, when the text could be a piece of a network address.
    address: Option<String>,
}

/// Whether the parts occur in the text in this order.
fn in_order<'p>(text: &str, parts: impl IntoIterator<Item = &'p str>) -> bool {
    let mut rest = text;
    parts.into_iter().all(|part| match rest.find(part) {
        Some(place) => {
            rest = &rest[place + part.len()..];
            true
        }
        None => false,
    })
}

/// Where the first place in the text ends that fits a part of a needle.
fn end_of(text: &str, part: &str) -> Option<usize> {
    if !part.contains(ANY_CHARACTER) {
        return text.find(part).map(|start| start + part.len());
    }
    let fitting = |start: usize| {
        let mut left = text[start..].char_indices();
        let fits = part.chars().all(|wanted| match left.next() {
            Some((_, found)) => wanted == ANY_CHARACTER || wanted == found,
            None => false,
        });
        fits.then_some(start + left.offset())
    };
    text.char_indices().find_map(|(start, _)| fitting(start))
}

impl Needle {
    /// Blank, `+` and `%` stand for any text, `_` for one character.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let folded = fold(text);
        let parts = folded
            .split([' ', '+', '%'])
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect();
        let separators = [':', '-', '.', '%', '+', ' '];
        let digits: String = folded.chars().filter(|c| !separators.contains(c)).collect();
        let address =
            (!digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit())).then_some(digits);
        Self { parts, address }
    }

    /// Whether there are only wildcards for any text.
    pub(crate) fn fits_everything(&self) -> bool {
        self.parts.is_empty()
    }

    /// The longest of the texts that must occur, folded; none when there are only wildcards.
    pub(crate) fn longest_text(&self) -> Option<&str> {
        let texts = self.parts.iter().flat_map(|part| part.split(ANY_CHARACTER));
        texts
            .filter(|text| !text.is_empty())
            .max_by_key(|text| text.len())
    }

    /// Whether it is one text without wildcards.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(&self.parts[..], [part] if !part.contains(ANY_CHARACTER))
    }

    /// The hexadecimal digits, in upper case, when the text could be a piece of a network address.
    pub(crate) fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    #[must_use]
    pub fn hits(&self, text: &str) -> bool {
        let text = fold(text);
        let mut rest = text.as_str();
        self.parts.iter().all(|part| match end_of(rest, part) {
            Some(end) => {
                rest = &rest[end..];
                true
            }
            None => false,
        })
    }
}

/// A filter's pattern: `%` is any text, everything else is itself.
#[must_use]
pub fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern) = (fold(text), fold(pattern));
    let mut parts: Vec<&str> = pattern.split('%').collect();
    let (Some(last), first) = (parts.pop(), parts.first().copied()) else {
        return false;
    };
    let Some(first) = first else {
        return text == last;
    };
    let Some(rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(middle) = rest.strip_suffix(last) else {
        return false;
    };
    in_order(middle, parts.into_iter().skip(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_know_wildcards_and_addresses() {
        assert!(Needle::new("LAB+01").hits("lab-pc01") && !Needle::new("01+lab").hits("lab-pc01"));
        assert_eq!(Needle::new("001a2b").address(), Some("001A2B"));
        assert_eq!(Needle::new("library").address(), None);
    }

    #[test]
    fn an_underscore_is_one_character() {
        let hits = |needle: &str, text: &str| Needle::new(needle).hits(text);
        assert!(hits("fog_api", "FOG-API") && hits("b_ro", "Büro 1") && hits("____", "büro"));
        assert!(
            !hits("fog_api", "FOG my API") && !hits("fog_api", "fogapi") && !hits("pc_", "lab-pc")
        );
        assert!(hits("l_b+p_", "lab-pc01") && !hits("_b%lab", "lab-b"));
        assert_eq!(Needle::new("a_bcd%ef").longest_text(), Some("BCD"));
        assert!(Needle::new("__").longest_text().is_none() && !Needle::new("__").fits_everything());
    }

    #[test]
    fn patterns() {
        for (text, pattern, like) in [
            ("lab-pc01", "lab%", true),
            ("lab-pc01", "%PC%", true),
            ("lab-pc01", "lab_pc01", false),
            ("lab-pc01", "%", true),
            ("ab", "ab%ab", false),
            ("aXbXc", "a%b%c", true),
        ] {
            assert_eq!(is_like(text, pattern), like, "{text} {pattern}");
        }
    }
}
