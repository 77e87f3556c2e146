//! What a search looks for: a text with wildcards, without regard to case.

use super::value::fold;

/// Parts of a searched text that must follow one another; between them anything may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Needle {
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

impl Needle {
    /// Blank, `+`, `%` and `_` stand for any text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let folded = fold(text);
        let parts = folded.split([' ', '+', '%', '_']).filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let separators = [':', '-', '.', '%', '+', ' '];
        let digits: String = folded.chars().filter(|c| !separators.contains(c)).collect();
        let address = (!digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit())).then_some(digits);
        Self { parts, address }
    }

    #[must_use]
    pub fn hits(&self, text: &str) -> bool {
        in_order(&fold(text), self.parts.iter().map(String::as_str))
    }

    /// Like [`Needle::hits`] for a network address, whose separators count for nothing.
    #[must_use]
    pub fn hits_address(&self, mac: &str) -> bool {
        let Some(wanted) = &self.address else { return false };
        let digits: String = mac.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_uppercase();
        digits.contains(wanted.as_str())
    }
}

/// A filter's pattern: `%` is any text, everything else is itself.
#[must_use]
pub fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern) = (fold(text), fold(pattern));
    let mut parts: Vec<&str> = pattern.split('%').collect();
    let (Some(last), first) = (parts.pop(), parts.first().copied()) else { return false };
    let Some(first) = first else { return text == last };
    let Some(rest) = text.strip_prefix(first) else { return false };
    let Some(middle) = rest.strip_suffix(last) else { return false };
    in_order(middle, parts.into_iter().skip(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_know_wildcards_and_addresses() {
        assert!(Needle::new("LAB+01").hits("lab-pc01") && !Needle::new("01+lab").hits("lab-pc01"));
        assert!(
            Needle::new("001a2b").hits_address("00:1a:2b:3c:4d:01")
                && !Needle::new("library").hits_address("00:ba:00:00:00:01")
        );
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
