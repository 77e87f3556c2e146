//! Names that a machine may have.

/// Longest name that Linux takes, in bytes.
const LONGEST: usize = 64;
const LONGEST_LABEL: usize = 63;

/// Whether it is a host name as of RFC 1123 that Linux takes: labels of letters, digits and hyphens, with dots between them.
#[must_use]
pub fn is_host_name(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=LONGEST_LABEL).contains(&label.len())
        && label.bytes().all(is_allowed)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_rfc_1123() {
        for good in [
            "a",
            "lab-pc01",
            "LAB",
            "1",
            "a.example.org",
            &"x".repeat(63),
        ] {
            assert!(is_host_name(good), "{good}");
        }
        for bad in [
            "", ".", "a.", ".a", "a..b", "-a", "a-", "a_b", "a b", "a\n", "ä", "a/b",
        ] {
            assert!(!is_host_name(bad), "{bad:?}");
        }
        let long = format!("{}.{}", "x".repeat(32), "x".repeat(32));
        assert!(!is_host_name(&long) && is_host_name(&long[1..]));
        assert!(!is_host_name(&"x".repeat(64)), "one label of 64");
    }
}
