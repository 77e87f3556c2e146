//! Telling a typing error from something else altogether.

/// Whether two long random texts, such as fingerprints of authorities, are the same but for a
/// typing error: one place where a few characters are wrong, missing, doubled or swapped.
/// Different ones never look alike.
#[must_use]
pub fn is_mistyped(expected: &str, found: &str) -> bool {
    const FEW: usize = 4;
    let (one, other) = (expected.as_bytes(), found.as_bytes());
    let longest = one.len().max(other.len());
    let pairs = one.iter().zip(other);
    let begin = pairs.take_while(|(one, other)| one == other).count();
    let pairs = one.iter().rev().zip(other.iter().rev());
    let end = pairs.take_while(|(one, other)| one == other).count();
    longest > 2 * FEW && expected != found && begin + end + FEW >= longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_is_not_another_authority() {
        let right = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";
        for wrong in [
            "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFaO",
            "ungWv48Bz-pBQUDeXa4i17ADYaOWF3qctBD_YfIAFa0",
            "ungWv48Bz-pBQUDeXa4iI7DAYaOWF3qctBD_YfIAFa0",
            "ungWv48Bz-pBQUeXa4iI7ADYaOWF3qctBD_YfIAFa0",
        ] {
            assert!(is_mistyped(wrong, right), "{wrong}");
        }
        let other = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        assert!(!is_mistyped(right, right) && !is_mistyped(other, right));
        assert!(!is_mistyped("short", "other"));
    }
}
