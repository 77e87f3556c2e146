//! Short codes: what a person types at a machine in place of a boot token.
//!
//! Six characters of 32 that are not mistaken for one another (no I, L, O and U), shown as
//! `7KQ-24M`. Case, dashes and spaces do not matter, and what looks like a digit is one.

use std::fmt;
use std::str::FromStr;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 6;
/// Bits of a character.
const BITS: u32 = 5;

/// A short code in its one form, without the dash.
#[derive(Clone, PartialEq, Eq)]
pub struct ShortCode(String);

/// Why a text is no short code.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseCodeError {
    #[error("{0:?} is not a character of a code: codes have digits and letters, but no U")]
    Character(char),
    #[error("a code has {LENGTH} characters, as in 7KQ-24M, and this has {0}")]
    Length(usize),
}

impl ShortCode {
    /// The code for 30 random bits; the others are ignored.
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        let place = |number: usize| {
            let shift = BITS * u32::try_from(number).unwrap_or_default();
            usize::try_from((bits >> shift) & 31).unwrap_or_default()
        };
        Self(
            (0..LENGTH)
                .map(|number| char::from(ALPHABET[place(number)]))
                .collect(),
        )
    }

    /// What both ends of an exchange know.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl FromStr for ShortCode {
    type Err = ParseCodeError;

    fn from_str(text: &str) -> Result<Self, ParseCodeError> {
        let typed = text
            .chars()
            .filter(|char| !char.is_whitespace() && !matches!(char, '-' | '\u{2013}'));
        let code: String = typed.map(meant).collect::<Result<_, _>>()?;
        if code.len() == LENGTH {
            Ok(Self(code))
        } else {
            Err(ParseCodeError::Length(code.len()))
        }
    }
}

/// The character of the alphabet that was meant.
fn meant(typed: char) -> Result<char, ParseCodeError> {
    let upper = match typed.to_ascii_uppercase() {
        'I' | 'L' => '1',
        'O' => '0',
        other => other,
    };
    let known = u8::try_from(upper).is_ok_and(|byte| ALPHABET.contains(&byte));
    if known {
        Ok(upper)
    } else {
        Err(ParseCodeError::Character(typed))
    }
}

impl fmt::Display for ShortCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, second) = self.0.split_at(LENGTH / 2);
        write!(f, "{first}-{second}")
    }
}

/// A code is a secret as long as it is good.
impl fmt::Debug for ShortCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShortCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_shown_is_what_is_read() {
        for bits in [0, 1, 0x3fff_ffff, 0x1234_5678, u32::MAX, 31 << 25] {
            let code = ShortCode::from_bits(bits);
            assert_eq!(code.to_string().len(), LENGTH + 1);
            assert_eq!(code.to_string().parse::<ShortCode>().unwrap(), code);
        }
        assert_eq!(ShortCode::from_bits(0).to_string(), "000-000");
        assert_eq!(ShortCode::from_bits(1 << 5).to_string(), "010-000");
        assert_eq!(ShortCode::from_bits(31 << 25).to_string(), "000-00Z");
    }

    #[test]
    fn every_bit_counts() {
        let codes: BTreeSet<_> = (0..30)
            .map(|bit| ShortCode::from_bits(1 << bit).to_string())
            .collect();
        assert_eq!(codes.len(), 30);
    }

    #[test]
    fn case_dashes_and_look_alikes_do_not_matter() {
        let code: ShortCode = "71Q-20M".parse().unwrap();
        for typed in ["71q20m", " 7lQ 2oM ", "7-I-q-2-O-m", "71Q\u{2013}20M"] {
            assert_eq!(typed.parse::<ShortCode>().unwrap(), code, "{typed}");
        }
    }

    #[test]
    fn what_is_no_code_is_refused_with_the_reason() {
        let refused = |text: &str| text.parse::<ShortCode>().unwrap_err();
        assert_eq!(refused("7KQ-24"), ParseCodeError::Length(5));
        assert_eq!(refused("7KQ-24MM"), ParseCodeError::Length(7));
        assert_eq!(refused(""), ParseCodeError::Length(0));
        assert_eq!(refused("7UQ-24M"), ParseCodeError::Character('U'));
        assert_eq!(refused("7KQ_24M"), ParseCodeError::Character('_'));
        assert_eq!(refused("7KQ-24é"), ParseCodeError::Character('é'));
        // Upper case of these would be more than one character.
        assert_eq!(refused("7KQ-24ß"), ParseCodeError::Character('ß'));
    }
}
